//! Bursts that last: mail leaves while they do, on plans made in another time, and each mail once.
//!
//! `DOORCODE_BURST_S` makes them longer (and the customers more), for a nightly run.

use crate::support::PATIENCE;
use crate::support::postgres::ACME;
use crate::support::process::{Program, Setup, Site};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use test_peers::smtp::{Act, Point, SmtpSink, Traits};
use tokio::task::JoinSet;
use tokio::time::timeout;

const CALLERS: usize = 16;

/// How long a burst lasts.
fn span() -> Duration {
    let seconds = std::env::var("DOORCODE_BURST_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// With the lease and deadline of production: on a busy machine an answer that comes late is no second mail.
fn patient(site: &Site) -> Setup {
    site.setup().set("DOORCODE__MAIL__LEASE", "20s").set("DOORCODE__MAIL__DEADLINE", "10s")
}

/// Logs in `{name}0@example.com` … one after the other until the time is over; gives back how many were answered 200.
async fn burst(program: &Program, name: &'static str, span: Duration, most: usize) -> usize {
    let (next, end) = (Arc::new(AtomicUsize::new(0)), Instant::now() + span);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (mut wire, next) = (program.wire(), next.clone());
        callers.spawn(async move {
            let mut answered = 0;
            while Instant::now() < end {
                let n = next.fetch_add(1, Relaxed);
                if n >= most {
                    break;
                }
                let answer = wire.login(ACME, &format!("{name}{n}@example.com")).await.unwrap();
                assert_eq!(answer.status, 200, "{answer:?}");
                answered += 1;
            }
            answered
        });
    }
    callers.join_all().await.into_iter().sum()
}

/// Waits until so many mails have come and none is due; each customer has got exactly one.
async fn each_got_one(site: &Site, count: usize) {
    timeout(PATIENCE, site.sink.wait_for(count))
        .await
        .unwrap_or_else(|_| panic!("{} of {count}", site.sink.count()));
    site.database.until("SELECT count(*) = 0 FROM outbox").await;
    let mut mails = HashMap::<String, usize>::new();
    for mail in site.sink.received() {
        *mails.entry(mail.to[0].clone()).or_default() += 1;
    }
    let doubled: Vec<_> = mails.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(mails.len(), count);
}

/// Plans made on an empty table; then an import, and at once everybody asks for a code.
#[tokio::test(flavor = "multi_thread")]
async fn mail_leaves_while_imported_customers_log_in() {
    let site = Site::with_customers(0).await;
    let program = patient(&site).start().await;
    // statements are planned on the connections that there will be
    burst(&program, "early", Duration::from_secs(1), 64).await;
    let customers = 2_000 * span().as_secs() as usize;
    site.database.import(customers).await;
    let answered = burst(&program, "user", span(), customers).await;
    let sent = site.sink.count();
    assert!(sent > answered / 2, "{sent} of {answered} mails left during the burst");
    each_got_one(&site, answered).await;
    let actors = program.actors().await;
    assert_eq!((actors.mails("sent"), actors.mails("retried")), (answered as u64, 0));
    assert!(!program.log().contains("cannot be"), "{}", program.log());
    program.stop().await;
    site.database.remove().await;
}

/// A quiet minute: autovacuum finds tables that are all but empty and pages that were full. Then a burst again.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_minute_turns_no_plan() {
    let site = Site::with_customers(0).await;
    let program = site.setup().start().await;
    let before = burst(&program, "before", span() / 2, usize::MAX).await;
    site.database.until("SELECT count(*) = 0 FROM outbox").await;
    let quiet = [
        "INSERT INTO outbox SELECT gen_random_uuid(), 1, 0, gen_random_uuid(), 9000000000000000000, 0, 0, 0, 1, '', '',
            NULL FROM generate_series(1, 20000)",
        "DELETE FROM outbox WHERE ctid <> (SELECT max(ctid) FROM outbox)",
        "DELETE FROM challenges WHERE ctid <> (SELECT max(ctid) FROM challenges)",
        "VACUUM (TRUNCATE off, ANALYZE) outbox",
        "VACUUM (TRUNCATE off, ANALYZE) challenges",
        "DELETE FROM outbox",
    ];
    for statement in quiet {
        site.database.client().batch_execute(statement).await.unwrap();
    }
    let after = burst(&program, "after", span() / 2, usize::MAX).await;
    assert!(after > before / 3, "{before} logins before the quiet, {after} after it");
    let settled = Instant::now();
    site.database.until("SELECT count(*) = 0 FROM outbox").await;
    assert!(settled.elapsed() < Duration::from_secs(5), "{:?}", settled.elapsed());
    let actors = program.actors().await;
    assert_eq!(actors.mails("due"), (before + after) as u64, "each mail is due once");
    assert_eq!(actors.mails("unaddressed"), (before + after) as u64);
    assert!(!program.log().contains("cannot be"), "{}", program.log());
    program.stop().await;
    site.database.remove().await;
}

/// Mail that waits longer than its lease, behind one slow connection each of two replicas, goes out once.
#[tokio::test(flavor = "multi_thread")]
async fn mail_that_waits_longer_than_its_lease_is_not_sent_twice() {
    let site = Site::with_customers(200).await;
    site.sink.at(Point::Body, Act::Delay(Duration::from_millis(60)));
    let slow = || site.setup().set("DOORCODE__MAIL__WORKERS", "1").set("DOORCODE__MAIL__WORKERS_MAX", "1");
    let (one, other) = tokio::join!(slow().start(), slow().start());
    assert_eq!(burst(&one, "user", PATIENCE, 200).await, 200);
    each_got_one(&site, 200).await;
    one.stop().await;
    other.stop().await;
    site.database.remove().await;
}

/// A drain leaves what waits to the next start, at once and not when its lease has passed; what was sent is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_leaves_waiting_mail_to_the_next_start() {
    let site = Site::with_customers(100).await;
    site.sink.at(Point::Body, Act::Delay(Duration::from_millis(100)));
    let leased = || site.setup().set("DOORCODE__MAIL__LEASE", "60s").set("DOORCODE__MAIL__WORKERS_MAX", "4");
    let program = leased().start().await;
    assert_eq!(burst(&program, "user", PATIENCE, 100).await, 100);
    program.stop().await;
    let sent = site.sink.count();
    assert!(sent < 100, "much is still to be sent");
    site.sink.heal();
    let (program, started) = (leased().start().await, Instant::now());
    each_got_one(&site, 100).await;
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    program.stop().await;
    site.database.remove().await;
}

/// A code that was used while its mail waited is not mailed (A8).
#[tokio::test(flavor = "multi_thread")]
async fn a_used_code_is_not_mailed() {
    let site = Site::with_customers(2).await;
    site.sink.refuse("user0@example.com", "450 4.2.0 greylisted");
    let program = site.setup().start().await;
    assert_eq!(program.wire().login(ACME, "user0@example.com").await.unwrap().status, 200);
    program.until("a try", |actors| actors.mails("retried") > 0).await;
    site.database.until("SELECT EXISTS (SELECT FROM outbox WHERE attempts > 0)").await;
    site.database.client().batch_execute("UPDATE challenges SET expires_us = 0").await.unwrap();
    site.sink.heal();
    site.database.until("SELECT count(*) = 0 FROM outbox").await;
    let actors = program.actors().await;
    assert_eq!((actors.mails("sent"), actors.mails("expired")), (0, 1));
    program.stop().await;
    site.database.remove().await;
}

/// A relay that is far away: mailers grow with what waits, and speak ahead where that is offered.
#[tokio::test(flavor = "multi_thread")]
async fn mailers_grow_with_the_backlog() {
    let customers = 40 * span().as_secs() as usize;
    for pipelining in [true, false] {
        let mut site = Site::with_customers(customers).await;
        site.sink = SmtpSink::with(Traits { pipelining, ..Traits::default() }).await;
        site.sink.at(Point::Answer, Act::Delay(Duration::from_millis(50)));
        let program = site
            .setup()
            .set("DOORCODE__MAIL__LEASE", "20s")
            .set("DOORCODE__MAIL__DEADLINE", "10s")
            .start()
            .await;
        let begun = Instant::now();
        assert_eq!(burst(&program, "user", PATIENCE, customers).await, customers);
        let asked = begun.elapsed();
        each_got_one(&site, customers).await;
        println!(
            "pipelining {pipelining}: {customers} asked within {asked:?}, mailed within {:?}",
            begun.elapsed()
        );
        let connections = site.sink.connections();
        // one more: the look at the relay when `serve` starts
        assert!((5..=65).contains(&connections), "{connections} connections");
        program.stop().await;
        site.database.remove().await;
    }
}
