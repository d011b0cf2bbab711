//! Two lanes per address: what strangers do is no concern of a browser or network that has logged in before.

use crate::support::client::{Answer, Client, Request};
use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE};
use crate::support::{TestApp, Tokens, Visitor, another_code};
use doorcode_actors::directory::{StepUp, TenantChange};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

const DAY_S: u64 = 86_400;
/// Where Ada lives.
pub(crate) const HOME: &str = "192.0.2.10";

/// A network (/24) that nobody was seen in before.
pub(crate) fn far(number: u32) -> String {
    format!("198.{}.{}.1", 18 + number / 250, number % 250 + 1)
}

/// The device cookie that a browser was given, as it sends it back.
fn device_of(answer: &Answer) -> String {
    let cookies = answer.cookies();
    let line = cookies.iter().find(|line| line.starts_with("__Host-portal_device_")).unwrap();
    line.split(';').next().unwrap().to_owned()
}

/// Logs in with a browser; what it has of it.
pub(crate) async fn device_after_login(visitor: Visitor<'_>, email: &str) -> String {
    let answer = visitor.in_browser().answer_to_login(email).await;
    Tokens::of(&answer);
    device_of(&answer)
}

pub(crate) fn is_digits(code: &str) -> bool {
    code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())
}

/// Somebody asks and fails until the newest code is burned for strangers.
async fn burn(app: &TestApp, stranger: &Visitor<'_>, email: &str) -> String {
    stranger.asks_for_code(email).await;
    let code = app.mailed_code(email).await;
    let before = app.missed_guesses().await;
    for _ in 0..5 {
        assert_eq!(stranger.types_code(email, &another_code(&code)).await.status, 401);
    }
    assert_eq!(app.missed_guesses().await, before + 5);
    assert_eq!(stranger.types_code(email, &code).await.status, 401, "burned for strangers");
    code
}

/// Every mail and digit guess of the strangers' lane, from a network each.
pub(crate) async fn exhaust_strangers(app: &TestApp, email: &str) {
    for number in 0..5 {
        burn(app, &app.from(&far(number)), email).await;
    }
    app.pass_s(61);
    for number in 5..10 {
        app.from(&far(number)).asks_for_code(email).await;
    }
    app.no_further_mail(email).await;
}

async fn known_client_gets_in(app: &TestApp, client: &Visitor<'_>) {
    client.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    assert!(is_digits(&code), "known clients keep digits");
    client.logs_in_with(ADA, &code).await;
}

/// L1, B3: with all that strangers have spent from many networks, Ada still gets her mail and logs in with digits: from
/// another network by her browser's cookie, and from her own network without it.
#[tokio::test]
async fn l1_strangers_cannot_lock_out_a_known_client() {
    let app = TestApp::spawn().await;
    let cookie = device_after_login(app.from(HOME), ADA).await;
    app.pass_s(DAY_S);
    exhaust_strangers(&app, ADA).await;
    known_client_gets_in(&app, &app.from("203.0.113.5").with_cookies(&cookie)).await;
    app.pass_s(61);
    known_client_gets_in(&app, &app.from(HOME)).await;
    // while the code that Ada waits for is alive, strangers can neither replace nor burn it
    app.pass_s(61);
    let home = app.from(HOME);
    home.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    app.pass_s(5 * 3_600);
    home.asks_for_code(ADA).await;
    let newer = app.mailed_code(ADA).await;
    assert_ne!(code, newer);
    app.pass_s(500);
    for number in 20..30 {
        let stranger = app.from(&far(number));
        stranger.asks_for_code(ADA).await;
        stranger.types_code(ADA, &another_code(&newer)).await;
    }
    app.no_further_mail(ADA).await;
    home.logs_in_with(ADA, &newer).await;
    app.finish().await;
}

/// L1, J2: a home in IPv6 is a /64, whatever address its devices have today.
#[tokio::test]
async fn l1_a_network_is_known_by_its_prefix() {
    let app = TestApp::spawn().await;
    app.from("2001:db8:0:7::1").logs_in(ADA).await;
    let code = burn(&app, &app.from("2001:db8:0:8::1"), ADA).await;
    assert_eq!(app.from("2001:db8:0:9::1").types_code(ADA, &code).await.status, 401);
    app.from("2001:db8:0:7:ffff::2").logs_in_with(ADA, &code).await;
    app.finish().await;
}

/// L3, L4: a stranger who asks every second for ten minutes gets the strangers' mails and no more, cannot kill the
/// code that was mailed, and does not keep a known client from its own mail.
#[tokio::test]
async fn l3_a_stranger_who_asks_every_second() {
    let app = TestApp::spawn().await;
    app.from(HOME).logs_in(ADA).await;
    app.pass_s(DAY_S);
    let (before, stranger) = (app.mails_to(ADA).await, app.from(&far(1)));
    for _ in 0..599 {
        stranger.asks_for_code(ADA).await;
        app.pass_s(1);
    }
    let mailed = app.mails_to(ADA).await - before;
    assert_eq!(mailed, 4, "a network's share of the strangers' burst, at least a minute apart");
    // one code until 120 s before its end: the newest
    let mut code = String::new();
    for _ in 0..mailed {
        code = app.mailed_code(ADA).await;
    }
    app.from(HOME).asks_for_code(ADA).await;
    let known = app.mailed_code(ADA).await;
    assert_ne!(code, known, "the stranger's code has a second to live: Ada gets one of her own");
    app.from(HOME).logs_in_with(ADA, &known).await;
    app.finish().await;
}

/// L3: the newest mailed code works to the last microsecond of its life, however often strangers ask meanwhile.
#[tokio::test]
async fn l3_the_newest_mailed_code_works_until_its_end() {
    let app = TestApp::spawn().await;
    app.from(&far(0)).asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    for number in 1..10 {
        app.pass_s(59);
        app.from(&far(number)).asks_for_code(ADA).await;
    }
    for _ in 1..app.mails_to(ADA).await {
        assert_eq!(app.mailed_code(ADA).await, code, "the same code, mailed again");
    }
    app.pass(std::time::Duration::from_micros(69_000_000 - 1));
    app.from(&far(77)).logs_in_with(ADA, &code).await;
    app.finish().await;
}

/// L1: a stolen device cookie gains the known clients' lane of that address and nothing more; made-up ones, those of
/// another tenant and of another address gain nothing.
#[tokio::test]
async fn a_device_cookie_is_worth_one_lane() {
    let app = TestApp::spawn().await;
    let ada = device_after_login(app.from(HOME), ADA).await;
    let grace = device_after_login(app.from("192.0.2.20"), GRACE).await;
    let foreign = device_after_login(app.from(HOME).at(GLOBEX), ADA).await;
    let code = burn(&app, &app.from(&far(1)), ADA).await;
    let (name, value) = ada.split_once('=').unwrap();
    let renamed = format!("{name}={}", foreign.split_once('=').unwrap().1);
    // all of it but a bit of its MAC
    let (start, end) = value.split_at(value.len() - 8);
    let forged = format!("{name}={start}{}{}", if end.starts_with('A') { 'B' } else { 'A' }, &end[1..]);
    for (number, cookie) in (2..).zip([&grace, &foreign, &renamed, &forged]) {
        let answer = app.from(&far(number)).with_cookies(cookie).types_code(ADA, &code).await;
        assert_eq!(answer.status, 401, "{cookie}");
    }
    // the thief has five guesses at this code and ten in all, from however many networks
    let before = app.missed_guesses().await;
    for round in 0..6 {
        for number in 0..6 {
            let thief = app.from(&far(100 + 10 * round + number)).with_cookies(&ada);
            thief.types_code(ADA, &another_code(&code)).await;
        }
        app.from(&far(200)).with_cookies(&ada).asks_for_code(ADA).await;
        app.pass_s(61);
    }
    let digits = app.database.count("SELECT count(*) FROM challenges WHERE k_digit_tat > 0").await;
    assert_eq!(digits, 1);
    let spent = "SELECT (k_digit_tat - touched_us) / 3110400000000 FROM challenges WHERE k_digit_tat > 0";
    assert_eq!(app.database.count(spent).await, 9, "ten guesses at digits, the first almost whole again");
    assert!(app.missed_guesses().await - before <= 10 + 25, "the rest were at base32");
    app.finish().await;
}

/// L1: one browser knows several addresses, for 180 days each; a network knows one for 90.
#[tokio::test]
async fn devices_and_networks_are_forgotten_in_time() {
    let app = TestApp::spawn().await;
    let first = device_after_login(app.from(HOME), ADA).await;
    let both = device_after_login(app.from(HOME).with_cookies(&first), GRACE).await;
    for (number, email) in (0..).zip([ADA, GRACE]) {
        let code = burn(&app, &app.from(&far(number)), email).await;
        app.from(&far(10 + number)).with_cookies(&both).logs_in_with(email, &code).await;
    }
    app.pass_s(91 * DAY_S);
    let code = burn(&app, &app.from(&far(20)), ADA).await;
    assert_eq!(app.from(HOME).types_code(ADA, &code).await.status, 401, "90 days");
    app.from(&far(21)).with_cookies(&both).logs_in_with(ADA, &code).await;
    app.pass_s(89 * DAY_S - 1);
    let code = burn(&app, &app.from(&far(22)), GRACE).await;
    app.from(&far(23)).with_cookies(&both).logs_in_with(GRACE, &code).await;
    app.pass_s(1);
    let code = burn(&app, &app.from(&far(24)), GRACE).await;
    let answer = app.from(&far(25)).with_cookies(&both).types_code(GRACE, &code).await;
    assert_eq!(answer.status, 401, "180 days");
    app.finish().await;
}

/// L1, E14: who ends a customer's sessions ends all devices, also where no row of the address is left.
#[tokio::test]
async fn ended_devices_are_strangers() {
    let app = TestApp::spawn().await;
    let cookie = device_after_login(app.from(HOME), ADA).await;
    app.database.client().execute("DELETE FROM challenges", &[]).await.unwrap();
    app.directory.revoke_sessions(ACME, ADA).await.unwrap();
    let code = burn(&app, &app.from(&far(1)), ADA).await;
    for client in [app.from(HOME), app.from(&far(2)).with_cookies(&cookie)] {
        assert_eq!(client.types_code(ADA, &code).await.status, 401);
    }
    app.finish().await;
}

/// A7, A13: with the strangers' digits spent, the mail has six characters of Crockford's base32, and they work in lower
/// case with the letters that look like digits.
#[tokio::test]
async fn a_spent_lane_steps_up_to_letters() {
    let app = TestApp::spawn().await;
    for number in 0..4 {
        assert!(is_digits(&burn(&app, &app.from(&far(number)), ADA).await));
    }
    let stranger = app.from(&far(5));
    // until a code has a 0 and a 1 to be mistyped; the mails' budget is one per 4.8 hours
    let mut seen = (false, false);
    for _ in 0..400 {
        app.pass_s(17_280);
        stranger.asks_for_code(ADA).await;
        let mail = app.next_mail(ADA).await;
        let code = crate::support::app::code_in(&mail);
        assert!(code.len() == 6 && code.bytes().all(|b| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&b)));
        // the HTML part shows two groups
        assert!(
            mail.text.contains(&code) && mail.html.contains(&code[..3]) && mail.html.contains(&code[3..])
        );
        let typed = code.to_lowercase().replace('0', "o").replacen('1', "l", 1).replace('1', "I");
        stranger.logs_in_with(ADA, &typed).await;
        seen = (seen.0 || code.contains('0'), seen.1 || code.contains('1'));
        if seen == (true, true) {
            break;
        }
        // from now on this network is known: the next stranger is another
        app.database
            .client()
            .execute("UPDATE challenges SET known_tags = '{}', known_days = '{}'", &[])
            .await
            .unwrap();
    }
    assert_eq!(seen, (true, true), "no code with a 0 and none with a 1");
    app.finish().await;
}

/// A portal that takes digits only never gets letters, spent or tripped.
#[tokio::test]
async fn a_portal_of_digits_never_steps_up() {
    let app = TestApp::spawn().await;
    let change = TenantChange { step_up: Some(StepUp::Digits), ..TenantChange::default() };
    app.directory.change_tenant(ACME, &change).await.unwrap();
    let insert = "INSERT INTO tenant_hours SELECT tenant_id, $1, 1000, 0 FROM tenants";
    let hour = i32::try_from(app.now_us() / 3_600_000_000).unwrap();
    app.database.client().execute(insert, &[&hour]).await.unwrap();
    for number in 0..4 {
        assert!(is_digits(&burn(&app, &app.from(&far(number)), ADA).await));
    }
    let stranger = app.from(&far(5));
    stranger.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    assert!(is_digits(&code));
    assert_eq!(stranger.types_code(ADA, &code).await.status, 401, "it waits until the budget refills");
    app.finish().await;
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn stepped_up(app: &TestApp) -> u64 {
    let tree = Client::connect(app.ops()).await.send(&Request::get("/actors")).await.json();
    tree["stepped_up"].as_u64().unwrap()
}

async fn stranger_gets_digits(app: &TestApp, number: u32) -> bool {
    app.pass_s(61);
    app.from(&far(number)).asks_for_code(GRACE).await;
    is_digits(&app.mailed_code(GRACE).await)
}

/// B3, L1: when failures of a tenant outgrow 100 + 0.3 per success in 24 hours, at whatever addresses, new codes for
/// strangers are letters and an alert tells; known clients keep digits; it ends by itself.
#[tokio::test]
async fn a_sprayed_tenant_steps_up() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut app = TestApp::spawn().await;
    // four successes: 101.2 failures are admitted
    for _ in 0..4 {
        app.from(HOME).logs_in(ADA).await;
    }
    for number in 0..101 {
        let answer =
            app.from(&far(number)).types_code(&format!("nobody{number}@example.com"), "123456").await;
        assert_eq!(answer.status, 401);
    }
    // a restart adds up what was counted, and looks at the tenant anew
    app.restart().await;
    assert!(stranger_gets_digits(&app, 200).await, "101 of 101.2");
    assert_eq!(stepped_up(&app).await, 0);
    let told =
        "SELECT coalesce(string_agg(data::text, ' '), '') FROM events WHERE type = 'guesses.stepped_up'";
    let told =
        async |app: &TestApp| app.database.client().query_one(told, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(told(&app).await, "");
    app.from(&far(102)).types_code("nobody@example.com", "123456").await;
    app.restart().await;
    assert!(!stranger_gets_digits(&app, 201).await, "102 of 101.2");
    assert_eq!(stepped_up(&app).await, 1);
    let events = log.text().lines().filter(|line| line.contains("tenant_step_up")).count();
    assert_eq!(events, 1, "{}", log.text());
    known_client_gets_in(&app, &app.from(HOME)).await;
    // the others' tenant is not concerned
    app.from(&far(202)).at(GLOBEX).asks_for_code(ADA).await;
    assert!(is_digits(&app.mailed_code(ADA).await));
    app.from(&far(204)).types_code("nobody@example.com", "123456").await;
    app.restart().await;
    app.pass_s(25 * 3_600);
    app.restart().await;
    assert_eq!(told(&app).await, r#"{"failures": 102, "successes": 4}"#, "once");
    assert!(stranger_gets_digits(&app, 203).await, "a day later");
    app.finish().await;
}
