//! What is one tenant's does nothing at another; what is no JSON does nothing at all.

use crate::support::app::code_in;
use crate::support::client::Answer;
use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE};
use crate::support::{TestApp, Tokens, Visitor};
use serde_json::json;

/// `Cookie` lines of what a login set.
fn cookies(answer: &Answer) -> Vec<(String, String)> {
    let lines = answer.cookies().into_iter();
    let pairs = lines.map(|line| line.split_once("; ").and_then(|(pair, _)| pair.split_once('=')).unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The values of one set of cookies under the names of the other.
fn renamed(names: &[(String, String)], values: &[(String, String)]) -> String {
    let prefix = |name: &str| name[..name.rfind('_').unwrap()].to_owned();
    let value =
        |name: &str| values.iter().find(|(other, _)| prefix(other) == prefix(name)).unwrap().1.clone();
    let pairs: Vec<String> = names.iter().map(|(name, _)| format!("{name}={}", value(name))).collect();
    pairs.join("; ")
}

const PLACES: [&str; 2] = [ACME, GLOBEX];

/// In a browser on the page of a place.
fn browser(app: &TestApp, place: usize) -> Visitor<'_> {
    app.at(PLACES[place]).in_browser().with("X-Tenant-Slug", PLACES[place])
}

/// I1: one person is a customer of two tenants. Each call, with each thing of the one tenant, at the other: refused or without
/// effect, and the one's own still works afterwards.
#[tokio::test]
async fn i1_nothing_of_one_tenant_works_at_another() {
    let app = TestApp::spawn().await;
    let mut codes = Vec::new();
    for place in PLACES {
        app.at(place).asks_for_code(ADA).await;
        codes.push(app.next_mail(ADA).await);
    }
    let codes: Vec<String> = codes.iter().map(|mail| code_in(mail)).collect();
    assert_ne!(codes[0], codes[1], "one in a million: run it again");
    for (here, there) in [(0, 1), (1, 0)] {
        for verb in ["verify", "token"] {
            let request = app.at(PLACES[here]).code_request(verb, ADA, &codes[there]);
            assert_eq!(app.send(&request).await.status, 401, "{verb} at {here}");
        }
    }
    let mut logins = Vec::new();
    for (place, code) in codes.iter().enumerate() {
        logins.push(browser(&app, place).types_code(ADA, code).await);
    }
    let tokens: Vec<Tokens> = logins.iter().map(Tokens::of).collect();
    assert_ne!(tokens[0].tenant_id, tokens[1].tenant_id);
    assert_ne!(tokens[0].customer_id, tokens[1].customer_id);
    let jars: Vec<_> = logins.iter().map(cookies).collect();

    for (here, there) in [(0, 1), (1, 0)] {
        let foreign = browser(&app, here).with_cookies(&renamed(&jars[here], &jars[there]));
        for (verb, status) in [("refresh", 401), ("logout", 204), ("logout-all", 204)] {
            let answer = app.send(&foreign.request(verb, &json!({}))).await;
            assert_eq!(answer.status, status, "{verb} at {here} with a cookie of {there}");
        }
        assert_eq!(foreign.get("session").await.status, 401, "{here}");
        // a token in the body names its tenant itself, whatever else the call says
        let visitor = app.at(PLACES[here]).with("X-Tenant-Slug", PLACES[here]);
        let told = visitor.refreshes(&tokens[there].refresh).await;
        assert_eq!(Tokens::of(&told).tenant_id, tokens[there].tenant_id);
    }
    // every session is there, one refresh on
    for place in [0, 1] {
        let cookies = renamed(&jars[place], &jars[place]);
        let answer =
            app.send(&browser(&app, place).with_cookies(&cookies).request("refresh", &json!({}))).await;
        let next = Tokens::of(&answer);
        assert_eq!(
            (next.tenant_id, next.customer_id),
            (tokens[place].tenant_id.clone(), tokens[place].customer_id.clone())
        );
    }
    app.finish().await;
}

/// F9: what a form of another site can send (no JSON, with the browser's cookies) is refused, and nothing happened.
#[tokio::test]
async fn f9_what_is_not_json_does_nothing() {
    let app = TestApp::spawn().await;
    let login = app.visitor().in_browser().answer_to_login(ADA).await;
    let tokens = Tokens::of(&login);
    let jar = cookies(&login);
    let visitor = app.visitor().in_browser().with_cookies(&renamed(&jar, &jar));
    app.asks_for_code(GRACE).await;
    let code = app.mailed_code(GRACE).await;
    let counted = "SELECT (SELECT count(*) FROM challenges) * 1000 + (SELECT count(*) FROM sessions)
                   + (SELECT coalesce(sum(s_guesses), 0) FROM challenges) * 1000000";
    let before = app.database.count(counted).await;
    let kinds = [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
    ];
    for kind in kinds {
        let requests = [
            visitor.login_request("new@example.com"),
            visitor.code_request("verify", GRACE, &code),
            visitor.code_request("token", GRACE, "000000"),
            visitor.request("refresh", &json!({ "refresh_token": tokens.refresh })),
            visitor.request("logout", &json!({ "refresh_token": "" })),
            visitor.request("logout-all", &json!({ "refresh_token": "" })),
        ];
        for request in requests {
            let answer = app.send(&request.clone().of_type(kind)).await;
            assert_eq!((answer.status, answer.cookies().len()), (422, 0), "{kind:?} {request:?}");
        }
        assert_eq!(app.database.count(counted).await, before, "{kind:?}");
    }
    Tokens::of(&app.refreshes(&tokens.refresh).await);
    app.visitor().logs_in_with(GRACE, &code).await;
    app.finish().await;
}
