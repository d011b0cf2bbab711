//! The actors' snapshot as Prometheus text.

use crate::http::response::reply;
use crate::http::{ClientLimits, LoginApi};
use doorcode_actors::{HistogramSnapshot, KindSnapshot, LedgerSnapshot, PoolSnapshot};
use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use warp::reply::Response;

/// Adds what is looked up at each scrape.
pub fn register(registry: &mut Registry, service: Arc<dyn LoginApi>, limits: Arc<ClientLimits>) {
    registry.register_collector(Box::new(Tree(service)));
    registry.register_collector(Box::new(Callers(limits)));
}

/// Everything in the registry.
pub fn text(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => {
            reply::typed(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            reply::json(
                StatusCode::INTERNAL_SERVER_ERROR,
                &serde_json::json!({"detail": "Internal Server Error"}),
            )
        }
    }
}

struct Tree(Arc<dyn LoginApi>);

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tree")
    }
}

type Reading<T> = (&'static str, &'static str, fn(&T) -> u64);

const GAUGES: [Reading<KindSnapshot>; 4] = [
    ("doorcode_actors", "Actors alive, by kind", |kind| kind.alive),
    ("doorcode_actor_mailbox_depth", "Messages accepted and not yet answered or dropped", |kind| kind.depth),
    ("doorcode_actor_permits_in_use", "Admission permits in use", |kind| kind.permits_in_use),
    ("doorcode_actor_permits", "Admission permits there are; 0 is no limit", |kind| kind.permits),
];

const COUNTERS: [Reading<KindSnapshot>; 3] = [
    ("doorcode_actor_handled", "Messages handled", |kind| kind.handled),
    ("doorcode_actor_shed", "Messages refused because all permits were taken", |kind| kind.shed),
    ("doorcode_actor_expired", "Messages dropped because their deadline had passed", |kind| kind.expired),
];

type Times = (&'static str, &'static str, fn(&KindSnapshot) -> &HistogramSnapshot);

const HISTOGRAMS: [Times; 2] = [
    ("doorcode_actor_wait_seconds", "Time from a message's sending to its reading", |kind| &kind.wait),
    ("doorcode_actor_busy_seconds", "Time in an actor's handler", |kind| &kind.busy),
];

const LEDGERS: [Reading<LedgerSnapshot>; 3] = [
    ("doorcode_ledger_flushes", "Statements sent, each for many rows", |ledger| ledger.flushes),
    ("doorcode_ledger_rows", "Rows in those statements", |ledger| ledger.rows),
    ("doorcode_ledger_failed", "Statements that failed for good; their callers got 503", |ledger| {
        ledger.failed
    }),
];

const POOL: [Reading<PoolSnapshot>; 3] = [
    ("doorcode_database_connections", "Database connections open", |pool| pool.connections as u64),
    ("doorcode_database_connections_idle", "Database connections open and not in use", |pool| {
        pool.idle as u64
    }),
    ("doorcode_database_waiting", "Statements that wait for a connection", |pool| pool.waiting as u64),
];

impl Collector for Tree {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tree = self.0.snapshot();
        actors(&mut encoder, &tree.actors)?;
        for (name, help, read) in LEDGERS {
            let rows = tree.ledgers.iter().map(|ledger| ([("kind", ledger.kind)], read(ledger)));
            counters(&mut encoder, name, help, rows)?;
        }
        let outcomes =
            tree.outcomes.iter().map(|(verb, what, n)| ([("verb", *verb), ("outcome", *what)], *n));
        counters(
            &mut encoder,
            "doorcode_outcomes",
            "What login, verify, refresh and logout came to",
            outcomes,
        )?;
        let mails = tree.mails.iter().map(|(state, n)| ([("state", *state)], *n));
        counters(&mut encoder, "doorcode_mails", "What became of mails", mails)?;
        let swept = tree.swept.iter().map(|(table, n)| ([("table", *table)], *n));
        counters(&mut encoder, "doorcode_swept_rows", "Rows that had ended and were deleted", swept)?;
        for (name, help, read) in POOL {
            gauge(&mut encoder, name, help, read(&tree.pool))?;
        }
        let help = "Tenants whose strangers get base32 codes because failures outgrew successes: an alert";
        gauge(&mut encoder, "doorcode_tenants_stepped_up", help, tree.stepped_up)?;
        let help = "Actors, or the database, that did not answer when last asked; /readyz names them";
        gauge(&mut encoder, "doorcode_actors_silent", help, tree.silent.len() as u64)
    }
}

fn actors(encoder: &mut DescriptorEncoder<'_>, kinds: &[KindSnapshot]) -> fmt::Result {
    for (name, help, read) in GAUGES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for kind in kinds {
            family.encode_family(&[("kind", kind.kind)])?.encode_gauge(&signed(read(kind)))?;
        }
    }
    for (name, help, read) in COUNTERS {
        counters(encoder, name, help, kinds.iter().map(|kind| ([("kind", kind.kind)], read(kind))))?;
    }
    let restarts = kinds.iter().flat_map(|kind| {
        kind.restarts.iter().map(|(reason, n)| ([("kind", kind.kind), ("reason", *reason)], *n))
    });
    counters(encoder, "doorcode_actor_restarts", "Restarts by reason", restarts)?;
    for (name, help, read) in HISTOGRAMS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for kind in kinds {
            let times = read(kind);
            family.encode_family(&[("kind", kind.kind)])?.encode_histogram::<NoLabelSet>(
                times.sum_s,
                times.count,
                &each_bucket(times),
                None,
            )?;
        }
    }
    rounds(encoder, kinds)
}

/// Of kinds that work in rounds.
fn rounds(encoder: &mut DescriptorEncoder<'_>, kinds: &[KindSnapshot]) -> fmt::Result {
    let periodic = || kinds.iter().filter_map(|kind| Some((kind.kind, kind.periodic.as_ref()?)));
    let ended = periodic().flat_map(|(kind, rounds)| {
        [("success", rounds.succeeded), ("failure", rounds.failed)]
            .map(|(outcome, n)| ([("kind", kind), ("outcome", outcome)], n))
    });
    counters(encoder, "doorcode_periodic_rounds", "Rounds of periodic work, by how they ended", ended)?;
    let help = "When a round last ended well, in seconds since 1970; 0 is never in this process";
    let name = "doorcode_periodic_last_success_timestamp_seconds";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (kind, rounds) in periodic() {
        family.encode_family(&[("kind", kind)])?.encode_gauge(&signed(rounds.last_success_s))?;
    }
    Ok(())
}

/// A snapshot's buckets are cumulative and leave out the last; the encoder wants each one's own count, and all of them.
fn each_bucket(times: &HistogramSnapshot) -> Vec<(f64, u64)> {
    let mut below = 0;
    let all = times.buckets.iter().copied().chain([(f64::INFINITY, times.count)]);
    all.map(|(bound, count)| {
        let own = count.saturating_sub(below);
        below = count;
        (bound, own)
    })
    .collect()
}

fn counters<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = ([(&'static str, &'static str); N], u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in rows {
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
    }
    Ok(())
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&signed(value))
}

struct Callers(Arc<ClientLimits>);

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callers")
    }
}

impl Collector for Callers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Networks whose requests are being counted";
        gauge(&mut encoder, "doorcode_client_limit_callers", help, self.0.callers() as u64)
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests_script::Script;
    use doorcode_actors::{PeriodicSnapshot, TreeSnapshot};

    fn tree() -> TreeSnapshot {
        let wait = HistogramSnapshot { buckets: vec![(0.001, 2), (0.5, 3)], count: 4, sum_s: 2.5 };
        TreeSnapshot {
            actors: vec![KindSnapshot {
                kind: "issuer",
                parent: "tenants",
                failures: Vec::new(),
                alive: 2,
                depth: 3,
                permits_in_use: 5,
                permits: 2_048,
                shed: 7,
                handled: 11,
                expired: 13,
                restarts: vec![("panic", 17), ("killed", 0)],
                wait,
                busy: HistogramSnapshot::default(),
                periodic: Some(PeriodicSnapshot { succeeded: 41, last_success_s: 43, ..Default::default() }),
            }],
            ledgers: vec![LedgerSnapshot { kind: "ledger.login", flushes: 19, rows: 190, failed: 1 }],
            outcomes: vec![("refresh", "theft", 23)],
            mails: vec![("sent", 29)],
            swept: vec![("sessions", 31)],
            pool: PoolSnapshot { connections: 4, idle: 3, waiting: 2 },
            stepped_up: 37,
            silent: vec!["ledger.login".to_owned(), "database".to_owned()],
        }
    }

    fn written(tree: TreeSnapshot) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Tree(Arc::new(Script::showing(tree)))));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    /// Every field of the snapshot is scraped, with the type that its meaning has.
    #[test]
    fn the_whole_tree_is_scraped() {
        let text = written(tree());
        for line in [
            "# TYPE doorcode_actors gauge",
            "doorcode_actors{kind=\"issuer\"} 2",
            "doorcode_actor_mailbox_depth{kind=\"issuer\"} 3",
            "doorcode_actor_permits_in_use{kind=\"issuer\"} 5",
            "doorcode_actor_permits{kind=\"issuer\"} 2048",
            "# TYPE doorcode_actor_shed counter",
            "doorcode_actor_shed_total{kind=\"issuer\"} 7",
            "doorcode_actor_handled_total{kind=\"issuer\"} 11",
            "doorcode_actor_expired_total{kind=\"issuer\"} 13",
            "doorcode_actor_restarts_total{kind=\"issuer\",reason=\"panic\"} 17",
            "doorcode_actor_restarts_total{kind=\"issuer\",reason=\"killed\"} 0",
            "# TYPE doorcode_actor_wait_seconds histogram",
            "doorcode_actor_wait_seconds_sum{kind=\"issuer\"} 2.5",
            "doorcode_actor_wait_seconds_count{kind=\"issuer\"} 4",
            "doorcode_actor_wait_seconds_bucket{le=\"0.001\",kind=\"issuer\"} 2",
            "doorcode_actor_wait_seconds_bucket{le=\"0.5\",kind=\"issuer\"} 3",
            "doorcode_actor_wait_seconds_bucket{le=\"+Inf\",kind=\"issuer\"} 4",
            "doorcode_actor_busy_seconds_bucket{le=\"+Inf\",kind=\"issuer\"} 0",
            "doorcode_periodic_rounds_total{kind=\"issuer\",outcome=\"success\"} 41",
            "doorcode_periodic_last_success_timestamp_seconds{kind=\"issuer\"} 43",
            "doorcode_ledger_flushes_total{kind=\"ledger.login\"} 19",
            "doorcode_ledger_rows_total{kind=\"ledger.login\"} 190",
            "doorcode_ledger_failed_total{kind=\"ledger.login\"} 1",
            "doorcode_outcomes_total{verb=\"refresh\",outcome=\"theft\"} 23",
            "doorcode_mails_total{state=\"sent\"} 29",
            "doorcode_swept_rows_total{table=\"sessions\"} 31",
            "# TYPE doorcode_database_connections gauge",
            "doorcode_database_connections 4",
            "doorcode_database_connections_idle 3",
            "doorcode_database_waiting 2",
            "doorcode_tenants_stepped_up 37",
            "doorcode_actors_silent 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    /// Who sees a name on a graph has its meaning beside it.
    #[test]
    fn every_family_has_a_help_text() {
        let text = written(tree());
        let families = || text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        assert!(families().count() > 15, "{text}");
        for name in families().filter_map(|family| family.split(' ').next()) {
            let help = text.lines().find_map(|line| line.strip_prefix(&format!("# HELP {name} ")));
            assert!(help.is_some_and(|help| help.len() > 8), "{name} in\n{text}");
        }
    }
}
