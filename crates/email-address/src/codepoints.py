#!/usr/bin/env python3
"""Writes codepoints.rs: the Unicode tables the address rules need and no crate in the tree offers.

Sources
  * UNSAFE: general categories C* and Z*, from `unicodedata` of the interpreter that runs this (Python 3.13: Unicode
    15.1). A character assigned later is refused until the table is made again, as email-validator refuses it there.
  * LABEL: the PVALID class of RFC 5892 as the `idna` package derives it (idna 3.20: Unicode 18), less UNSAFE.
  * GREEK, HEBREW, KANA_HAN: the scripts that the CONTEXTO rules of RFC 5892 appendix A ask for, from `idna`.

Run from this directory, with the package versions of the reference stack, then format:
  pip install idna==3.20 && python3.13 codepoints.py > codepoints.rs && rustfmt --edition 2024 codepoints.rs
"""
import sys
import unicodedata

import idna
from idna import idnadata
from idna.intranges import intranges_contain

FIRST, LAST = 0x80, 0x10FFFF  # ASCII has its own, faster rules.


def inversion_list(wanted):
    """The code points where membership flips, so that a search yields an odd index inside the set."""
    flips, inside = [], False
    for cp in range(FIRST, LAST + 1):
        if wanted(cp) != inside:
            flips.append(cp)
            inside = not inside
    return flips


def unsafe(cp):
    return unicodedata.category(chr(cp))[0] in "CZ"


def label(cp):
    return intranges_contain(cp, idnadata.codepoint_classes["PVALID"]) and not unsafe(cp)


def script(*names):
    return lambda cp: any(intranges_contain(cp, idnadata.scripts[name]) for name in names)


TABLES = [
    ("UNSAFE", "Controls, formats, private use, unassigned and separators: never in an address.", unsafe),
    ("LABEL", "IDNA 2008 PVALID: may stand anywhere in a domain label.", label),
    ("GREEK", "Script Greek.", script("Greek")),
    ("HEBREW", "Script Hebrew.", script("Hebrew")),
    ("KANA_HAN", "Scripts Hiragana, Katakana and Han.", script("Hiragana", "Katakana", "Han")),
]

print("//! Written by codepoints.py, which says where the data comes from; do not edit.")
print(f"//! Python {sys.version_info.major}.{sys.version_info.minor}: Unicode {unicodedata.unidata_version};"
      f" idna {idna.__version__}: Unicode {idnadata.__version__}.")
print("//!\n//! Each table lists, in order, the code points from U+0080 up where membership flips.")
for name, doc, wanted in TABLES:
    flips = inversion_list(wanted)
    body = ", ".join(f"0x{cp:X}" for cp in flips)
    print(f"\n/// {doc}\npub(super) static {name}: [u32; {len(flips)}] = [{body}];")
