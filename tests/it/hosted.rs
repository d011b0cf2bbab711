//! The hosted login page, and how its logins reach a portal on another site.

use crate::support::client::{Answer, Request};
use crate::support::postgres::{ACME, ADA, CLOSED, GLOBEX, NOWHERE};
use crate::support::{TestApp, Tokens, another_code};
use doorcode_actors::directory::TenantChange;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{interval, timeout};

const BACK: &str = "https://acme.example/back?from=login";
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A doorcode whose tenant acme has a hosted page.
async fn hosting() -> TestApp {
    let app = TestApp::spawn().await;
    let change = TenantChange {
        name: Some("Acme <b>&\"Söhne\"".to_owned()),
        return_urls: Some(vec![BACK.parse().unwrap()]),
        colour: Some(Some("#FFD400".parse().unwrap())),
        ..TenantChange::default()
    };
    app.directory.change_tenant(ACME, &change).await.unwrap();
    let asking = async {
        let mut pause = interval(Duration::from_millis(50));
        while page(&app, ACME, "").await.status == 404 {
            pause.tick().await;
        }
    };
    timeout(Duration::from_secs(5), asking).await.expect("the page within 5 s");
    app
}

async fn page(app: &TestApp, slug: &str, query: &str) -> Answer {
    app.send(&Request::get(&format!("/t/{slug}/login{query}"))).await
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn handover(email: &str, code: &str) -> Value {
    json!({
        "code": code, "email": email, "tenant_slug": ACME,
        "return_to": BACK, "state": "s&1", "code_challenge": CHALLENGE,
    })
}

/// Ada logs in on the hosted page; the code on its way.
async fn handed_over(app: &TestApp) -> String {
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let answer = app.send(&Request::call("handover", &handover(ADA, &code))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let location = answer.json()["location"].as_str().unwrap().to_owned();
    let (code, state) = location.strip_prefix(&format!("{BACK}&code=")).unwrap().split_once('&').unwrap();
    assert_eq!(state, "state=s%261");
    assert!(!answer.body.contains("token"), "no tokens for the browser");
    code.to_owned()
}

async fn exchange(app: &TestApp, code: &str, verifier: &str) -> Answer {
    app.send(&Request::call("exchange", &json!({"code": code, "code_verifier": verifier}))).await
}

fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (401, r#"{"detail":"Invalid or expired code"}"#));
}

#[tokio::test]
async fn the_page_is_its_tenants_and_strict() {
    let app = hosting().await;
    let answer = page(&app, ACME, "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.body.contains("<h1>Acme &lt;b&gt;&amp;&quot;Söhne&quot;</h1>"), "{}", answer.body);
    assert!(answer.body.contains(r##"accent="#ffd400""##) && answer.body.contains(r#"<html lang="en">"#));
    let policy = answer.header("content-security-policy").unwrap();
    for rule in ["default-src 'none'", "script-src 'self';", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    // A tenant without return URLs, a disabled one, nobody, and no slug at all: nothing to tell them apart.
    for slug in [GLOBEX, CLOSED, NOWHERE, "ACME", "%61cme"] {
        let answer = page(&app, slug, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (404, r#"{"detail":"Not Found"}"#), "{slug}");
    }
    let posted = app.send(&Request::post("/t/acme/login", &json!({}))).await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    app.finish().await;
}

/// RFC 9700 section 2.1: exact match, or no redirect at all.
#[tokio::test]
async fn it_returns_to_registered_urls_only() {
    let app = hosting().await;
    let back = encoded(BACK);
    let good = page(&app, ACME, &format!("?return_to={back}&state=%22%3E%3Cscript%3E")).await;
    assert_eq!(good.status, 200);
    let next = r#"next="https:&#x2f;&#x2f;acme.example&#x2f;back?from=login&amp;state=%22%3E%3Cscript%3E""#;
    assert!(good.body.contains(next), "{}", good.body);
    let pkce = format!("?return_to={back}&code_challenge={CHALLENGE}&code_challenge_method=S256");
    let good = page(&app, ACME, &pkce).await;
    assert!(good.body.contains("return-to=") && !good.body.contains("next="), "{}", good.body);
    for query in [
        "?return_to=https://evil.example/".to_owned(),
        format!("?return_to={}", encoded(&format!("{BACK}&x=1"))),
        format!("?return_to={}", encoded("https://acme.example/back")),
        format!("?return_to={}", encoded("https://ACME.example/back?from=login")),
        format!("?return_to={}", encoded("//acme.example/back?from=login")),
        format!("?return_to={}", encoded("javascript:alert(1)")),
        format!("?return_to={back}&return_to=https://evil.example/"),
        format!("?return_to={back}&state={}", "s".repeat(513)),
        format!("?return_to={back}&code_challenge={CHALLENGE}"),
        format!("?return_to={back}&code_challenge={CHALLENGE}&code_challenge_method=plain"),
        format!("?return_to={back}&code_challenge=short&code_challenge_method=S256"),
        format!("?code_challenge={CHALLENGE}&code_challenge_method=S256"),
    ] {
        let answer = page(&app, ACME, &query).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.body.contains("class=\"problem\"") && !answer.body.contains("<script"), "{query}");
        assert!(!answer.body.contains("evil") && answer.header("location").is_none(), "{query}");
    }
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let mut body = handover(ADA, &code);
    body["return_to"] = json!("https://evil.example/");
    let refused = app.send(&Request::call("handover", &body)).await;
    assert_eq!((refused.status, refused.json()["detail"][0]["loc"][1].as_str()), (422, Some("return_to")));
    Tokens::of(&app.types_code(ADA, &code).await);
    app.finish().await;
}

/// The way of a login to another site: a code in the URL, tokens from server to server.
#[tokio::test]
async fn a_login_is_handed_over() {
    let app = hosting().await;
    let code = handed_over(&app).await;
    for (code, verifier) in [
        (code.as_str(), "a".repeat(43).as_str()),
        (code.as_str(), ""),
        (code.as_str(), CHALLENGE),
        ("", VERIFIER),
        ("123456", VERIFIER),
        (&code[..code.len() - 1], VERIFIER),
    ] {
        assert_refused(&exchange(&app, code, verifier).await);
    }
    let answer = exchange(&app, &code, VERIFIER).await;
    assert!(answer.cookies().is_empty());
    let tokens = Tokens::of(&answer);
    assert_eq!(tokens.claims()["amr"], json!(["otp"]));
    // A lost answer: the same tokens again.
    assert_eq!(Tokens::of(&exchange(&app, &code, VERIFIER).await).refresh, tokens.refresh);
    let next = Tokens::of(&app.refreshes(&tokens.refresh).await);
    // Who comes with it later has stolen it, or was stolen from.
    assert_refused(&exchange(&app, &code, VERIFIER).await);
    assert_eq!(app.refreshes(&next.refresh).await.status, 401, "the session has ended");
    assert_eq!(app.outcomes("exchange", "done").await, 2);
    assert_eq!(app.outcomes("verify", "handed_over").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn a_handover_lives_for_a_minute() {
    let app = hosting().await;
    let code = handed_over(&app).await;
    app.pass_s(59);
    Tokens::of(&exchange(&app, &code, VERIFIER).await);
    app.pass_s(1);
    assert_refused(&exchange(&app, &code, VERIFIER).await);
    app.finish().await;
}

/// A4, A5, B4: one budget with `/verify`, one use; neither kind of token is taken for the other (D7).
#[tokio::test]
async fn a4_a5_b4_a_handover_spends_the_code() {
    let app = hosting().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    for _ in 0..4 {
        assert_refused(&app.send(&Request::call("handover", &handover(ADA, &another_code(&code)))).await);
    }
    let answer = app.send(&Request::call("handover", &handover(ADA, &code))).await;
    assert_eq!(answer.status, 200);
    assert_refused(&app.types_code(ADA, &code).await);
    assert_refused(&app.send(&Request::call("handover", &handover(ADA, &code))).await);
    let location = answer.json()["location"].as_str().unwrap().to_owned();
    let handed = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(app.refreshes(handed).await.status, 401);
    let tokens = Tokens::of(&exchange(&app, handed, VERIFIER).await);
    assert_refused(&exchange(&app, &tokens.refresh, VERIFIER).await);
    app.finish().await;
}

/// A hundred at once, over what one code is worth: one successor.
#[tokio::test]
async fn e4_exchanges_at_once_get_one_session() {
    let app = hosting().await;
    let code = handed_over(&app).await;
    let request = Request::call("exchange", &json!({"code": code, "code_verifier": VERIFIER}));
    let answers = app.send_at_once(&vec![request; 20]).await;
    let tokens: std::collections::HashSet<String> =
        answers.iter().map(|answer| Tokens::of(answer).refresh).collect();
    assert_eq!(tokens.len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn the_script_is_for_every_page() {
    let app = TestApp::spawn().await;
    let answer = app.send(&Request::get("/doorcode-login.js")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert!(answer.body.contains("doorcode-login"));
    let tag = answer.header("etag").unwrap().to_owned();
    let again = app.send(&Request::get("/doorcode-login.js").header("If-None-Match", &tag)).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    app.finish().await;
}
