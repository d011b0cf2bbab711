//! The one table of what both listeners answer. Routing, limits, CORS, metrics and the documentation's tests read it.

use crate::http::limits::Group;
use http::Method;

/// One path of the service, in the one spelling that it has.
#[derive(Debug)]
pub struct Route {
    /// Compared as it was sent: nothing is decoded, trimmed or redirected. `{slug}`, `{session_id}` stand for one segment.
    pub path: &'static str,
    /// Label of metrics and logs.
    pub name: &'static str,
    /// Anything else is a 405.
    pub methods: Methods,
    /// Whose budget a request is charged to, whatever its answer. `None`: not limited.
    pub limit: Option<Group>,
    /// Whether pages of a tenant's origins may call it with credentials.
    pub cross_origin: bool,
}

/// The methods of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// `POST`.
    Post,
    /// `GET` and `HEAD`.
    Get,
    /// `DELETE`.
    Delete,
}

impl Methods {
    /// Whether a request with this method is answered.
    pub fn allow(self, method: &Method) -> bool {
        match self {
            Self::Post => method == Method::POST,
            Self::Get => method == Method::GET || method == Method::HEAD,
            Self::Delete => method == Method::DELETE,
        }
    }

    /// For the field `Allow` (RFC 9110 section 10.2.1).
    pub fn names(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET, HEAD",
            Self::Delete => "DELETE",
        }
    }

    /// What a preflight is told: scripts send no `HEAD`.
    pub fn for_preflight(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
            Self::Delete => "DELETE",
        }
    }
}

impl Route {
    /// Whether a request's path is this route's.
    pub fn matches(&self, path: &str) -> bool {
        self.path == path || self.placeholder(path).is_some()
    }

    /// What stands in a path where this route's has its placeholder.
    pub fn placeholder<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (before, rest) = self.path.split_once('{')?;
        let (_, after) = rest.split_once('}')?;
        let segment = path.strip_prefix(before)?.strip_suffix(after)?;
        (!segment.is_empty() && !segment.contains('/')).then_some(segment)
    }
}

const fn call(path: &'static str, name: &'static str, methods: Methods, group: Group) -> Route {
    Route { path, name, methods, limit: Some(group), cross_origin: true }
}

const fn get(path: &'static str, name: &'static str) -> Route {
    Route { path, name, methods: Methods::Get, limit: None, cross_origin: false }
}

/// Mails a code.
pub(crate) const LOGIN: Route = call("/v1/customer-auth/login", "login", Methods::Post, Group::Login);
/// A code for tokens and cookies.
pub(crate) const VERIFY: Route = call("/v1/customer-auth/verify", "verify", Methods::Post, Group::Code);
/// A code for tokens.
pub(crate) const TOKEN: Route = call("/v1/customer-auth/token", "token", Methods::Post, Group::Code);
/// The next tokens.
pub(crate) const REFRESH: Route = call("/v1/customer-auth/refresh", "refresh", Methods::Post, Group::Session);
/// Ends a session.
pub(crate) const LOGOUT: Route = call("/v1/customer-auth/logout", "logout", Methods::Post, Group::Session);
/// Ends all sessions of a customer.
pub(crate) const LOGOUT_ALL: Route =
    call("/v1/customer-auth/logout-all", "logout_all", Methods::Post, Group::Session);
/// Whose an access token is.
pub(crate) const SESSION: Route = call("/v1/customer-auth/session", "session", Methods::Get, Group::Session);
/// A customer's live sessions.
pub(crate) const OWN_SESSIONS: Route =
    call("/v1/customer-auth/sessions", "own_sessions", Methods::Get, Group::Session);
/// One of them, to end it.
pub(crate) const OWN_SESSION: Route =
    call("/v1/customer-auth/sessions/{session_id}", "own_session", Methods::Delete, Group::Session);
/// A hosted page's code for a code that the portal's server exchanges. For doorcode's own page only.
pub(crate) const HANDOVER: Route = Route {
    cross_origin: false,
    ..call("/v1/customer-auth/handover", "handover", Methods::Post, Group::Code)
};
/// What a hosted page handed over, for tokens. Charged like a refresh: a portal's server exchanges for many.
pub(crate) const EXCHANGE: Route =
    call("/v1/customer-auth/exchange", "exchange", Methods::Post, Group::Session);
/// What a mail provider reports of an address.
pub(crate) const MAIL_REPORT: Route = Route {
    cross_origin: false,
    ..call("/hooks/mail/{provider}", "mail_report", Methods::Post, Group::Session)
};
/// A tenant's login page.
pub(crate) const HOSTED_LOGIN: Route = get("/t/{slug}/login", "hosted_login");
/// The login form, for any page.
pub(crate) const LOGIN_SCRIPT: Route = get("/doorcode-login.js", "login_script");
/// The published keys.
pub(crate) const JWKS: Route = get("/.well-known/jwks.json", "jwks");
/// Where the keys are, for middleware that knows the issuer's URL alone (OpenID Connect Discovery).
pub(crate) const OPENID_CONFIGURATION: Route =
    get("/.well-known/openid-configuration", "openid_configuration");
/// The same (RFC 8414).
pub(crate) const AUTHORIZATION_SERVER: Route =
    get("/.well-known/oauth-authorization-server", "authorization_server");
/// What this API is, for programs.
pub(crate) const OPENAPI: Route = get("/openapi.json", "openapi");
/// What this API is, for people.
pub(crate) const REFERENCE: Route = get("/docs", "reference");
/// That page's script.
pub(crate) const REFERENCE_SCRIPT: Route = get("/rapidoc.js", "reference_script");
/// The development mailbox, a page.
pub(crate) const MAILBOX: Route = get("/dev/mailbox", "mailbox");
/// The development mailbox, for programs.
pub(crate) const MAILBOX_JSON: Route = get("/dev/mailbox.json", "mailbox.json");

/// The public listener.
pub const PUBLIC: [&Route; 22] = [
    &LOGIN,
    &VERIFY,
    &TOKEN,
    &REFRESH,
    &LOGOUT,
    &LOGOUT_ALL,
    &SESSION,
    &OWN_SESSIONS,
    &OWN_SESSION,
    &HANDOVER,
    &EXCHANGE,
    &MAIL_REPORT,
    &HOSTED_LOGIN,
    &LOGIN_SCRIPT,
    &JWKS,
    &OPENID_CONFIGURATION,
    &AUTHORIZATION_SERVER,
    &OPENAPI,
    &REFERENCE,
    &REFERENCE_SCRIPT,
    &MAILBOX,
    &MAILBOX_JSON,
];

/// The live page.
pub(crate) const OPS_PAGE: Route = get("/", "ops");
/// Its script.
pub(crate) const OPS_SCRIPT: Route = get("/page.js", "ops_script");
/// Its looks.
pub(crate) const OPS_STYLE: Route = get("/page.css", "ops_style");
/// The last ten minutes.
pub(crate) const HISTORY: Route = get("/history", "history");
/// Each second, as it comes (server-sent events).
pub(crate) const EVENTS: Route = get("/events", "events");
/// The process answers.
pub(crate) const LIVEZ: Route = get("/livez", "livez");
/// Every actor answers.
pub(crate) const READYZ: Route = get("/readyz", "readyz");
/// The supervision tree.
pub(crate) const ACTORS: Route = get("/actors", "actors");
/// Actors one by one.
pub(crate) const ACTOR_ROWS: Route = get("/actors/rows", "actor_rows");
/// For Prometheus.
pub(crate) const METRICS: Route = get("/metrics", "metrics");
/// Faults on demand, where they are switched on.
pub(crate) const FAULTS: Route = Route {
    path: "/v1/admin/faults",
    name: "faults",
    methods: Methods::Post,
    limit: None,
    cross_origin: false,
};

/// What the admin API is, for programs.
pub(crate) const OPS_OPENAPI: Route = get("/openapi.json", "ops_openapi");
/// What the admin API is, for people.
pub(crate) const OPS_REFERENCE: Route = get("/docs", "ops_reference");
/// That page's script.
pub(crate) const OPS_REFERENCE_SCRIPT: Route = get("/rapidoc.js", "ops_reference_script");

/// The ops listener.
#[cfg(test)]
pub(crate) const OPS: [&Route; 14] = [
    &OPS_PAGE,
    &OPS_SCRIPT,
    &OPS_STYLE,
    &HISTORY,
    &EVENTS,
    &LIVEZ,
    &READYZ,
    &ACTORS,
    &ACTOR_ROWS,
    &METRICS,
    &FAULTS,
    &OPS_OPENAPI,
    &OPS_REFERENCE,
    &OPS_REFERENCE_SCRIPT,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_slug_is_one_segment() {
        assert_eq!(HOSTED_LOGIN.placeholder("/t/acme/login"), Some("acme"));
        for other in ["/t/login", "/t//login", "/t/a/b/login", "/t/acme/login/", "/T/acme/login", "/t/acme"] {
            assert!(!HOSTED_LOGIN.matches(other), "{other}");
        }
    }

    #[test]
    fn paths_and_names_are_unique() {
        let all = || PUBLIC.iter().chain(&OPS);
        for listener in [&PUBLIC[..], &OPS[..]] {
            let paths: HashSet<_> = listener.iter().map(|route| route.path).collect();
            assert_eq!(paths.len(), listener.len());
        }
        assert_eq!(all().map(|route| route.name).collect::<HashSet<_>>().len(), all().count());
    }
}
