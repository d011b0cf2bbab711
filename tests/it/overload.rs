//! Promise 7: more than fits is refused at once, and costs no memory. I4: names that nobody has cost no actor. B11: callers
//! without end cost no more than the limits' tables.

use crate::support::postgres::{ACME, ADA, GLOBEX};
use crate::support::process::{Setup, Site};
use std::time::{Duration, Instant};
use test_peers::smtp::SmtpSink;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const MIB: u64 = 1 << 20;
const PERMITS: usize = 4;
/// What is refused while as many as fit are under way; few, since those wait for a lock for two seconds at most.
const TOO_MANY: usize = 80;
/// Slugs that name no tenant: far more than there are issuers for them. The standard has 100,000 (`DOORCODE_SLUGS`), which
/// would take a debug build a minute and show the same.
fn slugs() -> usize {
    std::env::var("DOORCODE_SLUGS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_560)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_at_once() {
    let site = Site::with_customers(0).await;
    let program = site.setup().set("DOORCODE__ADMISSION__ISSUER_PERMITS", &PERMITS.to_string()).start().await;
    let log_in = |n: usize| {
        let mut wire = program.wire();
        async move { wire.login(ACME, &format!("u{n}@example.com")).await.unwrap() }
    };
    for n in 0..PERMITS {
        assert_eq!(log_in(n).await.status, 200);
    }
    let memory = program.memory();
    // Nobody can write to these rows while this transaction is open: as many as fit are under way.
    let gate = site.database.client();
    gate.batch_execute("BEGIN; SELECT FROM challenges FOR UPDATE").await.unwrap();
    let mut admitted = JoinSet::new();
    for n in 0..PERMITS {
        admitted.spawn(log_in(n));
    }
    program
        .until("all permits are taken", |now| now.number("issuer", "permits_in_use") == PERMITS as u64)
        .await;

    let mut refused = JoinSet::new();
    for lane in 0..8 {
        let mut wire = program.wire();
        refused.spawn(async move {
            let mut answers = Vec::new();
            for n in 0..TOO_MANY / 8 {
                answers.push(wire.login(ACME, &format!("v{lane}-{n}@example.com")).await.unwrap());
            }
            answers
        });
    }
    let refused: Vec<_> = refused.join_all().await.into_iter().flatten().collect();
    let now = program.actors().await;
    assert!(now.number("issuer", "permits_in_use") <= PERMITS as u64);
    gate.batch_execute("COMMIT").await.unwrap();
    let mut took: Vec<_> = refused.iter().map(|answer| answer.took).collect();
    took.sort();
    println!("refused within {:?} (median), {:?} (longest)", took[TOO_MANY / 2], took[TOO_MANY - 1]);
    refused.iter().for_each(|answer| answer.assert_unavailable());
    assert!(took[TOO_MANY / 2] < Duration::from_millis(200), "not at once: {:?}", took[TOO_MANY / 2]);
    assert_eq!(now.number("issuer", "shed"), TOO_MANY as u64);
    let grown = program.memory().saturating_sub(memory);
    assert!(grown < 16 * MIB, "{grown} bytes more");

    for answer in admitted.join_all().await {
        assert_eq!(answer.status, 200, "admitted is served");
    }
    program.until("all is given back", |now| now.number("issuer", "permits_in_use") == 0).await;
    assert_eq!(log_in(0).await.status, 200);
    program.stop().await;
    site.database.remove().await;
}

/// I2: a tenant that floods takes no permit of another one's share, nor does a flood of names that nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn i2_a_flooded_tenant_costs_others_no_permit() {
    let site = Site::with_customers(0).await;
    let program = site.setup().set("DOORCODE__ADMISSION__ISSUER_PERMITS", "90").start().await;
    let log_in = |n: usize, slug: &'static str| {
        let mut wire = program.wire();
        async move { wire.login(slug, &format!("u{n}@example.com")).await.unwrap() }
    };
    for n in (0..90).step_by(10) {
        let mut first = JoinSet::new();
        (n..n + 10).for_each(|n| drop(first.spawn(log_in(n, ACME))));
        (n..n + 10).filter(|n| *n < 20).for_each(|n| drop(first.spawn(log_in(n, "nobody"))));
        assert!(first.join_all().await.iter().all(|answer| answer.status == 200));
    }
    // whoever is admitted to a login now holds the permit until the end of the transaction
    let gate = site.database.client();
    gate.batch_execute("BEGIN; SELECT FROM challenges FOR UPDATE").await.unwrap();
    let mut flood = JoinSet::new();
    for n in 0..90 {
        flood.spawn(log_in(n, ACME));
    }
    program.until("a flood has eight of nine", |now| now.number("issuer", "shed") == 10).await;
    for n in 0..20 {
        flood.spawn(log_in(n, "nobody"));
    }
    program.until("another one that of the rest", |now| now.number("issuer", "shed") == 10 + 11).await;
    let mut wire = program.wire();
    let other = wire.token(GLOBEX, "nobody@example.com", "000000").await.unwrap();
    assert_eq!(other.status, 401, "another tenant is served");
    gate.batch_execute("COMMIT").await.unwrap();
    let served = flood.join_all().await.iter().filter(|answer| answer.status == 200).count();
    assert!((1..=89).contains(&served), "{served}");
    program.stop().await;
    site.database.remove().await;
}

/// I4: names that nobody has are served by a few issuers, whatever their number.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_slugs_make_no_actors() {
    let site = Site::with_customers(0).await;
    let program = site.setup().start().await;
    assert_eq!(program.wire().login(ACME, ADA).await.unwrap().status, 200);
    let began = Instant::now();
    let mut memory = 0;
    for part in 0..4 {
        let mut lanes = JoinSet::new();
        for lane in 0..8 {
            let mut wire = program.wire();
            lanes.spawn(async move {
                for n in 0..slugs() / 4 / 8 {
                    // half of them could be slugs, the others not
                    let slug = match n % 2 {
                        0 => format!("nobody-{part}-{lane}-{n}"),
                        _ => format!("No Body\u{0} {part} {lane} {n} \u{1f600}"),
                    };
                    let answer = wire.login(&slug, "x@example.com").await.unwrap();
                    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
                }
            });
        }
        lanes.join_all().await;
        if part == 0 {
            memory = program.memory();
        }
    }
    println!("{} slugs in {:?}", slugs(), began.elapsed());
    let alive = program.actors().await.number("issuer", "alive");
    assert!(alive <= 17, "{alive} issuers for one tenant and nobody");
    let grown = program.memory().saturating_sub(memory);
    assert!(grown < 32 * MIB, "{grown} bytes more");
    program.stop().await;
    assert_eq!(site.sink.count(), 1, "mail went to nobody but Ada");
    site.database.remove().await;
}

/// More tenants than may have an issuer: all are served.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_beyond_the_cap_share_issuers() {
    let (database, sink) = (crate::support::postgres::Database::new().await, SmtpSink::start().await);
    let program =
        Setup::serve(&database.url, sink.port()).set("DOORCODE__ADMISSION__MAX_ISSUERS", "1").start().await;
    for slug in [ACME, GLOBEX] {
        assert_eq!(program.wire().login(slug, ADA).await.unwrap().status, 200);
    }
    tokio::time::timeout(crate::support::PATIENCE, sink.wait_for(2)).await.unwrap();
    assert_eq!(program.actors().await.number("issuer", "alive"), 2, "one of its own, one shared");
    program.stop().await;
    database.remove().await;
}

/// G7: callers hold every connection that there are descriptors for: probes are answered and a customer's mail goes out,
/// since theirs are kept back. When the callers have gone, the next ones are served.
#[tokio::test(flavor = "multi_thread")]
async fn g7_probes_answer_while_callers_hold_every_connection() {
    let site = Site::with_customers(0).await;
    let setup = site.setup().set("DOORCODE__LIMITS__CLIENT__CONNECTIONS", "5000").with_descriptors(512);
    let program = setup.start().await;
    let mut early = program.wire();
    assert_eq!(early.login(ACME, "nobody@example.com").await.unwrap().status, 200);
    let mut held = Vec::new();
    for _ in 0..800 {
        held.push(tokio::net::TcpStream::connect(program.api).await.unwrap());
    }
    for _ in 0..5 {
        assert_eq!(program.ops("/readyz").await.status, 200);
    }
    assert_eq!(early.login(ACME, ADA).await.unwrap().status, 200);
    tokio::time::timeout(crate::support::PATIENCE, site.sink.wait_for(1)).await.unwrap();
    drop(held);
    let again = async {
        while !program.wire().login(ACME, "late@example.com").await.is_ok_and(|answer| answer.status == 200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, again).await.expect("served again");
    program.stop().await;
    site.database.remove().await;
}

/// Callers of distinct networks: more than a table keeps. The standard has a million (`DOORCODE_CALLERS`, with the shipped tables), which
/// takes a debug build some minutes and shows the same.
fn callers() -> u32 {
    std::env::var("DOORCODE_CALLERS").ok().and_then(|text| text.parse().ok()).unwrap_or(6_000)
}

/// Sends requests of these callers in a row on one connection, and reads their answers' statuses.
async fn pipelined(stream: &mut TcpStream, callers: impl Iterator<Item = u32>) -> Vec<u16> {
    let request = |n: u32| {
        // each of a /24 of its own
        let ip = std::net::Ipv4Addr::from(0x0b00_0001 + (n << 8));
        format!(
            "POST /v1/customer-auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             X-Forwarded-For: {ip}\r\nContent-Length: 2\r\n\r\n{{}}"
        )
    };
    let requests: Vec<String> = callers.map(request).collect();
    stream.write_all(requests.concat().as_bytes()).await.unwrap();
    let (mut text, mut chunk) = (String::new(), vec![0; 65_536]);
    while text.matches("HTTP/1.1 ").count() < requests.len() || !text.ends_with('}') {
        let n = stream.read(&mut chunk).await.unwrap();
        assert!(n > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
    }
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

/// B11: however many callers there are, the tables of the limits stay within their size, and who has used up a limit keeps
/// being refused.
#[tokio::test(flavor = "multi_thread")]
async fn b11_callers_without_end_stay_within_the_tables() {
    const LANES: u32 = 8;
    const HOT: u32 = 0;
    let site = Site::with_customers(0).await;
    let tables = if callers() < 100_000 { callers() / 6 } else { 65_536 };
    let program = site
        .setup()
        .set("DOORCODE__LIMITS__CLIENT__ENABLED", "true")
        .set("DOORCODE__LIMITS__CLIENT__MAX_KEYS", &tables.to_string())
        .set("DOORCODE__HTTP__TRUSTED_PROXIES", "127.0.0.0/8")
        .set("DOORCODE__LOG__LEVEL", "warn")
        .start()
        .await;
    let began = Instant::now();
    let mut hot = TcpStream::connect(program.api).await.unwrap();
    let passed = |statuses: &[u16]| statuses.iter().filter(|status| **status == 422).count() as u64;
    let mut hot_passed = passed(&pipelined(&mut hot, std::iter::repeat_n(HOT, 40)).await);
    let memory = program.memory();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let mut stream = TcpStream::connect(program.api).await.unwrap();
        lanes.spawn(async move {
            let all: Vec<u32> = (1..=callers()).filter(|n| n % LANES == lane).collect();
            let mut passed = 0;
            for part in all.chunks(100) {
                passed +=
                    pipelined(&mut stream, part.iter().copied()).await.iter().filter(|s| **s == 422).count();
            }
            passed
        });
    }
    while !lanes.is_empty() {
        hot_passed += passed(&pipelined(&mut hot, std::iter::repeat_n(HOT, 40)).await);
        while lanes.try_join_next().is_some() {}
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (took, grown) = (began.elapsed(), program.memory().saturating_sub(memory));
    let kept = program.ops("/metrics").await;
    let kept = String::from_utf8(kept.body.to_vec()).unwrap();
    let kept =
        kept.lines().find(|line| line.starts_with("doorcode_client_limit_callers ")).unwrap_or_default();
    println!(
        "{} callers in {took:?}: {grown} bytes more, {kept}; the hot one passed {hot_passed} times",
        callers()
    );
    // two tables of callers and two of networks serve /login: some 100 bytes a place, doubled while a table grows
    assert!(grown < 16 * MIB + 4 * 200 * u64::from(tables), "{grown} bytes more");
    // 30 at once, one more every two seconds
    assert!(hot_passed <= 31 + took.as_secs() / 2, "{hot_passed} in {took:?}");
    program.stop().await;
    site.database.remove().await;
}
