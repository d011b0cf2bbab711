//! `limits` against a service that keeps its limits, against ones that are one off in each direction, and against
//! limiters that are broken on purpose.

use super::stub::{Fault, Limit, Rules, Stub};
use super::*;
use std::sync::Arc;

/// Intervals longer than a stall of a busy machine, so that nothing is one off by chance.
const CLIENT: Limit = Limit(10, Duration::from_millis(400));
const NETWORK: Limit = Limit(25, Duration::from_millis(400));
const TENANT: Limit = Limit(60, Duration::from_millis(20));
const MAIL: Limit = Limit(5, Duration::from_secs(3_600));

fn right() -> Rules {
    Rules {
        client: Some(CLIENT),
        network: Some(NETWORK),
        mail: Some(MAIL),
        mails_per_network: 4,
        per_network: 15,
        cool_down: Duration::from_secs(3),
        announced: Some("\"minute\";q=10;w=4"),
        ..Rules::default()
    }
}

const CLIENT_KEYS: [&str; 2] = ["client.login=10/4s", "network.login=25/10s"];
const MAIL_KEYS: [&str; 3] = ["mail=1/1h:burst=5", "mail.network=4", "mail.cooldown=3s"];
const GUESS_KEYS: [&str; 3] = ["guesses.code=5", "guesses.lane=20", "guesses.network=15"];

fn expecting(address: SocketAddr, keys: &[&str]) -> Options {
    let mut options = options(ScenarioName::Limits, address);
    options.pace.duration = Duration::from_millis(2_500);
    keys.iter().for_each(|key| options.expected.set(key).unwrap());
    options
}

fn status(report: &Report, name: &str) -> Status {
    report.limits.iter().find(|limit| limit.limit == name).unwrap_or_else(|| panic!("no {name}")).status
}

/// Runs side by side: each waits for real time most of its own. On a machine that is too busy for it, a limit is
/// unmeasured, and is met again.
async fn each(cases: Vec<(&'static str, Rules, &'static [&'static str])>) -> Vec<(&'static str, Report)> {
    let run = |(name, rules, keys): (&'static str, Rules, &'static [&'static str])| async move {
        for _ in 0..3 {
            let found = report(&expecting(Stub::start(rules.clone()).await, keys)).await;
            let of_name = found.limits.iter().find(|limit| limit.limit == name);
            if of_name.is_none_or(|limit| limit.status != Status::Unmeasured) {
                return (name, found);
            }
        }
        panic!("{name} could not be measured three times");
    };
    futures_util::future::join_all(cases.into_iter().map(run)).await
}

#[tokio::test]
async fn limits_that_hold_are_proven() {
    let keys = [&CLIENT_KEYS[1..], &MAIL_KEYS, &GUESS_KEYS].concat();
    let address = Stub::start(Rules { client: None, ..right() }).await;
    let found = report(&expecting(address, &keys)).await;
    assert!(found.ok, "{}", text(&found));
    for name in ["network.login", "mail.cooldown", "guesses.code", "guesses.lane", "guesses.network"] {
        assert_eq!(status(&found, name), Status::Exact, "{}", text(&found));
    }
    // An hour cannot be seen in seconds, and is not claimed.
    for name in ["mail.stranger", "mail.known"] {
        assert_eq!(status(&found, name), Status::PartlyMeasured, "{}", text(&found));
    }
    let address = Stub::start(right()).await;
    let found = report(&expecting(address, &CLIENT_KEYS)).await;
    assert_eq!(status(&found, "client.login"), Status::Exact, "{}", text(&found));
    assert_balanced(&found);
}

#[tokio::test]
async fn one_off_in_either_direction_is_found_and_the_request_named() {
    let slower =
        |Limit(burst, interval): Limit, count: u32, of: u32| Some(Limit(burst, interval * of / count));
    let cases: Vec<(&'static str, Rules, &'static [&'static str])> = vec![
        ("client.login", Rules { client: Some(Limit(11, CLIENT.1)), ..right() }, &CLIENT_KEYS),
        ("client.login", Rules { client: Some(Limit(9, CLIENT.1)), ..right() }, &CLIENT_KEYS),
        ("client.login", Rules { client: slower(CLIENT, 11, 10), ..right() }, &CLIENT_KEYS),
        ("client.login", Rules { client: slower(CLIENT, 9, 10), ..right() }, &CLIENT_KEYS),
        ("network.login", Rules { network: Some(Limit(26, NETWORK.1)), ..right() }, &CLIENT_KEYS),
        ("network.login", Rules { network: Some(Limit(24, NETWORK.1)), ..right() }, &CLIENT_KEYS),
        (
            "mail.stranger",
            Rules { mail: Some(Limit(6, MAIL.1)), client: None, network: None, ..right() },
            &MAIL_KEYS,
        ),
        (
            "mail.stranger",
            Rules { mail: Some(Limit(4, MAIL.1)), client: None, network: None, ..right() },
            &MAIL_KEYS,
        ),
        (
            "mail.known",
            Rules { mail: Some(Limit(4, MAIL.1)), client: None, network: None, ..right() },
            &MAIL_KEYS,
        ),
        ("mail.stranger", Rules { mails_per_network: 5, client: None, network: None, ..right() }, &MAIL_KEYS),
        ("mail.stranger", Rules { mails_per_network: 3, client: None, network: None, ..right() }, &MAIL_KEYS),
        (
            "mail.cooldown",
            Rules { cool_down: Duration::from_secs(2), client: None, network: None, ..right() },
            &MAIL_KEYS,
        ),
        (
            "mail.cooldown",
            Rules { cool_down: Duration::from_secs(4), client: None, network: None, ..right() },
            &MAIL_KEYS,
        ),
        ("guesses.code", Rules { per_code: 6, client: None, network: None, ..right() }, &GUESS_KEYS),
        ("guesses.code", Rules { per_code: 4, client: None, network: None, ..right() }, &GUESS_KEYS),
        ("guesses.lane", Rules { per_lane: 21, client: None, network: None, ..right() }, &GUESS_KEYS),
        ("guesses.lane", Rules { per_lane: 19, client: None, network: None, ..right() }, &GUESS_KEYS),
        ("guesses.network", Rules { per_network: 16, client: None, network: None, ..right() }, &GUESS_KEYS),
        ("guesses.network", Rules { per_network: 14, client: None, network: None, ..right() }, &GUESS_KEYS),
    ];
    for (name, found) in each(cases).await {
        assert_eq!(status(&found, name), Status::Broken, "{}", text(&found));
        let limit = found.limits.iter().find(|limit| limit.limit == name).unwrap();
        assert!(!found.ok && !limit.complaints.is_empty(), "{}", text(&found));
    }
}

/// Bounds, not exactness: leases make the tenant's limit as wide as that.
#[tokio::test]
async fn a_tenants_limit_is_held_to_its_bounds() {
    const KEYS: [&str; 2] = ["tenant=50/1s:burst=60", "tenant.lease=100ms"];
    let tenant = |limit| Rules { tenant: Some(limit), ..Rules::default() };
    let cases: Vec<(&'static str, Rules, &'static [&'static str])> = vec![
        ("right", tenant(TENANT), &KEYS),
        ("wide", tenant(Limit(80, TENANT.1)), &KEYS),
        ("narrow", tenant(Limit(45, TENANT.1)), &KEYS),
    ];
    for (name, found) in each(cases).await {
        let expected = if name == "right" { Status::WithinBounds } else { Status::Broken };
        assert_eq!(status(&found, "tenant"), expected, "{name}: {}", text(&found));
    }
}

#[tokio::test]
async fn a_limiter_that_refills_too_early_is_found() {
    let early = Rules { client: Some(Limit(CLIENT.0, CLIENT.1 * 19 / 20)), ..right() };
    let found = report(&expecting(Stub::start(early).await, &CLIENT_KEYS)).await;
    assert_eq!(status(&found, "client.login"), Status::Broken, "{}", text(&found));
    let text = text(&found);
    assert!(text.contains("one too many: request ") && text.contains("X-Request-Id"), "{text}");
}

#[tokio::test]
async fn a_limiter_that_forgets_on_restart_is_found() {
    let file = std::env::temp_dir().join(format!("loadtest-restart-{}", std::process::id()));
    for (forgets, expected) in [(false, Status::Exact), (true, Status::Broken)] {
        let restart = forgets.then(|| file.clone());
        let address = Stub::start(Rules { restart, ..Rules::default() }).await;
        let mut options = expecting(address, &GUESS_KEYS[..2]);
        options.restart = Some(format!("touch {}", file.display()));
        let found = report(&options).await;
        assert_eq!(status(&found, "restart"), expected, "{}", text(&found));
        let _ = std::fs::remove_file(&file);
    }
}

/// Of a fleet, client and network limits are each replica's own, all others are shared.
#[tokio::test]
async fn a_limiter_that_counts_per_replica_is_found() {
    let keys = [&MAIL_KEYS[..2], &GUESS_KEYS[..1]].concat();
    for (shared, ok) in [(true, true), (false, false)] {
        let rules = || Rules { client: None, network: None, ..right() };
        let state = Arc::default();
        let first = Stub::replica(rules(), Arc::clone(&state)).await;
        let second = if shared { Stub::replica(rules(), state).await } else { Stub::start(rules()).await };
        let mut options = expecting(first, &keys);
        options.targets.push(Target { authority: second.to_string(), address: second });
        let found = report(&options).await;
        assert_eq!(found.ok, ok, "{}", text(&found));
        if !shared {
            assert_eq!(status(&found, "guesses.code"), Status::Broken, "{}", text(&found));
        }
    }
}

#[tokio::test]
async fn a_limit_answers_as_it_must() {
    let cases: Vec<(&'static str, Rules, &'static [&'static str])> = vec![
        ("client.login", Rules { fault: Fault::RetryAfterZero, ..right() }, &CLIENT_KEYS),
        ("client.login", Rules { announced: Some("\"minute\";q=11;w=4"), ..right() }, &CLIENT_KEYS),
        ("client.login", Rules { client: None, ..right() }, &CLIENT_KEYS),
        (
            "mail.stranger",
            Rules { fault: Fault::LimitVisible, client: None, network: None, ..right() },
            &MAIL_KEYS[..2],
        ),
    ];
    for (name, found) in each(cases).await {
        assert_eq!(status(&found, name), Status::Broken, "{}", text(&found));
    }
}
