//! IDNA 2008 for a whole domain.
//!
//! The `idna` crate maps (UTS 46), decodes Punycode (one spelling of it only) and checks text direction, leading marks
//! and NFC. UTS 46 lets pass
//! what IDNA 2008 refuses, so the character classes and context rules of RFC 5892 are checked here on its result.

use idna::punycode;
use idna::uts46::{AsciiDenyList, Hyphens, Uts46};

use super::error::IdnaFault;
use super::unicode::{is_greek, is_hebrew, is_kana_or_han, is_label_char};

/// The domain mapped by UTS 46, with its A-labels decoded. Not yet checked against IDNA 2008.
pub(super) fn map(domain: &str) -> (String, Result<(), IdnaFault>) {
    let (mapped, verdict) = Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
    (mapped.into_owned(), verdict.map_err(|_| IdnaFault::Rule))
}

/// The A-label form of a mapped domain, if IDNA 2008 allows every label.
pub(super) fn encode(mapped: &str) -> Result<String, IdnaFault> {
    let mut ascii = String::with_capacity(mapped.len() + 8);
    for label in mapped.split('.') {
        if !ascii.is_empty() {
            ascii.push('.');
        }
        check_label(label)?;
        if label.is_ascii() {
            ascii.push_str(label);
            continue;
        }
        let encoded = punycode::encode_str(label).ok_or(IdnaFault::Rule)?;
        if encoded.len() > 59 {
            return Err(IdnaFault::TooLong);
        }
        ascii.push_str("xn--");
        ascii.push_str(&encoded);
    }
    Ok(ascii)
}

fn check_label(label: &str) -> Result<(), IdnaFault> {
    let mut third = label.chars().skip(2);
    if third.next() == Some('-') && third.next() == Some('-') {
        return Err(IdnaFault::Hyphens);
    }
    for (at, c) in label.char_indices() {
        if is_label_char(c) {
            continue;
        }
        match in_context(label, at, c) {
            Some(true) => {}
            Some(false) => return Err(IdnaFault::Context(c)),
            None => return Err(IdnaFault::Codepoint(c)),
        }
    }
    Ok(())
}

/// The CONTEXTO rules of RFC 5892, appendix A.3 to A.9; `None` for a character without such a rule. The joiners of A.1
/// and A.2 have none here: they are invisible, so never safe in an address.
fn in_context(label: &str, at: usize, c: char) -> Option<bool> {
    let before = label.get(..at).and_then(|text| text.chars().next_back());
    let after = label.get(at + c.len_utf8()..).and_then(|text| text.chars().next());
    Some(match c {
        '\u{b7}' => before == Some('l') && after == Some('l'),
        '\u{375}' => after.is_some_and(is_greek),
        '\u{5f3}' | '\u{5f4}' => before.is_some_and(is_hebrew),
        '\u{30fb}' => label.chars().any(|c| c != '\u{30fb}' && is_kana_or_han(c)),
        // The two rows of Arabic digits exclude each other; the Bidi Rule has already seen to that.
        '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}' => true,
        _ => return None,
    })
}
