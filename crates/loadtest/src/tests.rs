use std::net::SocketAddr;

use stub::{Fault, Limit, Stub};

use super::*;

mod stub;

/// Its interval is longer than any stall of a busy machine, and the run ends well between two places coming free.
const CLIENT: Limit = Limit(20, Duration::from_millis(250));
const MAIL: Limit = Limit(3, Duration::from_secs(3_600));

pub(crate) fn profile() -> Profile {
    Profile {
        paths: Paths {
            login: "/v1/customer-auth/login",
            verify: "/v1/customer-auth/verify",
            refresh: "/v1/customer-auth/refresh",
            logout: "/v1/customer-auth/logout",
            mailbox: "/dev/mailbox.json?to=",
        },
        hints: Hints {
            unreachable: "start the stub",
            no_mail: "use another --email-start",
            statuses: &[(404, "no mailbox: start the stub with one")],
        },
    }
}

fn options(scenario: ScenarioName, address: SocketAddr) -> Options {
    Options {
        profile: profile(),
        scenario,
        target: Target { authority: address.to_string(), address },
        connections: 4,
        pace: Pace { warm_up: Duration::ZERO, duration: Duration::from_millis(600), steps: None },
        time_limit: Duration::from_secs(2),
        tenant: "demo".to_owned(),
        addresses: Addresses::new("user{}@example.com", 0, 40).unwrap(),
        codes: CodesFrom::Mailbox,
        mail_wait: Duration::from_millis(200),
        limits: LimitOptions {
            client: Policy::new(CLIENT.0, CLIENT.1),
            mail: Policy::new(MAIL.0, MAIL.1)
                .map(|policy| MailLimit { policy, cool_down: Duration::from_secs(60) }),
        },
        pids: Vec::new(),
    }
}

async fn report(options: &Options) -> Report {
    run_async(options, &mut Progress::silent()).await.unwrap()
}

fn call<'a>(report: &'a Report, name: &str) -> &'a CallReport {
    report.calls.iter().find(|call| call.call == name).unwrap()
}

fn assert_balanced(report: &Report) {
    for call in report.calls.iter().chain(&report.before) {
        assert_eq!(call.sent, call.answered + call.failed.values().sum::<u64>(), "{call:?}");
        assert_eq!(call.open, 0);
    }
}

#[tokio::test]
async fn logins_are_counted_to_the_last() {
    let address = Stub::start(Fault::None, None, None).await;
    let mut options = options(ScenarioName::Login, address);
    options.pace.duration = Duration::from_secs(30);
    options.pace.steps = Some(1_000);
    let report = report(&options).await;
    assert!(report.ok, "{report:?}");
    assert_eq!((call(&report, "login").sent, call(&report, "login").answered), (1_000, 1_000));
    let ms = call(&report, "login").latency_ms;
    assert!(ms.p50 > 0.0 && ms.p50 <= ms.p99 && ms.p99 <= ms.max);
    assert_balanced(&report);
}

#[tokio::test]
async fn warm_up_is_kept_apart() {
    let address = Stub::start(Fault::None, None, None).await;
    let mut options = options(ScenarioName::Login, address);
    options.pace =
        Pace { warm_up: Duration::from_millis(200), duration: Duration::from_secs(30), steps: Some(10) };
    let report = report(&options).await;
    assert_eq!(call(&report, "login").sent, 10);
    assert!(report.before[0].sent > 0);
}

#[tokio::test]
async fn broken_connections_are_booked_and_the_run_goes_on() {
    let address = Stub::start(Fault::Hangup(10), None, None).await;
    let mut options = options(ScenarioName::Login, address);
    options.pace.steps = Some(500);
    options.pace.duration = Duration::from_secs(30);
    let report = report(&options).await;
    assert!(!report.ok);
    assert_eq!(call(&report, "login").failed, [("closed".to_owned(), 50)].into());
    assert_balanced(&report);
}

#[tokio::test]
async fn a_journey_goes_from_code_to_logout() {
    let address = Stub::start(Fault::None, None, None).await;
    let mut options = options(ScenarioName::Journey, address);
    options.pace.steps = Some(100);
    options.pace.duration = Duration::from_secs(30);
    let report = report(&options).await;
    assert!(report.ok, "{report:?}");
    for name in ["login", "mail", "verify", "refresh", "logout", "refresh_after_logout"] {
        assert_eq!(call(&report, name).answered, 100, "{name}");
    }
    assert_balanced(&report);
}

#[tokio::test]
async fn a_journey_sees_a_broken_promise() {
    for (fault, name, kind) in [
        (Fault::LoginTalks, "login", "body"),
        (Fault::SameRefreshToken, "refresh", "body"),
        (Fault::LogoutForgotten, "refresh_after_logout", "status_200"),
    ] {
        let address = Stub::start(fault, None, None).await;
        let mut options = options(ScenarioName::Journey, address);
        options.pace.steps = Some(8);
        let report = report(&options).await;
        let failed: Vec<&CallReport> = report.calls.iter().filter(|call| !call.is_clean()).collect();
        assert!(!report.ok && failed.len() == 1, "{fault:?}: {failed:?}");
        assert_eq!((failed[0].call, &failed[0].failed), (name, &[(kind.to_owned(), 8)].into()), "{fault:?}");
        let text = text(&report);
        assert!(!text.contains("dcr_"), "a token was shown: {text}");
    }
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_read_ends_the_run_with_the_reason() {
    let address = Stub::start(Fault::NoMailbox, None, None).await;
    let error =
        run_async(&options(ScenarioName::Journey, address), &mut Progress::silent()).await.unwrap_err();
    assert!(error.to_string().contains("status_404") && error.to_string().contains("the stub"), "{error}");

    let found = report(&options(ScenarioName::Limits, address)).await;
    assert!(!found.ok && found.limits[1].complaints[0].contains("status_404"), "{found:?}");
}

#[tokio::test]
async fn a_mail_that_never_comes_fails_the_journey() {
    let address = Stub::start(Fault::None, None, Some(Limit(1, Duration::from_secs(3_600)))).await;
    let mut options = options(ScenarioName::Journey, address);
    options.mail_wait = Duration::from_millis(20);
    options.addresses = Addresses::new("user{}@example.com", 0, 4).unwrap();
    options.pace.steps = Some(8);
    options.pace.duration = Duration::from_secs(30);
    let report = report(&options).await;
    assert_eq!(call(&report, "mail").failed, [("no_mail".to_owned(), 4)].into());
    assert!(report.notes.iter().any(|note| note.contains("--email-start")));
}

#[tokio::test]
async fn verify_spends_each_prepared_code_once() {
    let address = Stub::start(Fault::None, None, None).await;
    let mut options = options(ScenarioName::Verify, address);
    options.pace.duration = Duration::from_secs(30);
    let report = report(&options).await;
    assert!(report.ok, "{report:?}");
    assert_eq!(call(&report, "verify").answered, 40);
    assert_eq!(report.calls.len(), 1, "preparation is not measured: {report:?}");
    assert!(report.notes.iter().any(|note| note.contains("4 connections ran out of work")));
}

#[tokio::test]
async fn refresh_follows_the_chain() {
    let address = Stub::start(Fault::None, None, None).await;
    let mut options = options(ScenarioName::Refresh, address);
    options.pace.steps = Some(200);
    options.pace.duration = Duration::from_secs(30);
    let report = report(&options).await;
    assert!(report.ok, "{report:?}");
    assert_eq!(call(&report, "refresh").answered, 200);
}

#[tokio::test]
async fn exact_limits_pass() {
    let address = Stub::start(Fault::None, Some(CLIENT), Some(MAIL)).await;
    let report = report(&options(ScenarioName::Limits, address)).await;
    assert!(report.ok, "{report:?}");
    let [client, mail] = &report.limits[..] else { panic!("two limits: {report:?}") };
    assert!(client.admitted > 20 && client.refused > 0 && client.most - client.least <= 1, "{client:?}");
    assert_eq!((mail.admitted, mail.least, mail.most), (3, 3, 3));
    assert_balanced(&report);
}

#[tokio::test]
async fn every_breach_of_a_limit_is_found() {
    let breaches = [
        (Fault::ClientOneTooMany, 0, "too many"),
        (Fault::ClientOneTooFew, 0, "too few"),
        (Fault::MailOneTooMany, 1, "too many"),
        (Fault::MailOneTooFew, 1, "too few"),
        (Fault::NoCoolDown, 1, "the number is right, but"),
    ];
    futures_util::future::join_all(breaches.map(|(fault, limit, verdict)| async move {
        let address = Stub::start(fault, Some(CLIENT), Some(MAIL)).await;
        let report = report(&options(ScenarioName::Limits, address)).await;
        assert!(!report.ok, "{fault:?}");
        assert!(!report.limits[limit].ok && report.limits[1 - limit].ok, "{fault:?}: {report:?}");
        assert!(report.limits[limit].verdict.starts_with(verdict), "{fault:?}: {report:?}");
    }))
    .await;
}

#[tokio::test]
async fn a_limit_answers_as_it_must() {
    let address = Stub::start(Fault::RetryAfterZero, Some(CLIENT), Some(MAIL)).await;
    let found = report(&options(ScenarioName::Limits, address)).await;
    assert!(!found.ok && call(&found, "login").failed.contains_key("body"), "{found:?}");

    let address = Stub::start(Fault::LimitVisible, Some(CLIENT), Some(MAIL)).await;
    let found = report(&options(ScenarioName::Limits, address)).await;
    assert!(!found.ok && call(&found, "login").failed.contains_key("status_429"), "{found:?}");
}

#[tokio::test]
async fn a_limit_that_is_off_is_found() {
    let address = Stub::start(Fault::None, None, None).await;
    let mut options = options(ScenarioName::Limits, address);
    options.pace.steps = Some(2_000);
    let report = report(&options).await;
    assert!(!report.ok && report.limits.iter().all(|limit| !limit.ok), "{report:?}");
}

#[tokio::test]
async fn nobody_listening_is_said_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = run_async(&options(ScenarioName::Login, address), &mut Progress::silent()).await.unwrap_err();
    assert!(error.to_string().contains("the stub"), "{error}");
}

#[test]
fn runs_on_a_thread_of_its_own_and_reports_both_ways() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = runtime.block_on(Stub::start(Fault::None, None, None));
    let mut options = options(ScenarioName::Login, address);
    options.pids = vec![std::process::id()];
    let report = run(options, Progress::silent()).unwrap();
    let mut json = Vec::new();
    report.write_json(&mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["calls"][0]["call"], "login");
    for name in ["p50", "p90", "p99", "p99_9", "max"] {
        assert!(json["calls"][0]["latency_ms"][name].is_f64(), "{name}");
    }
    assert_eq!(json["processes"][0]["name"], "driver");
    let text = text(&report);
    assert!(text.starts_with("login on http://127.0.0.1:") && text.ends_with("ok\n"), "{text}");
}

fn text(report: &Report) -> String {
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}
