//! The portal's cookies, in browsers.

use crate::support::client::{Answer, Request};
use crate::support::postgres::{ADA, GLOBEX, GRACE};
use crate::support::{TestApp, Tokens};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A browser's cookies: name and value.
#[derive(Clone, Default)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    /// Keeps what an answer sets, drops what it clears.
    fn keep(&mut self, answer: &Answer) {
        for line in answer.cookies() {
            let (pair, attributes) = line.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0;") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn header(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn refresh(&self) -> &str {
        self.0
            .iter()
            .find(|(name, _)| name.starts_with("__Host-portal_refresh_"))
            .map(|(_, value)| value)
            .unwrap()
    }
}

/// A call from the portal's own page, with the jar's cookies.
fn call(app: &TestApp, jar: &Jar, verb: &str, body: &Value) -> Request {
    app.visitor().in_browser().with_cookies(&jar.header()).request(verb, body)
}

async fn login(app: &TestApp, email: &str) -> (Tokens, Jar) {
    let answer = app.visitor().in_browser().answer_to_login(email).await;
    let mut jar = Jar::default();
    jar.keep(&answer);
    (Tokens::of(&answer), jar)
}

/// F2, F3, F4, F5: two cookies, bound to the host, unreadable to scripts, as long as what they hold.
#[tokio::test]
async fn f2_verify_sets_the_portal_cookies() {
    let app = TestApp::spawn().await;
    let answer = app.visitor().in_browser().answer_to_login(ADA).await;
    let tokens = Tokens::of(&answer);
    let cookies = answer.cookies();
    let fits = |prefix: &str, value: &str, rest: &str| {
        cookies.iter().any(|line| {
            let (name, line) = line.split_once('=').unwrap();
            name.len() == prefix.len() + 10 && name.starts_with(prefix) && *line == format!("{value}; {rest}")
        })
    };
    let access = "Max-Age=3600; Path=/; Secure; HttpOnly; SameSite=Lax";
    assert!(fits("__Host-portal_access_", &tokens.access, access), "{cookies:?}");
    let refresh = "Max-Age=604800; Path=/; Secure; HttpOnly; SameSite=Strict";
    assert!(fits("__Host-portal_refresh_", &tokens.refresh, refresh), "{cookies:?}");
    assert!(cookies.iter().all(|line| line.split(';').next().unwrap().len() <= 4_096));
    app.finish().await;
}

/// F6: `/token` sets no cookie, whatever came along and whatever it answers.
#[tokio::test]
async fn f6_token_never_sets_a_cookie() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    let (_, jar) = login(&app, ADA).await;
    app.asks_for_code(GRACE).await;
    let code = app.mailed_code(GRACE).await;
    let visitor = app.visitor().in_browser().with_cookies(&jar.header());
    let mut seen = BTreeMap::new();
    let mut send = async |request: &Request| {
        let answer = app.send(request).await;
        assert!(answer.cookies().is_empty(), "{answer:?}");
        *seen.entry(answer.status).or_insert(0) += 1;
    };
    send(&visitor.request("token", &json!({ "code": 1 }))).await;
    send(&visitor.code_request("token", GRACE, "999")).await;
    send(&visitor.code_request("token", GRACE, &code)).await;
    for _ in 0..30 {
        send(&visitor.code_request("token", GRACE, &code)).await;
    }
    let statuses: Vec<u16> = seen.into_keys().collect();
    assert_eq!(statuses, [200, 401, 422, 429]);
    app.finish().await;
}

/// A refresh by cookie sets the cookies anew, one by body does not; both go the same line.
#[tokio::test]
async fn a_refresh_sets_cookies_only_if_it_came_by_cookie() {
    let app = TestApp::spawn().await;
    let (first, mut jar) = login(&app, ADA).await;
    let answer = app.send(&call(&app, &jar, "refresh", &json!({}))).await;
    let second = Tokens::of(&answer);
    assert_eq!(answer.cookies().len(), 2);
    jar.keep(&answer);
    assert_eq!(jar.refresh(), second.refresh);
    assert_ne!(second.refresh, first.refresh);
    let by_body = app.refreshes(&second.refresh).await;
    Tokens::of(&by_body);
    assert!(by_body.cookies().is_empty());
    app.finish().await;
}

/// E8: a login ends the session whose cookie the browser brought along, at the same tenant only.
#[tokio::test]
async fn e8_a_login_ends_the_browsers_old_session() {
    let app = TestApp::spawn().await;
    let (old, jar) = login(&app, ADA).await;
    app.asks_for_code(GRACE).await;
    let code = app.mailed_code(GRACE).await;
    let new = Tokens::of(&app.send(&call(&app, &jar, "verify", &code_body(GRACE, &code, "acme"))).await);
    assert_eq!(app.refreshes(&old.refresh).await.status, 401);
    assert_ne!(new.refresh, old.refresh);
    // The other tenant's session stays.
    let elsewhere = app.at(GLOBEX).in_browser();
    elsewhere.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let mut jar = Jar::default();
    jar.0.insert("__Host-portal_refresh_0123456789".to_owned(), new.refresh.clone());
    Tokens::of(&app.send(&call(&app, &jar, "verify", &code_body(ADA, &code, GLOBEX))).await);
    assert_eq!(app.refreshes(&new.refresh).await.status, 200);
    app.finish().await;
}

fn code_body(email: &str, code: &str, tenant: &str) -> Value {
    json!({ "code": code, "email": email, "tenant_slug": tenant })
}

/// F5, E9: a logout by cookie ends its session and clears both portal cookies as they were set. The device cookie is no
/// login and stays: the browser remains the owner's own.
#[tokio::test]
async fn f5_a_logout_by_cookie_leaves_the_device_only() {
    let app = TestApp::spawn().await;
    let (tokens, mut jar) = login(&app, ADA).await;
    let answer = app.send(&call(&app, &jar, "logout", &json!({}))).await;
    assert_eq!(answer.status, 204);
    assert!(answer.cookies().iter().all(|line| line.ends_with("Path=/; Secure; HttpOnly; SameSite=Lax")
        || line.ends_with("Path=/; Secure; HttpOnly; SameSite=Strict")));
    jar.keep(&answer);
    assert_eq!(jar.0.len(), 1, "{}", jar.header());
    assert!(jar.header().contains("__Host-portal_device_"));
    assert_eq!(app.refreshes(&tokens.refresh).await.status, 401);
    app.finish().await;
}

/// E12: with a token in the body and another in a cookie, the body's counts and the other is not touched.
#[tokio::test]
async fn e12_the_body_token_counts() {
    let app = TestApp::spawn().await;
    let (in_cookie, jar) = login(&app, ADA).await;
    let in_body = app.logs_in(GRACE).await;
    let answer = app.send(&call(&app, &jar, "refresh", &json!({ "refresh_token": in_body.refresh }))).await;
    let refreshed = Tokens::of(&answer);
    assert_eq!((&refreshed.customer_id, answer.cookies().len()), (&in_body.customer_id, 0));
    let answer = app.send(&call(&app, &jar, "logout", &json!({ "refresh_token": refreshed.refresh }))).await;
    assert_eq!((answer.status, answer.cookies().len()), (204, 0));
    assert_eq!(app.refreshes(&refreshed.refresh).await.status, 401);
    assert_eq!(app.refreshes(&in_cookie.refresh).await.status, 200);
    app.finish().await;
}

/// F7, F8, F10, F11: another site's page can neither use nor plant nor end what the cookies hold.
#[tokio::test]
async fn f7_another_sites_page_changes_nothing() {
    let app = TestApp::spawn().await;
    let (tokens, jar) = login(&app, ADA).await;
    app.asks_for_code(GRACE).await;
    let code = app.mailed_code(GRACE).await;
    let lines: [&[(&str, &str)]; 4] = [
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "none")],
        &[],
    ];
    for lines in lines {
        let from_there = |verb: &str, body: &Value| {
            let request = app.visitor().with_cookies(&jar.header()).request(verb, body);
            lines.iter().fold(request, |request, (name, value)| request.header(name, value))
        };
        assert_eq!(app.send(&from_there("refresh", &json!({}))).await.status, 401, "{lines:?}");
        let answer = app.send(&from_there("logout", &json!({}))).await;
        assert_eq!((answer.status, answer.cookies().len()), (204, 0), "{lines:?}");
    }
    let planted = app.visitor().with_cookies(&jar.header()).with("Sec-Fetch-Site", "cross-site");
    let answer = app.send(&planted.code_request("verify", GRACE, &code)).await;
    assert_eq!((answer.status, answer.cookies().len()), (200, 0), "F10");
    assert_eq!(app.refreshes(&tokens.refresh).await.status, 200);
    app.finish().await;
}
