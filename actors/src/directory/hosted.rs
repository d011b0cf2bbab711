//! What a tenant's hosted login page is given.

use super::Origin;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Each is compared with at every hosted login.
pub const RETURN_URLS_MAX: usize = 20;
/// It stands in the page's own URL, beside others, and heads are bounded.
const LENGTH_MAX: usize = 2_000;

/// Where a hosted login may go back to: `https://acme.example/callback?from=login`. Compared as a whole, so kept as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnUrl(String);

/// `#rrggbb`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Colour(String);

/// Why a text is neither.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostedError {
    /// Not a URL that a browser may be sent to.
    #[error(
        "`{0}` is no return URL; one looks like https://acme.com/callback: https (or http on localhost), a path, no fragment"
    )]
    Url(String),
    /// Not a colour.
    #[error("`{0}` is not a colour; one looks like #2450c8")]
    Colour(String),
}

impl ReturnUrl {
    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ReturnUrl {
    type Err = HostedError;

    /// An origin in its one spelling, then a path and a query of the characters that a URL may have (RFC 3986), but for the comma that
    /// separates URLs on the command line.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || HostedError::Url(text.to_owned());
        let path_at =
            text.find("://").and_then(|at| Some(at + 3 + text[at + 3..].find('/')?)).ok_or_else(refused)?;
        let (origin, path) = text.split_at(path_at);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+;=%[]".contains(&byte);
        let spelled = origin.parse::<Origin>().is_ok_and(|parsed| parsed.as_str() == origin);
        if !spelled || text.len() > LENGTH_MAX || !path.bytes().all(plain) {
            return Err(refused());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ReturnUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Colour {
    /// `#rrggbb`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Colour {
    type Err = HostedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('#').unwrap_or_default();
        if digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(HostedError::Colour(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_urls_are_plain_and_secure() {
        for good in ["https://acme.com/", "https://acme.com:8443/a/b?x=1&y=%20", "http://localhost:3000/back"]
        {
            assert_eq!(good.parse::<ReturnUrl>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/callback",
            "//acme.com/x",
            "https://acme.com",
            "https://acme.com/#x",
            "http://acme.com/",
            "https://user@acme.com/",
            "https://ACME.com/",
            "https://acme.com:443/",
            "https://acme.com\\@evil.com/",
            "javascript:alert(1)//x/",
            "https://acme.com/a b",
            "https://acme.com/\r\nSet-Cookie: x",
            "https://acme.com/\"><script>",
            "https://acme.com/ä",
            &format!("https://acme.com/{}", "a".repeat(2_000)),
        ] {
            assert!(bad.parse::<ReturnUrl>().is_err(), "{bad}");
        }
        assert_eq!("#2450C8".parse::<Colour>().unwrap().as_str(), "#2450c8");
        for bad in ["", "#fff", "red", "#2450c8;", "2450c8", "#2450cg"] {
            assert!(bad.parse::<Colour>().is_err(), "{bad}");
        }
    }
}
