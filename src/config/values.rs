//! Values that TOML has no type for. Each says what it expects; none of the secret ones says what it got.

use jiff::{Span, SpanRelativeTo};
use serde::de::{Deserialize, Deserializer, Error};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use zeroize::Zeroizing;

/// "500ms", "4h 48m", "7d": jiff's friendly format, with days of 24 hours. Never zero.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let span: Option<Span> = text.parse().ok();
    let duration = span
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| {
        D::Error::custom("expected a duration above zero such as \"500ms\", \"30s\", \"4h 48m\" or \"7d\"")
    })
}

/// `""` means: not set.
pub(super) fn optional<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T::Err: fmt::Display,
{
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// For the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where Postgres is. Holds a password, so it is a secret as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl(Secret);

impl DatabaseUrl {
    /// For the pool.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("expected a URL such as postgres://user:password@host:5432/doorcode");
        }
        let Ok(secret) = text.parse();
        Ok(Self(secret))
    }
}

/// `https://host[:port]`, and nothing after it; plain http on loopback only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Without a closing slash: the `iss` claim.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without scheme and port.
    pub fn host(&self) -> &str {
        host_of(self.0.split_once("://").map_or("", |(_, rest)| rest))
    }

    /// Whether it is a name that RFC 2606 keeps for documentation.
    pub fn is_example(&self) -> bool {
        let host = self.host();
        ["example", "example.com", "example.org", "example.net"]
            .iter()
            .any(|name| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    }
}

impl FromStr for PublicUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a URL such as https://login.acme.com: no path, no closing slash; http only on localhost";
        let (scheme, authority) = text.split_once("://").ok_or(EXPECTED)?;
        let host = host_of(authority);
        let port = authority.strip_prefix(host).unwrap_or_default();
        let port_ok =
            port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host_ok = !bare.is_empty()
            && bare
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':'));
        let loopback = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let scheme_ok = scheme == "https" || (scheme == "http" && loopback);
        if host_ok && port_ok && scheme_ok { Ok(Self(text.to_owned())) } else { Err(EXPECTED) }
    }
}

fn host_of(authority: &str) -> &str {
    match authority.find(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// A network: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// Its first address.
    pub network: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
}

impl Cidr {
    /// Whether `address` lies in it. IPv4-mapped addresses are to be unwrapped before.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => ((a.to_bits() ^ b.to_bits()) & mask32(self.prefix)) == 0,
            (IpAddr::V6(a), IpAddr::V6(b)) => ((a.to_bits() ^ b.to_bits()) & mask128(self.prefix)) == 0,
            _ => false,
        }
    }
}

fn mask32(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask128(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an address or a network such as \"10.0.0.0/8\" or \"fd00::/8\"";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| EXPECTED)?)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| EXPECTED)?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        let host_bits_clear = match network {
            IpAddr::V4(ip) => prefix <= 32 && ip.to_bits() & !mask32(prefix) == 0,
            IpAddr::V6(ip) => prefix <= 128 && ip.to_bits() & !mask128(prefix) == 0,
        };
        if prefix > longest {
            Err(EXPECTED)
        } else if !host_bits_clear {
            Err(
                "expected a network whose bits after the prefix are zero, such as \"10.0.0.0/8\", not \"10.1.2.3/8\"",
            )
        } else {
            Ok(Self { network, prefix })
        }
    }
}

/// Which events are written.
#[derive(Clone, Debug)]
pub struct LogFilter(pub Targets);

impl FromStr for LogFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `Targets` takes a misspelt level for the name of a part, and would silence everything else.
        let known = |directive: &str| {
            let level = directive.rsplit('=').next().unwrap_or_default().trim();
            !level.is_empty() && level.parse::<u8>().is_err() && level.parse::<LevelFilter>().is_ok()
        };
        let targets = text.split(',').all(known).then(|| text.parse().ok()).flatten();
        targets.map(Self).ok_or(
            "expected error, warn, info, debug, trace or off, also per part: \"info,doorcode_actors=debug\"",
        )
    }
}

/// Deserializes through `FromStr`.
macro_rules! from_text {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}
from_text!(PublicUrl, Cidr, LogFilter);
