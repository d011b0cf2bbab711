//! What a mail says of the request that asked for it. It travels in the outbox's record, made from the request alone and
//! so alike for every address.

use actor_runtime::RequestId;
use doorcode_domain::Language;
use std::fmt;
use std::net::IpAddr;

/// Of a request for a code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// What the caller's browser prefers.
    pub(crate) language: Option<Language>,
    /// Where it was.
    pub(crate) network: Option<Network>,
    /// The address that was typed, sealed (`typed_address.rs`); empty unless the tenant signs up.
    pub(crate) typed: Box<[u8]>,
    /// For the log.
    pub(crate) request: RequestId,
}

/// Set in the family of the network: a request's id follows.
const WITH_REQUEST: u8 = 0x80;

/// Roughly where a caller was: IPv4 /24, IPv6 /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    V4([u8; 3]),
    V6([u8; 6]),
}

impl Network {
    pub(crate) fn of(client: IpAddr) -> Self {
        match client {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f])
            }
        }
    }
}

/// `203.0.113.x`, `2001:db8:7::x`
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.x"),
            Self::V6(bytes) => {
                let [a, b, c] = [0, 2, 4].map(|at| u16::from_be_bytes([bytes[at], bytes[at + 1]]));
                write!(f, "{a:x}:{b:x}:{c:x}::x")
            }
        }
    }
}

impl Note {
    /// Of a request that names no address for a mail.
    pub(crate) fn of(language: Option<Language>, client: IpAddr) -> Self {
        Self { language, network: Some(Network::of(client)), ..Self::default() }
    }

    /// Place of the language from 1 (0: none), family of the network (4, 6, 0: none), the request's id if that says so, the
    /// network's bytes; the typed address.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let language = self.language.map_or(0, |language| language.index() + 1);
        let mut bytes = vec![u8::try_from(language).unwrap_or(0)];
        let (family, prefix): (u8, &[u8]) = match &self.network {
            None => (0, &[]),
            Some(Network::V4(prefix)) => (4, prefix),
            Some(Network::V6(prefix)) => (6, prefix),
        };
        if self.request == RequestId::default() {
            bytes.push(family);
        } else {
            bytes.push(family | WITH_REQUEST);
            bytes.extend_from_slice(&self.request.0.to_be_bytes());
        }
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(&self.typed);
        bytes
    }

    /// What can be read of it: a mail without its note is a mail all the same.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let language =
            bytes.first().and_then(|place| Language::of_index(usize::from(*place).checked_sub(1)?));
        let (family, rest) = bytes.get(1..).and_then(<[u8]>::split_first).unwrap_or((&0, &[]));
        let (request, rest) = match rest.split_first_chunk() {
            Some((id, rest)) if family & WITH_REQUEST != 0 => (RequestId(u128::from_be_bytes(*id)), rest),
            None if family & WITH_REQUEST != 0 => (RequestId::default(), &[][..]),
            _ => (RequestId::default(), rest),
        };
        let (network, typed): (_, &[u8]) = match (family & !WITH_REQUEST, rest) {
            (4, [a, b, c, rest @ ..]) => (Some(Network::V4([*a, *b, *c])), rest),
            (6, [a, b, c, d, e, f, rest @ ..]) => (Some(Network::V6([*a, *b, *c, *d, *e, *f])), rest),
            (0, rest) => (None, rest),
            _ => (None, &[]),
        };
        Self { language, network, typed: typed.into(), request }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let network = |text: &str| Some(Network::of(text.parse().unwrap()));
        for language in [None, Language::of_tag("de"), Language::of_tag("zh-CN")] {
            for network in [None, network("203.0.113.7"), network("2001:db8:7:1::9")] {
                for typed in [&[][..], &[4, 0, 9]] {
                    for request in [0, 7 << 120 | 1].map(RequestId) {
                        let note = Note { language, network, typed: typed.into(), request };
                        assert_eq!(Note::decode(&note.encode()), note);
                    }
                }
            }
        }
        for garbage in [&[][..], &[99], &[0, 4, 1], &[3, 7, 7, 7], &[1, 0x84, 9, 9, 9]] {
            assert_eq!(Note::decode(garbage).network, None);
        }
    }

    #[test]
    fn a_network_is_shown_without_its_end() {
        let shown = |text: &str| Network::of(text.parse().unwrap()).to_string();
        assert_eq!(shown("203.0.113.7"), "203.0.113.x");
        assert_eq!(shown("2001:db8:7:1::9"), "2001:db8:7::x");
    }
}
