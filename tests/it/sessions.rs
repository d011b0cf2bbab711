//! Staying logged in: one line of refresh tokens per session.

use crate::support::client::{Answer, Request};
use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE};
use crate::support::{TestApp, Tokens};
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;

fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (401, r#"{"detail":"Invalid refresh token"}"#));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert!(answer.cookies().is_empty());
}

async fn next(app: &TestApp, token: &Tokens) -> Tokens {
    Tokens::of(&app.refreshes(&token.refresh).await)
}

/// E1: a token of at least 128 random bits, in characters that need no escape anywhere.
#[tokio::test]
async fn e1_refresh_tokens_are_opaque() {
    let app = TestApp::spawn().await;
    let token = app.logs_in(ADA).await.refresh;
    let opaque = token.strip_prefix("dcr_").unwrap();
    assert!(opaque.len() >= 60, "{}", opaque.len());
    assert!(opaque.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    app.finish().await;
}

/// E2: a retry within 30 s gets the same successor and the same access token times.
#[tokio::test]
async fn e2_a_retry_gets_the_first_answer_again() {
    let app = TestApp::spawn().await;
    let first = app.logs_in(ADA).await;
    app.pass_s(100);
    let second = next(&app, &first).await;
    assert_ne!(second.refresh, first.refresh);
    app.pass_s(30);
    let again = next(&app, &first).await;
    assert_eq!(again.refresh, second.refresh);
    assert_eq!(again.claims(), second.claims(), "iat and jti too");
    let third = next(&app, &again).await;
    assert!(![&first.refresh, &second.refresh].contains(&&third.refresh));
    assert_eq!(app.outcomes("refresh", "theft").await, 0);
    app.finish().await;
}

/// E2: a retry after 30 s, the successor unused: a branch of its own. Of the two, the first one used proves theft of
/// the other.
#[tokio::test]
async fn e2_a_late_retry_gets_a_branch_and_the_lost_one_is_dead() {
    let app = TestApp::spawn().await;
    let first = app.logs_in(ADA).await;
    let lost = next(&app, &first).await;
    app.pass(Duration::from_secs(30) + Duration::from_micros(1));
    let branch = next(&app, &first).await;
    assert_ne!(branch.refresh, lost.refresh);
    let after = next(&app, &branch).await;
    assert_refused(&app.refreshes(&lost.refresh).await);
    assert_refused(&app.refreshes(&after.refresh).await);
    assert_eq!(app.outcomes("refresh", "theft").await, 1);
    app.finish().await;
}

/// E2: however late: a lost answer logs nobody out as long as the session lives.
#[tokio::test]
async fn e2_a_retry_days_later_still_works() {
    let app = TestApp::spawn().await;
    let first = app.logs_in(ADA).await;
    next(&app, &first).await;
    app.pass_s(6 * 86_400);
    let branch = next(&app, &first).await;
    next(&app, &branch).await;
    app.finish().await;
}

/// E3: a token older than the one before is theft: the session ends, its newest token included.
#[tokio::test]
async fn e3_a_superseded_token_ends_the_session() {
    let app = TestApp::spawn().await;
    let first = app.logs_in(ADA).await;
    let other = app.logs_in(GRACE).await;
    let second = next(&app, &first).await;
    let third = next(&app, &second).await;
    assert_refused(&app.refreshes(&first.refresh).await);
    assert_refused(&app.refreshes(&third.refresh).await);
    assert_eq!(app.outcomes("refresh", "theft").await, 1);
    next(&app, &other).await;
    app.finish().await;
}

/// E4: 100 refreshes of one token at once on two replicas: 100 successes, one successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_parallel_refreshes_have_one_successor() {
    let app = TestApp::spawn().await;
    let replica = app.replica().await;
    let first = app.logs_in(ADA).await;
    let refresh = app.visitor().request("refresh", &json!({ "refresh_token": first.refresh }));
    let answers = app.send_at_once_to(&[app.public(), replica.public()], &vec![refresh; 100]).await;
    let tokens: Vec<Tokens> = answers.iter().map(Tokens::of).collect();
    let successors: HashSet<&str> = tokens.iter().map(|tokens| tokens.refresh.as_str()).collect();
    assert_eq!(successors.len(), 1);
    assert!(tokens.iter().all(|other| other.claims() == tokens[0].claims()));
    assert_eq!(app.database.count("SELECT generation::bigint FROM sessions").await, 1);
    next(&app, &tokens[0]).await;
    replica.end().await;
    app.finish().await;
}

/// E5: a session nobody refreshed for 7 days has ended; each refresh begins the 7 days anew.
#[tokio::test]
async fn e5_an_idle_session_ends_after_7_days() {
    let app = TestApp::spawn().await;
    let week = Duration::from_secs(7 * 86_400);
    let first = app.logs_in(ADA).await;
    app.pass(week - Duration::from_micros(1));
    let second = next(&app, &first).await;
    app.pass(week - Duration::from_micros(1));
    let third = next(&app, &second).await;
    app.pass(week);
    assert_refused(&app.refreshes(&third.refresh).await);
    app.finish().await;
}

/// E5: after 30 days it is over, however often it was refreshed.
#[tokio::test]
async fn e5_every_session_ends_after_30_days() {
    let app = TestApp::spawn().await;
    let mut tokens = app.logs_in(ADA).await;
    for _ in 0..5 {
        app.pass_s(6 * 86_400 - 1);
        tokens = next(&app, &tokens).await;
    }
    app.pass(Duration::from_micros(4_999_999));
    tokens = next(&app, &tokens).await;
    app.pass(Duration::from_micros(1));
    assert_refused(&app.refreshes(&tokens.refresh).await);
    app.finish().await;
}

/// E6: who and where come from the session.
#[tokio::test]
async fn e6_a_refresh_keeps_customer_and_tenant() {
    let app = TestApp::spawn().await;
    let acme = app.logs_in(ADA).await;
    let globex = app.at(GLOBEX).logs_in(ADA).await;
    assert_ne!(acme.tenant_id, globex.tenant_id);
    assert_ne!(acme.customer_id, globex.customer_id);
    let misleading = app.visitor().with("X-Tenant-Slug", ACME).request(
        "refresh",
        &json!({ "refresh_token": globex.refresh, "tenant_id": acme.tenant_id, "customer_id": acme.customer_id }),
    );
    let refreshed = Tokens::of(&app.send(&misleading).await);
    assert_eq!((refreshed.tenant_id, refreshed.customer_id), (globex.tenant_id, globex.customer_id));
    app.finish().await;
}

/// E7: a disabled customer's sessions are over at once, as are a deleted one's.
#[tokio::test]
async fn e7_disabled_and_deleted_customers_refresh_no_more() {
    let app = TestApp::spawn().await;
    let (ada, grace) = (app.logs_in(ADA).await, app.logs_in(GRACE).await);
    app.directory.disable_customer(ACME, ADA).await.unwrap();
    assert_refused(&app.refreshes(&ada.refresh).await);
    app.directory.delete_customer(ACME, GRACE).await.unwrap();
    assert_refused(&app.refreshes(&grace.refresh).await);
    app.directory.enable_customer(ACME, ADA).await.unwrap();
    app.logs_in(ADA).await;
    app.finish().await;
}

/// E7: at a disabled tenant nobody refreshes or logs in; once it is back, its sessions are.
#[tokio::test]
async fn e7_at_a_disabled_tenant_nobody_refreshes() {
    let app = TestApp::spawn().await;
    let ada = app.logs_in(ADA).await;
    let at_globex = app.at(GLOBEX).logs_in(ADA).await;
    app.asks_for_code(GRACE).await;
    let code = app.mailed_code(GRACE).await;
    app.directory.disable_tenant(ACME, true).await.unwrap();
    assert_refused(&app.refreshes(&ada.refresh).await);
    assert_eq!(app.types_code(GRACE, &code).await.status, 401);
    next(&app, &at_globex).await;
    app.directory.disable_tenant(ACME, false).await.unwrap();
    next(&app, &ada).await;
    app.finish().await;
}

/// E9: after a logout no token of the session is worth anything; other sessions stay.
#[tokio::test]
async fn e9_a_logout_ends_the_session() {
    let app = TestApp::spawn().await;
    let (first, elsewhere) = (app.logs_in(ADA).await, app.logs_in(ADA).await);
    let second = next(&app, &first).await;
    assert_eq!(app.logs_out(&second.refresh).await.status, 204);
    assert_refused(&app.refreshes(&second.refresh).await);
    assert_refused(&app.refreshes(&first.refresh).await);
    next(&app, &elsewhere).await;
    app.finish().await;
}

/// E11: any token of the session's line ends it.
#[tokio::test]
async fn e11_a_logout_with_a_rotated_token_ends_the_session() {
    let app = TestApp::spawn().await;
    let first = app.logs_in(ADA).await;
    let second = next(&app, &first).await;
    let third = next(&app, &second).await;
    assert_eq!(app.logs_out(&first.refresh).await.status, 204);
    assert_refused(&app.refreshes(&third.refresh).await);
    app.finish().await;
}

/// E10: whatever the token was, a logout answers alike.
#[tokio::test]
async fn e10_every_logout_answers_alike() {
    let app = TestApp::spawn().await;
    let live = app.logs_in(ADA).await.refresh;
    let gone = app.logs_in(GRACE).await.refresh;
    let expected = app.logs_out(&gone).await;
    assert_eq!((expected.status, expected.body.as_str()), (204, ""));
    let mut forged = live.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'B' } else { 'A' });
    let tokens = [gone.as_str(), "", &forged, "dcr_", "garbage", "\u{0}", "dcr_ÄÖÜ", &"x".repeat(4_000)];
    for token in tokens {
        assert_eq!(app.logs_out(token).await.told(), expected.told(), "{token:?}");
    }
    for body in [json!({}), json!({ "refresh_token": "", "tenant_slug": ACME })] {
        assert_eq!(app.send(&Request::call("logout", &body)).await.told(), expected.told(), "{body}");
    }
    assert_eq!(app.logs_out(&live).await.told(), expected.told());
    assert_refused(&app.refreshes(&live).await);
    app.finish().await;
}

/// E10, E2: what is no token of ours is refused alike and never asks the database.
#[tokio::test]
async fn e2_garbage_is_refused_before_the_database() {
    let app = TestApp::spawn().await;
    let live = app.logs_in(ADA).await.refresh;
    let flip = |index: usize| {
        let mut bytes = live.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    // The last character has bits that carry nothing: whether those are read is a matter of taste.
    for index in 4..live.len() - 1 {
        assert_refused(&app.refreshes(&flip(index)).await);
    }
    for garbage in ["x", "dcr_", "dcr_AAAA", &live[4..], &format!("{live}A"), &live.to_uppercase()] {
        assert_refused(&app.refreshes(garbage).await);
    }
    let forged = app.outcomes("refresh", "forged").await;
    assert_eq!(forged as usize, live.len() - 5 + 6);
    assert_eq!(app.refreshes(&live).await.status, 200);
    app.finish().await;
}

/// E13: an empty token means the cookie's; without one there is none.
#[tokio::test]
async fn e13_an_empty_token_without_a_cookie_is_refused() {
    let app = TestApp::spawn().await;
    app.logs_in(ADA).await;
    for body in [json!({ "refresh_token": "" }), json!({})] {
        assert_refused(&app.send(&Request::call("refresh", &body)).await);
        assert_refused(&app.send(&app.visitor().in_browser().request("refresh", &body)).await);
    }
    app.finish().await;
}

/// E14: an administrator ends one session, or all of a customer.
#[tokio::test]
async fn e14_an_administrator_ends_sessions() {
    let app = TestApp::spawn().await;
    let one = app.logs_in(ADA).await;
    let listed = app.directory.sessions(ACME, ADA).await.unwrap();
    app.directory.revoke_session(ACME, listed[0].session).await.unwrap();
    assert_refused(&app.refreshes(&one.refresh).await);
    let (two, three, other) = (app.logs_in(ADA).await, app.logs_in(ADA).await, app.logs_in(GRACE).await);
    app.directory.revoke_sessions(ACME, ADA).await.unwrap();
    assert_refused(&app.refreshes(&two.refresh).await);
    assert_refused(&app.refreshes(&three.refresh).await);
    next(&app, &other).await;
    app.finish().await;
}
