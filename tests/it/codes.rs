//! The life of a code.

use crate::support::client::Request;
use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE};
use crate::support::{TestApp, another_code};
use doorcode::config::Config;
use doorcode_actors::directory::ImportRow;
use futures_util::StreamExt;
use std::collections::HashSet;
use std::time::Duration;

const LESS_THAN_A_MILLISECOND: Duration = Duration::from_micros(999);

/// A1: six digits, leading zeros kept.
#[tokio::test]
async fn a1_a_thousand_codes_have_six_digits() {
    let app = TestApp::spawn().await;
    let emails: Vec<String> = (0..1_000).map(|number| format!("customer{number}@example.com")).collect();
    let rows = (1..).zip(&emails);
    let rows = rows.map(|(line, email)| Ok(ImportRow { line, email: email.clone(), ..ImportRow::default() }));
    app.directory.import_customers(ACME, rows).await.unwrap();
    let visitor = app.visitor();
    let codes = futures_util::stream::iter(&emails).map(async |email| {
        visitor.asks_for_code(email).await;
        app.mailed_code(email).await
    });
    let codes: Vec<String> = codes.buffer_unordered(16).collect().await;
    assert!(codes.iter().all(|code| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())));
    assert!(codes.iter().any(|code| code.starts_with('0')), "none of 1,000 begins with 0: 1 in 10^45");
    let different = codes.iter().collect::<HashSet<_>>().len();
    assert!(different > 980, "only {different} different ones");
    app.finish().await;
}

/// A3: a code lives for 600 s, not a microsecond longer.
#[tokio::test]
async fn a3_a_code_dies_at_600_seconds() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    app.asks_for_code(GRACE).await;
    let (ada, grace) = (app.mailed_code(ADA).await, app.mailed_code(GRACE).await);
    app.pass(Duration::from_millis(599_999) + LESS_THAN_A_MILLISECOND);
    assert_eq!(app.types_code(ADA, &ada).await.status, 200);
    app.pass(Duration::from_micros(1));
    assert_eq!(app.types_code(GRACE, &grace).await.status, 401);
    assert_eq!(app.missed_guesses().await, 0, "an expired code is no guess");
    app.finish().await;
}

/// A3: a clock that is put back gives no code a longer life: it is dead when its time comes again, too, and nobody waits
/// for the next one.
#[tokio::test]
async fn a3_a_clock_that_is_put_back_lengthens_no_code() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    app.asks_for_code(GRACE).await;
    let (ada, grace) = (app.mailed_code(ADA).await, app.mailed_code(GRACE).await);
    app.put_back_s(3_600);
    assert_eq!(app.types_code(ADA, &ada).await.status, 401);
    app.pass_s(3_600);
    assert_eq!(app.types_code(ADA, &ada).await.status, 401, "its time comes again");
    app.put_back_s(3_600);
    app.asks_for_code(GRACE).await;
    let next = app.mailed_code(GRACE).await;
    assert_ne!(grace, next);
    assert_eq!(app.types_code(GRACE, &grace).await.status, 401);
    assert_eq!(app.missed_guesses().await, 1, "only the last one was compared with a live code");
    assert_eq!(app.types_code(GRACE, &next).await.status, 200);
    app.finish().await;
}

/// A3: nobody can configure a longer life.
#[test]
fn a3_no_configuration_lets_a_code_live_longer() {
    let load = |life: &str| Config::load(None, [("DOORCODE__CODES__LIFE".to_owned(), life.to_owned())]);
    assert!(load("600s").is_ok());
    let refused = load("601s").unwrap_err().to_string();
    assert!(refused.contains("codes.life"), "{refused}");
}

/// A4: 200 right guesses at once, at both endpoints of two replicas: one session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a4_a_code_is_used_once_however_many_use_it_at_once() {
    let app = TestApp::spawn().await;
    let replica = app.replica().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let visitor = app.visitor();
    let verbs = ["verify", "verify", "token", "token"].into_iter().cycle().take(200);
    let requests: Vec<Request> = verbs.map(|verb| visitor.code_request(verb, ADA, &code)).collect();
    let answers = app.send_at_once_to(&[app.public(), replica.public()], &requests).await;
    // A long queue at one address is cut short by 503.
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(401) + count(503)), (1, 199));
    assert!(count(401) > 1, "all others were refused");
    assert_eq!(app.database.count("SELECT count(*) FROM sessions").await, 1);
    assert_eq!(app.types_code(ADA, &code).await.status, 401);
    replica.end().await;
    app.finish().await;
}

/// A5: of 500 wrong guesses at once, five are looked at; then the right code is worth nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_five_guesses_however_many_come_at_once() {
    let app = TestApp::spawn().await;
    let replica = app.replica().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let guesses: Vec<Request> = (1..=500)
        .map(|add| (code.parse::<u32>().unwrap() + add) % 1_000_000)
        .map(|guess| app.visitor().code_request("token", ADA, &format!("{guess:06}")))
        .collect();
    // In three waves: that many connections at a time is what every system allows.
    for wave in guesses.chunks(200) {
        let answers = app.send_at_once_to(&[app.public(), replica.public()], wave).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 503)));
    }
    assert_eq!(app.database.count("SELECT s_guesses::bigint FROM challenges").await, 0);
    let fourteen_days = 14 * 86_400_000_000;
    let charged = app.database.count("SELECT s_digit_tat FROM challenges").await - app.now_us();
    assert_eq!(charged / fourteen_days, 5, "guesses charged to the address");
    assert_eq!(app.types_code(ADA, &code).await.status, 401);
    replica.end().await;
    app.finish().await;
}

/// A6: asking again gives no guess back, neither of the code's five nor of the address's budget.
#[tokio::test]
async fn a6_asking_again_refills_nothing() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    guess_wrong(&app, &code, 3).await;
    app.pass_s(60);
    app.asks_for_code(ADA).await;
    assert_eq!(app.mailed_code(ADA).await, code);
    guess_wrong(&app, &code, 2).await;
    assert_eq!(app.types_code(ADA, &code).await.status, 401);
    assert_eq!(app.missed_guesses().await, 5);
    app.finish().await;
}

async fn guess_wrong(app: &TestApp, code: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(app.types_code(ADA, &another_code(code)).await.status, 401);
    }
}

/// A8: asking again mails the same code as long as it has 120 s to live, and lengthens nothing.
#[tokio::test]
async fn a8_asking_again_mails_the_same_code() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    guess_wrong(&app, &code, 2).await;
    let row = "SELECT (challenge_id, expires_us, s_guesses)::text FROM challenges";
    let before: String = app.database.client().query_one(row, &[]).await.unwrap().get(0);
    app.pass_s(480);
    app.asks_for_code(ADA).await;
    assert_eq!(app.mailed_code(ADA).await, code);
    let after: String = app.database.client().query_one(row, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    app.pass_s(120);
    assert_eq!(app.types_code(ADA, &code).await.status, 401, "its life was lengthened");
    app.finish().await;
}

/// A8: with less than 120 s to live a code is replaced, and is dead from then on.
#[tokio::test]
async fn a8_a_code_near_its_end_is_replaced() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let old = app.mailed_code(ADA).await;
    app.pass(Duration::from_secs(480) + Duration::from_micros(1));
    app.asks_for_code(ADA).await;
    let new = app.mailed_code(ADA).await;
    assert_ne!(old, new, "or a chance of 1 in 1,000,000");
    assert_eq!(app.types_code(ADA, &old).await.status, 401);
    assert_eq!(app.types_code(ADA, &new).await.status, 200);
    app.finish().await;
}

/// A8: a burned code never comes back, and nobody waits for the next one.
#[tokio::test]
async fn a8_after_a_burned_code_comes_a_new_one_at_once() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let burned = app.mailed_code(ADA).await;
    guess_wrong(&app, &burned, 5).await;
    app.asks_for_code(ADA).await;
    let next = app.mailed_code(ADA).await;
    assert_ne!(burned, next);
    assert_eq!(app.types_code(ADA, &burned).await.status, 401);
    assert_eq!(app.types_code(ADA, &next).await.status, 200);
    app.finish().await;
}

/// A8: a used code never comes back either; nobody waits, in the network of the success or elsewhere.
#[tokio::test]
async fn a8_after_a_used_code_comes_a_new_one_at_once() {
    let app = TestApp::spawn().await;
    let home = app.from("203.0.113.1");
    home.asks_for_code(ADA).await;
    let used = app.mailed_code(ADA).await;
    home.logs_in_with(ADA, &used).await;
    for place in [app.from("198.51.100.1"), home] {
        place.asks_for_code(ADA).await;
        let next = app.mailed_code(ADA).await;
        assert_ne!(used, next);
        place.logs_in_with(ADA, &next).await;
    }
    app.finish().await;
}

/// A8: one mail in 60 s, however often somebody clicks.
#[tokio::test]
async fn a8_impatience_is_not_mailed() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    app.mailed_code(ADA).await;
    app.asks_for_code(ADA).await;
    app.pass(Duration::from_millis(59_999) + LESS_THAN_A_MILLISECOND);
    app.asks_for_code(ADA).await;
    app.no_further_mail(ADA).await;
    app.pass(Duration::from_micros(1));
    app.asks_for_code(ADA).await;
    app.mailed_code(ADA).await;
    app.no_further_mail(ADA).await;
    app.finish().await;
}

/// A9: a code is for one address at one tenant; trying it elsewhere costs its owner nothing. Capitals do not matter.
#[tokio::test]
async fn a9_a_code_is_for_one_address_at_one_tenant() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    app.asks_for_code(GRACE).await;
    app.at(GLOBEX).asks_for_code(ADA).await;
    for _ in 0..6 {
        assert_eq!(app.at(GLOBEX).types_code(ADA, &code).await.status, 401);
        assert_eq!(app.types_code(GRACE, &code).await.status, 401);
    }
    let untouched = "SELECT count(*) FROM challenges WHERE s_guesses = 5";
    assert_eq!(app.database.count(untouched).await, 1);
    assert_eq!(app.types_code("ADA@Example.com", &code).await.status, 200);
    app.finish().await;
}

/// A13: only ASCII digits are digits, and the letters that base32 reads as digits are not among them.
#[tokio::test]
async fn a13_nothing_but_the_six_digits_matches() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let code = code_with_a_zero_or_one(&app).await;
    let mapped = |zero: u32| -> String {
        code.chars().map(|digit| char::from_u32(zero + digit.to_digit(10).unwrap()).unwrap()).collect()
    };
    let typed = [
        mapped(0xff10),
        mapped(0x0660),
        mapped(0x06f0),
        mapped(0x0966),
        mapped(0x1d7ce),
        code.replace('0', "O").replace('1', "I"),
        code.replace('0', "o").replace('1', "l"),
        format!("+{}", &code[1..]),
        format!(" {}", &code[1..]),
        format!("{}\u{0}", &code[..5]),
        format!("{}\u{301}", &code[..5]),
    ];
    let wrong = app.types_code(ADA, &another_code(&code)).await;
    for (number, typed) in (0..).zip(typed) {
        let answer = app.types_code(ADA, &typed).await;
        assert_eq!(answer.told(), wrong.told(), "{typed:?}");
        if number % 3 == 2 {
            // There are more spellings than guesses: give some back by hand, so that each is compared.
            app.database.client().execute("UPDATE challenges SET s_guesses = 5", &[]).await.unwrap();
        }
    }
    assert_eq!(app.types_code(ADA, &code).await.status, 200);
    app.finish().await;
}

async fn code_with_a_zero_or_one(app: &TestApp) -> String {
    loop {
        app.asks_for_code(ADA).await;
        let code = app.mailed_code(ADA).await;
        if code.contains(['0', '1']) {
            return code;
        }
        app.pass_s(600);
    }
}

/// A15: neither a restart nor a crash gives guesses back or revives a code.
#[tokio::test]
async fn a15_a_restart_refills_nothing() {
    let mut app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    guess_wrong(&app, &code, 4).await;
    app.restart().await;
    guess_wrong(&app, &code, 2).await;
    assert_eq!(app.missed_guesses().await, 1, "since the restart");
    assert_eq!(app.types_code(ADA, &code).await.status, 401);
    app.restart().await;
    assert_eq!(app.types_code(ADA, &code).await.status, 401);
    assert_eq!(app.database.count("SELECT s_guesses::bigint FROM challenges").await, 0);
    app.finish().await;
}

/// A15: the same when the tenant's issuer crashes, or a ledger.
#[tokio::test]
async fn a15_a_crash_refills_nothing() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    guess_wrong(&app, &code, 4).await;
    for actor in ["issuer", "ledger.verify"] {
        app.crash(actor, "panic").await;
        app.served_again(&app.visitor().code_request("token", ADA, &another_code(&code))).await;
    }
    assert_eq!(app.missed_guesses().await, 5);
    assert_eq!(app.types_code(ADA, &code).await.status, 401);
    app.finish_after_crashes().await;
}

/// B4: both endpoints take their guesses from one budget.
#[tokio::test]
async fn b4_verify_and_token_share_their_guesses() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    for verb in ["verify", "token"].into_iter().cycle().take(8) {
        let guess = app.visitor().code_request(verb, ADA, &another_code(&code));
        assert_eq!(app.send(&guess).await.status, 401);
    }
    assert_eq!(app.missed_guesses().await, 5);
    app.finish().await;
}
