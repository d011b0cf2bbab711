//! E-mail addresses: what pydantic's `EmailStr` (email-validator 2.4) accepts, normalised the same way.
//!
//! One difference on purpose: display-name forms (`Ann <ann@acme.io>`) are refused, so that audit and limiter keys see
//! one spelling. Addresses are compared by [`Email::key`]: without ASCII case in the local part, never with Unicode case
//! folding (which would make `ınfo` and `info` one customer), and with no stripping of tags or dots.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

mod codepoints;
mod domain;
mod error;
mod idna;
mod local;
#[cfg(test)]
mod tests;
mod unicode;

use domain::Domain;
pub use domain::SpecialUse;
pub use error::{AsciiSet, EmailError, IdnaFault};

/// Characters, as pydantic counts them: nothing longer is looked at.
const MAX_INPUT: usize = 2048;
/// Octets of an address on the wire (RFC 5321, errata 1690 of RFC 3696).
const MAX_ADDRESS: usize = 254;

/// An e-mail address that mail can be sent to, parsed once.
///
/// Two are equal when their [keys](Email::key) are. `Debug` is masked, and there is no `Display`: an address gets into a
/// log only by [`Email::mask`].
#[derive(Clone)]
pub struct Email {
    /// Normalised: NFC local part, `@`, domain in Unicode.
    address: Box<str>,
    /// Where the `@` that ends the local part is.
    at: usize,
    /// The comparison form, when it differs from `address`.
    key: Option<Box<str>>,
    /// The domain in Punycode, when it differs.
    ascii_domain: Option<Box<str>>,
}

impl Email {
    /// Parses what somebody typed.
    ///
    /// # Errors
    /// The first rule that the address breaks, in email-validator's order.
    pub fn parse(input: &str) -> Result<Self, EmailError> {
        Self::parse_with(input, SpecialUse::default())
    }

    /// The same, in a network that routes some of the special-use names.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(input: &str, taken: SpecialUse) -> Result<Self, EmailError> {
        if input.len() > MAX_INPUT && input.chars().count() > MAX_INPUT {
            return Err(EmailError::Oversized);
        }
        if input.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(EmailError::LineBreak);
        }
        let typed = input.trim_matches(is_python_space);
        let (local, domain) = split(typed)?;
        let local = local::parse(local)?;
        let domain = Domain::parse(domain, taken)?;
        check_lengths(typed, &local, &domain)?;
        Ok(Self::join(&local, domain))
    }

    fn join(local: &str, domain: Domain<'_>) -> Self {
        let mut address = String::with_capacity(local.len() + 1 + domain.unicode.len());
        address.push_str(local);
        address.push('@');
        address.push_str(&domain.unicode);
        if let (Cow::Borrowed(_), Some(tail)) = (&domain.unicode, address.get_mut(local.len()..)) {
            tail.make_ascii_lowercase();
        }
        let key = local.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| {
            let mut key = address.clone();
            key.make_ascii_lowercase();
            key.into_boxed_str()
        });
        let ascii_domain = domain.ascii.map(String::into_boxed_str);
        Self { address: address.into_boxed_str(), at: local.len(), key, ascii_domain }
    }

    /// The normalised address: local part in NFC and in the case it was typed in (RFC 2142 role names such as
    /// `Postmaster` in lower case), domain in lower case and in Unicode.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// The form that decides whether two addresses are one: ASCII letters in lower case, all else as in
    /// [`as_str`](Self::as_str).
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.address)
    }

    /// The part before the `@`.
    pub fn local(&self) -> &str {
        self.address.get(..self.at).unwrap_or_default()
    }

    /// The part after the `@`, in Unicode.
    pub fn domain(&self) -> &str {
        self.address.get(self.at + 1..).unwrap_or_default()
    }

    /// The part after the `@` as DNS and SMTP carry it.
    pub fn ascii_domain(&self) -> &str {
        self.ascii_domain.as_deref().unwrap_or_else(|| self.domain())
    }

    /// For logs: `a…@example.com`. Of a one-letter local part, nothing is shown.
    pub fn mask(&self) -> String {
        let mut letters = self.local().chars();
        let first = letters.next().filter(|_| letters.next().is_some());
        first.into_iter().chain("…@".chars()).chain(self.domain().chars()).collect()
    }
}

/// Python's `str.isspace`, which counts the four ASCII separators too.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// Splits at the first `@` outside double quotes.
fn split(typed: &str) -> Result<(&str, &str), EmailError> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in typed.bytes().enumerate() {
        match byte {
            b'\\' if quoted && !escaped => {
                escaped = true;
                continue;
            }
            b'"' if !escaped => quoted = !quoted,
            b'<' if !quoted => return Err(explain_angle(typed)),
            b'@' if !quoted => {
                let (local, domain) = typed.split_at_checked(at).ok_or(EmailError::NoAt)?;
                if local.starts_with('"') {
                    return Err(EmailError::QuotedLocal);
                }
                return Ok((local, domain.get(1..).unwrap_or_default()));
            }
            _ => {}
        }
        escaped = false;
    }
    Err(if typed.contains('＠') {
        EmailError::FullWidthAt
    } else if typed.contains('﹫') {
        EmailError::SmallAt
    } else {
        EmailError::NoAt
    })
}

/// Only called with an open angle bracket before any `@`.
fn explain_angle(typed: &str) -> EmailError {
    if typed.ends_with('>') {
        EmailError::DisplayName
    } else if typed.contains('>') {
        EmailError::AfterAngle
    } else {
        EmailError::OpenAngle
    }
}

/// All three spellings must fit: callers may go on with any of them.
fn check_lengths(typed: &str, local: &str, domain: &Domain<'_>) -> Result<(), EmailError> {
    let excess = |length: usize| length.checked_sub(MAX_ADDRESS).filter(|&excess| excess > 0);
    if let Some(most) = excess(typed.len()) {
        let widest = typed.chars().map(char::len_utf8).max().unwrap_or(1);
        return Err(EmailError::TooLong { least: (most / widest).max(1), most });
    }
    if let Some(excess) = excess(local.len() + 1 + domain.unicode.len()) {
        return Err(EmailError::NormalizedTooLong(excess));
    }
    if let Some(excess) = excess(local.len() + 1 + domain.ascii().len()) {
        return Err(EmailError::EncodedTooLong(excess));
    }
    Ok(())
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(input: &str) -> Result<Self, EmailError> {
        Self::parse(input)
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Email {}

impl Hash for Email {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.mask())
    }
}
