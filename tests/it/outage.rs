//! The database or the mail relay is away: closed, at once, and back by itself (G13, C5, H19).

use crate::support::PATIENCE;
use crate::support::postgres::{ACME, ADA, Database, master_key};
use crate::support::process::{Program, Scratch, Setup, Site};
use crate::support::wire::{Answer, Wire};
use doorcode::app::{App, Mode};
use doorcode::config::Config;
use doorcode_domain::{Clock, ManualClock};
use private_postgres::{Options, PrivatePostgres};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use test_peers::smtp::{Act, Point, SmtpSink};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The deadline of a request, and a busy machine.
const NO_HANG: Duration = Duration::from_millis(2_800);

/// G13: PostgreSQL stops under load and comes back: 503 and nothing else meanwhile, no session is ended by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_database_fails_closed_and_heals() {
    let scratch = Scratch::new("outage");
    let postgres = PrivatePostgres::start(Options::new("doorcode", scratch.path())).await.unwrap();
    let program = Setup::dev_on(&postgres.url()).start().await;
    let mut wire = program.wire();
    wire.login("demo", ADA).await.unwrap();
    let code = program.mailed(ADA).await;
    let token = wire.token("demo", ADA, &code).await.unwrap().text("refresh_token");
    wire.login("demo", "grace@example.com").await.unwrap();
    let code = program.mailed("grace@example.com").await;

    let over = Arc::new(AtomicBool::new(false));
    let load = load(&program, over.clone());
    postgres.stop().await.unwrap();
    let answer = program.until_ready(503).await;
    assert!(answer.json()["reasons"].as_array().unwrap().contains(&"database".into()), "{answer:?}");
    assert_eq!(program.ops("/livez").await.status, 200);
    for answer in [
        wire.login("demo", ADA).await,
        wire.token("demo", "grace@example.com", &code).await,
        // not 401: a portal would throw its session away
        wire.refresh(&token).await,
        wire.logout(&token).await,
    ] {
        let answer = answer.unwrap();
        answer.assert_unavailable();
        assert!(answer.headers.get("set-cookie").is_none() && answer.took < NO_HANG, "{answer:?}");
    }

    let postgres = PrivatePostgres::start(Options::new("doorcode", scratch.path())).await.unwrap();
    program.until_ready(200).await;
    let logged_in = wire.token("demo", "grace@example.com", &code).await.unwrap();
    assert_eq!(logged_in.status, 200, "the code from before");
    assert_eq!(wire.refresh(&token).await.unwrap().status, 200, "the session from before");
    over.store(true, SeqCst);
    for answer in load.join_all().await.into_iter().flatten() {
        assert!(answer.took < NO_HANG, "{answer:?}");
        match answer.status {
            200 => {}
            _ => answer.assert_unavailable(),
        }
    }
    for kind in ["ledger.login", "ledger.verify", "mail_dispatcher", "janitor", "tenants"] {
        assert_eq!(program.actors().await.restarts(kind), 0, "{kind}: an outage crashes nobody");
    }
    program.stop().await;
    postgres.stop().await.unwrap();
}

/// A database that answers and takes nothing: told at `/readyz`, in the metrics and by callers' 503, while replicas stay ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_leaves_replicas_ready() {
    let database = Database::new().await;
    let program = Setup::dev_on(&database.url).start().await;
    // what PostgreSQL says when it cannot lengthen a table
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON challenges EXECUTE FUNCTION full_disk()";
    database.client().batch_execute(full).await.unwrap();
    let mut wire = program.wire();
    let told = async {
        loop {
            wire.login(ACME, ADA).await.unwrap().assert_unavailable();
            let told = program.ops("/readyz").await;
            let reasons = told.json()["reasons"].clone();
            if told.status == 200 && reasons != json!([]) {
                break reasons;
            }
        }
    };
    let told = timeout(PATIENCE, told).await.expect("ready, with a reason");
    assert_eq!(told, json!(["the database refuses statements: disk_full"]));
    let metrics = String::from_utf8(program.ops("/metrics").await.body.to_vec()).unwrap();
    let counted = metrics.lines().find_map(|line| {
        line.strip_prefix("doorcode_database_statements_refused_total{reason=\"disk_full\"} ")
    });
    assert!(counted.unwrap().parse::<u64>().unwrap() > 0);
    database.client().batch_execute("DROP TRIGGER full_disk ON challenges").await.unwrap();
    assert_eq!(wire.login(ACME, ADA).await.unwrap().status, 200);
    let recovers = async {
        while program.ops("/readyz").await.json()["reasons"] != json!([]) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, recovers).await.expect("no longer told");
    program.stop().await;
    database.remove().await;
}

/// Logins by a few callers until it is over.
fn load(program: &Program, over: Arc<AtomicBool>) -> JoinSet<Vec<Answer>> {
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let (mut wire, over) = (program.wire(), over.clone());
        callers.spawn(async move {
            let mut answers = Vec::new();
            while !over.load(SeqCst) {
                let email = format!("load{caller}-{}@example.com", answers.len());
                answers.push(wire.login("demo", &email).await.unwrap());
            }
            answers
        });
    }
    callers
}

/// C5: a slow relay and a dead one do not show in `/login`; the mail comes when it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_dead_relay_does_not_slow_logins() {
    const LOGINS: usize = 40;
    let site = Site::with_customers(3 * LOGINS).await;
    let program =
        site.setup().set("DOORCODE__MAIL__DEADLINE", "6s").set("DOORCODE__MAIL__LEASE", "7s").start().await;
    let log_in = async |from: usize| {
        let (mut wire, mut took) = (program.wire(), Vec::new());
        for n in from..from + LOGINS {
            let answer = wire.login(ACME, &format!("user{n}@example.com")).await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
            took.push(answer.took);
        }
        took.sort();
        println!("from {from}: median {:?}, longest {:?}", took[LOGINS / 2], took[LOGINS - 1]);
        (took[LOGINS / 2], took[LOGINS - 1])
    };
    let (calm, _) = log_in(0).await;
    // against this run's own calm: what the machine is busy with otherwise slows both
    let unchanged = |median: Duration| median < 3 * calm + Duration::from_millis(40);
    site.sink.at(Point::Body, Act::Delay(Duration::from_secs(5)));
    let (median, longest) = log_in(LOGINS).await;
    assert!(unchanged(median) && longest < Duration::from_secs(2), "{median:?} {longest:?}, calm {calm:?}");
    site.sink.at(Point::Greeting, Act::Drop);
    site.sink.at(Point::Mail, Act::Drop);
    let (median, longest) = log_in(2 * LOGINS).await;
    assert!(unchanged(median) && longest < Duration::from_secs(2), "{median:?} {longest:?}, calm {calm:?}");
    program.until("tries failed", |actors| actors.mails("retried") > 0).await;
    site.sink.heal();
    // a retry waits for two seconds at first, a mail in the hands of a mailer for its lease
    for n in [0, LOGINS, 2 * LOGINS, 3 * LOGINS - 1] {
        site.code(&format!("user{n}@example.com")).await;
    }
    program.kill().await;
    site.database.remove().await;
}

/// A relay that nobody has ever reached.
#[tokio::test]
async fn logins_do_not_need_a_relay() {
    let database = Database::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let program = Setup::serve(&database.url, closed).start().await;
    let answer = program.wire().login(ACME, ADA).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    program.until("a try", |actors| actors.mails("retried") > 0).await;
    program.until_ready(200).await;
    program.stop().await;
    assert_eq!(database.count("SELECT coalesce(sum(mails), 0)::bigint FROM outbox").await, 1);
    database.remove().await;
}

/// A recipient that the relay refuses for good is not tried again, and takes nobody else's mail along.
#[tokio::test]
async fn a_refused_recipient_is_dropped() {
    let site = Site::with_customers(2).await;
    site.sink.refuse("user0@example.com", "550 5.1.1 no such user");
    let program = site.setup().start().await;
    for n in 0..2 {
        let answer = program.wire().login(ACME, &format!("user{n}@example.com")).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    }
    site.code("user1@example.com").await;
    let actors = program.until("refused", |actors| actors.mails("refused") == 1).await;
    assert_eq!(actors.mails("retried"), 0);
    site.database.until("SELECT count(*) = 0 FROM outbox").await;
    site.sink.heal();
    program.stop().await;
    assert_eq!(site.sink.count(), 1);
    site.database.remove().await;
}

/// An address whose mailbox a relay denies gets no mail for an hour, and its caller hears nothing of it; a refusal for another reason is
/// of this one mail.
#[tokio::test]
async fn a_denied_mailbox_is_suppressed_and_a_policy_is_not() {
    let site = Site::with_customers(3).await;
    site.sink.refuse("user0@example.com", "550 5.1.1 no such user");
    site.sink.refuse("user1@example.com", "550 5.7.1 not from you");
    site.sink.refuse("user2@example.com", "550 no such user");
    // no pause between two mails of an address
    let program = site.setup().set("DOORCODE__LIMITS__ADDRESS__ENABLED", "false").start().await;
    for n in 0..3 {
        let answer = program.wire().login(ACME, &format!("user{n}@example.com")).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    }
    program.until("refused", |actors| actors.mails("refused") == 3).await;
    let hours =
        "SELECT coalesce(sum((until_us - since_us) / 3600000000), 0)::bigint FROM suppressed_addresses";
    site.database.until(&format!("SELECT ({hours}) = 1")).await;
    assert_eq!(site.database.count("SELECT count(*) FROM suppressed_addresses").await, 1);
    let told =
        "SELECT count(*) FROM events WHERE type = 'customer.mail_suppressed' AND actor->>'id' = 'smtp'";
    assert_eq!(site.database.count(told).await, 1);
    site.sink.heal();
    for n in 0..3 {
        let answer = program.wire().login(ACME, &format!("user{n}@example.com")).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    }
    program.until("nobody's", |actors| actors.mails("unaddressed") == 1).await;
    site.code("user1@example.com").await;
    site.code("user2@example.com").await;
    program.stop().await;
    assert_eq!(site.sink.count(), 2);
    site.database.remove().await;
}

/// H19: what its code has outlived is not sent any more.
#[tokio::test(flavor = "multi_thread")]
async fn expired_mail_is_not_sent() {
    let (database, sink) = (Database::new().await, SmtpSink::start().await);
    sink.at(Point::Mail, Act::Reply("451 4.3.0 later"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let clock = ManualClock::at(i64::try_from(now).unwrap() * 1_000_000);
    let settings = [
        ("DOORCODE__HTTP__LISTEN", "127.0.0.1:0"),
        ("DOORCODE__OPS__LISTEN", "127.0.0.1:0"),
        ("DOORCODE__DATABASE__URL", &database.url),
        ("DOORCODE__MASTER_KEY__VALUE", &master_key()),
        ("DOORCODE__MAIL__FROM", "login@doorcode.internal"),
        ("DOORCODE__MAIL__SMTP__HOST", "127.0.0.1"),
        ("DOORCODE__MAIL__SMTP__PORT", &sink.port().to_string()),
        ("DOORCODE__MAIL__SMTP__TLS", "none"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(None, settings.into_iter()).unwrap().config;
    let mode = Mode { clock: Clock::Manual(clock.clone()), allow_unsafe: true, ..Mode::production() };
    let app = App::start(&config, mode).await.unwrap();
    let mut wire = Wire::to(app.public_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async { drop(stopped.await) }));

    assert_eq!(wire.login(ACME, ADA).await.unwrap().status, 200);
    database.until("SELECT EXISTS (SELECT FROM outbox WHERE attempts > 0)").await;
    // the code lives for ten minutes
    clock.advance_s(11 * 60);
    sink.heal();
    database.until("SELECT count(*) = 0 FROM outbox").await;
    // one that lives is sent
    assert_eq!(wire.login(ACME, "grace@example.com").await.unwrap().status, 200);
    timeout(PATIENCE, sink.wait_for(1)).await.unwrap();
    let _ = stop.send(());
    running.await.unwrap();
    let recipients: Vec<_> = sink.received().into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!(recipients, ["grace@example.com"]);
    database.remove().await;
}

/// After an outage the newest codes leave first: who asked last still looks at the mailbox. Those of the last two seconds that are left then
/// leave in order (ADR 32). `DOORCODE_OUTAGE=10000x60` makes it as many mails and as many seconds, `10000x60x1` with one mailer.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_the_newest_codes_leave_first() {
    let told = std::env::var("DOORCODE_OUTAGE").unwrap_or_default();
    let told: Vec<usize> = told.split('x').filter_map(|part| part.parse().ok()).collect();
    let (mails, seconds) = (*told.first().unwrap_or(&400), *told.get(1).unwrap_or(&4) as u64);
    // over all of the outage but its last half second
    let pace = Duration::from_millis(seconds * 1_000 - 500) * 8 / u32::try_from(mails).unwrap();
    let site = Site::with_customers(mails).await;
    site.sink.at(Point::Greeting, Act::Drop);
    let setup = site.setup().set("DOORCODE__MAIL__LEASE", "20s").set("DOORCODE__MAIL__DEADLINE", "10s");
    let setup = told.get(2).into_iter().fold(setup, |setup, workers| {
        let workers = workers.to_string();
        setup.set("DOORCODE__MAIL__WORKERS", &workers).set("DOORCODE__MAIL__WORKERS_MAX", &workers)
    });
    let program = setup.start().await;
    let begun = Instant::now();
    let (next, mut callers) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..8 {
        let (mut wire, next) = (program.wire(), next.clone());
        callers.spawn(async move {
            while let Some(n) = Some(next.fetch_add(1, SeqCst)).filter(|n| *n < mails) {
                let asked = tokio::time::sleep(pace);
                assert_eq!(wire.login(ACME, &format!("user{n}@example.com")).await.unwrap().status, 200);
                asked.await;
            }
        });
    }
    callers.join_all().await;
    tokio::time::sleep(Duration::from_secs(seconds).saturating_sub(begun.elapsed())).await;
    site.sink.heal();
    let healed = Instant::now();
    timeout(PATIENCE, site.sink.wait_for(1)).await.unwrap();
    let first = healed.elapsed();
    let patience = PATIENCE + Duration::from_millis(20) * u32::try_from(mails).unwrap();
    timeout(patience, site.sink.wait_for(mails)).await.unwrap();
    let last = healed.elapsed();
    let rate = mails as f64 / (last - first).as_secs_f64();
    println!(
        "{mails} mails waited; the first left {first:?} after the outage, the last {last:?}: {rate:.0} a second"
    );
    let asked: Vec<usize> = site
        .sink
        .received()
        .iter()
        .map(|mail| mail.to[0].trim_start_matches("user").split('@').next().unwrap().parse().unwrap())
        .collect();
    let mean = |part: &[usize]| part.iter().sum::<usize>() / part.len();
    let (early, late) = (mean(&asked[..mails / 4]), mean(&asked[mails - mails / 4..]));
    assert!(early > late + mails / 4, "of the first quarter {early}, of the last {late}");
    program.stop().await;
    site.database.remove().await;
}
