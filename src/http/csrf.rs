//! Whether a request that carries cookies was meant by the page it claims to come from.
//!
//! `Sec-Fetch-Site` decides where the browser sends it; `Origin` where it does not. Neither means no: a program has no
//! business with cookies, it sends its token in the body, and body tokens are never checked here.

use super::portals::Portals;
use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// Whether this call may use, set or clear cookies (F7, F8, F10, F11).
pub fn may_use_cookies(headers: &HeaderMap, portals: &dyn Portals) -> bool {
    match only(headers, "sec-fetch-site") {
        Given::Once("same-origin") => true,
        Given::Once("same-site") => allowed_origin(headers, portals).is_some(),
        Given::Once(_) | Given::Unclear => false,
        Given::Not => allowed_origin(headers, portals).is_some(),
    }
}

/// The request's origin, if it is the host's own or some tenant's.
pub fn allowed_origin<'h>(headers: &'h HeaderMap, portals: &dyn Portals) -> Option<&'h str> {
    let Given::Once(origin) = only(headers, ORIGIN.as_str()) else { return None };
    (is_same_host(origin, headers) || portals.of_origin(origin).is_some()).then_some(origin)
}

/// An origin is scheme, host and port; the scheme is not compared, because a proxy in front may have ended TLS.
fn is_same_host(origin: &str, headers: &HeaderMap) -> bool {
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    match (authority, only(headers, HOST.as_str())) {
        (Some(authority), Given::Once(host)) => !authority.is_empty() && authority.eq_ignore_ascii_case(host),
        _ => false,
    }
}

enum Given<'h> {
    Not,
    Once(&'h str),
    Unclear,
}

/// A header that must come once to mean anything.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Given<'h> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Given::Not,
        (Some(value), None) => value.to_str().map_or(Given::Unclear, Given::Once),
        (Some(_), Some(_)) => Given::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_domain::{TenantId, TenantSlug};
    use http::{HeaderName, HeaderValue};

    struct Acme;

    impl Portals for Acme {
        fn of_slug(&self, _: &TenantSlug) -> Option<TenantId> {
            None
        }

        fn of_origin(&self, origin: &str) -> Option<TenantId> {
            (origin == "https://portal.acme.com").then_some(TenantId::UNKNOWN)
        }
    }

    fn judged(lines: &[(&str, &str)]) -> bool {
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("auth.acme.com"))]);
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        may_use_cookies(&headers, &Acme)
    }

    /// F7, F8: the matrix of both headers.
    #[test]
    fn the_matrix() {
        let (site, origin) = ("sec-fetch-site", "origin");
        let (own, tenant, evil) =
            ("https://auth.acme.com", "https://portal.acme.com", "https://evil.example");
        for (lines, expected) in [
            (vec![(site, "same-origin")], true),
            (vec![(site, "same-origin"), (origin, own)], true),
            (vec![(site, "same-site"), (origin, tenant)], true),
            (vec![(site, "same-site"), (origin, "https://blog.acme.com")], false),
            (vec![(site, "same-site")], false),
            (vec![(site, "cross-site"), (origin, tenant)], false),
            (vec![(site, "cross-site"), (origin, own)], false),
            (vec![(site, "none")], false),
            (vec![(site, "SAME-ORIGIN")], false),
            (vec![(site, "same-origin"), (site, "cross-site")], false),
            (vec![(origin, own)], true),
            (vec![(origin, tenant)], true),
            (vec![(origin, evil)], false),
            (vec![(origin, "null")], false),
            (vec![(origin, own), (origin, evil)], false),
            (vec![], false),
        ] {
            assert_eq!(judged(&lines), expected, "{lines:?}");
        }
    }

    /// F12: no prefix, suffix or sub-domain of an allowed origin is allowed.
    #[test]
    fn origins_are_compared_whole() {
        for lookalike in [
            "https://auth.acme.com.evil.example",
            "https://evil-auth.acme.com",
            "https://auth.acme.com:8443",
            "https://x.portal.acme.com",
            "https://portal.acme.com/",
            "http://portal.acme.com",
            "auth.acme.com",
            "https://",
        ] {
            assert!(!judged(&[("origin", lookalike)]), "{lookalike}");
        }
    }
}
