//! A primary that dies or freezes under load, a synchronous standby that is promoted, two replicas that name the hosts in
//! opposite orders: nobody's mail is lost, nobody is logged out, and service is back at once.

use crate::support::pair::Pair;
use crate::support::postgres::{ACME, MASTER_KEY, settings};
use crate::support::process::{Program, Setup};
use doorcode_actors::directory::{ImportRow, NewTenant, StepUp};
use doorcode_actors::{Directory, migrate};
use nix::sys::signal::Signal;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use test_peers::smtp::SmtpSink;
use tokio::task::JoinSet;

const CUSTOMERS: usize = 20_000;
const SESSIONS: usize = 6;
/// From promotion to the first login that is answered.
const BACK_WITHIN: Duration = Duration::from_secs(3);

async fn populate(url: &str) {
    migrate(&settings(url)).await.unwrap();
    let directory = Directory::open(&settings(url), &MASTER_KEY).await.unwrap();
    let tenant = NewTenant {
        slug: ACME.to_owned(),
        name: "Acme".to_owned(),
        portal_host: None,
        step_up: StepUp::Base32,
        origins: Vec::new(),
    };
    directory.add_tenant(&tenant).await.unwrap();
    let row = |n: usize| {
        Ok(ImportRow {
            line: n as u64 + 1,
            email: email(n),
            customer_id: None,
            external_id: None,
            locale: None,
            claims: None,
        })
    };
    directory.import_customers(ACME, (0..CUSTOMERS).map(row)).await.unwrap();
}

fn email(n: usize) -> String {
    format!("user{n}@example.com")
}

/// What went on at one replica.
#[derive(Default)]
struct Seen {
    /// Addresses whose login was answered by 200.
    answered: Vec<usize>,
    /// When.
    times: Vec<Instant>,
}

/// Logins of ever new customers.
async fn logins(program: &Program, next: Arc<AtomicUsize>, over: Arc<AtomicBool>) -> Seen {
    let (mut wire, mut seen) = (program.wire(), Seen::default());
    while !over.load(SeqCst) {
        let n = next.fetch_add(1, SeqCst);
        assert!(n < CUSTOMERS, "more customers are needed");
        match wire.login(ACME, &email(n)).await.unwrap() {
            answer if answer.status == 200 => {
                seen.answered.push(n);
                seen.times.push(Instant::now());
            }
            answer => answer.assert_unavailable(),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seen
}

/// Refreshes one session as fast as a busy tab; the last token.
async fn refreshes(program: &Program, mut token: String, over: Arc<AtomicBool>) -> String {
    let mut wire = program.wire();
    while !over.load(SeqCst) {
        let answer = wire.refresh(&token).await.unwrap();
        match answer.status {
            200 => token = answer.text("refresh_token"),
            _ => answer.assert_unavailable(),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    token
}

#[expect(clippy::print_stdout, reason = "the figures of a run")]
async fn fail_over(name: &str, fault: Signal) {
    let pair = Pair::start(name).await;
    populate(&pair.url(true)).await;
    let sink = SmtpSink::start().await;
    let standby_alone = format!("postgres://test@127.0.0.1:{}/postgres?sslmode=disable", pair.standby.port);
    let refused = Setup::serve(&standby_alone, sink.port()).run().await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("takes no writes"), "a standby alone: {said}");

    let mut replicas = Vec::new();
    for primary_first in [true, false] {
        replicas.push(Arc::new(Setup::serve(&pair.url(primary_first), sink.port()).start().await));
    }
    let mut tokens = Vec::new();
    for n in 0..SESSIONS {
        let mut wire = replicas[n % 2].wire();
        assert_eq!(wire.login(ACME, &email(n)).await.unwrap().status, 200);
        let mails = sink.wait_for(n + 1).await;
        let mail = mails.iter().find(|mail| mail.to == [email(n)]).unwrap();
        tokens.push(wire.token(ACME, &email(n), &mail.code().unwrap()).await.unwrap().text("refresh_token"));
    }

    let (next, over) = (Arc::new(AtomicUsize::new(SESSIONS)), Arc::new(AtomicBool::new(false)));
    let (mut callers, mut holders) = (JoinSet::new(), JoinSet::new());
    for caller in 0..4 {
        let (program, next, over) = (replicas[caller % 2].clone(), next.clone(), over.clone());
        callers.spawn(async move { (caller % 2, logins(&program, next, over).await) });
    }
    for (n, token) in tokens.into_iter().enumerate() {
        let (program, over) = (replicas[n % 2].clone(), over.clone());
        holders.spawn(async move { refreshes(&program, token, over).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    pair.primary.signal(fault);
    tokio::time::sleep(Duration::from_secs(1)).await;
    pair.standby.promote().await;
    let promoted = Instant::now();
    tokio::time::sleep(BACK_WITHIN + Duration::from_secs(2)).await;
    over.store(true, SeqCst);

    let mut answered = Vec::new();
    let mut back = [None; 2];
    while let Some(seen) = callers.join_next().await {
        let (replica, seen) = seen.unwrap();
        let first = seen.times.iter().filter_map(|at| at.checked_duration_since(promoted)).min();
        back[replica] = [back[replica], first].into_iter().flatten().min();
        answered.extend(seen.answered);
    }
    println!("{name}: back after {back:?}; {} logins answered", answered.len());
    let stories = || replicas.iter().map(|one| one.story()).collect::<Vec<_>>().join("\n---\n");
    assert!(back.iter().all(|back| back.is_some_and(|back| back < BACK_WITHIN)), "{back:?}\n{}", stories());
    for (n, token) in holders.join_all().await.into_iter().enumerate() {
        let answer = replicas[n % 2].wire().refresh(&token).await.unwrap();
        assert_eq!(answer.status, 200, "session {n} was logged out: {answer:?}\n{}", stories());
    }
    let mailed = async {
        loop {
            let mailed: HashSet<String> = sink.received().into_iter().flat_map(|mail| mail.to).collect();
            let missing: Vec<usize> =
                answered.iter().copied().filter(|n| !mailed.contains(&email(*n))).collect();
            match missing.len() {
                0 => return,
                missing => println!("{name}: {missing} mails on their way"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, mailed).await.expect("a mail for every answered login");

    // told to take no writes, it is no place for customers
    let admin = pair.standby.client().await;
    admin.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    for replica in replicas {
        assert!(String::from_utf8_lossy(&replica.until_ready(503).await.body).contains("database"));
        Arc::into_inner(replica).unwrap().kill().await;
    }
}

/// `kill -9` of the primary and all of its processes.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_costs_nothing_that_was_answered() {
    fail_over("killed", Signal::SIGKILL).await;
}

/// The worst kind: it accepts connections, and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_primary_costs_nothing_that_was_answered() {
    fail_over("frozen", Signal::SIGSTOP).await;
}
