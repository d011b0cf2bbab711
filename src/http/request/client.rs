//! Whose request it is: the socket's other end, or what trusted proxies say of it, read from the right.
//!
//! Everything left of the first hop that is not ours was written by the caller and is worth nothing. What cannot be read
//! fails closed: the last address that can be trusted counts, so a liar shares a proxy's limit instead of having none.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The proxies whose word is taken. Default: none.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// These and no others.
    pub(crate) fn new(ranges: Vec<IpNet>) -> Self {
        Self(ranges.into())
    }

    /// Whether this (unmapped) address is one of them.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }

    /// The caller's address.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let by_list = values(headers, "x-forwarded-for");
        let by_rfc = values(headers, "forwarded");
        match (by_list, by_rfc) {
            (None, None) => peer,
            (Some(list), None) => self.walk(peer, list.rsplit(',').map(list_hop)),
            (None, Some(list)) => self.walk(peer, list.rsplit(',').map(rfc_hop)),
            // A proxy of ours writes one of the two and passes the other on as the caller sent it: believe neither alone.
            (Some(list), Some(rfc)) => {
                let one = self.walk(peer, list.rsplit(',').map(list_hop));
                let other = self.walk(peer, rfc.rsplit(',').map(rfc_hop));
                if one == other { one } else { peer }
            }
        }
    }

    /// From the right: the first hop that is not ours, or the last that can be read.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in hops {
            match hop {
                Some(address) => client = address,
                None => return client,
            }
            if !self.contains(client) {
                break;
            }
        }
        client
    }
}

/// All lines of a header as one list; what is no text reads as an unreadable hop.
fn values(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<&str> =
        headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("unreadable")).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::7`, `[2001:db8::7]:4711`.
fn list_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
}

/// `for=203.0.113.7;proto=https`, `For="[2001:db8::7]:4711"`.
fn rfc_hop(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    list_hop(found?.trim_matches('"'))
}

/// A network, as limits count callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Prefix {
    /// IPv4, the other bits zero.
    V4(u32),
    /// The upper half of an IPv6 address, the other bits zero.
    V6(u64),
}

impl Prefix {
    /// /32 or /64: what one caller has for itself.
    pub(crate) fn fine(address: IpAddr) -> Self {
        Self::of(address, 32, 64)
    }

    /// /24 or /48: what one site has.
    pub(crate) fn coarse(address: IpAddr) -> Self {
        Self::of(address, 24, 48)
    }

    /// /16 or /32: what one network operator has, and more.
    pub(crate) fn range(self) -> Self {
        match self {
            Self::V4(bits) => Self::V4(bits & u32::MAX << 16),
            Self::V6(bits) => Self::V6(bits & u64::MAX << 32),
        }
    }

    fn of(address: IpAddr, v4_bits: u32, v6_bits: u32) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(Ipv4Addr::to_bits(v4) & (u32::MAX << (32 - v4_bits))),
            IpAddr::V6(v6) => Self::V6((Ipv6Addr::to_bits(v6) >> 64) as u64 & (u64::MAX << (64 - v6_bits))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(peer: &str, headers: &[(&str, &str)]) -> IpAddr {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|range| range.parse().unwrap());
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        TrustedProxies::new(trusted.to_vec()).client(ip(peer), &headers)
    }

    /// J1: a header counts only from a proxy of ours, and only what our proxies wrote.
    #[test]
    fn headers_count_from_the_right_and_only_from_our_proxies() {
        let xff = |value| [("x-forwarded-for", value)];
        assert_eq!(client("198.51.100.9", &xff("1.1.1.1")), ip("198.51.100.9"), "direct caller lies");
        assert_eq!(
            client("10.0.0.1", &xff("1.1.1.1, 203.0.113.7")),
            ip("203.0.113.7"),
            "fakes before the truth"
        );
        assert_eq!(client("10.0.0.1", &xff("203.0.113.7, 10.0.0.2")), ip("203.0.113.7"), "two proxies");
        assert_eq!(client("10.0.0.1", &xff("10.0.0.3, 10.0.0.2")), ip("10.0.0.3"), "all ours");
        assert_eq!(client("10.0.0.1", &xff("203.0.113.7:4711")), ip("203.0.113.7"));
        assert_eq!(client("10.0.0.1", &xff("[2001:db9::7]:4711")), ip("2001:db9::7"));
        assert_eq!(client("10.0.0.1", &[]), ip("10.0.0.1"));
        let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(client("10.0.0.1", &lines), ip("203.0.113.7"), "two lines are one list");
    }

    /// J1: what cannot be read ends the walk at the last address that can be trusted.
    #[test]
    fn unreadable_hops_fail_closed() {
        for junk in ["", "unknown", "1.1.1.1, _hidden", "1.1.1.1,", "1.1.1", "::ffff:x"] {
            assert_eq!(client("10.0.0.1", &[("x-forwarded-for", junk)]), ip("10.0.0.1"), "{junk:?}");
        }
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, evil, 10.0.0.2")]), ip("10.0.0.2"));
    }

    #[test]
    fn forwarded_is_read_like_the_list() {
        let forwarded = |value| [("forwarded", value)];
        assert_eq!(
            client("10.0.0.1", &forwarded("for=1.1.1.1, for=203.0.113.7;proto=https")),
            ip("203.0.113.7")
        );
        assert_eq!(client("10.0.0.1", &forwarded("For=\"[2001:db9::7]:80\"")), ip("2001:db9::7"));
        assert_eq!(
            client("10.0.0.1", &forwarded("for=\"x, for=203.0.113.7")),
            ip("203.0.113.7"),
            "open quote left"
        );
        assert_eq!(client("10.0.0.1", &forwarded("for=1.1.1.1;for=2.2.2.2")), ip("10.0.0.1"));
        assert_eq!(client("10.0.0.1", &forwarded("for=unknown")), ip("10.0.0.1"));
        let both = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(client("10.0.0.1", &both), ip("10.0.0.1"), "two stories");
    }

    /// J2: one home, one key.
    #[test]
    fn prefixes() {
        assert_eq!(Prefix::fine(ip("2001:db8:1:2::1")), Prefix::fine(ip("2001:db8:1:2:ffff::9")));
        assert_ne!(Prefix::fine(ip("2001:db8:1:2::1")), Prefix::fine(ip("2001:db8:1:3::1")));
        assert_eq!(Prefix::coarse(ip("2001:db8:1:2::1")), Prefix::coarse(ip("2001:db8:1:3::1")));
        assert_ne!(Prefix::coarse(ip("2001:db8:1::1")), Prefix::coarse(ip("2001:db8:2::1")));
        assert_eq!(Prefix::fine(ip("::ffff:1.2.3.4")), Prefix::fine(ip("1.2.3.4")));
        assert_ne!(Prefix::fine(ip("1.2.3.4")), Prefix::fine(ip("1.2.3.5")));
        assert_eq!(Prefix::coarse(ip("1.2.3.4")), Prefix::coarse(ip("1.2.3.5")));
    }
}
