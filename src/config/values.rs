//! Values of the edge that TOML has no type for. Each says what it expects.

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error};
use std::net::IpAddr;
use std::str::FromStr;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

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

/// Networks: `10.0.0.0/8`, `fd00::/8`, or one address.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| network(text).map_err(D::Error::custom)).collect()
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match network {
        Ok(network) if network == network.trunc() => Ok(network),
        Ok(_) => Err(
            "expected a network whose bits after the prefix are zero, such as \"10.0.0.0/8\", not \"10.1.2.3/8\"",
        ),
        Err(_) => Err("expected an address or a network such as \"10.0.0.0/8\" or \"fd00::/8\""),
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
from_text!(PublicUrl, LogFilter);
