//! Every statement's plan, under statistics of another day: one shape whatever the tables hold, and no table read but by
//! a whole key.

mod rows_tests;

use super::{Connector, connect, migrate};
use crate::settings::DatabaseSettings;
use crate::test_cluster::Cluster;
use crate::test_settings::database;
use deadpool_postgres::ClientWrapper;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Statements that read a table from end to end, or a tenant's part of it, because that is what they are for.
const WHOLE: &[&str] = &[
    "portals/fingerprint.sql",
    "tenants/delete.sql",
    "tenants/export.sql",
    "portals/list.sql",
    "recovery/codes.sql",
    "recovery/mails.sql",
    "recovery/sessions.sql",
    "tenants/figures.sql",
    "tenants/list.sql",
];
/// A handful of rows each, or gone with the transaction.
const SMALL: &[&str] = &["purpose_keys", "signing_keys", "customers_import", "admin_keys", "webhooks"];
/// Statements that PostgreSQL does not plan.
const UNPLANNED: &[&str] = &["CREATE TEMP", "SET LOCAL", "COPY ", "LOCK TABLE", "ANALYZE"];

/// What the planner believes, and since when.
const STATES: &[(&str, &[Step])] = &[
    ("never analysed", &[]),
    (
        "analysed when all but empty, its pages left behind",
        &[Step::Fill(20_000), Step::Empty, Step::Fill(2_000)],
    ),
    ("analysed with 2 customers before 100,000 come", &[Step::Fill(2), Step::Analyse, Step::Fill(100_000)]),
    ("full and analysed", &[Step::Fill(100_000), Step::Analyse]),
];

enum Step {
    Fill(u32),
    /// Deletes all but the last row of each table and vacuums, as a quiet minute does.
    Empty,
    Analyse,
}

const FILL: &str = "
    INSERT INTO tenants (tenant_id, slug, name, created_us)
        VALUES ('00000000-0000-0000-0000-0000000000bb', 'acme', 'A', 0) ON CONFLICT DO NOTHING;
    CREATE TEMPORARY TABLE n AS SELECT g, '00000000-0000-0000-0000-0000000000bb'::uuid AS t, gen_random_uuid() AS id
        FROM generate_series(1, ROWS) g;
    INSERT INTO customers SELECT t, id, id, 'a@b', false, 0, id::text FROM n;
    INSERT INTO challenges (tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us, touched_us,
        alphabet, s_guesses, k_guesses, known_asked, mail_now) SELECT t, id, id, id, id, 0, 0, 0, 5, 5, false, false FROM n;
    INSERT INTO sessions (tenant_id, session_key, customer_id, created_us, rotated_us, idle_until_us, expires_us)
        SELECT t, id, id, 0, 0, 0, 0 FROM n;
    INSERT INTO test_codes SELECT t, id, id, 0, 0 FROM n;
    INSERT INTO outbox SELECT id, 1, g % 17, id, 0, 0, 0, 0, 1, '', '', NULL FROM n;
    INSERT INTO tenant_limits SELECT id, 0, 0, 0 FROM n;
    INSERT INTO tenant_hours SELECT t, g, 0, 0 FROM n ON CONFLICT DO NOTHING;
    INSERT INTO origins SELECT id::text, t FROM n WHERE g % 10 = 0;
    INSERT INTO events SELECT id, 'x', t, '{}', '[]', '{}' FROM n;
    INSERT INTO event_contexts SELECT id, '{}' FROM n;
    DROP TABLE n;";
const FILLED: &[&str] = &[
    "test_codes",
    "customers",
    "challenges",
    "sessions",
    "outbox",
    "tenant_limits",
    "tenant_hours",
    "origins",
    "events",
    "event_contexts",
];

impl Step {
    async fn take(&self, client: &Client) {
        let text = match self {
            Self::Fill(rows) => FILL.replace("ROWS", &rows.to_string()),
            Self::Analyse => "ANALYZE".to_owned(),
            Self::Empty => {
                for table in FILLED {
                    let delete = format!("DELETE FROM {table} WHERE ctid <> (SELECT max(ctid) FROM {table})");
                    client.batch_execute(&delete).await.unwrap();
                    let vacuum = format!("VACUUM (TRUNCATE off, ANALYZE) {table}");
                    client.batch_execute(&vacuum).await.unwrap();
                }
                return;
            }
        };
        client.batch_execute(&text).await.unwrap();
    }
}

/// A database in each state, reached by the service's own connections.
struct Bench {
    clients: Vec<(&'static str, ClientWrapper)>,
    /// Key columns by index.
    indexes: BTreeMap<String, Vec<String>>,
    stage: String,
    _cluster: Cluster,
}

impl Bench {
    async fn new() -> Self {
        let cluster = Cluster::start();
        let patience = Duration::from_secs(60);
        let settings_of = |url: &str| DatabaseSettings { statement_timeout: patience, ..database(url) };
        let settings = settings_of(&cluster.url);
        let admin = connect(&settings).await.unwrap();
        let mut clients = Vec::new();
        for (number, (state, steps)) in STATES.iter().enumerate() {
            admin.batch_execute(&format!("CREATE DATABASE plans_{number}")).await.unwrap();
            let settings = settings_of(&cluster.url.replace("/postgres?", &format!("/plans_{number}?")));
            migrate(&settings).await.unwrap();
            let client = connect(&settings).await.unwrap();
            for table in FILLED {
                // on a slow machine it would analyse what a state has left unanalysed
                let quiet = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
                client.batch_execute(&quiet).await.unwrap();
            }
            for step in *steps {
                step.take(&client).await;
            }
            let client = Connector::new(&settings).unwrap().connect().await.unwrap();
            clients.push((*state, client));
        }
        let indexes = indexes(&clients[0].1).await;
        let stage = std::fs::read_to_string(queries().join("customers/import_stage.sql")).unwrap();
        Self { clients, indexes, stage, _cluster: cluster }
    }

    /// What is wrong with a statement.
    async fn faults(&self, name: &str, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut shapes: Vec<(&str, String)> = Vec::new();
        for (state, client) in &self.clients {
            let plan = plan(client, &self.stage, text).await;
            let mut shape = String::new();
            self.walk(&plan, 0, &mut |node, depth| {
                let at = |key: &str| node[key].as_str().unwrap_or_default();
                shape += &format!("{depth}{}{}{}\n", at("Node Type"), at("Index Name"), at("CTE Name"));
                if let Some(fault) = self.fault(name, node) {
                    faults.push(format!("{name}, {state}: {fault}"));
                }
            });
            shapes.push((state, shape));
        }
        if !is_exempt(name) {
            for (state, shape) in &shapes {
                if *shape != shapes[0].1 {
                    faults.push(format!(
                        "{name}: another plan when {state}:\n{shape}instead of\n{}",
                        shapes[0].1
                    ));
                }
            }
        }
        faults
    }

    fn walk(&self, node: &Value, depth: usize, see: &mut dyn FnMut(&Value, usize)) {
        see(node, depth);
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.walk(child, depth + 1, see);
        }
    }

    fn fault(&self, name: &str, node: &Value) -> Option<String> {
        let at = |key: &str| node[key].as_str().unwrap_or_default();
        let (kind, table, condition) = (at("Node Type"), at("Relation Name"), at("Index Cond"));
        let names = |text: &str, column: &str| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == column)
        };
        let filter = at("Join Filter");
        if self.indexes.values().flatten().any(|column| names(filter, column)) && !is_exempt(name) {
            return Some(format!("a join by comparing all with all: {filter}"));
        }
        if table.is_empty() || kind == "ModifyTable" || SMALL.contains(&table) || WHOLE.contains(&name) {
            return None;
        }
        let Some(columns) = self.indexes.get(at("Index Name")) else {
            return Some(format!("{kind} of {table}"));
        };
        (!columns.iter().all(|column| names(condition, column)))
            .then(|| format!("{kind} of {table} by {} where {condition:?}", at("Index Name")))
    }
}

fn is_exempt(name: &str) -> bool {
    WHOLE.contains(&name) || SMALL.iter().any(|table| name.starts_with(table))
}

async fn indexes(client: &Client) -> BTreeMap<String, Vec<String>> {
    let query = "SELECT i.indexrelid::regclass::text, array_agg(a.attname::text)
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace GROUP BY 1";
    client.query(query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The plan that the service's connections keep for a statement.
async fn plan(client: &Client, stage: &str, text: &str) -> Value {
    let arguments = (1..).take_while(|n| text.contains(&format!("${n}"))).count();
    let nulls = vec!["NULL"; arguments].join(", ");
    let call = if arguments == 0 { String::new() } else { format!("({nulls})") };
    let script = format!(
        "BEGIN; {stage}; PREPARE p AS {text}; EXPLAIN (FORMAT JSON) EXECUTE p{call}; DEALLOCATE p; ROLLBACK"
    );
    let answers = client.simple_query(&script).await.unwrap();
    let json = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    serde_json::from_str::<Value>(json.unwrap()).unwrap()[0]["Plan"].clone()
}

fn queries() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/queries")
}

/// `table/verb.sql` and its text, of every statement that is planned.
fn statements() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in std::fs::read_dir(queries()).unwrap().map(|entry| entry.unwrap().path()) {
        for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let text = std::fs::read_to_string(&file).unwrap();
            if !UNPLANNED.iter().any(|word| text.contains(word)) {
                let name = file.strip_prefix(queries()).unwrap().display().to_string();
                all.push((name, text));
            }
        }
    }
    all.sort();
    all
}

/// Two statements of earlier days, which read 5,000,000 rows for 500 (a queue that was empty the day before; a tenant
/// whose customers had just been imported). The test sees both.
const TURNED: &[&str] = &[
    "WITH done AS MATERIALIZED (
        SELECT c.tenant_id, c.address_key FROM challenges c
        JOIN unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, address_key) USING (tenant_id, address_key)
        ORDER BY c.tenant_id, c.address_key FOR UPDATE OF c
    )
    DELETE FROM challenges c USING done WHERE c.tenant_id = done.tenant_id AND c.address_key = done.address_key",
    "SELECT k.email, t.slug FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, address_key)
    JOIN customers k USING (tenant_id, address_key) JOIN tenants t ON t.tenant_id = k.tenant_id",
];

#[tokio::test]
async fn no_plan_turns() {
    let bench = Bench::new().await;
    let mut faults = Vec::new();
    for (name, text) in statements() {
        faults.extend(bench.faults(&name, &text).await);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for text in TURNED {
        assert!(!bench.faults("turned", text).await.is_empty(), "{text}");
    }
    rows_tests::no_statement_reads_more_than_it_was_asked_about(&bench).await;
}
