//! What customers see of their own sessions, and how they end one.

use crate::support::client::Answer;
use crate::support::postgres::{ADA, GLOBEX, GRACE};
use crate::support::{TestApp, Tokens, Visitor};
use serde_json::{Value, json};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn with<'a>(app: &'a TestApp, tokens: &Tokens) -> Visitor<'a> {
    app.visitor().with("Authorization", &format!("Bearer {}", tokens.access))
}

fn id(tokens: &Tokens) -> String {
    tokens.claims()["sid"].as_str().unwrap().to_owned()
}

async fn lives(app: &TestApp, tokens: &Tokens) -> bool {
    app.refreshes(&tokens.refresh).await.status == 200
}

/// E14: all live sessions of that customer at that tenant and nobody else's; when, by which browser, and which is this one.
/// Nothing finer: no address, no version.
#[tokio::test]
async fn e14_customers_see_their_own_sessions() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let began = app.now_us() / 1_000_000;
    let first = app.visitor().with("User-Agent", FIREFOX).logs_in(ADA).await;
    app.pass_s(10);
    let second = app.logs_in(ADA).await;
    app.logs_in(GRACE).await;
    app.at(GLOBEX).logs_in(ADA).await;
    app.pass_s(10);
    Tokens::of(&app.refreshes(&first.refresh).await);
    let answer = with(&app, &second).get("sessions").await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let session = |tokens: &Tokens, created, seen, client: Value, current| json!({ "session_id": id(tokens), "created_at": created, "last_seen_at": seen, "client": client, "current": current });
    let expected = json!({ "sessions": [
        session(&second, began + 10, began + 10, Value::Null, true),
        session(&first, began, began + 20, json!("Firefox on Linux"), false),
    ]});
    assert_eq!((answer.status, answer.json()), (200, expected));
    app.pass_s(8 * 86_400);
    assert_eq!(with(&app, &second).get("sessions").await.status, 401, "it ended by itself");
    app.finish().await;
}

fn not_found(answer: &Answer) -> bool {
    answer.status == 404 && answer.body == r#"{"detail":"Not Found"}"#
}

/// E14: one of their own ends at once; anybody else's is not found, as one that never was.
#[tokio::test]
async fn e14_customers_end_their_own_sessions_only() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let (first, second) = (app.logs_in(ADA).await, app.logs_in(ADA).await);
    let (grace, elsewhere) = (app.logs_in(GRACE).await, app.at(GLOBEX).logs_in(ADA).await);
    let end = async |by: &Tokens, session: &str| with(&app, by).delete(&format!("sessions/{session}")).await;
    for foreign in [id(&grace), id(&elsewhere), uuid::Uuid::new_v4().to_string(), "x".to_owned()] {
        assert!(not_found(&end(&first, &foreign).await), "{foreign}");
    }
    assert!(lives(&app, &grace).await && lives(&app, &elsewhere).await && lives(&app, &second).await);
    assert_eq!(end(&first, &id(&second)).await.status, 204);
    assert!(!lives(&app, &second).await);
    assert!(not_found(&end(&first, &id(&second)).await), "once");
    // an access token whose session has ended neither sees nor ends anything, though it has not expired
    assert_eq!(with(&app, &second).get("session").await.status, 200);
    assert_eq!(with(&app, &second).get("sessions").await.status, 401);
    assert_eq!(end(&second, &id(&first)).await.status, 401);
    assert_eq!(app.visitor().get("sessions").await.status, 401);
    assert_eq!(app.visitor().delete(&format!("sessions/{}", id(&first))).await.status, 401);
    // one's own: a logout
    assert_eq!(end(&first, &id(&first)).await.status, 204);
    assert!(!lives(&app, &first).await);
    app.finish().await;
}

/// F11: by cookie only from pages that may use it; one's own session takes its cookies along.
#[tokio::test]
async fn f11_a_foreign_page_sees_and_ends_no_session() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let answer = app.visitor().in_browser().answer_to_login(ADA).await;
    let pairs: Vec<_> = answer.cookies().into_iter().map(|line| line.split(';').next().unwrap()).collect();
    let (cookies, tokens) = (pairs.join("; "), Tokens::of(&answer));
    let own = format!("sessions/{}", id(&tokens));
    for site in [Some("cross-site"), Some("same-site"), Some("none"), None] {
        let page = app.visitor().with_cookies(&cookies);
        let page = site.map_or(page.clone(), |site| page.with("Sec-Fetch-Site", site));
        assert_eq!(page.get("sessions").await.status, 401, "{site:?}");
        assert_eq!(page.delete(&own).await.status, 401, "{site:?}");
    }
    let page = app.visitor().with_cookies(&cookies).with("Sec-Fetch-Site", "same-origin");
    assert_eq!(page.get("sessions").await.json()["sessions"][0]["current"], true);
    let ended = page.delete(&own).await;
    assert_eq!(ended.status, 204);
    let cleared = ended.cookies().iter().filter(|line| line.contains("Max-Age=0")).count();
    assert!(cleared >= 2, "{ended:?}");
    assert!(!lives(&app, &tokens).await);
    app.finish().await;
}
