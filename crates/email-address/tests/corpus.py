#!/usr/bin/env python3
"""Asks the reference stack about odd addresses: the answers are what corpus.rs replays.

  pip install pydantic==2.14.3 email-validator==2.4.0 idna==3.20      (Python 3.13: its Unicode is that of codepoints.rs)
  python3.13 corpus.py sample 450 > corpus.jsonl          the committed sample
  python3.13 corpus.py sample 20000 7 > /tmp/big.jsonl          a wider one: EMAIL_CORPUS=/tmp/big.jsonl cargo test
  python3.13 corpus.py characters > /tmp/chars.jsonl            every character in eight places (takes minutes)

One answer a line: {"address", "normalized", "ascii_domain", "reason"}; `normalized` is null for a refused address.
Known to differ, so not in the sample: U+1B3A, U+1B3C, U+1B42 and U+1171E in a right-to-left label. Unicode made these marks
left-to-right after Python 3.13's 15.1; the `idna` crate knows it and refuses.
"""
import json
import random
import sys
import unicodedata

import email_validator
from pydantic.networks import validate_email
from pydantic_core import PydanticCustomError

LOCALS = """ann ANN Ann+tag a.n.n o'brien !#$%&'*+/=?^_`{|}~- + - _ a Postmaster INFO abuse ünï Ü ß ı ınfo ſam Kelvin ﬁona ａｎｎ
😀 👩‍👩 用户 उपयोगकर्ता אבא ab.אבא u\u0308 \u0308u e\u0301\u0323 a\u037eb \u1fefx \u212bngstrom ≮ <\u0338 .ann ann. a..n a,b a;b a:b a(b) a[b] a\\b
"ann" "a@b" "a\\"b" "a"b a"b"c mailto:ann ann\tlee ann\x7f ann\x00 a\u00a0n a\u200bn a\u200dn \u202ean a\ufeffn a\ue000 a\U0010fffe
\u0378 \U0001fae9 \u00adx x\u2028y a＠b ﹫""".split() + ["", "ann lee", " ann", "ann ", "a" * 64, "a" * 65, "é" * 40, "a" * 240]
LABELS = """acme ACME a 1 1a a1 a-b -a a- a--b ab--c xn--a xn-- xn---bbk xn--bbk xn--bcher-kva XN--BCHER-KVA xn--BCHER-kva xn--fiqs8s
xn--strae-oqa xn--ls8h xn--1ch xn--zca xn--4dbc xn--0ca xn--ab-yia xn--a-ecp xn--11b4c3d xn--ngb xn--mgba3a4f16a xn--80ak6aa92e
xn--a-0fa xn--0000 xn--999999999 xn--mnchen-3ya- xn--fsq bücher BÜCHER straße STRASSE faß ｅｘａｍｐｌｅ ａｃｍｅ 例え 中国 한국 россия МОСКВА
ελλάς Ωσ ςσ ıstanbul İstanbul 💩 ☕ ♥ ™ ① ½ ﬃ ａ－ｂ －ａ ａ． １ a·l l·l l·a col·lecció · ͵α ͵a א׳ a׳ ״ ・ ア・ア a・a 中・中 ٠ a٠ ب٠ ب۰ ۰۱ ٠۰ ب٠۰
אב אב1 1אב א1ב אa aא ب ابج ا1 ا-ب אב- ـ  ابـ ज्ञ क्‍ष क्‌ष نامه‌ای \u0301a e\u0301 é \u0308 a\u034fb a\u00adb a\u200bb a\u200db ⒈ ‥ ․ … ︒ ﹒ ａｂ－－ｃ ⅷ ſ ß ẞ K
ｘｎ－－ｂｂｋ ｘｎ－－ＢＣＨＥＲ－ＫＶＡ a_b a!b a@b a/b a:b a<b a>b ＿ ！ ＠ ； \u037e ª º ǰ ŉ ﷺ ᾳ Ꭰ ꭰ ᏸ ꙮ 𐐀 𐐨 𝐚 𠀀 \u3007 \u06dd \u1885 \u0640 \u07fa \u302e \u303b \u0660\u0661
aأ 1ب ب1 ೞ ֊ ׇא ﭏ ａ\u0301 \u2260 \u226e < > a\u0338""".split() + [
    "", "a" * 63, "a" * 64, "ü" * 50, "ü" * 60, "xn--" + "a" * 59, "xn--" + "a" * 60, "中" * 20, "中" * 40]
TLDS = """io com IO de test TEST local localhost onion arpa invalid example internal c notatld 1 1a a1 xn--p1ai xn--j6w193g рф 中国 გე
한국 ελ ישראל تونس xn--wgbh1c ﾃｽﾄ test. ｔｅｓｔ ｔest com- -com c0m ＣＯＭ""".split() + [""]
DOTS = [".", ".", ".", ".", ".", ".", "。", "．", "｡", "..", "", ".-", "-."]
WHOLE = ["", " ", "@", "ann", "ann@", "@acme.io", "ann@b@acme.io", "ann@acme", "ann@[127.0.0.1]", "ann@[IPv6:::1]", "ann@127.0.0.1",
         "ann@[]", "ann@]", "Ann <ann@acme.io>", "<ann@acme.io>", '"Ann" <ann@acme.io>', "<script>@acme.io", "<ann@acme.io",
         "ann＠acme.io", "ann﹫acme.io", "ann@acme.io\n", "ann@acme.io\r\nBcc: evil@x.io", "\tann@acme.io \u3000\x1f", "\x00ann@acme.io",
         "ann @ acme.io", "ann@acme.io,bob@acme.io", "ann@ acme.io", "ann@router.home.arpa", "evil.io!ann@acme.io",
         "a" * 2040 + "@acme.io", "a" * 2041 + "@acme.io", "é" * 2041 + "@acme.io", "ann@" + "a." * 124 + "com", "ann@" + "a." * 126 + "com",
         "a@" + "ü." * 30 + "com", "a@" + "é" * 60 + "." + "é" * 60 + "." + "é" * 60 + ".com", "ü" * 122 + "@acme.io", "ü" * 130 + "@acme.io",
         "a" * 245 + "@acme.io", "a" * 246 + "@acme.io", "a" * 247 + "@acme.io", "\u0958" * 70 + "@acme.io", "a" * 200 + "@" + "ü" * 20 + ".com",
         "a" * 190 + "@xn--" + "9" * 40 + ".com", "1@1.xn--4dbc.com", "1@xn--4dbc.1.com", "ann@אב.com", "ann@אב.1a.com"]
SPICE = list("@.-_<>\"\\ \t\r\n\x00'+,;:()[]") + [chr(c) for c in (
    0xa0, 0xad, 0xb7, 0xdf, 0x130, 0x131, 0x17f, 0x301, 0x308, 0x338, 0x345, 0x34f, 0x375, 0x37e, 0x3c2, 0x5d0, 0x5f3, 0x627, 0x660, 0x6f0,
    0x200b, 0x200c, 0x200d, 0x202e, 0x2024, 0x2028, 0x212a, 0x2160, 0x2488, 0x3000, 0x3002, 0x30fb, 0x4e2d, 0xac00, 0xfb01, 0xfe0f, 0xfeff,
    0xff0e, 0xff20, 0xff21, 0xff61, 0xfffd, 0x1f600, 0x1f1e6, 0xe0001, 0x10ffff)]


def answer(address):
    row = {"address": address, "normalized": None, "ascii_domain": None, "reason": None}
    try:
        _, normalized = validate_email(address)
    except PydanticCustomError as refusal:
        row["reason"] = refusal.context["reason"]
        return row
    if address.strip().endswith(">"):
        row["reason"] = "A display name and angle brackets around the email address are not permitted here."
        return row
    row["normalized"] = normalized
    row["ascii_domain"] = email_validator.validate_email(normalized, check_deliverability=False).ascii_domain
    return row


def punycode(rng):
    """A label that was or could be Punycode, a little off."""
    letters = rng.choice(("abc1-", "בא٠1-", "üéaßA", "中文・a", "ςαͱ͵", "ا۰٠-", "ज्ञ\u200d\u200c", "💩a_.", "K⒈Ａ\u0301"))
    label = "".join(rng.choice(letters) for _ in range(rng.randrange(1, 7)))
    code = label.encode("punycode").decode()
    if rng.random() < 0.3:
        at = rng.randrange(len(code) + 1)
        code = code[:at] + rng.choice("-0aZ9") + code[at + rng.choice((0, 1)):]
    return rng.choice(("xn--", "xn--", "XN--", "xn---", "ｘn--")) + code


def odd(rng):
    if rng.random() < 0.2:
        return f"{rng.choice(LOCALS[:10])}@{rng.choice(('', '', 'a.', '1.', 'ü.'))}{punycode(rng)}.{rng.choice(TLDS[:2])}"
    local = rng.choice(LOCALS) if rng.random() < 0.4 else rng.choice(LOCALS[:10])
    domain = rng.choice(LABELS)
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        domain += rng.choice(DOTS) + rng.choice(LABELS)
    domain += (rng.choice(DOTS) if rng.random() < 0.2 else ".") + rng.choice(TLDS if rng.random() < 0.4 else TLDS[:2])
    address = rng.choice(WHOLE) if rng.random() < 0.05 else local + "@" + domain
    while rng.random() < 0.2:
        at = rng.randrange(len(address) + 1)
        address = address[:at] + rng.choice(SPICE) + address[at + rng.choice((0, 1)):]
    if rng.random() < 0.05:
        address = address.upper() if rng.random() < 0.5 else address.title()
    return address


def sample(count, seed):
    rng = random.Random(seed)
    seen = dict.fromkeys(WHOLE)
    seen.update(dict.fromkeys(f"ann@{label}.com" for label in LABELS) if count > 300 else {})
    seen.update(dict.fromkeys(f"{local}@acme.io" for local in LOCALS) if count > 300 else {})
    while len(seen) < count:
        seen[odd(rng)] = None
    return seen


def characters():
    for cp in range(0x110000):
        if 0xd800 <= cp < 0xe000:
            continue
        c = chr(cp)
        if unicodedata.category(c) in ("Cn", "Co"):  # most of all code points, and all refused
            yield from (f"a{c}b@acme.io", f"a@b{c}d.com")
            continue
        yield from (f"{c}@acme.io", f"a{c}b@acme.io", f"a@{c}.com", f"a@b{c}d.com", f"a@א{c}.com", f"a@{c}א.com", f"a@א{c}ב.{c}com")
        try:
            yield f"a@xn--{(c + 'x').encode('punycode').decode()}.com"
        except UnicodeError:
            pass


if __name__ == "__main__":
    if sys.argv[1] == "sample":
        addresses = sample(int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    else:
        addresses = characters()
    for address in addresses:
        try:
            address.encode()
        except UnicodeError:
            continue
        print(json.dumps(answer(address)))
