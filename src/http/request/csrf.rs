//! Which page a call comes from, and whose cookies it may use.
//!
//! `Sec-Fetch-Site` decides where the browser sends it; `Origin` where it does not. A call with neither comes from no page:
//! it may be given cookies (`/verify`), and cannot use them, since an old browser that sends neither could be made to.
//! Body tokens are never checked here.

use crate::http::portals::Portals;
use crate::http::request::cookies::{Tag, TaggedCookies};
use doorcode_domain::{TenantId, TenantSlug};
use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// A page that may use, set and clear cookies (F7, F8, F10, F11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Of the very host that is called. Where that is some tenant's portal, its calls mean this tenant unless they name
    /// another; nothing separates pages of one host, so they may.
    Own(Option<TenantId>),
    /// Of a portal elsewhere on the same site. It is its tenant's page and nobody else's: a portal that could name
    /// another tenant could take that tenant's tokens, or plant a session there.
    Portal(TenantId),
}

/// Whose cookies a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This tenant's.
    Of(TenantId),
    /// Whoever's, if they are the only ones.
    Only,
}

impl Page {
    /// The page of a call, unless it must not touch cookies.
    pub(crate) fn of(headers: &HeaderMap, portals: &dyn Portals) -> Option<Self> {
        let origin = only(headers, ORIGIN.as_str());
        if matches!(origin, Given::Unclear | Given::Once("null")) {
            return None;
        }
        let owner = if let Given::Once(origin) = origin { portals.of_origin(origin) } else { None };
        let own_host = matches!(origin, Given::Once(origin) if is_same_host(origin, headers));
        match only(headers, "sec-fetch-site") {
            Given::Once("same-origin") => Some(Self::Own(owner)),
            Given::Once("same-site") | Given::Not if own_host => Some(Self::Own(owner)),
            Given::Once("same-site") | Given::Not => owner.map(Self::Portal),
            Given::Once(_) | Given::Unclear => None,
        }
    }

    /// The page that a login answers. A call that names none comes from a program, or through a proxy that strips both
    /// headers: it is treated as our own page. A foreign page always names itself, in `Origin` if nowhere else: what it
    /// can send without one is no JSON (F9, F10).
    pub(crate) fn of_login(headers: &HeaderMap, portals: &dyn Portals) -> Option<Self> {
        match (only(headers, "sec-fetch-site"), only(headers, ORIGIN.as_str())) {
            (Given::Not, Given::Not) => Some(Self::Own(None)),
            _ => Self::of(headers, portals),
        }
    }

    /// Whether it may use this tenant's cookies.
    pub(crate) fn may_use(self, tenant: TenantId) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Portal(owner) => owner == tenant,
        }
    }

    /// The same of a cookie's tag.
    pub(crate) fn may_use_tag(self, tag: Tag) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Portal(owner) => Tag::of(owner) == tag,
        }
    }

    /// Whose cookies its call means: of the tenant named by `X-Tenant-Slug`, else of the tenant that owns the `Origin`,
    /// else the only ones. `None`: of a tenant that is unknown, or not this page's.
    pub(crate) fn choice(self, headers: &HeaderMap, portals: &dyn Portals) -> Option<Choice> {
        match (only(headers, "x-tenant-slug"), self) {
            (Given::Once(slug), _) => {
                let tenant = portals.of_slug(&TenantSlug::parse(slug).ok()?)?;
                self.may_use(tenant).then_some(Choice::Of(tenant))
            }
            (Given::Unclear, _) => None,
            (Given::Not, Self::Own(Some(tenant)) | Self::Portal(tenant)) => Some(Choice::Of(tenant)),
            (Given::Not, Self::Own(None)) => Some(Choice::Only),
        }
    }
}

impl Choice {
    /// The tag of the cookies that are meant; among these of one kind.
    pub(crate) fn tag(self, cookies: &TaggedCookies) -> Option<Tag> {
        match self {
            Self::Of(tenant) => Some(Tag::of(tenant)),
            Self::Only => cookies.only().map(|cookie| cookie.tag),
        }
    }
}

/// The tenant that owns the request's origin: who may read the answer.
pub(crate) fn owner_of_origin(headers: &HeaderMap, portals: &dyn Portals) -> Option<TenantId> {
    let Given::Once(origin) = only(headers, ORIGIN.as_str()) else { return None };
    portals.of_origin(origin)
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
        Page::of(&headers, &Acme).is_some()
    }

    /// A portal may use its own tenant's cookies; a page of this host may use everybody's.
    #[test]
    fn a_portal_may_use_its_own_tag_only() {
        let [acme, other] = [1, 2].map(|n| TenantId(uuid::Uuid::from_u128(n)));
        assert!(Page::Portal(acme).may_use_tag(Tag::of(acme)));
        assert!(!Page::Portal(acme).may_use_tag(Tag::of(other)));
        assert!(Page::Own(Some(acme)).may_use_tag(Tag::of(other)));
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
            (vec![(site, "same-origin"), (origin, "null")], false),
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

    /// F10: a login differs in one cell of the matrix, the empty one.
    #[test]
    fn a_login_without_a_page_is_our_own() {
        let of_login = |headers: &HeaderMap| Page::of_login(headers, &Acme);
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("auth.acme.com"))]);
        assert_eq!((of_login(&headers), Page::of(&headers, &Acme)), (Some(Page::Own(None)), None));
        for (name, value) in
            [("sec-fetch-site", "none"), ("sec-fetch-site", ""), ("origin", "null"), ("origin", "")]
        {
            let mut headers = headers.clone();
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
            assert_eq!(of_login(&headers), None, "{name}: {value:?}");
        }
        headers.append(ORIGIN, HeaderValue::from_static("https://portal.acme.com"));
        assert_eq!(of_login(&headers), Some(Page::Portal(TenantId::UNKNOWN)));
    }

    /// F11, F12: a portal of one tenant may use that tenant's cookies and nobody else's, by tenant and by tag.
    #[test]
    fn a_portal_may_use_its_own_tenant_only() {
        let (acme, globex) = (TenantId::UNKNOWN, TenantId(uuid::Uuid::from_u128(7)));
        let portal = Page::Portal(acme);
        assert_eq!((portal.may_use(acme), portal.may_use(globex)), (true, false));
        assert_eq!((portal.may_use_tag(Tag::of(acme)), portal.may_use_tag(Tag::of(globex))), (true, false));
        for own in [Page::Own(None), Page::Own(Some(acme))] {
            assert!(own.may_use(globex) && own.may_use_tag(Tag::of(globex)), "{own:?}");
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
