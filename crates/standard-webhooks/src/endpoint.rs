//! Where messages go: a URL that was checked, and the addresses behind it that may be called.

use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};

/// A receiver's URL.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(crate) uri: http::Uri,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `None`: plain HTTP, to this machine only.
    pub(crate) tls: Option<ServerName<'static>>,
    allow_private: bool,
}

/// Why a URL is none that may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL with a host.
    #[error("expected a URL such as https://hooks.acme.com/mail, without user and password")]
    Url,
    /// It would travel in the clear.
    #[error(
        "expected https; http is for this machine (localhost, 127.0.0.1, [::1]) only, where private addresses are allowed"
    )]
    Plain,
}

impl Endpoint {
    /// Without `allow_private`, addresses that the internet does not reach are left out when the name is looked up, at each
    /// connection: a URL that somebody else chose must not reach into this network. With it, http to this machine is allowed too.
    pub fn new(url: &str, allow_private: bool) -> Result<Self, EndpointError> {
        let uri: http::Uri = url.parse().map_err(|_| EndpointError::Url)?;
        let authority = uri.authority().ok_or(EndpointError::Url)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(EndpointError::Url);
        }
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let (tls, port) = match uri.scheme_str() {
            Some("https") => (Some(ServerName::try_from(host.clone()).map_err(|_| EndpointError::Url)?), 443),
            Some("http") if is_here && allow_private => (None, 80),
            Some("http") => return Err(EndpointError::Plain),
            _ => return Err(EndpointError::Url),
        };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self { host, port, tls, allow_private, uri })
    }

    /// Those of a name's addresses that may be called.
    pub(crate) fn callable(&self, addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let may_be_called = |address: &SocketAddr| match self.tls {
            None => address.ip().is_loopback(),
            Some(_) => self.allow_private || is_public(address.ip()),
        };
        addresses.filter(may_be_called).collect()
    }
}

/// Whether the internet reaches an address (IANA's special-purpose registries), whatever it is wrapped in.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || a == 0
                || a >= 224
                || (a == 100 && b & 0b1100_0000 == 64)
                || (a == 198 && b & 0b1111_1110 == 18)
                || (a == 192 && b == 0 && c == 0))
        }
        // global unicast, without Teredo and 6to4, which carry an IPv4 address, and documentation
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            a & 0xe000 == 0x2000 && !(a == 0x2001 && b < 0x200) && a != 0x2002 && !(a == 0x2001 && b == 0xdb8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_this_machine() {
        for (url, error) in [
            ("https://hooks.acme.com/mail", None),
            ("https://hooks.acme.com:8443/mail?x=1", None),
            ("http://localhost:9000/", None),
            ("http://127.0.0.1:9000/", None),
            ("http://[::1]:9000/", None),
            ("http://hooks.acme.com/mail", Some(EndpointError::Plain)),
            ("http://127.0.0.1.evil.example/", Some(EndpointError::Plain)),
            ("https://user:secret@hooks.acme.com/", Some(EndpointError::Url)),
            ("ftp://hooks.acme.com/", Some(EndpointError::Url)),
            ("/mail", Some(EndpointError::Url)),
            ("", Some(EndpointError::Url)),
        ] {
            assert_eq!(Endpoint::new(url, true).err(), error, "{url}");
        }
        assert_eq!(Endpoint::new("http://localhost:9000/", false).err(), Some(EndpointError::Plain));
        assert!(Endpoint::new("https://hooks.acme.com/mail", false).is_ok());
    }

    #[test]
    fn private_addresses_are_called_by_setting_only() {
        let chosen = |url: &str, private: bool, ip: &str| {
            let address = SocketAddr::new(ip.parse().unwrap(), 443);
            !Endpoint::new(url, private).unwrap().callable([address].into_iter()).is_empty()
        };
        let url = "https://hooks.acme.com/";
        for ip in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "198.18.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
        ] {
            assert!(!chosen(url, false, ip) && chosen(url, true, ip), "{ip}");
        }
        for ip in ["93.184.215.14", "2606:2800:21f:cb07::1"] {
            assert!(chosen(url, false, ip), "{ip}");
        }
        assert!(
            chosen("http://localhost/", true, "127.0.0.1") && !chosen("http://localhost/", true, "10.0.0.1")
        );
        assert!(!chosen("https://localhost/", false, "127.0.0.1"));
    }
}
