//! Promise 1: what `/login` answered by 200 survives `kill -9`, of doorcode and of PostgreSQL.

use crate::support::PATIENCE;
use crate::support::postgres::{ACME, Database, connect};
use crate::support::process::{Program, Scratch, Setup, Site};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use private_postgres::{Options, PrivatePostgres};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use test_peers::smtp::{Act, Point, SmtpSink};
use tokio::task::JoinSet;
use tokio::time::timeout;

const CALLERS: usize = 8;

/// Of how many logins a kill is in the midst, and how often: `DOORCODE_CRASH=2000x20` makes twenty rounds of 2,000.
fn scale() -> (usize, usize) {
    let told = std::env::var("DOORCODE_CRASH").unwrap_or_default();
    let parsed =
        told.split_once('x').and_then(|(logins, rounds)| Some((logins.parse().ok()?, rounds.parse().ok()?)));
    parsed.unwrap_or((500, 1))
}

fn address(n: usize) -> String {
    format!("user{n}@example.com")
}

/// Asks for codes, each address once, until all have asked or the process is gone; gives back who was answered 200.
async fn log_in(program: &Program, logins: usize, answered: Arc<AtomicUsize>) -> HashSet<String> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (mut wire, answered) = (program.wire(), answered.clone());
        callers.spawn(async move {
            let mut mine = Vec::new();
            for n in (caller..logins).step_by(CALLERS) {
                match wire.login(ACME, &address(n)).await {
                    Ok(answer) if answer.status == 200 => mine.push(address(n)),
                    Ok(answer) => answer.assert_unavailable(),
                    Err(_) => break,
                }
                answered.fetch_add(1, SeqCst);
            }
            mine
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answered_login_is_lost_by_kill_9() {
    let (logins, rounds) = scale();
    for round in 0..rounds {
        println!("round {round}: {}", kill_in_the_midst(round, logins).await);
    }
}

/// Of the addresses, seven tenths are customers; after two fifths of the answers, or somewhat later, the process dies.
async fn kill_in_the_midst(round: usize, logins: usize) -> String {
    let (customers, enough) = (logins * 7 / 10, logins * 2 / 5 + round * logins / 50);
    let site = Site::with_customers(customers).await;
    // A slow relay, so that much is still to be sent at the kill.
    site.sink.at(Point::Body, Act::Delay(Duration::from_millis(50)));
    let program = site.setup().start().await;
    let count = Arc::new(AtomicUsize::new(0));
    let asking = {
        let count = count.clone();
        let wire_to = &program;
        async move { log_in(wire_to, logins, count).await }
    };
    let killing = async {
        while count.load(SeqCst) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        kill(program.pid(), Signal::SIGKILL).unwrap();
    };
    let (answered, ()) = tokio::join!(asking, killing);
    assert!((enough..logins).contains(&answered.len()), "killed in the middle: {}", answered.len());
    let known: HashSet<String> = (0..customers).map(address).collect();
    let owed: HashSet<String> = answered.intersection(&known).cloned().collect();
    let sent = site.sink.count();
    // in later rounds the relay may have been faster
    assert!(round > 0 || sent < owed.len(), "some is still to be sent: {sent} of {}", owed.len());
    drop(program);

    site.sink.heal();
    let program = site.setup().start().await;
    site.database.until("SELECT count(*) = 0 FROM outbox").await;
    let by_recipient = arrived(&site, &known);
    let twice = by_recipient.values().filter(|mails| mails.len() > 1).count();
    let told = format!(
        "{} of {logins} answered, {} mails owed, {sent} sent before the kill, {twice} twice",
        answered.len(),
        owed.len()
    );
    for email in &owed {
        assert!(by_recipient.contains_key(email), "{email} was answered 200 and got no mail");
    }
    // and the codes are good
    let email = owed.iter().next().unwrap();
    let code = &by_recipient[email][0].1;
    assert_eq!(program.wire().token(ACME, email, code).await.unwrap().status, 200);
    program.stop().await;
    site.database.remove().await;
    told
}

/// Mails by recipient, their Message-ID and code: nobody got one who is not known, who got two got the same.
fn arrived(site: &Site, known: &HashSet<String>) -> HashMap<String, Vec<(String, String)>> {
    let mut by_recipient: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for mail in site.sink.received() {
        let [to] = mail.to.as_slice() else { panic!("one recipient: {:?}", mail.to) };
        let id = mail.header("Message-ID").unwrap();
        by_recipient.entry(to.clone()).or_default().push((id, mail.code().unwrap()));
    }
    for (email, mails) in &by_recipient {
        assert!(known.contains(email), "{email} is nobody's");
        assert!(mails.iter().all(|mail| mail == &mails[0]), "duplicates are the same mail: {mails:?}");
    }
    by_recipient
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answered_login_is_lost_by_kill_9_of_postgres() {
    let (logins, rounds) = scale();
    for round in 0..rounds {
        println!("round {round}: {}", kill_postgres_in_the_midst(round, logins).await);
    }
}

/// The postmaster dies in the midst of logins and mails, and is back at once; doorcode lives on. In every other round it dies too, a
/// moment later.
async fn kill_postgres_in_the_midst(round: usize, logins: usize) -> String {
    let (customers, enough) = (logins * 7 / 10, logins * 2 / 5 + round * logins / 50);
    let scratch = Scratch::new("crash");
    let mut options = Options::new("doorcode", scratch.path());
    options.settings = vec!["max_connections=100".to_owned()];
    let mut postgres = PrivatePostgres::start(options).await.unwrap();
    let site = Site { database: Database::on(&postgres).await, sink: SmtpSink::start().await };
    site.database.import(customers).await;
    site.sink.at(Point::Body, Act::Delay(Duration::from_millis(50)));
    let mut program = site.setup().start().await;
    let data = postgres.home().join("data/postmaster.pid");
    let postmaster = std::fs::read_to_string(data).unwrap().lines().next().unwrap().parse().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let killing = async {
        while count.load(SeqCst) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        kill(Pid::from_raw(postmaster), Signal::SIGKILL).unwrap();
        let sent = site.sink.count();
        postgres.exited().await.unwrap();
        if round % 2 == 1 {
            kill(program.pid(), Signal::SIGKILL).unwrap();
        }
        postgres.restart().await.unwrap();
        sent
    };
    let (answered, sent) = tokio::join!(log_in(&program, logins, count.clone()), killing);
    if round % 2 == 1 {
        drop(program);
        site.sink.heal();
        program = site.setup().start().await;
    }
    site.sink.heal();
    let known: HashSet<String> = (0..customers).map(address).collect();
    let owed: HashSet<String> = answered.intersection(&known).cloned().collect();
    assert!(answered.len() < logins, "some logins met the outage");
    assert!(round > 0 || sent < owed.len(), "some is still to be sent: {sent} of {}", owed.len());
    let database = connect(&postgres.url()).await;
    let emptied = async {
        let query = "SELECT count(*) = 0 FROM outbox";
        while !database.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, emptied).await.expect("all mails leave");
    let by_recipient = arrived(&site, &known);
    for email in &owed {
        assert!(by_recipient.contains_key(email), "{email} was answered 200 and got no mail");
    }
    let twice = by_recipient.values().filter(|mails| mails.len() > 1).count();
    let email = owed.iter().next().unwrap();
    let code = &by_recipient[email][0].1;
    assert_eq!(program.wire().token(ACME, email, code).await.unwrap().status, 200);
    program.stop().await;
    postgres.stop().await.unwrap();
    format!(
        "{} of {logins} answered, {} mails owed, {sent} sent before the kill, {twice} twice",
        answered.len(),
        owed.len()
    )
}

/// `dev` restarts its PostgreSQL; doorcode finds its way back by itself and nothing answered is lost.
#[tokio::test(flavor = "multi_thread")]
async fn no_answered_login_is_lost_by_the_death_of_postgres() {
    let scratch = Scratch::new("postmaster");
    let program = Setup::dev_in(scratch.path()).start().await;
    let mut wire = program.wire();
    assert_eq!(wire.login("demo", "ada@example.com").await.unwrap().status, 200);
    let code = program.mailed("ada@example.com").await;
    let pid_file = std::fs::read_to_string(scratch.path().join("data/postmaster.pid")).unwrap();
    let postmaster = Pid::from_raw(pid_file.lines().next().unwrap().parse().unwrap());
    kill(postmaster, Signal::SIGKILL).unwrap();
    program.logged("PostgreSQL ended by itself").await;
    // Until it is back every call is answered, by 503 if need be; nobody hangs.
    let recovered = async {
        loop {
            let answer = wire.login("demo", "grace@example.com").await.unwrap();
            assert!(answer.took < Duration::from_millis(2_500), "{answer:?}");
            if answer.status == 200 {
                break;
            }
            answer.assert_unavailable();
        }
    };
    timeout(PATIENCE, recovered).await.expect("it comes back by itself");
    assert_eq!(wire.token("demo", "ada@example.com", &code).await.unwrap().status, 200);
    program.mailed("grace@example.com").await;
    program.until_ready(200).await;
    program.stop().await;
}
