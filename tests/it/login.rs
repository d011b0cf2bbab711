//! Asking for a code says nothing of who is known here.

use crate::support::client::Answer;
use crate::support::postgres::{ACME, ADA, CLOSED, DORA, GLOBEX, GRACE, MALLORY, NOWHERE};
use crate::support::{TestApp, Visitor, another_code};
use std::collections::BTreeMap;

/// Somebody each time from a network of their own, so that everybody's own limits stand at the same.
fn stranger<'a>(app: &'a TestApp, number: u8, tenant: &'static str) -> Visitor<'a> {
    app.from(&format!("198.51.{number}.7")).at(tenant)
}

/// C1, C6: known, unknown, disabled and silenced addresses, unknown and disabled tenants: one answer.
#[tokio::test]
async fn c1_one_answer_to_every_login() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    let classes = [
        ("known", ADA, ACME),
        ("silenced", ADA, ACME),
        ("in capitals", "ADA@EXAMPLE.COM", ACME),
        ("unknown", MALLORY, ACME),
        ("disabled", DORA, ACME),
        ("of another tenant", GRACE, GLOBEX),
        ("of a disabled tenant", ADA, CLOSED),
        ("of no tenant", ADA, NOWHERE),
        ("of a tenant that cannot be", ADA, "Not A Slug \u{0}"),
    ];
    let mut answers = BTreeMap::<String, Vec<&str>>::new();
    for (number, (class, email, tenant)) in (0..).zip(classes) {
        let answer = stranger(&app, number, tenant).asks_for_code(email).await;
        assert_eq!(answer.body, "{}");
        answers.entry(answer.told()).or_default().push(class);
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    app.mailed_code(ADA).await;
    app.no_further_mail(ADA).await;
    assert_eq!(app.mails_to(DORA).await + app.mails_to(MALLORY).await, 0);
    app.finish().await;
}

/// C2, C6: whatever is wrong about a code, one answer.
#[tokio::test]
async fn c2_one_answer_to_every_useless_code() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    let setup = app.from("192.0.2.1");
    setup.asks_for_code(ADA).await;
    let expired = app.mailed_code(ADA).await;
    app.pass_s(600);
    setup.asks_for_code(ADA).await;
    let used = app.mailed_code(ADA).await;
    setup.logs_in_with(ADA, &used).await;
    setup.asks_for_code(DORA).await;
    let burner = app.from("192.0.3.1");
    burner.asks_for_code(GRACE).await;
    let burned = app.mailed_code(GRACE).await;
    for _ in 0..5 {
        burner.types_code(GRACE, &another_code(&burned)).await;
    }
    let classes = [
        ("expired", ADA, ACME, expired.as_str()),
        ("used", ADA, ACME, &used),
        ("burned", GRACE, ACME, &burned),
        ("wrong, of an address with no code", GRACE, GLOBEX, "123456"),
        ("of a disabled customer", DORA, ACME, "123456"),
        ("of an unknown address", MALLORY, ACME, "123456"),
        ("of a disabled tenant", ADA, CLOSED, "123456"),
        ("of no tenant", ADA, NOWHERE, "123456"),
        ("of a tenant that cannot be", ADA, "Not A Slug", "123456"),
        ("no code at all", ADA, ACME, "äöü\u{0}€ß"),
    ];
    for verb in ["token", "verify"] {
        let mut answers = BTreeMap::<String, Vec<&str>>::new();
        for (number, (class, email, tenant, code)) in (0..).zip(classes) {
            let visitor = stranger(&app, number, tenant);
            let answer = app.send(&visitor.code_request(verb, email, code)).await;
            assert_refused(&answer);
            answers.entry(answer.told()).or_default().push(class);
        }
        // a wrong guess at a live code
        app.pass_s(60);
        stranger(&app, 100, ACME).asks_for_code(ADA).await;
        let code = app.mailed_code(ADA).await;
        let wrong = stranger(&app, 101, ACME).code_request(verb, ADA, &another_code(&code));
        answers.entry(app.send(&wrong).await.told()).or_default().push("wrong");
        assert_eq!(answers.len(), 1, "{answers:#?}");
        app.pass_s(600);
    }
    app.finish().await;
}

fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (401, r#"{"detail":"Invalid or expired code"}"#));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// Statements that run whatever anybody does, and this test's own.
const BACKGROUND: &[&str] = &[
    "%Sums up all portals%",
    "%pg_stat_statements%",
    "SELECT $1",
    "SELECT 1",
    "%Claims rows whose lease%",
    "%sweep%",
    "%Lists every version%",
    "%FROM outbox)",
    "%Deletes, among the next%",
    "%signing_keys%",
    "%purpose_keys%",
    "%Sums up all portals%",
    "%Adds up what a replica counted%",
    "%pg_settings%",
    // of a new connection
    "%AS read_at",
    "SHOW %",
    "SET %",
    "BEGIN%",
];
/// What the mail dispatcher does after the answer.
const AFTER_THE_ANSWER: &[&str] = &["%Looks at each mail%", "%Notes of rows%"];

/// Statements run since the last reset, and how often.
async fn statements(app: &TestApp, without: &[&[&str]]) -> BTreeMap<String, i64> {
    let patterns: Vec<String> =
        without.iter().flat_map(|list| list.iter()).map(|&text| text.to_owned()).collect();
    let query = "SELECT split_part(query, E'\\n', 1), sum(calls)::bigint FROM pg_stat_statements
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND toplevel
          AND NOT query LIKE ANY ($1) GROUP BY 1";
    let rows = app.database.client().query(query, &[&patterns]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn forget_statements(app: &TestApp) {
    let query = "SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), 0)";
    app.database.client().query(query, &[]).await.unwrap();
}

/// C3: a login runs the same statements for everybody, and none of them before the answer reads `customers`.
#[tokio::test]
async fn c3_the_same_statements_for_every_login() {
    let mut app = TestApp::spawn().await;
    app.database.count_statements().await;
    let mut seen = BTreeMap::<(String, bool), Vec<&str>>::new();
    let classes = [
        ("known", ADA, ACME),
        ("silenced", ADA, ACME),
        ("unknown", MALLORY, ACME),
        ("disabled", DORA, ACME),
        ("of a disabled tenant", ADA, CLOSED),
        ("of no tenant", ADA, NOWHERE),
    ];
    for (class, email, tenant) in classes {
        // Nothing is remembered from the class before.
        app.restart().await;
        forget_statements(&app).await;
        app.at(tenant).asks_for_code(email).await;
        app.database.until("SELECT NOT EXISTS (SELECT FROM outbox)").await;
        let before_the_answer = statements(&app, &[BACKGROUND, AFTER_THE_ANSWER]).await;
        assert_eq!(before_the_answer.values().sum::<i64>(), 3, "{class}: {before_the_answer:#?}");
        assert!(
            before_the_answer
                .keys()
                .all(|text| !text.contains("customers") || text.contains("Never reads customers"))
        );
        seen.entry((format!("{before_the_answer:#?}"), false)).or_default().push(class);
        if class != "silenced" {
            let all = statements(&app, &[BACKGROUND]).await;
            assert_eq!(all.values().sum::<i64>(), 5, "{class}: {all:#?}");
            seen.entry((format!("{all:#?}"), true)).or_default().push(class);
        }
    }
    assert_eq!(seen.len(), 2, "{seen:#?}");
    app.finish().await;
}

/// C3: every guess runs the same statements and makes one durable write, whether there is anything to guess at or not.
#[tokio::test]
async fn c3_the_same_statements_for_every_guess() {
    let mut app = TestApp::spawn().await;
    app.database.count_statements().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    app.asks_for_code(GRACE).await;
    let burned = app.mailed_code(GRACE).await;
    for _ in 0..5 {
        app.types_code(GRACE, &another_code(&burned)).await;
    }
    let classes = [
        ("right", ADA, ACME, code.clone()),
        ("used", ADA, ACME, code.clone()),
        ("burned", GRACE, ACME, burned),
        ("unknown", MALLORY, ACME, code.clone()),
        ("disabled", DORA, ACME, code.clone()),
        ("of a disabled tenant", ADA, CLOSED, code.clone()),
        ("of no tenant", ADA, NOWHERE, code),
    ];
    let mut seen = BTreeMap::<String, Vec<&str>>::new();
    for (class, email, tenant, code) in classes {
        app.restart().await;
        app.pass_s(1);
        forget_statements(&app).await;
        app.at(tenant).types_code(email, &code).await;
        seen.entry(format!("{:#?}", statements(&app, &[BACKGROUND]).await)).or_default().push(class);
        let touched = "SELECT count(*) FROM (SELECT touched_us FROM challenges UNION ALL SELECT touched_us FROM decoys) rows
            WHERE touched_us = ";
        assert_eq!(app.database.count(&format!("{touched}{}", app.now_us())).await, 1, "writes of: {class}");
    }
    assert_eq!(seen.len(), 1, "{seen:#?}");
    app.finish().await;
}
