//! How often: guesses and mails per address and lane, calls per network.

use crate::support::postgres::{ACME, ADA, GRACE, MALLORY};
use crate::support::{TestApp, Visitor, another_code};
use doorcode_actors::directory::{StepUp, TenantChange};
use futures_util::StreamExt;

const DAY: u64 = 86_400;

/// `burst` at once, then one per period: what the service must count to.
struct Model {
    burst: i64,
    period_us: i64,
    tat: i64,
}

impl Model {
    fn new(burst: i64, period_s: i64) -> Self {
        Self { burst, period_us: period_s * 1_000_000, tat: 0 }
    }

    fn admits(&mut self, now_us: i64) -> bool {
        let admits = self.tat <= now_us + (self.burst - 1) * self.period_us;
        if admits {
            self.tat = self.tat.max(now_us) + self.period_us;
        }
        admits
    }
}

async fn takes_digits_only(app: &TestApp) {
    let change = TenantChange { step_up: Some(StepUp::Digits), ..TenantChange::default() };
    app.directory.change_tenant(ACME, &change).await.unwrap();
}

/// Asks for a code and burns it with five wrong guesses.
async fn burns_a_code(app: &TestApp, visitor: &Visitor<'_>, email: &str) -> String {
    visitor.asks_for_code(email).await;
    let code = app.mailed_code(email).await;
    for _ in 0..5 {
        assert_eq!(visitor.types_code(email, &another_code(&code)).await.status, 401);
    }
    code
}

/// In turn: one network alone gets a part of what strangers have.
fn two_networks(number: usize) -> &'static str {
    ["198.51.100.1", "203.0.113.1"][number % 2]
}

/// A6, A7: 20 wrong guesses at digits, over however many codes; then the codes are base32, and everybody who reads the
/// mail still gets in, in whatever case they type it and with O for 0.
#[tokio::test]
async fn a7_after_20_wrong_guesses_codes_are_base32() {
    let app = TestApp::spawn().await;
    let visitor = app.visitor();
    for number in 0..4 {
        let code = burns_a_code(&app, &app.from(two_networks(number)), ADA).await;
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()));
    }
    assert_eq!(app.missed_guesses().await, 20);
    visitor.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let alphabet = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    assert!(code.len() == 6 && code.bytes().all(|byte| alphabet.contains(&byte)), "{code}");
    assert_eq!(visitor.types_code(ADA, "ZZZZZZ").await.status, 401);
    let typed = code.to_lowercase().replace('0', "o").replace('1', "l");
    assert_eq!(visitor.types_code(ADA, &typed).await.status, 200);
    app.finish().await;
}

/// A7: in a simulated year with two guesses in every week the service evaluates what the model admits, to the guess; and
/// never more than 46.
#[tokio::test]
async fn a7_a_year_of_wrong_guesses() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    takes_digits_only(&app).await;
    let mut model = Model::new(20, 14 * 86_400);
    let mut admitted = 0;
    let mut week = 0;
    while week < 52 {
        app.asks_for_code(ADA).await;
        let code = app.mailed_code(ADA).await;
        // The first week tries everything at once.
        let guesses = if week == 0 { 25 } else { 2 };
        for guess in 0..guesses {
            if app.database.count("SELECT s_guesses::bigint FROM challenges").await == 0 {
                app.asks_for_code(ADA).await;
                app.mailed_code(ADA).await;
            }
            admitted += u64::from(model.admits(app.now_us()));
            let guesser = app.from(two_networks(guess));
            assert_eq!(guesser.types_code(ADA, &another_code(&code)).await.status, 401);
        }
        assert_eq!(app.missed_guesses().await, admitted, "in week {week}");
        app.pass_s(7 * DAY);
        week += 1;
    }
    assert!((20..=46).contains(&admitted), "{admitted}");
    app.finish().await;
}

/// A7: with its budget spent, a portal that takes digits only accepts no code at all, the right one neither.
#[tokio::test]
async fn a7_a_spent_budget_evaluates_nothing() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    takes_digits_only(&app).await;
    for number in 0..4 {
        burns_a_code(&app, &app.from(two_networks(number)), ADA).await;
    }
    assert_eq!(app.missed_guesses().await, 20);
    app.asks_for_code(ADA).await;
    let right = app.mailed_code(ADA).await;
    assert!(right.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(app.types_code(ADA, &right).await.status, 401);
    app.pass_s(14 * DAY);
    app.asks_for_code(ADA).await;
    let right = app.mailed_code(ADA).await;
    assert_eq!(app.types_code(ADA, &right).await.status, 200);
    app.finish().await;
}

/// B13: a success gives no guess back.
#[tokio::test]
async fn b13_a_success_refills_nothing() {
    let app = TestApp::spawn().await;
    let (stranger, owner) = (app.from("198.51.100.1"), app.from("203.0.113.1"));
    burns_a_code(&app, &stranger, ADA).await;
    let spent = "SELECT s_digit_tat FROM challenges";
    let before = app.database.count(spent).await;
    owner.logs_in(ADA).await;
    assert_eq!(app.database.count(spent).await, before);
    app.finish().await;
}

/// B2, L4: five mails at once, then one per 4.8 hours; never more than 10 in any 24 hours.
#[tokio::test]
async fn l4_a_flood_of_requests_is_ten_mails_a_day() {
    let app = TestApp::spawn().await;
    let mut model = Model::new(5, 17_280);
    let mut mailed = Vec::new();
    // Sixteen minutes: 18 of them are 4.8 hours.
    for number in 0..3 * 90 {
        app.from(two_networks(number)).asks_for_code(ADA).await;
        if model.admits(app.now_us()) {
            mailed.push(app.now_us());
            app.mailed_code(ADA).await;
        }
        app.no_further_mail(ADA).await;
        app.pass_s(16 * 60);
    }
    let day = i64::try_from(DAY * 1_000_000).unwrap();
    let in_a_day = |start: &i64| mailed.iter().filter(|at| (*start..=start + day).contains(at)).count();
    assert_eq!(mailed.iter().map(in_a_day).max(), Some(10));
    app.finish().await;
}

/// L2: guesses at an address without a live code cost it nothing.
#[tokio::test]
async fn l2_guesses_without_a_code_cost_nothing() {
    let app = TestApp::spawn().await;
    // One address never asked, the other's code has expired.
    app.asks_for_code(GRACE).await;
    app.mailed_code(GRACE).await;
    app.pass_s(600);
    let visitor = app.visitor();
    let guesses = futures_util::stream::iter(0..1_000).map(async |number: usize| {
        let email = [ADA, GRACE][number % 2];
        visitor.types_code(email, &format!("{number:06}")).await.status
    });
    let statuses: Vec<u16> = guesses.buffer_unordered(8).collect().await;
    assert!(statuses.iter().all(|&status| status == 401));
    assert_eq!(app.missed_guesses().await, 0);
    assert_eq!(app.database.count("SELECT sum(s_digit_tat)::bigint FROM challenges").await, 0);
    app.logs_in(ADA).await;
    app.logs_in(GRACE).await;
    app.finish().await;
}

/// L1, L3: strangers who call and guess all day neither burn nor silence what the owner does from a known network.
#[tokio::test]
async fn l1_strangers_cannot_lock_out_a_known_client() {
    let app = TestApp::spawn().await;
    let home = app.from("203.0.113.1");
    home.logs_in(ADA).await;
    // The owner was a stranger too and had one of the five mails; with four more codes burned, digits and mails of
    // strangers are spent.
    for number in 0..4 {
        burns_a_code(&app, &app.from(&format!("198.51.{number}.1")), ADA).await;
    }
    app.from("198.51.100.1").asks_for_code(ADA).await;
    app.no_further_mail(ADA).await;
    home.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "known clients keep digits");
    // Strangers cannot replace the code that the owner waits for, and their guesses are not the owner's.
    for number in 0..10 {
        let stranger = app.from(&format!("192.0.2.{number}"));
        stranger.asks_for_code(ADA).await;
        assert_eq!(stranger.types_code(ADA, &another_code(&code)).await.status, 401);
    }
    home.logs_in_with(ADA, &code).await;
    app.finish().await;
}

/// L3: a stranger who asks every 10 seconds spends the strangers' mails, and the code that was mailed still works.
#[tokio::test]
async fn l3_strangers_cannot_kill_a_code() {
    let app = TestApp::spawn().await;
    app.from("203.0.113.1").asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    for number in 0..48 {
        app.from(&format!("198.51.100.{number}")).asks_for_code(ADA).await;
        app.pass_s(10);
    }
    assert_eq!(app.mails_to(ADA).await, 5);
    app.pass_s(119);
    app.from("203.0.113.1").logs_in_with(ADA, &code).await;
    app.finish().await;
}

/// B3, J1: nobody gets more guesses by coming from many networks, or by making some up.
#[tokio::test]
async fn b3_many_networks_have_no_more_guesses() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    for number in 0..20 {
        let stranger = match number % 3 {
            0 => app.from(&format!("198.51.{number}.9")),
            1 => app.from(&format!("2001:db8:{number}::1")),
            _ => app.visitor().with("Forwarded", &format!("for=192.0.2.{number}")),
        };
        assert_eq!(stranger.types_code(ADA, &another_code(&code)).await.status, 401);
    }
    assert_eq!(app.missed_guesses().await, 5);
    app.finish().await;
}

/// B5, B6, B8: the 31st login of a network in a minute is 429 with the seconds to wait; waiting helps, one second less
/// does not, and another network is not concerned.
#[tokio::test]
async fn b5_a_network_that_asks_too_often_waits() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    let visitor = app.from("198.51.100.1");
    let login = visitor.login_request(MALLORY);
    for left in (0..30).rev() {
        let answer = app.send(&login).await;
        assert_eq!(answer.status, 200);
        let state = answer.header("ratelimit").unwrap();
        assert!(state.starts_with(&format!("\"login-minute\";r={left};")), "{state}");
    }
    let refused = app.send(&login).await;
    assert_eq!((refused.status, refused.body.as_str()), (429, r#"{"detail":"Too Many Requests"}"#));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    app.from("198.51.101.1").asks_for_code(MALLORY).await;
    assert!(wait >= 1);
    app.pass_s(wait - 1);
    assert_eq!(app.send(&login).await.status, 429);
    app.pass_s(1);
    assert_eq!(app.send(&login).await.status, 200);
    app.finish().await;
}
