//! A portal's web origin and host, in the one spelling in which browsers send them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// `https://portal.acme.com`, `http://localhost:3000`: scheme, host, port if it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

/// A host alone, for the last line of a mail (`@portal.acme.com #123456`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalHost(String);

/// Why a text is neither.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OriginError {
    /// Not an origin.
    #[error("`{0}` is not an origin; one looks like https://portal.acme.com, without path or closing slash")]
    Form(String),
    /// Cookies are `Secure`, so plain http works on loopback only.
    #[error("`{0}` is plain http; only localhost may be")]
    Plain(String),
    /// Not a host.
    #[error("`{0}` is not a host; one looks like portal.acme.com")]
    Host(String),
}

impl Origin {
    /// As a browser sends it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_ascii_lowercase();
        let form = || OriginError::Form(text.to_owned());
        let (scheme, authority) = lower.split_once("://").ok_or_else(form)?;
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(form()),
        };
        let (host, port) = split_port(authority).ok_or_else(form)?;
        if !is_host(host) {
            return Err(form());
        }
        if scheme == "http" && !is_loopback(host) {
            return Err(OriginError::Plain(text.to_owned()));
        }
        Ok(Self(match port {
            Some(port) if port != default_port => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }))
    }
}

impl PortalHost {
    /// Lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PortalHost {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = text.trim().to_ascii_lowercase();
        if is_host(&host) { Ok(Self(host)) } else { Err(OriginError::Host(text.to_owned())) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_end = authority.find(']').map_or(0, |end| end + 1);
    match authority[host_end..].find(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let port = &authority[host_end + colon + 1..];
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            Some((&authority[..host_end + colon], Some(port.parse().ok().filter(|_| digits)?)))
        }
    }
}

/// A DNS name in ASCII (IDNs as `xn--…`), an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(bare) = host.strip_prefix('[') {
        return bare.strip_suffix(']').is_some_and(|bare| matches!(bare.parse(), Ok(IpAddr::V6(_))));
    }
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label_ok)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F12: compared exactly later, so there is one spelling.
    #[test]
    fn origins_have_one_spelling() {
        for (typed, kept) in [
            ("https://Portal.Acme.com", "https://portal.acme.com"),
            ("https://portal.acme.com:443", "https://portal.acme.com"),
            ("https://portal.acme.com:8443", "https://portal.acme.com:8443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(typed.parse::<Origin>().unwrap().as_str(), kept);
        }
        for odd in [
            "",
            "null",
            "*",
            "portal.acme.com",
            "https://",
            "https://a.b/",
            "https://a.b/x",
            "https://u@a.b",
            "ftp://a.b",
            "https://a.b:",
            "https://a.b:+1",
            "https://a.b:99999",
            "https://*.a.b",
            "https://a..b",
            "https://ä.b",
            "https://[::1",
            "https://a b",
            "https://a.b?x",
            "https://-a.b",
        ] {
            assert!(matches!(odd.parse::<Origin>(), Err(OriginError::Form(_))), "{odd:?}");
        }
        assert!(matches!("http://a.b".parse::<Origin>(), Err(OriginError::Plain(_))));
        assert!("portal.acme.com".parse::<PortalHost>().is_ok() && "a b\r\n".parse::<PortalHost>().is_err());
    }
}
