//! The connection to PostgreSQL fails at the worst moment: between a commit and its answer (A14), or for good.

use crate::support::chaos::{Fate, Kind, Proxy};
use crate::support::client::Answer;
use crate::support::postgres::{ADA, Database, GRACE, connect};
use crate::support::{TestApp, Tokens, another_code};
use serde_json::json;
use std::time::{Duration, Instant};

/// doorcode behind a proxy.
async fn spawn(settings: &[(&str, &str)]) -> (TestApp, Proxy) {
    let database = Database::new().await;
    let proxy = Proxy::before(&database.url).await;
    let builder = TestApp::builder().without_mail_limits().by_way_of(&proxy.url);
    let builder = settings.iter().fold(builder, |builder, (key, value)| builder.set(key, value));
    (builder.spawn_on(database).await, proxy)
}

/// A connection that got stuck is given up after half a second more than this.
const BRISK: [(&str, &str); 1] = [("database.statement_timeout", "300ms")];

/// The same, and callers wait for longer.
const PATIENT: [(&str, &str); 3] = [
    ("http.request_deadline", "2s"),
    ("database.statement_timeout", "300ms"),
    ("database.wait_timeout", "500ms"),
];

/// Callers wait this long, a connection is given up when they have gone.
const HASTY: [(&str, &str); 3] = [
    ("http.request_deadline", "1s"),
    ("database.statement_timeout", "1s"),
    ("database.wait_timeout", "500ms"),
];

/// What guesses have left behind: whether a code lives, a stranger's guesses at it, sessions.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    live: bool,
    guesses: i16,
    sessions: i64,
}

async fn traces(app: &TestApp) -> Traces {
    let query = "SELECT expires_us > 0, s_guesses, (SELECT count(*) FROM sessions) FROM challenges";
    let row = app.database.client().query_one(query, &[]).await.unwrap();
    Traces { live: row.get(0), guesses: row.get(1), sessions: row.get(2) }
}

const UNTOUCHED: Traces = Traces { live: true, guesses: 5, sessions: 0 };
/// The right code was taken and its session begun.
const TAKEN: Traces = Traces { live: false, guesses: 4, sessions: 1 };
/// One wrong guess.
const MISSED: Traces = Traces { live: true, guesses: 4, sessions: 0 };

async fn mailed_code(app: &TestApp) -> String {
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    assert_eq!(traces(app).await, UNTOUCHED);
    code
}

/// Both tokens do what tokens do.
async fn assert_work(app: &TestApp, tokens: &Tokens) {
    let bearer = format!("Bearer {}", tokens.access);
    let session = app.visitor().with("Authorization", &bearer).get("session").await;
    assert_eq!(session.status, 200, "{session:?}");
    Tokens::of(&app.refreshes(&tokens.refresh).await);
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert!(answer.cookies().is_empty(), "{answer:?}");
}

async fn finish(app: TestApp, proxy: Proxy) {
    proxy.assert_met();
    assert_eq!(proxy.reused(), 0, "a connection that got stuck was used again");
    app.finish().await;
}

/// A14: the code is taken, the session begun, the answer lost: the session that was named beforehand is found.
#[tokio::test]
async fn a14_a_lost_answer_to_the_right_code_logs_in() {
    for fate in [Fate::LoseAnswer, Fate::HoldAnswer] {
        let (app, proxy) = spawn(&BRISK).await;
        let code = mailed_code(&app).await;
        proxy.plan(Kind::Verify, fate);
        let tokens = app.visitor().logs_in_with(ADA, &code).await;
        assert_eq!(traces(&app).await, TAKEN);
        assert_work(&app, &tokens).await;
        proxy.heal();
        assert_eq!(app.types_code(ADA, &code).await.status, 401, "once");
        assert_eq!((traces(&app).await, proxy.sent(Kind::Verify)), (TAKEN, 2));
        finish(app, proxy).await;
    }
}

/// A14: the same when all connections go at once, as in a failover, and PostgreSQL is away for a moment.
#[tokio::test]
async fn a14_a_code_outlives_a_failover() {
    let (app, proxy) = spawn(&[]).await;
    let code = mailed_code(&app).await;
    proxy.plan(Kind::Verify, Fate::LoseAll);
    let back = async {
        proxy.met(1).await;
        proxy.refused(1).await;
        proxy.heal();
    };
    let visitor = app.visitor();
    let (answer, ()) = tokio::join!(visitor.types_code(ADA, &code), back);
    assert_eq!(traces(&app).await, TAKEN);
    assert_work(&app, &Tokens::of(&answer)).await;
    finish(app, proxy).await;
}

/// A14: what cannot be found out in time is 503, not 401: and the code is taken with its session, not without.
#[tokio::test]
async fn a14_what_cannot_be_found_out_is_503() {
    let (app, proxy) = spawn(&HASTY).await;
    let code = mailed_code(&app).await;
    proxy.plan(Kind::Verify, Fate::LoseAll);
    assert_unavailable(&app.types_code(ADA, &code).await);
    assert_eq!(traces(&app).await, TAKEN);
    proxy.heal();
    app.served_again(&app.visitor().login_request(ADA)).await;
    finish(app, proxy).await;
}

/// A14: the connection goes while PostgreSQL is still at it, here behind a lock: what happens before the caller has gone is
/// found, though the first look finds nothing.
#[tokio::test]
async fn a14_a_write_that_outlives_its_connection_is_found() {
    let (app, proxy) = spawn(&[]).await;
    let code = mailed_code(&app).await;
    let mut other = connect(&app.database.url).await;
    let lock = other.transaction().await.unwrap();
    lock.execute("SELECT FROM challenges FOR UPDATE", &[]).await.unwrap();
    proxy.plan(Kind::Verify, Fate::LeaveAlone);
    let visitor = app.visitor();
    let unlock = async {
        proxy.met(1).await;
        while proxy.sent(Kind::FindSessions) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(traces(&app).await, UNTOUCHED);
        lock.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(visitor.types_code(ADA, &code), unlock);
    assert_work(&app, &Tokens::of(&answer)).await;
    assert_eq!(traces(&app).await, TAKEN);
    finish(app, proxy).await;
}

/// A14: the right code arrives at PostgreSQL when its caller was told 503: it is not eaten.
#[tokio::test]
async fn a14_a_guess_that_arrives_late_eats_no_code() {
    let (app, proxy) = spawn(&PATIENT).await;
    let code = mailed_code(&app).await;
    proxy.plan(Kind::Verify, Fate::HoldRequest);
    assert_unavailable(&app.types_code(ADA, &code).await);
    proxy.heal();
    proxy.met(1).await;
    assert_eq!(traces(&app).await, UNTOUCHED);
    app.visitor().logs_in_with(ADA, &code).await;
    finish(app, proxy).await;
}

/// A7, A14: a wrong guess whose answer is lost was one guess: it is not evaluated again.
#[tokio::test]
async fn a14_a_wrong_guess_with_a_lost_answer_counts_once() {
    for fate in [Fate::LoseAnswer, Fate::HoldAnswer] {
        let (app, proxy) = spawn(&PATIENT).await;
        let code = mailed_code(&app).await;
        proxy.plan(Kind::Verify, fate);
        assert_unavailable(&app.types_code(ADA, &another_code(&code)).await);
        assert_eq!((traces(&app).await, proxy.sent(Kind::Verify)), (MISSED, 1));
        proxy.heal();
        app.visitor().logs_in_with(ADA, &code).await;
        finish(app, proxy).await;
    }
}

/// C8: a login whose answer is lost is one mail, whatever the caller is told and however often they ask then.
#[tokio::test]
async fn a_login_with_a_lost_answer_is_one_mail() {
    for fate in [Fate::LoseAnswer, Fate::LoseRequest] {
        let database = Database::new().await;
        let proxy = Proxy::before(&database.url).await;
        let app = TestApp::builder().by_way_of(&proxy.url).spawn_on(database).await;
        proxy.plan(Kind::Login, fate);
        let login = app.visitor().login_request(ADA);
        let answer = app.send(&login).await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        let mails = app.database.count("SELECT coalesce(sum(mails), 0)::bigint FROM outbox").await;
        assert_eq!(mails, i64::from(fate == Fate::LoseAnswer), "one was promised, or none");
        assert_eq!(app.send(&login).await.status, 200);
        // whoever promised it may be sending it: others wait for 20 seconds
        app.pass_s(21);
        let code = app.mailed_code(ADA).await;
        app.no_further_mail(ADA).await;
        app.visitor().logs_in_with(ADA, &code).await;
        finish(app, proxy).await;
    }
}

/// D1: a refresh whose answer is lost once, or twice, has one successor, and the session lives.
#[tokio::test]
async fn a_refresh_with_a_lost_answer_has_one_successor() {
    let fates: [&[Fate]; 4] = [
        &[Fate::LoseAnswer],
        &[Fate::HoldAnswer],
        &[Fate::LoseRequest],
        &[Fate::LoseAnswer, Fate::LoseRequest, Fate::LoseAnswer],
    ];
    for fates in fates {
        let (app, proxy) = spawn(&BRISK).await;
        let tokens = app.logs_in(ADA).await;
        fates.iter().for_each(|fate| proxy.plan(Kind::Refresh, *fate));
        let request = app.visitor().request("refresh", &json!({ "refresh_token": tokens.refresh }));
        let first = Tokens::of(&app.served_again(&request).await);
        let again = Tokens::of(&app.refreshes(&tokens.refresh).await);
        assert_eq!((&first.refresh, first.claims()), (&again.refresh, again.claims()), "{fates:?}");
        assert_eq!(app.database.count("SELECT generation::bigint FROM sessions").await, 1);
        proxy.heal();
        assert_work(&app, &first).await;
        finish(app, proxy).await;
    }
}

/// E2, E3: a refresh is sent again after a lost answer, and arrives when its caller was told 503 and has gone on by two
/// generations: it ends nobody's session.
#[tokio::test]
async fn a_refresh_that_arrives_late_is_no_theft() {
    let (app, proxy) = spawn(&HASTY).await;
    let tokens = app.logs_in(ADA).await;
    proxy.plan(Kind::Refresh, Fate::LoseAnswer);
    proxy.plan(Kind::Refresh, Fate::HoldRequest);
    let request = app.visitor().request("refresh", &json!({ "refresh_token": tokens.refresh }));
    assert_unavailable(&app.send(&request).await);
    let first = Tokens::of(&app.served_again(&request).await);
    let second = Tokens::of(&app.refreshes(&first.refresh).await);
    proxy.heal();
    proxy.met(2).await;
    assert_eq!(app.database.count("SELECT count(*) FROM sessions").await, 1, "nobody stole anything");
    assert_work(&app, &second).await;
    assert_eq!(app.outcomes("refresh", "theft").await, 0);
    finish(app, proxy).await;
}

/// K4: a theft is counted where the session ended, also when the caller has gone before the answer came.
#[tokio::test]
async fn a_theft_that_nobody_waits_for_is_counted() {
    let (app, proxy) = spawn(&HASTY).await;
    let tokens = app.logs_in(ADA).await;
    let first = Tokens::of(&app.refreshes(&tokens.refresh).await);
    Tokens::of(&app.refreshes(&first.refresh).await);
    proxy.plan(Kind::Refresh, Fate::HoldAnswer);
    assert_unavailable(&app.refreshes(&tokens.refresh).await);
    proxy.heal();
    proxy.met(1).await;
    assert_eq!(app.database.count("SELECT count(*) FROM sessions").await, 0);
    while app.outcomes("refresh", "theft").await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    finish(app, proxy).await;
}

/// F: a logout whose answer is lost has ended the session; nobody else's.
#[tokio::test]
async fn a_logout_with_a_lost_answer_ends_the_session() {
    for (verb, kind) in [("logout", Kind::Logout), ("logout-all", Kind::LogoutAll)] {
        for fate in [Fate::LoseAnswer, Fate::HoldAnswer, Fate::LoseRequest] {
            let (app, proxy) = spawn(&BRISK).await;
            let (ada, grace) = (app.logs_in(ADA).await, app.logs_in(GRACE).await);
            proxy.plan(kind, fate);
            let request = app.visitor().request(verb, &json!({ "refresh_token": ada.refresh }));
            assert_eq!(app.send(&request).await.status, 204, "{verb} {fate:?}");
            assert_eq!(app.refreshes(&ada.refresh).await.status, 401);
            assert_work(&app, &grace).await;
            finish(app, proxy).await;
        }
    }
}

/// A14: a guess that never reached PostgreSQL was none, and the caller may make it again.
#[tokio::test]
async fn a_guess_that_never_arrives_costs_nothing() {
    let (app, proxy) = spawn(&HASTY).await;
    let code = mailed_code(&app).await;
    for typed in [&code, &another_code(&code)] {
        proxy.plan(Kind::Verify, Fate::LoseRequest);
        assert_unavailable(&app.types_code(ADA, typed).await);
        assert_eq!(traces(&app).await, UNTOUCHED);
    }
    app.visitor().logs_in_with(ADA, &code).await;
    finish(app, proxy).await;
}

/// G13: no byte passes, for longer than anybody waits: 503 in time, and all is well once bytes pass again. What got stuck
/// may still be written then, once.
#[tokio::test]
async fn a_frozen_connection_is_given_up() {
    let deadline = Duration::from_millis(1_500);
    let settings = [
        ("http.request_deadline", "1500ms"),
        ("database.statement_timeout", "300ms"),
        ("database.wait_timeout", "300ms"),
        ("database.create_timeout", "500ms"),
    ];
    let (app, proxy) = spawn(&settings).await;
    let (ada, grace) = (app.logs_in(ADA).await, app.logs_in(GRACE).await);
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let visitor = app.visitor();
    let token = |tokens: &Tokens| json!({ "refresh_token": tokens.refresh });
    let requests = [
        visitor.login_request("user@example.com"),
        visitor.code_request("token", ADA, &code),
        visitor.request("refresh", &token(&ada)),
        visitor.request("logout", &token(&grace)),
    ];
    proxy.freeze();
    for round in 0..2 {
        let started = Instant::now();
        for answer in app.send_at_once(&requests).await {
            assert_unavailable(&answer);
        }
        // a busy machine is slow, not wrong
        assert!(started.elapsed() < deadline + Duration::from_secs(1), "{round}: {:?}", started.elapsed());
    }
    proxy.heal();
    assert_eq!(app.served_again(&requests[0]).await.status, 200);
    Tokens::of(&app.served_again(&requests[2]).await);
    assert_eq!(app.served_again(&requests[3]).await.status, 204);
    assert_eq!(app.refreshes(&grace.refresh).await.status, 401);
    // Ada's and Grace's first codes were taken, Ada's was replaced and Grace's session ended: Ada's old session is beside
    // Grace's code, and a new one beside Ada's new code, if that guess was written after all
    let whole =
        "SELECT (SELECT count(*) FROM challenges WHERE expires_us = 0) - (SELECT count(*) FROM sessions)";
    assert_eq!(app.database.count(whole).await, 0);
    finish(app, proxy).await;
}
