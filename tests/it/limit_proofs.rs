//! `doorcode loadtest limits` against the real program: its limits are proven, and one more or one less of each is
//! found. These tests tell times apart: they run after all others, when nothing else has the processor (`bin/test`).

use crate::support::postgres::Database;
use crate::support::process::{Scratch, Setup};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A proof takes half a minute on a quiet machine.
const PROOF: Duration = Duration::from_secs(180);
/// A machine that stands still for seconds makes mails late and answers indistinct. What is broken is so in each run.
const RUNS: usize = 3;

/// Returns what a run showed instead.
macro_rules! ensure {
    ($holds:expr, $($shown:tt)+) => {
        if !$holds {
            return Err(format!($($shown)+));
        }
    };
}

/// Passes if one of the runs shows what is right.
async fn one_run_shows(run: impl AsyncFn() -> Result<(), String>) {
    let mut shown = Vec::new();
    for _ in 0..RUNS {
        match run().await {
            Ok(()) => return,
            Err(other) => shown.push(other),
        }
    }
    panic!("none of {RUNS} runs showed it:\n{}", shown.join("\n"));
}

/// A `dev` in `home` with these settings, and what `limits` says of it, which expects the defaults and what `expect` says.
/// A run in which the service, pressed by other programs, did not answer a call proves nothing and is repeated.
async fn limits(home: &Path, settings: &[(&str, &str)], expect: &[&str]) -> (i32, BTreeMap<String, Value>) {
    let mut setup = Setup::dev_in(home)
        .set("DOORCODE__LIMITS__CLIENT__ENABLED", "true")
        .set("DOORCODE__LIMITS__TENANT__ENABLED", "true")
        .set("DOORCODE__LIMITS__ADDRESS__COOLDOWN", "5s");
    for (name, value) in settings {
        setup = setup.set(name, value);
    }
    let program = setup.start().await;
    let (target, metrics) = (format!("http://{}", program.api), format!("http://{}", program.ops));
    let home = home.display().to_string();
    // The tenant's limit wants a quick machine; the driver's own tests have it.
    let words = "loadtest limits --create --duration 5s --mail-wait 5s --expect mail.cooldown=5s --expect tenant=off --json";
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend(["--target", &target, "--metrics", &metrics, "--data-dir", &home]);
    words.extend(expect.iter().flat_map(|limit| ["--expect", limit]));
    for _ in 0..RUNS {
        let output = Setup::of(&words).run_for(PROOF).await;
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let failed = |call: &Value| call["failed"].as_object().is_some_and(|failed| !failed.is_empty());
        if report["calls"].as_array().unwrap().iter().any(failed) {
            continue;
        }
        program.stop().await;
        return (output.status.code().unwrap(), by_name(&report));
    }
    panic!("in {RUNS} runs the service left calls unanswered");
}

fn by_name(report: &Value) -> BTreeMap<String, Value> {
    let limits = report["limits"].as_array().unwrap().iter();
    limits.map(|limit| (limit["limit"].as_str().unwrap().to_owned(), limit.clone())).collect()
}

const CLIENT: [&str; 3] = ["client.login", "client.code", "client.session"];
const NETWORK: [&str; 2] = ["network.login", "network.code"];
const MAIL: [&str; 2] = ["mail.stranger", "mail.known"];
const GUESSES: [&str; 3] = ["guesses.code", "guesses.network", "guesses.lane"];

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_running_dev_are_proven() {
    one_run_shows(async || limits_are_proven().await).await;
}

async fn limits_are_proven() -> Result<(), String> {
    let scratch = Scratch::new("loadtest-right");
    let (exit_code, found) = limits(scratch.path(), &[], &[]).await;
    ensure!(exit_code == 0, "{found:#?}");
    // The others' bursts come back too soon for a debug build beside other tests.
    for name in CLIENT[..2].iter().chain(&MAIL) {
        let measured = found[*name]["measured"].as_array().unwrap();
        ensure!(!measured.is_empty(), "the burst is measured: {:#}", found[*name]);
    }
    for name in GUESSES.into_iter().chain(["metrics"]) {
        ensure!(found[name]["status"] == "exact", "{:#}", found[name]);
    }
    Ok(())
}

/// `limits` finds each of these limits broken in this direction. `expect` are those that have no setting, where the
/// expectation is one off.
async fn are_found(what: &str, settings: &[(&str, &str)], expect: &[&str]) -> Result<(), String> {
    let scratch = Scratch::new(&what.replace(" ", "-"));
    let (exit_code, found) = limits(scratch.path(), settings, expect).await;
    ensure!(exit_code == 1, "{found:#?}");
    // Half a second decides whether the second mail comes too early; a busy machine may not be able to tell.
    let cool_down = &found["mail.cooldown"];
    let told =
        cool_down["status"] == "broken" || (what == "one too many" && cool_down["status"] == "unmeasured");
    ensure!(told, "{cool_down:#}");
    for name in CLIENT.iter().chain(&MAIL) {
        let complaint = found[*name]["complaints"][0].as_str().unwrap_or_default();
        ensure!(complaint.contains(what), "{what}: {:#}", found[*name]);
        ensure!(complaint.contains("X-Request-Id") || MAIL.contains(name), "the request: {complaint}");
    }
    for name in NETWORK.iter().chain(&GUESSES) {
        // A network's burst comes back too soon for a debug build.
        let status = found[*name]["status"].as_str().unwrap();
        let told = status == "broken" || (NETWORK.contains(name) && status == "unmeasured");
        ensure!(told, "{what}: {:#}", found[*name]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_let_one_too_many_through_are_found() {
    let more = [
        ("DOORCODE__LIMITS__CLIENT__LOGIN_PER_MINUTE", "31"),
        ("DOORCODE__LIMITS__CLIENT__VERIFY_PER_MINUTE", "31"),
        ("DOORCODE__LIMITS__CLIENT__REFRESH_PER_MINUTE", "125"),
        ("DOORCODE__LIMITS__ADDRESS__BURST", "6"),
        ("DOORCODE__LIMITS__ADDRESS__COOLDOWN", "4s"),
    ];
    let expect = ["guesses.code=4", "guesses.network=14", "guesses.lane=19", "mail.network=3"];
    one_run_shows(async || are_found("one too many", &more, &expect).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_let_one_too_few_through_are_found() {
    let less = [
        ("DOORCODE__LIMITS__CLIENT__LOGIN_PER_MINUTE", "29"),
        ("DOORCODE__LIMITS__CLIENT__VERIFY_PER_MINUTE", "29"),
        ("DOORCODE__LIMITS__CLIENT__REFRESH_PER_MINUTE", "115"),
        ("DOORCODE__LIMITS__ADDRESS__BURST", "4"),
        // By more than an answer takes in a debug build.
        ("DOORCODE__LIMITS__ADDRESS__COOLDOWN", "8s"),
    ];
    let expect = ["guesses.code=6", "guesses.network=16", "guesses.lane=21", "mail.network=5"];
    one_run_shows(async || are_found("one too few", &less, &expect).await).await;
}

/// `limits` over services that run, without those of clients and tenants.
async fn silent_limits(replicas: &[SocketAddr], more: &[&str]) -> (i32, BTreeMap<String, Value>) {
    let urls: Vec<String> = replicas.iter().map(|api| format!("http://{api}")).collect();
    let words =
        "loadtest limits --metrics off --tenant acme --email-count 100 --duration 5s --mail-wait 5s --json";
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend(urls.iter().flat_map(|url| ["--target", url]));
    let off = ["client", "network"]
        .map(|whose| ["login", "code", "session"].map(|what| format!("{whose}.{what}=off")));
    words.extend(off.as_flattened().iter().flat_map(|limit| ["--expect", limit]));
    words.extend(["--expect", "tenant=off"]);
    words.extend(more);
    let output = Setup::of(&words).run_for(PROOF).await;
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), by_name(&report))
}

fn complaints(limit: &Value) -> String {
    limit["complaints"].as_array().map(|all| Value::from(all.clone()).to_string()).unwrap_or_default()
}

/// Two replicas that share no database count for themselves: twice as much comes through.
#[tokio::test(flavor = "multi_thread")]
async fn budgets_that_each_replica_counts_alone_are_found() {
    one_run_shows(async || each_replica_counts_alone().await).await;
}

async fn each_replica_counts_alone() -> Result<(), String> {
    let databases = [Database::new().await, Database::new().await];
    let mut replicas = Vec::new();
    for database in &databases {
        database.import(100).await;
        let setup = Setup::dev_on(&database.url).set("DOORCODE__LIMITS__ADDRESS__COOLDOWN", "5s");
        replicas.push(setup.start().await);
    }
    let apis: Vec<_> = replicas.iter().map(|replica| replica.api).collect();
    let (exit_code, found) = silent_limits(&apis, &["--expect", "mail.cooldown=5s"]).await;
    for replica in replicas {
        replica.stop().await;
    }
    for database in databases {
        database.remove().await;
    }
    ensure!(exit_code == 1, "{found:#?}");
    let guesses = complaints(&found["guesses.code"]);
    ensure!(guesses.contains("one too many") && guesses.contains("X-Request-Id"), "{guesses}");
    // Either a mail from each replica in one round, or more rounds with a mail than one budget has.
    let mails = complaints(&found["mail.stranger"]);
    let told = mails.contains("one too many") || mails.contains("mails for logins at the same moment");
    ensure!(told && mails.contains("X-Request-Id"), "{mails}");
    Ok(())
}

/// `--restart` runs a command that kills the service with -9 and starts it again, with or without what it had counted.
async fn restart_is_judged(forgets: bool) -> Result<(), String> {
    let (database, scratch) =
        (Database::new().await, Scratch::new(if forgets { "restart-forgets" } else { "restart-keeps" }));
    database.import(100).await;
    std::fs::create_dir_all(scratch.path()).unwrap();
    // longer than a restart takes
    let setup = || Setup::dev_on(&database.url).set("DOORCODE__LIMITS__ADDRESS__COOLDOWN", "30s");
    let program = setup().start().await;
    let (asked, done) = (scratch.path().join("asked"), scratch.path().join("done"));
    let command =
        format!("touch {0}; while [ ! -e {1} ]; do sleep 0.05; done", asked.display(), done.display());
    let words = ["--restart", &command, "--expect", "mail.cooldown=30s"];
    let apis = [program.api];
    let restart = async {
        while !asked.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        program.kill().await;
        if forgets {
            database.client().batch_execute("DELETE FROM challenges").await.unwrap();
        }
        let again = setup().set("DOORCODE__HTTP__LISTEN", &apis[0].to_string()).start().await;
        std::fs::write(&done, "").unwrap();
        again
    };
    let ((exit_code, found), again) = tokio::join!(silent_limits(&apis, &words), restart);
    again.stop().await;
    database.remove().await;
    let said = complaints(&found["restart"]);
    ensure!(said.contains("one too many") == forgets, "{:#}", found["restart"]);
    ensure!(!forgets || exit_code == 1, "{found:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_that_outlive_a_restart_are_no_finding() {
    one_run_shows(async || restart_is_judged(false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_that_a_restart_forgets_are_found() {
    one_run_shows(async || restart_is_judged(true).await).await;
}

/// A limit that lets the right number through at once, and the next ones too early.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_refills_too_early_is_found() {
    one_run_shows(async || refilling_too_early().await).await;
}

async fn refilling_too_early() -> Result<(), String> {
    let scratch = Scratch::new("loadtest-early");
    let twice = [("DOORCODE__LIMITS__CLIENT__VERIFY_PER_MINUTE", "60")];
    let (exit_code, found) = limits(scratch.path(), &twice, &["client.code=30/60s:burst=60"]).await;
    ensure!(exit_code == 1, "{found:#?}");
    let said = complaints(&found["client.code"]);
    ensure!(said.contains("one too many") && said.contains("X-Request-Id"), "{said}");
    ensure!(found["client.login"]["status"] != "broken", "{:#}", found["client.login"]);
    Ok(())
}
