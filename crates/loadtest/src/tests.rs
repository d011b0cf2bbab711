use super::*;
use run::run_async;
use std::net::SocketAddr;
use std::time::Duration;
use stub::{Fault, Rules, Stub};

mod limits;
mod stub;

pub(crate) fn profile() -> Profile {
    Profile {
        paths: Paths {
            login: "/v1/customer-auth/login",
            verify: "/v1/customer-auth/verify",
            token: "/v1/customer-auth/token",
            refresh: "/v1/customer-auth/refresh",
            logout: "/v1/customer-auth/logout",
            mailbox: "/dev/mailbox.json?to=",
        },
        metrics: Metrics {
            path: "/metrics",
            panels: &[Panel { title: "Answers", by: "status", reading: Reading::Rate("answers_total") }],
            answers: ("none", "status"),
        },
        hints: Hints {
            unreachable: "start the stub",
            no_mail: "use another --email-start",
            no_metrics: "the stub has some",
            statuses: &[(404, "no mailbox: start the stub with one")],
        },
    }
}

fn options(scenario: ScenarioName, address: SocketAddr) -> Options {
    let target = Target { authority: address.to_string(), address };
    Options {
        profile: profile(),
        scenario,
        targets: vec![target],
        metrics: Vec::new(),
        connections: 4,
        pace: Pace {
            load: Load::Closed,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(30),
            steps: None,
        },
        time_limit: Duration::from_secs(2),
        customers: Customers::new("demo", 1, "user{}@example.com", 0, 40).unwrap(),
        callers: CallerMode::Socket,
        clients: 0,
        codes: CodesFrom::Mailbox,
        mail_wait: Duration::from_millis(300),
        expected: Expectations::default(),
        restart: None,
        thresholds: Vec::new(),
        pids: Vec::new(),
    }
}

fn counted(scenario: ScenarioName, address: SocketAddr, steps: u64) -> Options {
    let mut options = options(scenario, address);
    options.pace.steps = Some(steps);
    options
}

fn with(fault: Fault) -> Rules {
    Rules { fault, ..Rules::default() }
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

fn text(report: &Report) -> String {
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn logins_are_counted_to_the_last() {
    let address = Stub::start(Rules::default()).await;
    let report = report(&counted(ScenarioName::Login, address, 1_000)).await;
    assert!(report.ok, "{report:?}");
    assert_eq!((call(&report, "login").sent, call(&report, "login").answered), (1_000, 1_000));
    let ms = call(&report, "login").latency_ms;
    assert!(ms.p50 > 0.0 && ms.p50 <= ms.p99 && ms.p99 <= ms.max);
    let bars = &call(&report, "login").distribution;
    assert_eq!(bars.iter().map(|(_, count)| count).sum::<u64>(), 1_000);
    assert_balanced(&report);
}

#[tokio::test]
async fn warm_up_is_kept_apart() {
    let address = Stub::start(Rules::default()).await;
    let mut options = counted(ScenarioName::Login, address, 10);
    options.pace.warm_up = Duration::from_millis(200);
    let report = report(&options).await;
    assert_eq!(call(&report, "login").sent, 10);
    assert!(report.before[0].sent > 0);
}

#[tokio::test]
async fn broken_connections_are_booked_and_the_run_goes_on() {
    let address = Stub::start(with(Fault::Hangup(10))).await;
    let report = report(&counted(ScenarioName::Login, address, 500)).await;
    assert!(!report.ok);
    assert_eq!(call(&report, "login").failed, [("closed".to_owned(), 50)].into());
    assert_balanced(&report);
}

/// The heart of an open load: the service takes 20 ms for each request and has one connection, so 100 a second cannot
/// be served; a closed load would call that a latency of 20 ms.
#[tokio::test]
async fn an_open_load_counts_the_wait_of_those_who_were_due() {
    let address = Stub::start(with(Fault::Slow(Duration::from_millis(20)))).await;
    let mut options = options(ScenarioName::Login, address);
    options.connections = 1;
    options.pace.duration = Duration::from_secs(1);
    let closed = report(&options).await;
    assert!(closed.ok && call(&closed, "login").latency_ms.p50 < 100.0, "{closed:?}");
    options.pace.load = Load::Open(100.0, Shape::Constant);
    let open = report(&options).await;
    assert!(call(&open, "login").latency_ms.p50 > 150.0, "{:?}", call(&open, "login"));
    assert!(open.unsent >= 40, "half of them found no connection: {}", open.unsent);
    assert!(!open.ok && text(&open).contains("found no free connection"));
    options.connections = 20;
    let enough = report(&options).await;
    assert!(call(&enough, "login").sent + enough.unsent >= 98, "{enough:?}");
    assert!(enough.unsent < 20, "{enough:?}");
}

#[tokio::test]
async fn a_run_is_shown_over_time_with_the_services_own_figures() {
    let address = Stub::start(Rules::default()).await;
    let mut options = options(ScenarioName::Login, address);
    options.pace.load = Load::Open(50.0, Shape::Ramp);
    options.pace.duration = Duration::from_secs(2);
    options.metrics = options.targets.clone();
    let report = report(&options).await;
    assert!(report.points.len() >= 3, "{:?}", report.points);
    assert!(
        report.points.iter().any(|point| point.calls["login"].p99_ms.is_some() && point.statuses["200"] > 0)
    );
    assert_eq!(report.notes, Vec::<String>::new());
    let mut page = Vec::new();
    report.write_html(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("passed") && page.matches("<svg").count() >= 3, "{page}");
    assert!(
        !page.contains("http-equiv") && !page.contains("<script") && !page.contains("src="),
        "self-contained"
    );
}

/// Each request takes longer than the one before, as in a service that leaks.
#[tokio::test]
async fn a_soak_sees_what_becomes_slower() {
    for (fault, ok) in [(Fault::None, true), (Fault::Slower(Duration::from_micros(200)), false)] {
        let mut options = options(ScenarioName::Login, Stub::start(with(fault)).await);
        options.pace.load = Load::Open(50.0, Shape::Soak);
        options.pace.duration = Duration::from_secs(3);
        let report = report(&options).await;
        assert!(report.verdicts.iter().any(|verdict| verdict.text.contains("first tenth")), "{report:?}");
        assert!(report.ok == ok || ok, "{:?}", report.verdicts);
    }
}

#[tokio::test]
async fn a_fleet_is_visited_in_turn_and_may_share_its_state() {
    let state = std::sync::Arc::default();
    let first = Stub::replica(Rules::default(), std::sync::Arc::clone(&state)).await;
    let second = Stub::replica(Rules::default(), state).await;
    let mut options = counted(ScenarioName::Journey, first, 20);
    options.targets.push(Target { authority: second.to_string(), address: second });
    let shared = report(&options).await;
    assert!(shared.ok, "a code of one replica opens at the other: {shared:?}");
    let alone = Stub::start(Rules::default()).await;
    options.targets[1] = Target { authority: alone.to_string(), address: alone };
    assert!(!report(&options).await.ok, "replicas that know nothing of each other are no fleet");
}

#[tokio::test]
async fn each_client_has_a_limit_of_its_own() {
    let client = Some(stub::Limit(10, Duration::from_secs(60)));
    for (mode, clients) in [(CallerMode::Socket, 4), (CallerMode::Header, 40)] {
        let address = Stub::start(Rules { client, ..Rules::default() }).await;
        let mut options = counted(ScenarioName::Login, address, 40);
        assert!(!report(&options).await.ok, "one client may ask ten times");
        (options.callers, options.clients) = (mode, clients);
        let report = report(&options).await;
        assert!(report.ok || mode == CallerMode::Socket, "{mode:?}: {report:?}");
    }
}

#[tokio::test]
async fn a_journey_goes_from_code_to_logout() {
    let address = Stub::start(Rules::default()).await;
    let report = report(&counted(ScenarioName::Journey, address, 100)).await;
    assert!(report.ok, "{report:?}");
    for name in ["login", "mail", "verify", "refresh", "logout", "refresh_after_logout"] {
        assert_eq!(call(&report, name).answered, 100, "{name}");
    }
    assert_eq!(report.mail.map(|mail| (mail.expected, mail.lost, mail.doubled)), Some((100, 0, 0)));
    assert_balanced(&report);
}

#[tokio::test]
async fn a_journey_sees_a_broken_promise() {
    for (fault, name, kind) in [
        (Fault::LoginTalks, "login", "body"),
        (Fault::SameRefreshToken, "refresh", "body"),
        (Fault::LogoutForgotten, "refresh_after_logout", "status_200"),
    ] {
        let address = Stub::start(with(fault)).await;
        let report = report(&counted(ScenarioName::Journey, address, 8)).await;
        let failed: Vec<&CallReport> = report.calls.iter().filter(|call| !call.is_clean()).collect();
        assert!(!report.ok && failed.len() == 1, "{fault:?}: {failed:?}");
        assert_eq!((failed[0].call, &failed[0].failed), (name, &[(kind.to_owned(), 8)].into()), "{fault:?}");
        let text = text(&report);
        assert!(!text.contains("dcr_"), "a token was shown: {text}");
    }
}

#[tokio::test]
async fn a_mail_that_comes_twice_is_counted() {
    let address = Stub::start(with(Fault::MailTwice)).await;
    let report = report(&counted(ScenarioName::Journey, address, 8)).await;
    assert_eq!(report.mail.map(|mail| mail.doubled), Some(8));
    assert!(!report.ok && text(&report).contains("8 mails came twice"));
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_read_ends_the_run_with_the_reason() {
    let address = Stub::start(with(Fault::NoMailbox)).await;
    let error =
        run_async(&options(ScenarioName::Journey, address), &mut Progress::silent()).await.unwrap_err();
    assert!(error.to_string().contains("status_404") && error.to_string().contains("the stub"), "{error}");
}

#[tokio::test]
async fn a_mail_that_never_comes_fails_the_journey() {
    let mail = Some(stub::Limit(1, Duration::from_secs(3_600)));
    let address = Stub::start(Rules { mail, ..Rules::default() }).await;
    // Each customer gets one mail as a stranger and one as a known client; the third login stays without.
    let mut options = counted(ScenarioName::Journey, address, 12);
    options.mail_wait = Duration::from_millis(20);
    options.customers = Customers::new("demo", 1, "user{}@example.com", 0, 4).unwrap();
    let report = report(&options).await;
    assert_eq!(call(&report, "mail").failed, [("no_mail".to_owned(), 4)].into());
    assert_eq!(report.mail.map(|mail| mail.lost), Some(4));
    assert!(report.notes.iter().any(|note| note.contains("--email-start")));
}

#[tokio::test]
async fn verify_spends_each_prepared_code_once() {
    let address = Stub::start(Rules::default()).await;
    let report = report(&options(ScenarioName::Verify, address)).await;
    assert!(report.ok, "{report:?}");
    assert_eq!(call(&report, "verify").answered, 40);
    assert_eq!(report.calls.len(), 1, "preparation is not measured: {report:?}");
    assert!(report.notes.iter().any(|note| note.contains("4 connections ran out of work")));
}

#[tokio::test]
async fn refresh_follows_the_chain() {
    let address = Stub::start(Rules::default()).await;
    let report = report(&counted(ScenarioName::Refresh, address, 200)).await;
    assert!(report.ok, "{report:?}");
    assert_eq!(call(&report, "refresh").answered, 200);
}

#[tokio::test]
async fn conditions_decide_alone_what_load_may_do() {
    let address = Stub::start(with(Fault::Hangup(10))).await;
    let mut options = counted(ScenarioName::Login, address, 100);
    for (condition, ok) in [
        ("login.error_rate>20%", true),
        ("login.failed>=10", false),
        ("login.p99>0ms", false),
        ("verify.p99>1h", false),
    ] {
        let Ok(threshold) = condition.parse() else {
            assert_eq!(condition, "verify.p99>1h", "hours are no unit of a latency");
            continue;
        };
        options.thresholds = vec![threshold];
        let report = report(&options).await;
        assert_eq!(report.ok, ok, "{condition}: {:?}", report.verdicts);
    }
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
    let address = runtime.block_on(Stub::start(Rules::default()));
    let mut options = counted(ScenarioName::Login, address, 200);
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
