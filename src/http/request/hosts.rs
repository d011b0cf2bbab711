//! Host names a listener goes by. A page of another site can make a browser resolve its own name to our address (DNS
//! rebinding); it cannot make the browser send another `Host`. So an address is always fine, as probes and scrapers by
//! pod address send it: only a name can be rebound.

use crate::http::response::reply::Problem;
use futures_util::future::ready;
use http::HeaderMap;
use http::header::HOST;
use std::net::IpAddr;
use std::sync::Arc;
use warp::{Filter, Rejection};

/// `localhost`, every IP literal, and what the configuration adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostAllowlist {
    names: Arc<[String]>,
    any: bool,
}

impl HostAllowlist {
    /// `names` without port; compared without case. `*` allows every name: for a listener that other means protect.
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self { any: names.iter().any(|name| name == "*"), names: names.into() }
    }

    pub(crate) fn allows(&self, headers: &HeaderMap) -> bool {
        if self.any {
            return true;
        }
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(authority) = host.to_str().unwrap_or_default().parse::<http::uri::Authority>() else {
            return false;
        };
        let name = authority.host();
        // no user, and behind the name nothing but a port (RFC 9110 section 7.2); the parser lets more pass
        let is_port = |rest: &str| {
            rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if !authority.as_str().strip_prefix(name).is_some_and(|rest| rest.is_empty() || is_port(rest)) {
            return false;
        }
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok()
            || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Refuses other hosts with 421.
    pub(crate) fn filter(&self) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
        let hosts = self.clone();
        warp::header::headers_cloned()
            .and_then(move |headers| {
                let known = hosts.allows(&headers);
                ready(if known { Ok(()) } else { Err(warp::reject::custom(Problem::UnknownHost)) })
            })
            .untuple_one()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_addresses_and_configured_names() {
        let hosts = HostAllowlist::new(vec!["ops.internal".to_owned()]);
        let allows =
            |host: &str| hosts.allows(&HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]));
        for good in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:8081",
            "[::1]:8081",
            "ops.internal:80",
            "10.0.0.7",
            "[fd00::7]:8081",
        ] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "1.1",
            "",
            "127.0.0.1.nip.io",
            "user@localhost",
            "[::1].:80",
            "[::1]:8x",
            "*",
        ] {
            assert!(!allows(bad), "{bad}");
        }
        assert!(!hosts.allows(&HeaderMap::new()));
        let any = HostAllowlist::new(vec!["localhost".to_owned(), "*".to_owned()]);
        assert!(any.allows(&HeaderMap::from_iter([(HOST, HeaderValue::from_static("evil.example"))])));
    }
}
