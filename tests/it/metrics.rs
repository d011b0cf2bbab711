//! `/metrics`: both formats, docs/METRICS.md, and what promtool says.

use crate::support::postgres::{ACME, ADA, Database, GLOBEX};
use crate::support::process::{Program, Scratch, Setup};
use crate::support::wire::Wire;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    let program = Setup::dev_on(&database.url).set("DOORCODE__OPS__TENANT_METRICS", "2").start().await;
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

/// The busiest tenants by name, where it is asked for; what a caller writes never is a label.
#[tokio::test(flavor = "multi_thread")]
async fn only_tenants_that_there_are_become_labels() {
    let database = Database::new().await;
    let start = |setup: Setup| async {
        let program = setup.start().await;
        let mut wire = program.wire();
        for (slug, times) in [(ACME, 3), (GLOBEX, 2), ("nobody", 4), ("x\"} 1\n", 1)] {
            for _ in 0..times {
                assert_eq!(wire.login(slug, ADA).await.unwrap().status, 200);
            }
        }
        let (_, text) = text(&program, "*/*").await;
        program.stop().await;
        text.lines().filter(|line| line.starts_with("doorcode_tenant_logins")).map(str::to_owned).collect()
    };
    let rows: Vec<String> = start(Setup::dev_on(&database.url)).await;
    assert_eq!(rows, [""; 0], "off by default");
    let rows: Vec<String> =
        start(Setup::dev_on(&database.url).set("DOORCODE__OPS__TENANT_METRICS", "1")).await;
    let row = |tenant: &str, n: u64| format!("doorcode_tenant_logins_total{{tenant=\"{tenant}\"}} {n}");
    assert_eq!(rows, [row("(unknown)", 5), row(ACME, 3)], "one tenant, and all that are none");
    database.remove().await;
}

/// Naming, units and types as Prometheus's own linter wants them.
#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing() {
    let Some(mut promtool) = tool("promtool") else { return };
    let database = Database::new().await;
    let program = used(&database).await;
    let (_, classic) = text(&program, "*/*").await;
    let mut checking = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checking.stdin.take().unwrap().write_all(classic.as_bytes()).unwrap();
    let found = checking.wait_with_output().unwrap();
    assert!(found.status.success() && found.stderr.is_empty(), "{}", String::from_utf8_lossy(&found.stderr));
    program.stop().await;
    database.remove().await;
}

/// Each alert fires when it should, and is silent when not.
#[test]
fn the_alerts_do_what_they_say() {
    let Some(mut promtool) = tool("promtool") else { return };
    let tested = promtool.args(["test", "rules", "alerts_test.yml"]).current_dir(here("deploy/prometheus"));
    let tested = tested.output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
}

/// Dashboard and alerts ask for metrics that there are; each alert is tested and has an entry in docs/OPERATIONS.md.
#[test]
fn alerts_and_dashboard_are_of_this_version() {
    let read = |path: &str| std::fs::read_to_string(here(path)).unwrap();
    let (alerts, tests) = (read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts_test.yml"));
    let operations = read("docs/OPERATIONS.md");
    let named = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect::<Vec<_>>();
    assert!(named.len() > 12, "{named:?}");
    for alert in named {
        assert!(tests.contains(&format!("alertname: {alert}")), "{alert} has no test");
        assert!(
            operations.contains(&format!("\n### {alert}\n")),
            "{alert} has no entry in docs/OPERATIONS.md"
        );
        let link = format!("runbook: docs/OPERATIONS.md#{}\n", alert.to_ascii_lowercase());
        assert!(alerts.contains(&link), "{alert} does not name its entry");
    }
    let documented = documented();
    let mut asked = BTreeSet::new();
    for text in [&alerts, &read("deploy/grafana/doorcode.json")] {
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
            if word.starts_with("doorcode_") || word.starts_with("process_") {
                let parts = ["", "_bucket", "_sum", "_count"];
                let family = parts.iter().find_map(|part| {
                    let name = word.strip_suffix(part)?;
                    documented.contains_key(name).then_some(name)
                });
                asked.insert(family.unwrap_or_else(|| panic!("there is no metric {word}")).to_owned());
            }
        }
    }
    let all = documented.into_keys().collect::<BTreeSet<_>>();
    assert_eq!(asked, all, "each metric is on the dashboard or in an alert");
}

/// The queries of the dashboard, as they are asked over ten seconds.
fn queries() -> Vec<(String, String)> {
    let dashboard = std::fs::read_to_string(here("deploy/grafana/doorcode.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let queries = list(&dashboard["panels"]).into_iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        list(&panel["targets"]).into_iter().map(move |target| {
            let query = target["expr"].as_str().unwrap();
            (title.clone(), query.replace("$__rate_interval", "10s").replace("$instance", ".*"))
        })
    });
    queries.collect()
}

/// A real Prometheus scrapes a real doorcode under load: no panel of the dashboard is empty, and the alert on a crash loop fires.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute; .ci/nightly runs it"]
async fn nightly_no_panel_is_empty() {
    let Some(mut prometheus) = tool("prometheus") else { return };
    let (database, scratch) = (Database::new().await, Scratch::new("prometheus"));
    let program = Setup::dev_on(&database.url)
        .set("DOORCODE__LIMITS__CLIENT__ENABLED", "true")
        .set("DOORCODE__JANITOR__INTERVAL", "2s")
        .set("DOORCODE__OPS__TENANT_METRICS", "2")
        .start()
        .await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n  - job_name: doorcode\n    static_configs: [{{targets: [\"{}\"]}}]\n",
        here("deploy/prometheus/alerts.yml").display(),
        program.ops
    );
    std::fs::create_dir_all(scratch.path()).unwrap();
    std::fs::write(scratch.path().join("prometheus.yml"), config).unwrap();
    let mut prometheus = prometheus
        .current_dir(scratch.path())
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut wire = program.wire();
    let until = Instant::now() + Duration::from_secs(25);
    let mut n = 0;
    while Instant::now() < until {
        n += 1;
        let email = format!("n{n}@example.com");
        let _ = wire.login(ACME, &email).await;
        let _ = wire.token(ACME, &email, "000000").await;
        let _ = wire.refresh("dcr_none").await;
        if n % 20 == 0 {
            program.fault("issuer", "panic").await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut asking = Wire::to(([127, 0, 0, 1], port).into());
    let mut empty = Vec::new();
    for (title, query) in queries() {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = asking.get(&format!("/api/v1/query?query={encoded}")).await.unwrap().json();
        assert_eq!(answer["status"], "success", "{title}: {query}: {answer}");
        if answer["data"]["result"].as_array().unwrap().is_empty() {
            empty.push(format!("{title}: {query}"));
        }
    }
    let alerts = asking.get("/api/v1/alerts").await.unwrap().json();
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    assert!(empty.is_empty(), "{}", empty.join("\n"));
    let fires = |alert: &Value| {
        let labels = &alert["labels"];
        (&labels["alertname"], &labels["kind"], &alert["state"])
            == (&"DoorcodeCrashLoop".into(), &"issuer".into(), &"firing".into())
    };
    assert!(alerts["data"]["alerts"].as_array().unwrap().iter().any(fires), "{alerts:#}");
    program.kill().await;
    database.remove().await;
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A tool of Prometheus (Debian: `prometheus`). Without it a test is skipped, loudly.
#[expect(clippy::explicit_write, reason = "what a test that passes prints by eprintln is not shown")]
fn tool(name: &str) -> Option<Command> {
    if Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
        return Some(Command::new(name));
    }
    writeln!(std::io::stderr(), "*** SKIPPED: there is no {name} here; .ci/nightly installs it ***").unwrap();
    None
}
