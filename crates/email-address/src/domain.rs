//! The part after the `@`: a public host name, IDNA 2008.

use std::borrow::Cow;

use super::error::{AsciiSet, EmailError};
use super::{idna, unicode};

/// RFC 1035: octets of a name, without the root dot.
const MAX_DOMAIN: usize = 253;
/// RFC 1035: octets of a label.
const MAX_LABEL: usize = 63;

/// Top-level names that IANA reserves and that no public mail reaches; subdomains are refused with them.
const SPECIAL_USE: [&str; 6] = ["arpa", "invalid", "local", "localhost", "onion", "test"];

/// Which of the special-use names are taken nevertheless: those that a private network may route. Default: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialUse {
    local: bool,
    test: bool,
}

impl SpecialUse {
    /// `local`, `test`, or why not.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'static str> {
        let mut taken = Self::default();
        for name in names {
            match name.trim_start_matches('.') {
                "local" => taken.local = true,
                "test" => taken.test = true,
                _ => {
                    return Err(
                        "expected \"test\" or \"local\": every other name needs no leave, or leads to no mail",
                    );
                }
            }
        }
        Ok(taken)
    }

    fn takes(self, name: &str) -> bool {
        match name {
            "local" => self.local,
            "test" => self.test,
            _ => false,
        }
    }
}

/// A domain that may receive mail.
pub(super) struct Domain<'a> {
    /// As people read it. ASCII capitals may remain when `ascii` is `None`.
    pub(super) unicode: Cow<'a, str>,
    /// As DNS carries it, when that differs.
    pub(super) ascii: Option<String>,
}

impl<'a> Domain<'a> {
    pub(super) fn parse(typed: &'a str, taken: SpecialUse) -> Result<Self, EmailError> {
        check_typed(typed)?;
        if !typed.is_ascii() {
            return Self::from_unicode(typed, taken);
        }
        check_labels(typed)?;
        check_dns(typed, false, taken)?;
        if typed.split('.').any(is_a_label) {
            return Self::from_punycode(typed);
        }
        Ok(Self { unicode: Cow::Borrowed(typed), ascii: None })
    }

    fn from_unicode(typed: &str, taken: SpecialUse) -> Result<Self, EmailError> {
        unicode::check_safe(typed)?;
        if let Some(dot) = typed.chars().filter(|&c| unicode::is_dot_like(c)).min() {
            return Err(EmailError::DomainDotLike(dot));
        }
        let (mapped, verdict) = idna::map(typed);
        let refused = AsciiSet::refused(&mapped, is_host_byte);
        if !refused.is_empty() {
            return Err(EmailError::MappedDomainChars(refused));
        }
        check_labels(&mapped)?;
        verdict.map_err(EmailError::Idna)?;
        let ascii = idna::encode(&mapped).map_err(EmailError::Idna)?;
        check_dns(&ascii, true, taken)?;
        Ok(Self::from_both(mapped, ascii))
    }

    /// Its DNS form has been checked; what the A-labels stand for has not.
    fn from_punycode(typed: &str) -> Result<Self, EmailError> {
        let (decoded, verdict) = idna::map(typed);
        verdict.map_err(EmailError::Punycode)?;
        // A label that decodes to edge hyphens is no label either.
        check_labels(&decoded)?;
        let ascii = idna::encode(&decoded).map_err(EmailError::Punycode)?;
        Ok(Self::from_both(decoded, ascii))
    }

    fn from_both(unicode: String, ascii: String) -> Self {
        let ascii = (unicode != ascii).then_some(ascii);
        Self { unicode: Cow::Owned(unicode), ascii }
    }

    /// The form that DNS carries.
    pub(super) fn ascii(&self) -> &str {
        self.ascii.as_deref().unwrap_or(&self.unicode)
    }
}

fn check_typed(typed: &str) -> Result<(), EmailError> {
    if typed.is_empty() {
        return Err(EmailError::NoDomain);
    }
    if typed.starts_with('[') && typed.ends_with(']') {
        return Err(EmailError::DomainLiteral);
    }
    // Before any Unicode work: it bounds what mapping and decoding can cost.
    if typed.len() > MAX_DOMAIN {
        let length = typed.chars().count();
        if length > MAX_DOMAIN {
            return Err(EmailError::DomainTooLong(length - MAX_DOMAIN));
        }
    }
    if typed.bytes().all(|byte| is_host_byte(byte) || !byte.is_ascii()) {
        return Ok(());
    }
    Err(EmailError::DomainChars(AsciiSet::refused(typed, is_host_byte)))
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

fn is_a_label(label: &str) -> bool {
    label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
}

/// Dots and hyphens of a mapped domain.
fn check_labels(domain: &str) -> Result<(), EmailError> {
    let plain = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    if !domain.split('.').all(plain) {
        return Err(explain_labels(domain));
    }
    if domain.split('.').any(is_reserved) { Err(EmailError::ReservedLabel) } else { Ok(()) }
}

fn is_reserved(label: &str) -> bool {
    let mut third = label.chars().skip(2);
    third.next() == Some('-') && third.next() == Some('-') && !is_a_label(label)
}

/// Only called for a domain with an empty label or a hyphen at an edge of one.
fn explain_labels(domain: &str) -> EmailError {
    if domain.ends_with('.') {
        EmailError::DomainEndsWithDot
    } else if domain.starts_with('.') {
        EmailError::DomainStartsWithDot
    } else if domain.contains("..") {
        EmailError::DoubleDot
    } else if domain.ends_with('-') {
        EmailError::DomainEndsWithHyphen
    } else if domain.starts_with('-') {
        EmailError::DomainStartsWithHyphen
    } else {
        EmailError::DotHyphen
    }
}

/// Lengths and top-level domain, on the form that DNS carries.
fn check_dns(ascii: &str, encoded: bool, taken: SpecialUse) -> Result<(), EmailError> {
    if ascii.len() > MAX_DOMAIN {
        let excess = ascii.len() - MAX_DOMAIN;
        return Err(if encoded {
            EmailError::EncodedDomainTooLong(excess)
        } else {
            EmailError::DomainTooLong(excess)
        });
    }
    if let Some(label) = ascii.split('.').find(|label| label.len() > MAX_LABEL) {
        return Err(EmailError::LabelTooLong(label.len() - MAX_LABEL));
    }
    let Some((_, tld)) = ascii.rsplit_once('.') else {
        return Err(EmailError::NoDot);
    };
    if !tld.ends_with(|last: char| last.is_ascii_alphabetic()) {
        return Err(EmailError::Tld);
    }
    let special = SPECIAL_USE.iter().find(|name| tld.eq_ignore_ascii_case(name));
    if special.is_some_and(|name| !taken.takes(name)) {
        return Err(EmailError::SpecialUse);
    }
    Ok(())
}
