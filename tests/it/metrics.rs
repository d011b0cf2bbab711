//! `/metrics`: both formats, docs/METRICS.md, and what promtool says.

use crate::support::postgres::{ACME, ADA, Database};
use crate::support::process::{Program, Setup};
use crate::support::wire::Wire;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

/// A family: its type and the names of its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// The tables of docs/METRICS.md.
fn documented() -> Families {
    let text = include_str!("../../docs/METRICS.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let family = |row: Vec<&str>| {
        let labels = row[3].split(',').map(str::trim).filter(|label| !label.is_empty());
        (row[1].trim_matches('`').to_owned(), (row[2].to_owned(), labels.map(str::to_owned).collect()))
    };
    rows.map(family).collect()
}

/// The families of a text in format 0.0.4.
fn scraped(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let parts = ["", "_bucket", "_sum", "_count"];
            let family = |part: &&str| name.strip_suffix(*part).filter(|name| families.contains_key(*name));
            let family =
                parts.iter().find_map(family).unwrap_or_else(|| panic!("{name} has no type:\n{text}"));
            let (_, labels) = families.get_mut(family).unwrap();
            if let Some((_, pairs)) = line.split_once('{') {
                let pairs = pairs.rsplit_once('}').unwrap().0.split("\",");
                let names = pairs.map(|pair| pair.split('=').next().unwrap()).filter(|name| *name != "le");
                labels.extend(names.map(str::to_owned));
            }
        }
    }
    families
}

/// A doorcode whose every family has a sample.
async fn used(database: &Database) -> Program {
    let program = Setup::dev_on(&database.url).start().await;
    let mut wire = program.wire();
    assert_eq!(wire.login(ACME, ADA).await.unwrap().status, 200);
    let code = program.mailed(ADA).await;
    assert_eq!(wire.token(ACME, ADA, &code).await.unwrap().status, 200);
    program
}

async fn text(program: &Program, accept: &'static str) -> (String, String) {
    let answer = Wire::to(program.ops).with("accept", accept).get("/metrics").await.unwrap();
    let kind = answer.headers["content-type"].to_str().unwrap().to_owned();
    (kind, String::from_utf8(answer.body.to_vec()).unwrap())
}

/// K4, and: whoever reads a name on a graph finds its meaning, and nothing in the page is of yesterday.
#[tokio::test(flavor = "multi_thread")]
async fn k4_metrics_are_those_of_the_documentation() {
    let database = Database::new().await;
    let program = used(&database).await;
    let (kind, classic) = text(&program, "*/*").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(scraped(&classic), documented(), "{classic}");
    for name in documented().keys() {
        let help = classic.lines().find_map(|line| line.strip_prefix(&format!("# HELP {name} ")));
        assert!(help.is_some_and(|help| help.len() > 8), "{name} explains itself");
    }
    let value = |line: &str| {
        let value = classic.lines().find_map(|found| found.strip_prefix(&format!("{line} ")));
        value.unwrap_or_else(|| panic!("no {line} in\n{classic}")).parse::<f64>().unwrap()
    };
    assert_eq!(value("doorcode_mails_finished_total{outcome=\"sent\"}"), 1.0);
    assert_eq!(value("doorcode_mail_delay_seconds_count"), 1.0);
    assert!((0.0..5.0).contains(&value("doorcode_mail_delay_seconds_sum")));
    assert!(value("process_resident_memory_bytes") > 1e6 && value("process_cpu_seconds_total") > 0.0);

    let (kind, open) = text(&program, "application/openmetrics-text; version=1.0.0").await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE doorcode_outcomes counter\n"), "{open}");
    program.stop().await;
    database.remove().await;
}

/// Naming, units and types as Prometheus's own linter wants them. Skipped, loudly, without it (Debian: `prometheus`).
#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing() {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        println!("SKIPPED: there is no promtool here");
        return;
    };
    let database = Database::new().await;
    let program = used(&database).await;
    let (_, classic) = text(&program, "*/*").await;
    promtool.stdin.take().unwrap().write_all(classic.as_bytes()).unwrap();
    let found = promtool.wait_with_output().unwrap();
    assert!(found.status.success() && found.stderr.is_empty(), "{}", String::from_utf8_lossy(&found.stderr));
    program.stop().await;
    database.remove().await;
}
