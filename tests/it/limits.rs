//! How often a network, a tenant, an address may be called.

use crate::support::TestApp;
use crate::support::client::{Answer, Request};
use crate::support::postgres::{ACME, ADA, CLOSED, GRACE, MALLORY, NOWHERE};
use futures_util::future::join_all;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One policy of a `RateLimit` or `RateLimit-Policy` line: its name and its numbers.
fn policies(line: &str) -> Vec<(String, Vec<(char, u64)>)> {
    let items = line.split(", ").map(|item| {
        let mut parts = item.split(';');
        let name = parts.next().unwrap().strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        let number = |part: &str| {
            let (key, value) = part.split_once('=').unwrap();
            (key.parse().unwrap(), value.parse().unwrap())
        };
        (name.to_owned(), parts.map(number).collect())
    });
    items.collect()
}

fn number_of(policy: &[(char, u64)], key: char) -> u64 {
    policy.iter().find(|(name, _)| *name == key).unwrap().1
}

fn retry_after(answer: &Answer) -> u64 {
    assert_eq!((answer.status, answer.header("cache-control")), (429, Some("no-store")), "B6");
    assert_eq!(answer.body, r#"{"detail":"Too Many Requests"}"#);
    let seconds = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds >= 1, "B5");
    seconds
}

/// How many of these requests are served before the first is refused.
async fn served(app: &TestApp, requests: impl Iterator<Item = Request>) -> usize {
    let mut served = 0;
    for request in requests {
        if app.send(&request).await.status == 429 {
            break;
        }
        served += 1;
    }
    served
}

/// B5, B6, B7, B8: a network's 31st login in a minute is refused; the fields count down, and waiting as told helps,
/// waiting a second less does not.
#[tokio::test]
async fn b5_who_waits_as_told_is_served() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    let ann = app.from("192.0.2.1");
    for left in (0..30).rev() {
        let answer = ann.asks_for_code(MALLORY).await;
        let policy = policies(answer.header("ratelimit-policy").unwrap());
        assert_eq!(policy[0], ("login-minute".to_owned(), vec![('q', 30), ('w', 60)]));
        assert_eq!(policy[1], ("login-hour".to_owned(), vec![('q', 200), ('w', 3_600)]));
        let state = policies(answer.header("ratelimit").unwrap());
        assert_eq!((state[0].0.as_str(), number_of(&state[0].1, 'r')), ("login-minute", left));
        assert_eq!(number_of(&state[1].1, 'r'), 170 + left);
        for old in ["x-ratelimit-limit", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
            assert_eq!(answer.header(old), None, "B7");
        }
    }
    let refused = app.send(&ann.login_request(MALLORY)).await;
    let wait = retry_after(&refused);
    for (name, numbers) in policies(refused.header("ratelimit").unwrap()) {
        let next = number_of(&numbers, 't');
        assert!(number_of(&numbers, 'r') > 0 || wait >= next, "B8: {name} {next} {wait}");
    }
    app.pass_s(wait - 1);
    retry_after(&app.send(&ann.login_request(MALLORY)).await);
    app.pass_s(1);
    ann.asks_for_code(MALLORY).await;
    app.from("192.0.2.2").asks_for_code(MALLORY).await;
    app.finish().await;
}

/// B9: the fields are of the caller's own traffic: neither a busy address nor a tenant's traffic shows in them.
#[tokio::test]
async fn b9_fields_tell_of_nobody_else() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    for number in 1..60 {
        app.from(&format!("198.18.{number}.1")).asks_for_code(ADA).await;
    }
    let mut told = Vec::new();
    for (number, (email, tenant)) in
        (1..).zip([(ADA, ACME), (GRACE, ACME), (MALLORY, ACME), (ADA, NOWHERE), (ADA, CLOSED)])
    {
        let answer = app.from(&format!("203.0.{number}.1")).at(tenant).asks_for_code(email).await;
        told.push((answer.header("ratelimit").unwrap().to_owned(), answer.told()));
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
    app.finish().await;
}

/// B10: what is refused as invalid or as wrong counts like everything else; the groups of calls do not share.
#[tokio::test]
async fn b10_refused_requests_count() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    let ann = app.from("192.0.2.1");
    for number in 0..30 {
        let request = match number % 3 {
            0 => ann.code_request("token", MALLORY, "123456"),
            1 => ann.code_request("verify", MALLORY, "123456"),
            _ => ann.request("token", &json!({ "code": "12345" })),
        };
        assert_eq!(app.send(&request).await.status, if number % 3 == 2 { 422 } else { 401 });
    }
    for verb in ["token", "verify"] {
        retry_after(&app.send(&ann.code_request(verb, MALLORY, "123456")).await);
    }
    ann.asks_for_code(MALLORY).await;
    app.finish().await;
}

/// J1: without a trusted proxy nobody chooses the address they are counted by.
#[tokio::test]
async fn j1_a_caller_cannot_choose_its_address() {
    let app = TestApp::builder().with_client_limits().set("http.trusted_proxies", "").spawn().await;
    let liar = |number: usize| {
        let fake = format!("192.0.{number}.1");
        let forwarded = format!("for={fake}");
        let [by_list, by_rfc, by_ip] =
            [("X-Forwarded-For", &fake), ("Forwarded", &forwarded), ("X-Real-IP", &fake)]
                .map(|(name, value)| app.visitor().with(name, value));
        [by_list, by_rfc, by_ip][number % 3].login_request(MALLORY)
    };
    assert_eq!(served(&app, (0..60).map(liar)).await, 30);
    app.finish().await;
}

/// J1: behind a trusted proxy, what callers put in front of the address that the proxy saw is worth nothing.
#[tokio::test]
async fn j1_the_rightmost_hop_that_is_not_ours_counts() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    let by_list = |number| app.from(&format!("192.0.{number}.1, 203.0.113.7")).login_request(MALLORY);
    assert_eq!(served(&app, (0..60).map(by_list)).await, 30);
    let by_rfc = |number| {
        let value = format!("for=192.0.{number}.1;proto=http, for=203.0.114.7;by=127.0.0.1, for=127.0.0.1");
        app.visitor().with("Forwarded", &value).login_request(MALLORY)
    };
    assert_eq!(served(&app, (0..60).map(by_rfc)).await, 30);
    // what cannot be read fails closed: all such callers are the proxy, together
    let junk = |number| app.from(&format!("192.0.{number}.1, junk")).login_request(MALLORY);
    assert_eq!(served(&app, (0..60).map(junk)).await, 30);
    app.finish().await;
}

/// J2: a /64 is one caller, an IPv4-mapped address its IPv4, and a /48 or /24 has five times as much.
#[tokio::test]
async fn j2_a_prefix_is_one_caller() {
    let app = TestApp::builder().with_client_limits().spawn().await;
    let login = |address: String| app.from(&address).login_request(MALLORY);
    let home = (0..1_000).map(|number| login(format!("2001:db8:0:1::{number:x}")));
    assert_eq!(served(&app, home).await, 30);
    let mapped = (0..60).map(|number| login(["192.0.2.7", "::ffff:192.0.2.7"][number % 2].to_owned()));
    assert_eq!(served(&app, mapped).await, 30);
    let site = (0..1_000).map(|number| login(format!("2001:db8:77:{:x}::1", number / 25)));
    assert_eq!(served(&app, site).await, 150);
    let site = (0..250).map(|number| login(format!("192.0.3.{}", number / 25)));
    assert_eq!(served(&app, site).await, 150);
    app.finish().await;
}

/// B2: mails are counted by address, calls by network and by tenant: whichever is spent first.
#[tokio::test]
async fn b2_every_axis_has_its_limit() {
    let app = TestApp::builder().with_client_limits().set("limits.tenant.burst", "40").spawn().await;
    // one address, a network each
    for number in 0..8 {
        app.from(&format!("198.18.{number}.1")).asks_for_code(ADA).await;
        app.pass_s(61);
    }
    assert_eq!(app.mails_to(ADA).await, 5);
    // one network, an address and a slug each
    let many = (0..60).map(|number| {
        let body =
            json!({ "email": format!("a{number}@example.com"), "tenant_slug": format!("slug-{number}") });
        app.from("192.0.2.1").request("login", &body)
    });
    assert_eq!(served(&app, many).await, 30);
    // one tenant, both rotated
    let many = (0..60).map(|number| {
        app.from(&format!("203.0.{number}.1")).at(CLOSED).login_request(&format!("a{number}@example.com"))
    });
    // leases run by the machine's own clock: what one did not use within a second is lost
    let served = served(&app, many).await;
    assert!((20..=40).contains(&served), "{served}");
    app.finish().await;
}

/// Guesses at a tenant from everywhere and at everybody, to these replicas in turn and at once: how many its limit
/// admits, and the answers to the others.
async fn admitted(
    app: &TestApp,
    replicas: &[SocketAddr],
    tenant: &'static str,
    times: usize,
) -> (usize, Vec<Answer>) {
    let request = |number| {
        let visitor = app.from(&format!("198.18.{number}.1")).at(tenant);
        visitor.code_request("token", &format!("nobody{number}@example.com"), "123456")
    };
    let requests: Vec<Request> = (0..times).map(request).collect();
    let answers = app.send_at_once_to(replicas, &requests).await;
    let refused: Vec<Answer> = answers.into_iter().filter(|answer| answer.status != 401).collect();
    (times - refused.len(), refused)
}

/// B2, B5: over two replicas a tenant's limit admits burst + ⌊span/T⌋ and not one more, alike for slugs that name no
/// tenant; who waits as told is served.
#[tokio::test]
async fn a_tenants_limit_holds_over_replicas() {
    const PER_SECOND: usize = 10;
    const BURST: usize = 60;
    let app = TestApp::builder()
        .set("limits.tenant.per_second", &PER_SECOND.to_string())
        .set("limits.tenant.burst", &BURST.to_string());
    let app = app.spawn().await;
    let replica = app.replica().await;
    let both = [app.public(), replica.public()];
    for tenant in [ACME, NOWHERE] {
        let (first, refused) = admitted(&app, &both, tenant, 200).await;
        // what a replica leased and did not use within a second is lost
        assert!((BURST / 2..=BURST).contains(&first), "{tenant}: {first}");
        assert!(refused.iter().all(|answer| retry_after(answer) == 1), "T is 0.1 s");
        let told: Vec<String> = refused.iter().map(Answer::told).collect();
        assert!(told.iter().all(|one| *one == told[0]));
        let (second, _) = admitted(&app, &both, tenant, 60).await;
        assert!(first + second <= BURST, "{tenant}: time stands still: {first} and {second}");
        app.pass_s(3);
        let waiting = Instant::now();
        let mut third = 0;
        while third == 0 {
            // leases run by the machine's own clock
            tokio::time::sleep(Duration::from_millis(20)).await;
            third = admitted(&app, &both, tenant, 60).await.0;
            assert!(waiting.elapsed() < Duration::from_secs(20), "{tenant}: never served again");
        }
        let (fourth, _) = admitted(&app, &both, tenant, 60).await;
        let sum = first + second + third + fourth;
        assert!(sum <= BURST + 3 * PER_SECOND, "{tenant}: {sum}");
    }
    replica.end().await;
    app.finish().await;
}

/// B5: when the database's clock is put back, a tenant whose limit is used up waits for the next token, not for that time to
/// come again.
#[tokio::test]
async fn b5_a_clock_that_is_put_back_keeps_no_tenant_waiting() {
    let app = TestApp::builder().set("limits.tenant.per_second", "10").set("limits.tenant.burst", "60");
    let app = app.spawn().await;
    assert!(admitted(&app, &[app.public()], ACME, 200).await.0 < 200);
    app.put_back_s(3_600);
    let waiting = Instant::now();
    loop {
        // told to wait from now on, then waited for
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (served, refused) = admitted(&app, &[app.public()], ACME, 1).await;
        assert!(refused.iter().all(|answer| retry_after(answer) == 1), "{refused:?}");
        if served == 1 {
            break;
        }
        assert!(waiting.elapsed() < Duration::from_secs(20), "never served again");
        app.pass_s(1);
    }
    app.finish().await;
}

/// I2: a network that asks without end uses up its tenant's limit; another one's requests are served all the same, since
/// networks take turns. Another tenant does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn i2_the_heaviest_network_is_refused_first() {
    let app = TestApp::builder().set("limits.tenant.per_second", "100").set("limits.tenant.burst", "50");
    let app = app.spawn().await;
    let served = async |network: &'static str, slug: &'static str| {
        let visitor = app.from(network).at(slug);
        usize::from(app.send(&visitor.code_request("token", MALLORY, "123456")).await.status == 401)
    };
    let over = AtomicBool::new(false);
    let attack = async {
        let (mut asked, mut admitted) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            asked += 128;
            admitted += join_all((0..128).map(|_| served("192.0.2.1", "acme"))).await.iter().sum::<usize>();
        }
        (asked, admitted)
    };
    // the test's clock stands still unless it is moved: here it goes as fast as the machine's
    let time = async {
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            app.pass(begun.elapsed());
        }
    };
    let honest = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (mut own, mut other) = (0, 0);
        for _ in 0..20 {
            own += served("192.0.2.2", "acme").await;
            other += served("192.0.2.2", "elsewhere").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        over.store(true, Ordering::Relaxed);
        (own, other)
    };
    let ((asked, admitted), (own, other), ()) = tokio::join!(attack, honest, time);
    assert!(asked > admitted + 100, "the limit was not used up: {admitted} of {asked}");
    // without turns it would be served as rarely as the other: about three in ten
    assert!(own >= 15, "{own} of 20 beside {admitted} of {asked}");
    assert_eq!(other, 20);
    app.finish().await;
}
