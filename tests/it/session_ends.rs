//! How sessions end besides by their own logout: too many of them, all at once. And who is asked to be logged in.

use crate::support::client::{Answer, Request};
use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE};
use crate::support::{TestApp, Tokens};
use serde_json::json;

async fn logs_out_everywhere(app: &TestApp, token: &str) -> Answer {
    app.send(&app.visitor().request("logout-all", &json!({ "refresh_token": token }))).await
}

async fn lives(app: &TestApp, tokens: &Tokens) -> bool {
    app.refreshes(&tokens.refresh).await.status == 200
}

async fn many_sessions(app: &TestApp, email: &str, count: usize) -> Vec<Tokens> {
    let mut all = Vec::new();
    for _ in 0..count {
        app.pass_s(1);
        all.push(app.logs_in(email).await);
    }
    all
}

/// E14: a customer has so many sessions at most; one more ends the oldest live one, of that customer and tenant only.
#[tokio::test]
async fn e14_one_session_too_many_ends_the_oldest() {
    let app = TestApp::builder().without_mail_limits().set("tokens.sessions_per_customer", "3").spawn().await;
    let (grace, elsewhere) = (app.logs_in(GRACE).await, app.at(GLOBEX).logs_in(ADA).await);
    let all = many_sessions(&app, ADA, 5).await;
    let mut alive = Vec::new();
    for tokens in &all {
        alive.push(lives(&app, tokens).await);
    }
    assert_eq!(alive, [false, false, true, true, true]);
    assert!(lives(&app, &grace).await && lives(&app, &elsewhere).await);
    let kept = "SELECT count(*) FROM sessions s JOIN customers c USING (tenant_id, customer_id)
                JOIN tenants t USING (tenant_id) WHERE c.email = 'ada@example.com' AND t.slug = 'acme'";
    assert_eq!(app.database.count(kept).await, 3);
    app.finish().await;
}

/// E8, E14: the session that a login replaces makes room for it; those that ended by themselves take none.
#[tokio::test]
async fn e8_e14_a_replaced_session_makes_room() {
    let app = TestApp::builder().without_mail_limits().set("tokens.sessions_per_customer", "2").spawn().await;
    let first = app.logs_in(ADA).await;
    app.pass_s(1);
    let answer = app.visitor().in_browser().answer_to_login(ADA).await;
    let pairs: Vec<_> = answer.cookies().into_iter().map(|line| line.split(';').next().unwrap()).collect();
    app.pass_s(1);
    let again = app.visitor().in_browser().with_cookies(&pairs.join("; ")).logs_in(ADA).await;
    assert!(!lives(&app, &Tokens::of(&answer)).await);
    assert!(lives(&app, &first).await && lives(&app, &again).await, "nobody else had to go");
    // a week later only a fresh one is live: it and the next are two
    app.pass_s(6 * 86_400);
    let fresh = app.logs_in(ADA).await;
    app.pass_s(2 * 86_400);
    app.logs_in(ADA).await;
    assert!(lives(&app, &fresh).await);
    app.finish().await;
}

/// E14: all sessions of that customer at that tenant, and of nobody else; by a rotated token as well (E11).
#[tokio::test]
async fn e14_e11_logout_everywhere() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    for shown in ["newest", "rotated"] {
        let (grace, elsewhere) = (app.logs_in(GRACE).await, app.at(GLOBEX).logs_in(ADA).await);
        let all = many_sessions(&app, ADA, 3).await;
        let newest = Tokens::of(&app.refreshes(&all[0].refresh).await);
        let token = if shown == "newest" { &newest.refresh } else { &all[0].refresh };
        let answer = logs_out_everywhere(&app, token).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        for tokens in all[1..].iter().chain([&newest]) {
            assert!(!lives(&app, tokens).await, "{shown}");
        }
        assert!(lives(&app, &grace).await && lives(&app, &elsewhere).await, "{shown}");
    }
    app.finish().await;
}

/// E10: 204 for every token, also none; and what is no live session's ends nobody's.
#[tokio::test]
async fn e10_logout_everywhere_tells_nothing() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let gone = app.logs_in(ADA).await;
    app.logs_out(&gone.refresh).await;
    let here = app.logs_in(ADA).await;
    let told = logs_out_everywhere(&app, "").await.told();
    for token in ["garbage", "dcr_AAAA", gone.refresh.as_str(), here.access.as_str()] {
        assert_eq!(logs_out_everywhere(&app, token).await.told(), told);
    }
    assert!(lives(&app, &here).await);
    let stale = app.logs_in(GRACE).await;
    app.pass_s(6 * 86_400);
    let fresh = app.logs_in(GRACE).await;
    app.pass_s(2 * 86_400);
    assert_eq!(logs_out_everywhere(&app, &stale.refresh).await.told(), told);
    assert!(lives(&app, &fresh).await, "an idle session's token has no say any more");
    assert_eq!(app.outcomes("logout_all", "forged").await, 3);
    app.finish().await;
}

/// E14, F5, F11: by cookie it is a logout like the other: this browser's cookies go; a stranger's page does nothing.
#[tokio::test]
async fn e14_f11_logout_everywhere_by_cookie() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let other = app.logs_in(ADA).await;
    let answer = app.visitor().in_browser().answer_to_login(ADA).await;
    let pairs: Vec<_> = answer.cookies().into_iter().map(|line| line.split(';').next().unwrap()).collect();
    let call = |site: &str| {
        let visitor = app.visitor().with("Sec-Fetch-Site", site).with_cookies(&pairs.join("; "));
        visitor.request("logout-all", &json!({}))
    };
    let refused = app.send(&call("cross-site")).await;
    assert_eq!((refused.status, refused.cookies().len()), (204, 0));
    let other = Tokens::of(&app.refreshes(&other.refresh).await);
    let done = app.send(&call("same-origin")).await;
    assert_eq!((done.status, done.cookies().len()), (204, 2));
    assert!(done.cookies().iter().all(|line| line.contains("Max-Age=0")));
    assert!(!lives(&app, &other).await);
    app.finish().await;
}

fn who(authorization: &str) -> Request {
    Request::get("/v1/customer-auth/session").header("Authorization", authorization)
}

/// E9, F1, F14, F15: who am I, by the token alone: for as long as it lives, also after a logout.
#[tokio::test]
async fn e9_f1_f14_f15_who_am_i() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let tokens = app.logs_in(ADA).await;
    let bearer = format!("Bearer {}", tokens.access);
    let claims = tokens.claims();
    let expected = json!({
        "customer_id": tokens.customer_id,
        "tenant_id": tokens.tenant_id,
        "expires_at": claims["exp"],
        "auth_time": claims["auth_time"],
        "session_id": claims["sid"],
    });
    let answer = app.send(&who(&bearer)).await;
    assert_eq!((answer.status, answer.json()), (200, expected.clone()));
    let header = |name: &str| answer.header(name).unwrap();
    assert_eq!((header("cache-control"), header("content-type")), ("no-store", "application/json"));
    assert_eq!(app.send(&who(&bearer.replace("Bearer", "bEARER"))).await.status, 200);

    let refused = app.send(&Request::get("/v1/customer-auth/session")).await;
    assert_eq!(refused.body, r#"{"detail":"Invalid access token"}"#);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    let mut changed = bearer.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for bad in
        [&changed, "Bearer", "Bearer ", "Bearer x", "Basic YTpi", &format!("Bearer {}", tokens.refresh)]
    {
        assert_eq!(app.send(&who(bad)).await.told(), refused.told(), "{bad}");
    }
    let twice = who(&bearer).header("Authorization", &bearer);
    assert_eq!(app.send(&twice).await.told(), refused.told());

    app.logs_out(&tokens.refresh).await;
    assert_eq!(app.send(&who(&bearer)).await.json(), expected, "until it expires");
    app.pass_s(3_600 + 31);
    assert_eq!(app.send(&who(&bearer)).await.told(), refused.told());
    let post = app.send(&Request::post("/v1/customer-auth/session", &json!({}))).await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")), "F16");
    app.finish().await;
}

/// E12: `Authorization` wins over a cookie and is never mixed with it; a token in another tenant's cookie is nobody's.
#[tokio::test]
async fn e12_who_am_i_by_cookie() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let answer = app.visitor().in_browser().answer_to_login(ADA).await;
    let acme = Tokens::of(&answer);
    let globex = app.at(GLOBEX).logs_in(ADA).await;
    let cookie = answer.cookies()[0].split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-portal_access_"));
    let page = || app.visitor().in_browser().with_cookies(&cookie);
    assert_eq!(page().get("session").await.json()["tenant_id"], json!(acme.tenant_id));
    let other = page().with("Authorization", &format!("Bearer {}", globex.access)).get("session").await;
    assert_eq!(other.json()["tenant_id"], json!(globex.tenant_id));
    assert_eq!(page().with("Authorization", "Bearer x").get("session").await.status, 401);
    let swapped = cookie.replace(&acme.access, &globex.access);
    assert_eq!(app.visitor().in_browser().with_cookies(&swapped).get("session").await.status, 401);
    let stranger = app.visitor().with("Sec-Fetch-Site", "cross-site").with_cookies(&cookie);
    assert_eq!(stranger.get("session").await.status, 401);
    assert_eq!(page().with("X-Tenant-Slug", ACME).get("session").await.status, 200);
    assert_eq!(page().with("X-Tenant-Slug", GLOBEX).get("session").await.status, 401);
    app.finish().await;
}
