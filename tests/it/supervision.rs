//! Promise 6: actors crash under traffic. Callers are told at once, everybody else is served, and it can be seen.

use crate::support::PATIENCE;
use crate::support::postgres::{ACME, ADA, Database, GLOBEX, GRACE};
use crate::support::process::{Program, Setup};
use crate::support::wire::Answer;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The deadline of a request, and a busy machine.
const NO_HANG: Duration = Duration::from_millis(2_800);

/// Kinds that take no faults of their own: a mailer catches what it meets, and its factory is told instead.
const WORKERS: [&str; 1] = ["mailer"];

/// Every kind that runs, as `/actors` shows them: a new kind cannot be forgotten here.
async fn kinds(program: &Program) -> Vec<String> {
    let actors = program.actors().await;
    let kinds = actors.0["actors"].as_array().unwrap();
    let kinds = kinds.iter().map(|kind| kind["kind"].as_str().unwrap().to_owned());
    kinds.filter(|kind| !WORKERS.contains(&kind.as_str())).collect()
}

/// The kinds in the actor table of docs/ARCHITECTURE.md.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../docs/ARCHITECTURE.md");
    let (_, section) = text.split_once("| actor | file |").unwrap();
    let rows = section.lines().skip(2).take_while(|line| line.starts_with('|'));
    let first_cells = rows.filter_map(|row| row.split('|').nth(1));
    first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

async fn dev(database: &Database) -> Program {
    // what a crashed postmaster had in hand is due again after the lease
    let setup =
        Setup::dev_on(&database.url).set("DOORCODE__MAIL__LEASE", "2s").set("DOORCODE__MAIL__DEADLINE", "1s");
    setup.start().await
}

/// Logs in until it succeeds; every answer on the way is one that a caller can bear.
async fn log_in(program: &Program, slug: &str, email: &str) -> String {
    let mut wire = program.wire();
    let whole = async {
        loop {
            let asked = wire.login(slug, email).await.unwrap();
            assert!([200, 503].contains(&asked.status) && asked.took < NO_HANG, "{asked:?}");
            if asked.status == 200 {
                break;
            }
        }
        let code = program.mailed(email).await;
        loop {
            let tokens = wire.token(slug, email, &code).await.unwrap();
            assert!([200, 503].contains(&tokens.status) && tokens.took < NO_HANG, "{tokens:?}");
            if tokens.status == 200 {
                return tokens.text("refresh_token");
            }
        }
    };
    timeout(PATIENCE, whole).await.expect("service")
}

/// Traffic of all kinds until it is over: logins of strangers, guesses, one session's refreshes, empty logouts.
fn traffic(program: &Program, token: String, over: Arc<AtomicBool>) -> JoinSet<Vec<Answer>> {
    let mut callers = JoinSet::new();
    for caller in 0..4 {
        let (mut wire, over, mut token) = (program.wire(), over.clone(), token.clone());
        callers.spawn(async move {
            let mut answers = Vec::new();
            while !over.load(SeqCst) {
                let email = format!("t{caller}-{}@example.com", answers.len());
                let answer = match caller {
                    0 => wire.login(ACME, &email).await,
                    1 => wire.login("nowhere", &email).await,
                    2 => wire.token(ACME, &email, "000000").await,
                    _ => wire.refresh(&token).await,
                };
                let answer = answer.unwrap();
                if caller == 3 && answer.status == 200 {
                    token = answer.text("refresh_token");
                }
                answers.push(answer);
            }
            answers
        });
    }
    callers
}

/// Every kind of actor panics and fails under traffic, and is back; nobody waits beyond the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn every_actor_may_crash() {
    let database = Database::new().await;
    let program = dev(&database).await;
    let token = log_in(&program, ACME, ADA).await;
    let over = Arc::new(AtomicBool::new(false));
    let traffic = traffic(&program, token, over.clone());
    let kinds = kinds(&program).await;
    let shown = kinds.iter().cloned().chain(WORKERS.map(str::to_owned)).collect::<BTreeSet<_>>();
    assert_eq!(documented(), shown, "docs/ARCHITECTURE.md and /actors name the same kinds");
    for kind in kinds.iter().map(String::as_str) {
        for fault in ["panic", "error"] {
            let before = program.actors().await;
            let told = async {
                // between two lives there is nobody to tell
                while program.fault(kind, fault).await.status != 200 {}
            };
            timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{kind} cannot be told"));
            let what = format!("{kind} is back after its {fault}");
            program
                .until(&what, |now| {
                    now.restarts(kind) > before.restarts(kind) && now.number(kind, "alive") > 0
                })
                .await;
        }
    }
    program.until_ready(200).await;
    over.store(true, SeqCst);
    let mut counts = std::collections::BTreeMap::new();
    for answer in traffic.join_all().await.into_iter().flatten() {
        assert!(answer.took < NO_HANG, "{answer:?}");
        match answer.status {
            200 => {}
            401 => assert_eq!(answer.text("detail"), "Invalid or expired code", "no session was lost"),
            _ => answer.assert_unavailable(),
        }
        *counts.entry(answer.status).or_insert(0) += 1;
    }
    println!("{counts:?}");
    assert!(counts[&200] > 50 && counts[&401] > 10, "hardly any traffic: {counts:?}");
    log_in(&program, ACME, GRACE).await;

    let metrics = String::from_utf8(program.ops("/metrics").await.body.to_vec()).unwrap();
    // restarts counted are crashes made, each under its own reason
    for kind in kinds.iter().map(String::as_str) {
        let counted = |reason: &str| -> u64 {
            let name = format!("doorcode_actor_restarts_total{{kind=\"{kind}\",reason=\"{reason}\"}} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
        };
        match kind {
            // a factory is killed, whatever the fault
            "mailers" => assert_eq!(counted("killed"), 2),
            _ => assert_eq!((counted("panic"), counted("error")), (1, 1), "{kind}"),
        }
        assert_eq!(program.actors().await.restarts(kind), 2, "{kind}");
    }
    program.stop().await;
    database.remove().await;
}

/// An actor that hangs is named by `/readyz`; its callers get 503 by the deadline, others are served, and SIGTERM ends
/// the process all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_hung_actor_is_named() {
    let database = Database::new().await;
    let mut program = dev(&database).await;
    let token = log_in(&program, ACME, ADA).await;
    assert_eq!(program.fault("ledger.login", "hang").await.status, 200);
    let answer = program.until_ready(503).await;
    assert_eq!(answer.json()["reasons"], serde_json::json!(["ledger.login"]));
    program.until("named", |actors| actors.0["silent"] == serde_json::json!(["ledger.login"])).await;
    let mut wire = program.wire();
    let login = wire.login(ACME, ADA).await.unwrap();
    login.assert_unavailable();
    assert!(login.took < NO_HANG, "{login:?}");
    assert_eq!(wire.refresh(&token).await.unwrap().status, 200);
    assert_eq!(wire.token(ACME, GRACE, "000000").await.unwrap().status, 401);
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0), "{}", program.story());
    database.remove().await;
}

/// I3: one tenant's issuer crashes over and over; the other tenant does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_crash_loop_is_its_own() {
    let database = Database::new().await;
    let program = dev(&database).await;
    let query = format!("SELECT tenant_id::text FROM tenants WHERE slug = '{ACME}'");
    let acme: String = database.client().query_one(&query, &[]).await.unwrap().get(0);
    let issuer = format!("issuer/{acme}");
    let over = Arc::new(AtomicBool::new(false));
    let mut lanes = JoinSet::new();
    for slug in [ACME, GLOBEX] {
        let (mut wire, over) = (program.wire(), over.clone());
        lanes.spawn(async move {
            let mut answers = Vec::new();
            // enough of them on a slow machine too
            while !over.load(SeqCst) || answers.len() <= 20 {
                answers.push(wire.login(slug, &format!("x{}@example.com", answers.len())).await.unwrap());
            }
            (slug, answers)
        });
    }
    // told whenever it lives, for so many lives
    let looping = async {
        let mut crashes = 0;
        while crashes < 8 {
            if program.fault(&issuer, "panic").await.status == 200 {
                crashes += 1;
            }
        }
    };
    timeout(PATIENCE, looping).await.expect("crashes");
    program.until("restarts counted are crashes made", |now| now.restarts("issuer") == 8).await;
    let rows = program.ops("/actors/rows").await.json();
    let row = rows["rows"].as_array().unwrap().iter().find(|row| row["tenant"] == acme.as_str());
    let row = row.unwrap_or_else(|| panic!("no row in {rows:#}"));
    assert!(row["restarts"].as_u64().unwrap() >= 7, "{row}");
    assert_eq!((&row["slug"], &row["last_failure"]["slug"]), (&ACME.into(), &ACME.into()), "{row}");
    assert_eq!((&row["kind"], &row["last_failure"]["reason"]), (&"issuer".into(), &"panic".into()), "{row}");
    over.store(true, SeqCst);
    for (slug, answers) in lanes.join_all().await {
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
        println!("{slug}: {} answers, {} refused", answers.len(), refused.len());
        refused.iter().for_each(|answer| answer.assert_unavailable());
        assert!(answers.iter().all(|answer| answer.took < NO_HANG));
        match slug {
            ACME => assert!(!refused.is_empty(), "it did crash"),
            _ => assert!(refused.is_empty(), "{} of {}", refused.len(), answers.len()),
        }
    }
    for kind in kinds(&program).await.iter().filter(|kind| *kind != "issuer") {
        assert_eq!(program.actors().await.restarts(kind), 0, "{kind}");
    }
    log_in(&program, ACME, ADA).await;
    program.stop().await;
    database.remove().await;
}
