//! Chaos under load, through the HTTP listener of the real binary, mail by real SMTP: what was answered 200 is mailed,
//! counters tell the story, and others notice nothing.

use crate::support::PATIENCE;
use crate::support::postgres::{ACME, GLOBEX, connect};
use crate::support::process::{Program, Scratch, Setup, Site};
use crate::support::town::{SmallDisk, put_clock, town};
use crate::support::wire::{Answer, Wire};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use private_postgres::{Options, PrivatePostgres};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use test_peers::smtp::SmtpSink;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The deadline of a request, and a busy machine.
const NO_HANG: Duration = Duration::from_millis(2_800);
const CUSTOMERS: usize = 20_000;

async fn fault(program: &Program, actor: &str, fault: &str, ms: u64) -> u16 {
    let body = json!({"actor": actor, "fault": fault, "ms": ms});
    let mut wire = Wire::to(program.ops).with("sec-fetch-site", "same-origin");
    wire.post("/v1/admin/faults", &body).await.unwrap().status
}

/// What callers of two tenants were answered.
#[derive(Clone, Default)]
struct Load {
    over: Arc<AtomicBool>,
    next: Arc<AtomicUsize>,
}

impl Load {
    /// Logins of acme's customers, each once, by four callers; logins and refreshes of strangers at globex by two.
    fn start(&self, program: &Program) -> JoinSet<Vec<(&'static str, String, Instant, Answer)>> {
        let mut callers = JoinSet::new();
        for caller in 0..6 {
            let (mut wire, load) = (program.wire(), self.clone());
            callers.spawn(async move {
                let mut answers = Vec::new();
                while !load.over.load(SeqCst) {
                    let n = load.next.fetch_add(1, SeqCst);
                    let (slug, email) = match caller {
                        0..4 => (ACME, format!("user{n}@example.com")),
                        _ => (GLOBEX, format!("stranger{n}@example.com")),
                    };
                    let answer = wire.login(slug, &email).await.unwrap();
                    answers.push((slug, email, Instant::now(), answer));
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                answers
            });
        }
        callers
    }
}

/// Every customer who was answered 200 has a mail; how many had more than one.
async fn nothing_is_lost(owed: &[String], sink: &SmtpSink) -> usize {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let mut mails: HashMap<String, usize> = HashMap::new();
        sink.received().iter().for_each(|mail| *mails.entry(mail.to[0].clone()).or_default() += 1);
        let lost = owed.iter().filter(|email| !mails.contains_key(*email)).collect::<Vec<_>>();
        if lost.is_empty() {
            return mails.values().filter(|count| **count > 1).count();
        }
        assert!(
            Instant::now() < patience,
            "{} of {} were answered and not mailed: {lost:?}",
            lost.len(),
            owed.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn p99(answers: &[&Answer]) -> Duration {
    let mut took = answers.iter().map(|answer| answer.took).collect::<Vec<_>>();
    took.sort();
    took[(took.len() - 1) * 99 / 100]
}

/// What is outside fails under load, in `serve` that was told to take faults: 503 or 200, no restart, no mail is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_outside_that_fails_loses_nothing() {
    let site = Site::with_customers(CUSTOMERS).await;
    let program = site.setup().flag("--allow-faults").start().await;
    let load = Load::default();
    let callers = load.start(&program);
    for (target, what, ms) in [("database", "drop", 1_500), ("mail", "refuse", 1_500), ("mail", "slow", 100)]
    {
        assert_eq!(fault(&program, target, what, ms).await, 200);
        tokio::time::sleep(Duration::from_millis(2_000)).await;
    }
    assert_eq!(fault(&program, "mail", "slow", 0).await, 200);
    assert_eq!(fault(&program, "mail", "drop", 0).await, 409, "no fault of mail");
    load.over.store(true, SeqCst);
    let answers = callers.join_all().await.concat();
    let mut owed = Vec::new();
    for (slug, email, _, answer) in &answers {
        assert!(answer.took < NO_HANG, "{answer:?}");
        match answer.status {
            200 if *slug == ACME => owed.push(email.clone()),
            200 => {}
            _ => answer.assert_unavailable(),
        }
    }
    assert!(owed.len() < answers.len() && owed.len() > 50, "{} of {}", owed.len(), answers.len());
    let doubled = nothing_is_lost(&owed, &site.sink).await;
    let actors = program.actors().await;
    println!(
        "{} answered, {} owed, {doubled} doubled, {} retried",
        answers.len(),
        owed.len(),
        actors.mails("retried")
    );
    assert_eq!(doubled, 0);
    assert!(actors.mails("retried") > 0, "the relay did refuse");
    for kind in actors.0["actors"].as_array().unwrap() {
        assert_eq!(actors.restarts(kind["kind"].as_str().unwrap()), 0, "{kind}");
    }
    program.stop().await;
}

/// Without being told so, `serve` takes no faults.
#[tokio::test(flavor = "multi_thread")]
async fn serve_takes_no_faults_by_itself() {
    let site = Site::with_customers(1).await;
    let program = site.setup().start().await;
    assert!([401, 404].contains(&fault(&program, "database", "drop", 1_000).await));
    program.stop().await;
}

type Lines = tokio::io::Lines<BufReader<Box<dyn AsyncRead + Unpin + Send>>>;

fn lines(from: impl AsyncRead + Unpin + Send + 'static) -> Lines {
    BufReader::new(Box::new(from) as Box<dyn AsyncRead + Unpin + Send>).lines()
}

/// When a line with this came.
async fn seen(lines: &mut Lines, what: &str) -> Instant {
    let looking = async { while !lines.next_line().await.unwrap().expect("a line").contains(what) {} };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what} was never told"));
    Instant::now()
}

/// One tenant's issuer crashes over and over under load: the live page's events, `doorcode actors --watch`, `/actors/rows`
/// and the metrics tell it, within two seconds where nothing else runs; how long they took is printed.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_is_told_everywhere() {
    let site = Site::with_customers(2_000).await;
    let program = site.setup().flag("--allow-faults").start().await;
    let load = Load::default();
    let callers = load.start(&program);
    let query = format!("SELECT tenant_id::text FROM tenants WHERE slug = '{ACME}'");
    let acme: String = site.database.client().query_one(&query, &[]).await.unwrap().get(0);
    let url = format!("http://{}", program.ops);
    let watch = |more| Setup::of(&["actors", "--watch", "--url", &url]).flag(more).spawn();
    let [mut people, mut scripts] = [watch("--limit=100"), watch("--json")];
    let mut page = TcpStream::connect(program.ops).await.unwrap();
    page.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let (mut text, mut json) = (lines(people.stdout.take().unwrap()), lines(scripts.stdout.take().unwrap()));
    let mut events = lines(page);
    // each has told something before the first crash
    tokio::join!(seen(&mut text, "keyring"), seen(&mut json, "keyring"), seen(&mut events, "data:"));
    for _ in 0..3 {
        while fault(&program, &format!("issuer/{acme}"), "panic", 0).await != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let crashed = Instant::now();
    let counted = async {
        let line = "doorcode_actor_restarts_total{kind=\"issuer\",reason=\"panic\"} 3";
        while !String::from_utf8_lossy(&program.ops("/metrics").await.body).contains(line) {}
        let rows = program.ops("/actors/rows").await.json();
        let rows = rows["rows"].as_array().unwrap();
        assert!(
            rows.iter().any(|row| row["tenant"] == acme.as_str() && row["failed_in_row"] == 3),
            "{rows:?}"
        );
        Instant::now()
    };
    let (counted, text, json, events) = tokio::join!(
        counted,
        seen(&mut text, "(3 in a row)"),
        seen(&mut json, "\"failed_in_row\": 3"),
        seen(&mut events, "[\"panic\",3]")
    );
    let took = [counted, text, json, events].map(|at| at - crashed);
    println!("/metrics, --watch, --watch --json, /events: {took:?}");
    load.over.store(true, SeqCst);
    callers.join_all().await;
    for mut watching in [people, scripts] {
        watching.kill().await.unwrap();
    }
    program.stop().await;
}

/// A customer logs in, with a new code.
async fn logs_in(program: &Program, sink: &SmtpSink, email: &str) -> String {
    let mut wire = program.wire();
    while wire.login(ACME, email).await.unwrap().status != 200 {}
    let mailed = async {
        loop {
            if let Some(mail) = sink.received().iter().find(|mail| mail.to == [email]) {
                return mail.code().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let code = tokio::time::timeout(PATIENCE, mailed).await.expect("a mail");
    loop {
        let answer = wire.token(ACME, email, &code).await.unwrap();
        match answer.status {
            200 => return answer.text("refresh_token"),
            _ => answer.assert_unavailable(),
        }
    }
}

/// Of the long run: refused callers come again at once; with them it asks for some 22,000.
const NIGHTLY_CUSTOMERS: usize = 100_000;
/// How long a mail may be on its way here.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// How long a step of the clock may take: it is one statement.
const STEP: Duration = Duration::from_secs(1);

/// The database's clock leaps ahead by an hour, and is put right: customers log in each time, and sessions live.
async fn clock_steps(program: &Program, url: &str, sink: &SmtpSink) -> Vec<Instant> {
    let mut token = logs_in(program, sink, &format!("user{}@example.com", NIGHTLY_CUSTOMERS - 1)).await;
    let mut steps = Vec::new();
    for (customer, ahead_s) in [(NIGHTLY_CUSTOMERS - 2, 3_600), (NIGHTLY_CUSTOMERS - 3, 0)] {
        steps.push(Instant::now());
        put_clock(url, ahead_s).await;
        logs_in(program, sink, &format!("user{customer}@example.com")).await;
        let mut wire = program.wire();
        token = loop {
            let answer = wire.refresh(&token).await.unwrap();
            match answer.status {
                200 => break answer.text("refresh_token"),
                _ => answer.assert_unavailable(),
            }
        };
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    steps
}

/// The disk under PostgreSQL is full for a while: first it can lengthen no table, then it can write nothing down at all. If it
/// gave up, whoever keeps it running starts it; the rest comes by itself.
#[expect(clippy::print_stdout, reason = "figures of a run")]
async fn disk_is_full(program: &Program, postgres: &mut PrivatePostgres, disk: &SmallDisk) {
    let admin = connect(&postgres.url()).await;
    disk.fill();
    program.logged("No space left on device (53100)").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let told = program.ops("/readyz").await;
    assert_eq!(told.status, 200, "there is no better replica: {told:?}");
    println!("a full disk: /readyz {}", told.json());
    let counted = program.actors().await.0["pool"]["refused"][0].clone();
    assert!(counted[1].as_u64().unwrap() > 0, "{counted}");
    // each leaves the rest of a file of 16 MiB of its log empty
    let spends =
        async { while admin.batch_execute("SELECT txid_current(), pg_switch_wal()").await.is_ok() {} };
    tokio::time::timeout(PATIENCE, spends).await.expect("an end of its log");
    tokio::time::sleep(Duration::from_secs(3)).await;
    disk.make_room();
    let before = program.actors().await.outcomes("login", "accepted");
    let served = program.until("logins", |now| now.outcomes("login", "accepted") > before);
    tokio::pin!(served);
    tokio::select! {
        _ = &mut served => println!("PostgreSQL stayed"),
        ended = postgres.exited() => {
            println!("PostgreSQL gave up: {ended:?}");
            postgres.restart().await.unwrap();
            served.await;
        }
    }
    program.until_ready(200).await;
}

/// All of it: every kind crashes, one tenant in a crash loop, the database's clock ahead and back, the mailers stuck, the
/// database away for 10 s, PostgreSQL killed, its disk full. Figures are printed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "three minutes; .ci/nightly runs it"]
async fn nightly_everything_fails_under_load() {
    let scratch = Scratch::new("resilience");
    std::fs::create_dir_all(scratch.path()).unwrap();
    let home = scratch.path().join("postgres");
    let disk = SmallDisk::mount(&home, 1_024);
    let postgres = PrivatePostgres::start(Options::new("doorcode", &home)).await.unwrap();
    town(&postgres.url(), NIGHTLY_CUSTOMERS, &scratch).await;
    let sink = SmtpSink::start().await;
    let program = Setup::serve(&postgres.url(), sink.port()).flag("--allow-faults").start().await;
    let load = Load::default();
    let callers = load.start(&program);
    let calm = Instant::now();
    tokio::time::sleep(Duration::from_secs(10)).await;

    let acme = program.ops("/actors/rows?kind=issuer").await.json();
    let busiest = acme["rows"].as_array().unwrap().iter().max_by_key(|row| row["handled"].as_u64()).unwrap();
    let issuer = format!("issuer/{}", busiest["tenant"].as_str().unwrap());
    let (looping, mut made) = (Instant::now(), HashMap::<String, u64>::new());
    while looping.elapsed() < Duration::from_secs(10) {
        match fault(&program, &issuer, "panic", 0).await {
            200 => *made.entry("issuer".to_owned()).or_default() += 1,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    let looped = Instant::now();
    let kinds = program.actors().await.0["actors"].as_array().unwrap().clone();
    for kind in kinds.iter().map(|kind| kind["kind"].as_str().unwrap()).filter(|kind| *kind != "mailer") {
        while fault(&program, kind, "panic", 0).await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        *made.entry(kind.to_owned()).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    program.until_ready(200).await;
    let url = postgres.url();
    let stepping = tokio::time::timeout(2 * PATIENCE, clock_steps(&program, &url, &sink));
    let steps = stepping.await.expect("customers are served after a leap of the clock");
    fault(&program, "mail", "slow", 60_000).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    fault(&program, "mail", "slow", 0).await;
    fault(&program, "database", "drop", 10_000).await;
    program.until_ready(503).await;
    program.until_ready(200).await;
    let pid = std::fs::read_to_string(home.join("data/postmaster.pid")).unwrap();
    kill(Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()), Signal::SIGKILL).unwrap();
    program.until_ready(503).await;
    drop(postgres);
    let mut postgres = PrivatePostgres::start(Options::new("doorcode", &home)).await.unwrap();
    program.until_ready(200).await;
    if let Some(disk) = &disk {
        disk_is_full(&program, &mut postgres, disk).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    load.over.store(true, SeqCst);
    let answers = callers.join_all().await.concat();
    assert!(
        load.next.load(SeqCst) < NIGHTLY_CUSTOMERS - 3,
        "nobody was asked for who is no customer, or twice"
    );

    let others = |from: Instant, to: Instant| {
        let of = answers.iter().filter(|(slug, _, at, _)| *slug == GLOBEX && *at >= from && *at < to);
        of.map(|(.., answer)| answer).collect::<Vec<_>>()
    };
    let (before, during) = (others(calm, looping), others(looping, looped));
    assert!(
        during.iter().all(|answer| answer.status == 200),
        "the other tenant does not notice a crash loop"
    );
    let accepted = answers.iter().filter(|(slug, .., answer)| *slug == ACME && answer.status == 200);
    // a code that was on its way when the clock leapt by an hour is dead, and so not mailed
    let dead = |at: Instant| steps.iter().any(|step| at < *step + STEP && *step < at + ON_ITS_WAY);
    let owed = accepted.clone().filter(|(_, _, at, _)| !dead(*at));
    let owed = owed.map(|(_, email, ..)| email.clone()).collect::<Vec<_>>();
    for (.., answer) in answers.iter().filter(|(.., answer)| answer.status != 200) {
        answer.assert_unavailable();
        assert!(answer.took < NO_HANG, "{answer:?}");
    }
    let doubled = nothing_is_lost(&owed, &sink).await;
    let mailed = sink.received().into_iter().map(|mail| mail.to[0].clone()).collect::<HashSet<_>>();
    let (beside, dead) =
        (accepted.clone().count() - owed.len(), accepted.filter(|(_, email, ..)| !mailed.contains(email)));
    println!(
        "{beside} logins beside a leap of the clock, {} codes of them dead before they were mailed",
        dead.count()
    );
    let settled = program.until("depth and permits return", |now| {
        now.0["actors"]
            .as_array()
            .unwrap()
            .iter()
            .all(|kind| kind["depth"] == 0 && kind["permits_in_use"] == 0)
    });
    let actors = settled.await;
    let ratio = p99(&during).as_secs_f64() / p99(&before).as_secs_f64();
    println!(
        "{} answers, {} owed, 0 lost, {doubled} doubled; the other tenant's p99 {:?} calm, {:?} beside a crash loop: {ratio:.2}",
        answers.len(),
        owed.len(),
        p99(&before),
        p99(&during)
    );
    println!("crashes made {made:?}, memory {} MiB", program.memory() >> 20);
    for (kind, crashes) in &made {
        assert_eq!(actors.restarts(kind), *crashes, "{kind}: restarts counted are crashes made");
    }
    assert!(ratio < 2.0, "{ratio}");
    program.stop().await;
    postgres.stop().await.unwrap();
}
