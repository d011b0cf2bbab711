//! The part before the `@`: a dot-atom of RFC 5322, widened to Unicode by RFC 6531.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::error::{AsciiSet, EmailError};
use super::unicode;

/// Mailboxes that RFC 2142 makes case-insensitive: written in lower case.
const ROLES: [&str; 15] = [
    "info",
    "marketing",
    "sales",
    "support",
    "abuse",
    "noc",
    "security",
    "postmaster",
    "hostmaster",
    "usenet",
    "news",
    "webmaster",
    "www",
    "uucp",
    "ftp",
];

/// The normalised local part: NFC, case kept.
pub(super) fn parse(typed: &str) -> Result<Cow<'_, str>, EmailError> {
    check(typed, EmailError::LocalChars)?;
    let normal = nfc(typed);
    if normal != typed {
        // NFC can yield ASCII: U+037E is a semicolon, U+212A (kelvin) a plain K.
        check(&normal, EmailError::NormalizedLocalChars)?;
    }
    Ok(lower_role(normal))
}

fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

fn lower_role(local: Cow<'_, str>) -> Cow<'_, str> {
    let capital = local.bytes().any(|byte| byte.is_ascii_uppercase());
    if capital && ROLES.iter().any(|role| local.eq_ignore_ascii_case(role)) {
        Cow::Owned(local.to_ascii_lowercase())
    } else {
        local
    }
}

fn check(local: &str, bad_chars: fn(AsciiSet) -> EmailError) -> Result<(), EmailError> {
    if local.is_empty() {
        return Err(EmailError::NoLocal);
    }
    if !is_dot_atom(local) {
        return Err(explain(local, bad_chars));
    }
    if local.is_ascii() { Ok(()) } else { unicode::check_safe(local) }
}

/// Runs of `atext` or non-ASCII, with single dots between.
fn is_dot_atom(local: &str) -> bool {
    let mut after_dot = true;
    for byte in local.bytes() {
        match byte {
            b'.' if after_dot => return false,
            b'.' => after_dot = true,
            byte if is_atext(byte) || !byte.is_ascii() => after_dot = false,
            _ => return false,
        }
    }
    !after_dot
}

fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

/// Only called for what is not a dot-atom.
fn explain(local: &str, bad_chars: fn(AsciiSet) -> EmailError) -> EmailError {
    let refused = AsciiSet::refused(local, |byte| byte == b'.' || is_atext(byte));
    if !refused.is_empty() {
        bad_chars(refused)
    } else if local.ends_with('.') {
        EmailError::LocalEndsWithDot
    } else if local.starts_with('.') {
        EmailError::LocalStartsWithDot
    } else {
        EmailError::DoubleDot
    }
}
