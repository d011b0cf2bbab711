//! Cookies over the wire: who gets them, whose count, and who may not touch them.

use super::script::{ACME, Mood, OTHER, Script};
use super::support::{Answer, Edge, LOGIN};
use crate::http::{Portals, ServerLimits};
use doorcode_actors::Refusal;
use doorcode_domain::{TenantId, TenantSlug};
use std::sync::Arc;
use std::time::Duration;

const VERIFY: &str = "/v1/customer-auth/verify";
const TOKEN: &str = "/v1/customer-auth/token";
const REFRESH: &str = "/v1/customer-auth/refresh";
const LOGOUT: &str = "/v1/customer-auth/logout";
const CODE: &str = r#"{"code":"123456","email":"ann@acme.io","tenant_slug":"acme"}"#;
const OWN_PAGE: &str = "Sec-Fetch-Site: same-origin\r\n";
const OTHER_PAGE: &str = "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n";

struct TwoPortals;

impl Portals for TwoPortals {
    fn of_slug(&self, slug: &TenantSlug) -> Option<TenantId> {
        [("acme", ACME), ("other", OTHER)].iter().find(|(name, _)| *name == slug.as_str()).map(|(_, id)| *id)
    }

    fn of_origin(&self, origin: &str) -> Option<TenantId> {
        let owners = [("https://portal.acme.com", ACME), ("https://portal.other.com", OTHER)];
        owners.iter().find(|(owned, _)| *owned == origin).map(|(_, id)| *id)
    }
}

async fn edge() -> (Edge, Script) {
    let script = Script::default();
    let opened = script.clone();
    let change = |public: &mut crate::http::Public| {
        public.service = Arc::new(opened);
        public.portals = Arc::new(TwoPortals);
    };
    (Edge::with(change, ServerLimits::default()).await, script)
}

fn refresh_cookie(tenant: TenantId, token: &str) -> String {
    format!("__Host-portal_refresh_{}={token}", tenant.cookie_tag())
}

fn cookies(pairs: &[String]) -> String {
    format!("Cookie: {}\r\n", pairs.join("; "))
}

fn names_set(answer: &Answer) -> Vec<&str> {
    let lines = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    lines.map(|(_, value)| value.split('=').next().unwrap()).collect()
}

/// F2, F6, F10: our own pages and programs get cookies from `/verify`; foreign pages do not; `/token` gives none to anybody.
#[tokio::test]
async fn who_gets_cookies() {
    let (edge, _) = edge().await;
    let own = edge.post(VERIFY, OWN_PAGE, CODE).await;
    let tag = ACME.cookie_tag();
    let names = [format!("__Host-portal_access_{tag}"), format!("__Host-portal_refresh_{tag}")];
    assert_eq!(names_set(&own), names);
    assert_eq!(names_set(&edge.post(VERIFY, "", CODE).await), names, "curl");
    let body: serde_json::Value = serde_json::from_str(&own.body).unwrap();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&"bearer".into(), &3_600.into()));
    assert_eq!(own.header("pragma"), Some("no-cache"), "F1");
    for (path, page) in [(VERIFY, OTHER_PAGE), (TOKEN, OWN_PAGE), (TOKEN, OTHER_PAGE), (TOKEN, "")] {
        let answer = edge.post(path, page, CODE).await;
        assert_eq!((answer.status, names_set(&answer).len()), (200, 0), "{path} {page}");
    }
    let wrong = edge.post(VERIFY, OWN_PAGE, &CODE.replace("123456", "000000")).await;
    assert_eq!((wrong.status, wrong.body.as_str()), (401, r#"{"detail":"Invalid or expired code"}"#));
    assert_eq!((wrong.header("www-authenticate"), names_set(&wrong).len()), (Some("Bearer"), 0));
}

/// E8: the session of this browser at this tenant is what a login replaces; another page cannot name it.
#[tokio::test]
async fn what_a_login_replaces() {
    let (edge, script) = edge().await;
    let device = format!("__Host-portal_device_{}=d1", ACME.cookie_tag());
    let both = cookies(&[refresh_cookie(OTHER, "theirs"), refresh_cookie(ACME, "ours"), device]);
    edge.post(VERIFY, &format!("{OWN_PAGE}{both}"), CODE).await;
    edge.post(VERIFY, &format!("{OTHER_PAGE}{both}"), CODE).await;
    edge.post(TOKEN, &format!("{OWN_PAGE}{both}"), CODE).await;
    edge.post(VERIFY, &both, CODE).await;
    assert_eq!(
        script.asked(),
        [
            "verify presented=Some(\"ours\") device=[\"d1\"]",
            "verify presented=None device=[\"d1\"]",
            "verify presented=None device=[\"d1\"]",
            "verify presented=Some(\"ours\") device=[\"d1\"]",
        ]
    );
}

/// E6, E12, E13: body before cookie, and with two tenants' cookies each page means its own.
#[tokio::test]
async fn which_token_a_refresh_means() {
    let (edge, script) = edge().await;
    let one = cookies(&[refresh_cookie(ACME, "good-acme")]);
    let two = cookies(&[refresh_cookie(OTHER, "good-other"), refresh_cookie(ACME, "good-acme")]);
    let (acme, other) = ("Origin: https://portal.acme.com\r\n", "Origin: https://portal.other.com\r\n");
    let body = r#"{"refresh_token":"good-body"}"#;
    for (headers, body, asked, cookies_set) in [
        (format!("{OWN_PAGE}{one}"), body, Some("refresh good-body"), false),
        (format!("{OWN_PAGE}{one}"), r#"{"refresh_token":""}"#, Some("refresh good-acme"), true),
        (format!("{OWN_PAGE}{one}"), "", Some("refresh good-acme"), true),
        (format!("{OWN_PAGE}{two}"), "", None, false),
        (format!("{OWN_PAGE}{two}X-Tenant-Slug: other\r\n"), "", Some("refresh good-other"), true),
        (format!("{OWN_PAGE}{two}X-Tenant-Slug: acme\r\n{other}"), "", Some("refresh good-acme"), true),
        (format!("{OWN_PAGE}{two}X-Tenant-Slug: nobody\r\n"), "", None, false),
        (format!("{OWN_PAGE}{one}X-Tenant-Slug: other\r\n"), "", None, false),
        (format!("{two}{acme}"), "", Some("refresh good-acme"), true),
        (format!("Sec-Fetch-Site: same-site\r\n{two}{other}"), "", Some("refresh good-other"), true),
        (format!("{OTHER_PAGE}{one}"), "", None, false),
        (one.clone(), "", None, false),
        (OWN_PAGE.to_owned(), "", None, false),
    ] {
        let answer = edge.post(REFRESH, &headers, body).await;
        assert_eq!(answer.status, if asked.is_some() { 200 } else { 401 }, "{headers}");
        assert_eq!(script.asked(), asked.into_iter().collect::<Vec<_>>(), "{headers}");
        assert_eq!(!names_set(&answer).is_empty(), cookies_set, "{headers}");
    }
    let bad = edge.post(REFRESH, OWN_PAGE, r#"{"refresh_token":"bad"}"#).await;
    assert_eq!((bad.status, bad.body.as_str()), (401, r#"{"detail":"Invalid refresh token"}"#));
}

/// E10, E12, F5, F11: logout touches the one session it names, and nothing for another site's page.
#[tokio::test]
async fn what_a_logout_ends() {
    let (edge, script) = edge().await;
    let one = cookies(&[refresh_cookie(ACME, "mine")]);
    for (headers, body, asked, clears) in [
        (format!("{OWN_PAGE}{one}"), "", Some("logout mine"), true),
        (format!("{OWN_PAGE}{one}"), r#"{"refresh_token":"mine"}"#, Some("logout mine"), true),
        (format!("{OWN_PAGE}{one}"), r#"{"refresh_token":"else"}"#, Some("logout else"), false),
        (format!("{OTHER_PAGE}{one}"), "", None, false),
        (format!("{OTHER_PAGE}{one}"), r#"{"refresh_token":"mine"}"#, Some("logout mine"), false),
        (one.clone(), "", None, false),
        (OWN_PAGE.to_owned(), "", None, false),
        (String::new(), r#"{"refresh_token":"garbage"}"#, Some("logout garbage"), false),
    ] {
        let answer = edge.post(LOGOUT, &headers, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{headers} {body}");
        assert_eq!(script.asked(), asked.into_iter().collect::<Vec<_>>(), "{headers} {body}");
        assert_eq!(!names_set(&answer).is_empty(), clears, "{headers} {body}");
        let gone = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
        assert!(gone.clone().all(|(_, value)| value.contains("Max-Age=0")));
    }
}

/// F12: a tenant's own origin may read answers, with credentials, errors too; nobody else's is named.
#[tokio::test]
async fn other_origins() {
    let (edge, _) = edge().await;
    let ours = edge.post(LOGIN, "Origin: https://portal.acme.com\r\n", "{}").await;
    assert_eq!(ours.header("access-control-allow-origin"), Some("https://portal.acme.com"));
    assert_eq!(
        (ours.header("access-control-allow-credentials"), ours.header("vary")),
        (Some("true"), Some("Origin"))
    );
    for evil in
        ["https://evil.example", "null", "https://portal.acme.com.evil.example", "https://xportal.acme.com"]
    {
        let answer = edge.post(LOGIN, &format!("Origin: {evil}\r\n"), "{}").await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{evil}");
    }
    let ask = format!(
        "OPTIONS {LOGIN} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://portal.acme.com\r\n\
         Access-Control-Request-Method: POST\r\n\r\n"
    );
    let preflight = edge.send(ask.as_bytes()).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-methods")), (204, Some("POST")));
}

/// G13 and the deadline: every refusal has its status, and a service that never answers is given up.
#[tokio::test]
async fn refusals() {
    for (mood, status) in [
        (Mood::Refuses(Refusal::TenantLimited { retry_after_s: 7 }), (429, "7")),
        (Mood::Refuses(Refusal::Overloaded), (503, "1")),
        (Mood::Refuses(Refusal::Unavailable), (503, "1")),
        (Mood::Hangs, (503, "1")),
    ] {
        let change = |public: &mut crate::http::Public| {
            public.service = Arc::new(Script::new(mood));
            public.deadline = Duration::from_millis(50);
        };
        let edge = Edge::with(change, ServerLimits::default()).await;
        for (path, body) in [
            (LOGIN, CODE),
            (VERIFY, CODE),
            (TOKEN, CODE),
            (REFRESH, r#"{"refresh_token":"x"}"#),
            (LOGOUT, r#"{"refresh_token":"x"}"#),
        ] {
            let answer = edge.post(path, OWN_PAGE, body).await;
            assert_eq!((answer.status, answer.header("retry-after").unwrap()), status, "{path}");
            assert!(names_set(&answer).is_empty());
        }
    }
}
