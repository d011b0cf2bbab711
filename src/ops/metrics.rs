//! What `/metrics` shows: the snapshots of actors and limits by Prometheus's conventions
//! (<https://prometheus.io/docs/practices/naming/>). docs/METRICS.md says the same in words; a test compares them.
//!
//! Every label has values from our own tables. No address or token is one; slugs of tenants are where `ops.tenant_metrics` allows
//! so many.

use super::exposition::{Format, counter, counters, gauge, gauges, histogram, histograms};
use super::process::Process;
use crate::http::response::reply;
use crate::http::{ClientLimits, LoginApi};
use doorcode_actors::{
    HistogramSnapshot, KindSnapshot, LedgerSnapshot, MailSnapshot, PoolSnapshot, SweepSnapshot, TenantCalls,
    TreeSnapshot, WebhookSnapshot,
};
use http::{HeaderMap, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use warp::reply::Response;

/// Adds what is looked up at each scrape.
pub(super) fn register(registry: &mut Registry, service: Arc<dyn LoginApi>, limits: Arc<ClientLimits>) {
    registry.register_collector(Box::new(Build));
    registry.register_collector(Box::new(Tree(service)));
    registry.register_collector(Box::new(Limits(limits)));
    registry.register_collector(Box::new(Process::started()));
}

/// Everything in the registry, in the format that is asked for.
pub(super) fn answer(registry: &Registry, headers: &HeaderMap) -> Response {
    let format = Format::asked_for(headers);
    match format.write(registry) {
        Ok(text) => reply::typed(StatusCode::OK, format.content_type(), text),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            reply::json(
                StatusCode::INTERNAL_SERVER_ERROR,
                &serde_json::json!({"detail": "Internal Server Error"}),
            )
        }
    }
}

#[derive(Debug)]
struct Build;

impl Collector for Build {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Which doorcode this is; always 1";
        let mut family = encoder.encode_descriptor("doorcode_build_info", help, None, MetricType::Gauge)?;
        family.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?.encode_gauge(&1i64)
    }
}

struct Tree(Arc<dyn LoginApi>);

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tree")
    }
}

impl Collector for Tree {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tree = self.0.snapshot();
        actors(&mut encoder, &tree.actors)?;
        rounds(&mut encoder, &tree.actors)?;
        ledgers(&mut encoder, &tree.ledgers)?;
        let outcomes =
            tree.outcomes.iter().map(|(verb, what, n)| ([("verb", *verb), ("outcome", *what)], *n));
        let help = "What the calls of the API came to, by verb";
        counters(&mut encoder, "doorcode_outcomes", help, outcomes)?;
        mails(&mut encoder, &tree)?;
        mail_times(&mut encoder, &tree.mail)?;
        let (admitted, refused) = tree.tenant_limit;
        let decisions =
            [("admitted", admitted), ("refused", refused)].map(|(what, n)| ([("decision", what)], n));
        let help = "What the tenants' limits said of logins and guesses";
        counters(&mut encoder, "doorcode_tenant_limit_decisions", help, decisions.into_iter())?;
        tenants(&mut encoder, &tree.tenants)?;
        sweeps(&mut encoder, &tree.swept)?;
        webhooks(&mut encoder, &tree.webhooks)?;
        let help = "Statements that the database refused for want of disk and the like, by reason";
        let refused = tree.pool.refused.iter().map(|(reason, n)| ([("reason", *reason)], *n));
        counters(&mut encoder, "doorcode_database_statements_refused", help, refused)?;
        for (name, help, read) in POOL {
            gauge(&mut encoder, name, help, read(&tree.pool))?;
        }
        let help = "Tenants whose strangers get base32 codes because failures outgrew successes";
        gauge(&mut encoder, "doorcode_tenants_stepped_up", help, tree.stepped_up)?;
        let help = "Actors, or the database, that did not answer when last asked; /readyz names them";
        gauge(&mut encoder, "doorcode_actors_silent", help, tree.silent.len() as u64)
    }
}

type Reading<T> = (&'static str, &'static str, fn(&T) -> u64);
type Times<T> = (&'static str, &'static str, fn(&T) -> &HistogramSnapshot);

const ACTOR_GAUGES: [Reading<KindSnapshot>; 4] = [
    ("doorcode_actors", "Actors alive", |kind| kind.alive),
    ("doorcode_actor_mailbox_depth", "Messages accepted and not yet answered or dropped", |kind| kind.depth),
    ("doorcode_actor_permits_in_use", "Admission permits in use", |kind| kind.permits_in_use),
    ("doorcode_actor_permits", "Admission permits there are; 0 is no limit", |kind| kind.permits),
];

const ACTOR_TIMES: [Times<KindSnapshot>; 2] = [
    ("doorcode_actor_wait_seconds", "Time from a message's sending to its reading", |kind| &kind.wait),
    ("doorcode_actor_busy_seconds", "Time in an actor's handler, by message", |kind| &kind.busy),
];

const LEDGERS: [Times<LedgerSnapshot>; 2] = [
    ("doorcode_ledger_batch_rows", "Rows in a flush", |ledger| &ledger.batch),
    (
        "doorcode_ledger_flush_duration_seconds",
        "Time from a flush's beginning until its callers are answered",
        |ledger| &ledger.flush,
    ),
];

const POOL: [Reading<PoolSnapshot>; 4] = [
    ("doorcode_database_connections", "Database connections open", |pool| pool.connections as u64),
    ("doorcode_database_connections_idle", "Database connections open and not in use", |pool| {
        pool.idle as u64
    }),
    ("doorcode_database_connections_max", "Database connections that may be open", |pool| pool.max as u64),
    ("doorcode_database_waiting", "Statements that wait for a connection", |pool| pool.waiting as u64),
];

/// Utilisation (busy time), saturation (depth, permits, wait) and errors (shed, expired, restarts) by kind.
fn actors(encoder: &mut DescriptorEncoder<'_>, kinds: &[KindSnapshot]) -> fmt::Result {
    for (name, help, read) in ACTOR_GAUGES {
        gauges(encoder, name, help, kinds.iter().map(|kind| ([("kind", kind.kind)], read(kind))))?;
    }
    let messages = kinds.iter().flat_map(|kind| {
        [("handled", kind.handled), ("shed", kind.shed), ("expired", kind.expired)]
            .map(|(outcome, n)| ([("kind", kind.kind), ("outcome", outcome)], n))
    });
    let help =
        "Messages handled, refused because all permits were taken, or dropped because nobody waited any more";
    counters(encoder, "doorcode_actor_messages", help, messages)?;
    let restarts = kinds.iter().flat_map(|kind| {
        kind.restarts.iter().map(|(reason, n)| ([("kind", kind.kind), ("reason", *reason)], *n))
    });
    counters(encoder, "doorcode_actor_restarts", "Lives of actors that ended badly", restarts)?;
    for (name, help, read) in ACTOR_TIMES {
        histograms(encoder, name, help, kinds.iter().map(|kind| ([("kind", kind.kind)], read(kind))))?;
    }
    Ok(())
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
    let last = periodic().map(|(kind, rounds)| ([("kind", kind)], rounds.last_success_s));
    gauges(encoder, "doorcode_periodic_last_success_timestamp_seconds", help, last)
}

fn ledgers(encoder: &mut DescriptorEncoder<'_>, ledgers: &[LedgerSnapshot]) -> fmt::Result {
    for (name, help, read) in LEDGERS {
        histograms(encoder, name, help, ledgers.iter().map(|one| ([("kind", one.kind)], read(one))))?;
    }
    let failed = ledgers.iter().map(|one| ([("kind", one.kind)], one.failed));
    let help = "Statements that failed for good; who waited for them got 503, or was looked up";
    counters(encoder, "doorcode_ledger_statement_failures", help, failed)
}

/// Each mail is promised once and ends once; between the two it may be tried, put off and claimed any number of times.
fn mails(encoder: &mut DescriptorEncoder<'_>, tree: &TreeSnapshot) -> fmt::Result {
    let of = |state: &str| tree.mails.iter().find(|(name, _)| *name == state).map_or(0, |(_, n)| *n);
    counter(encoder, "doorcode_mails_due", "Mails promised, each once", of("due"))?;
    let ends = ["sent", "unaddressed", "refused", "expired"].map(|state| ([("outcome", state)], of(state)));
    counters(encoder, "doorcode_mails_finished", "Mails by how they ended, each once", ends.into_iter())?;
    let tries = ["sent", "retried", "refused"].map(|state| ([("outcome", state)], of(state)));
    let help = "Tries to hand a mail to a mail server";
    counters(encoder, "doorcode_mail_attempts", help, tries.into_iter())?;
    let help = "Mails that did not fit into memory and waited in PostgreSQL";
    counter(encoder, "doorcode_mails_deferred", help, of("deferred"))?;
    let help = "Mails claimed from PostgreSQL: deferred or retried ones, and what a crash left";
    counter(encoder, "doorcode_mails_recovered", help, of("recovered"))
}

fn mail_times(encoder: &mut DescriptorEncoder<'_>, mail: &MailSnapshot) -> fmt::Result {
    let codes = mail.codes.iter().map(|(alphabet, n)| ([("alphabet", *alphabet)], *n));
    let help = "Codes mailed; base32 is the step-up";
    counters(encoder, "doorcode_codes_mailed", help, codes)?;
    let help = "Time from a code's request until a mail server took its mail";
    histogram(encoder, "doorcode_mail_delay_seconds", help, &mail.delay)?;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let oldest = mail.oldest_due_us.map_or_else(now, |us| us as f64 / 1e6);
    let help = "When the oldest mail was asked for that waits here, in seconds since 1970; now if none does";
    let name = "doorcode_mail_oldest_due_timestamp_seconds";
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&oldest)?;
    let help = "Mail providers that answered 410 and get no mail until the next start";
    gauge(encoder, "doorcode_mail_providers_stopped", help, mail.stopped_providers)
}

/// Of the busiest tenants. Off by default, and then there are no such families.
fn tenants(encoder: &mut DescriptorEncoder<'_>, tenants: &[TenantCalls]) -> fmt::Result {
    if tenants.is_empty() {
        return Ok(());
    }
    let logins = tenants.iter().map(|one| ([("tenant", &*one.tenant)], one.logins));
    counters(encoder, "doorcode_tenant_logins", "Logins accepted, of the busiest tenants", logins)?;
    let refused = tenants.iter().flat_map(|one| {
        [("429", one.limited), ("503", one.unavailable)]
            .map(|(status, n)| ([("tenant", &*one.tenant), ("status", status)], n))
    });
    let help = "Logins and guesses refused, of the busiest tenants";
    counters(encoder, "doorcode_tenant_refused", help, refused)
}

fn sweeps(encoder: &mut DescriptorEncoder<'_>, tables: &[SweepSnapshot]) -> fmt::Result {
    let rows = tables.iter().map(|one| ([("table", one.table)], one.rows));
    counters(encoder, "doorcode_janitor_deleted_rows", "Rows that had ended and were deleted", rows)?;
    let ended = tables.iter().map(|one| ([("table", one.table)], one.ended_s));
    let help =
        "When the janitor last came to a table's end, in seconds since 1970; 0 is never in this process";
    gauges(encoder, "doorcode_janitor_last_sweep_timestamp_seconds", help, ended)
}

fn webhooks(encoder: &mut DescriptorEncoder<'_>, seen: &WebhookSnapshot) -> fmt::Result {
    let events = seen.events.iter().map(|(what, n)| ([("outcome", *what)], *n));
    let help = "Tries to send an event to a webhook, and events that were left out after too many";
    counters(encoder, "doorcode_webhook_events", help, events)?;
    let help = "Webhooks that were disabled, because their receiver is gone or failed for days";
    counter(encoder, "doorcode_webhooks_disabled", help, seen.disabled)?;
    let help = "Time from an event until a webhook's receiver has it";
    histogram(encoder, "doorcode_webhook_delay_seconds", help, &seen.delay)
}

struct Limits(Arc<ClientLimits>);

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limits")
    }
}

impl Collector for Limits {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let decisions = self.0.decisions();
        let rows = decisions.iter().map(|(group, what, n)| ([("group", *group), ("decision", *what)], *n));
        let help = "What the client limits said of requests, by group of calls";
        counters(&mut encoder, "doorcode_client_limit_decisions", help, rows)?;
        let help = "Clients and networks whose requests are being counted";
        gauge(&mut encoder, "doorcode_client_limit_callers", help, self.0.callers() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests_script::Script;
    use doorcode_actors::PeriodicSnapshot;

    fn tree() -> TreeSnapshot {
        let wait = HistogramSnapshot { buckets: vec![(0.001, 2), (0.5, 3)], count: 4, sum: 2.5 };
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
            ledgers: vec![LedgerSnapshot {
                kind: "ledger.login",
                batch: HistogramSnapshot { count: 19, sum: 190.0, ..Default::default() },
                flush: HistogramSnapshot { count: 19, sum: 0.5, ..Default::default() },
                failed: 1,
            }],
            outcomes: vec![("refresh", "theft", 23)],
            mails: vec![("sent", 29)],
            mail: MailSnapshot {
                oldest_due_us: Some(47_500_000),
                stopped_providers: 101,
                codes: [("digits", 53), ("base32", 59)],
                ..Default::default()
            },
            tenant_limit: (61, 67),
            tenants: vec![TenantCalls {
                tenant: "acme".to_owned(),
                logins: 103,
                limited: 107,
                unavailable: 109,
            }],
            swept: vec![SweepSnapshot { table: "sessions", rows: 31, ended_s: 71 }],
            webhooks: WebhookSnapshot {
                events: [("delivered", 73), ("failed", 79), ("skipped", 83)],
                disabled: 89,
                delay: HistogramSnapshot { count: 97, ..Default::default() },
            },
            pool: PoolSnapshot {
                connections: 4,
                idle: 3,
                max: 16,
                waiting: 2,
                refused: [("disk_full", 113), ("resources", 0), ("read_only", 0), ("system", 0)],
                refuses: None,
            },
            stepped_up: 37,
            silent: vec!["ledger.login".to_owned(), "database".to_owned()],
        }
    }

    fn written(tree: TreeSnapshot) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Tree(Arc::new(Script::showing(tree)))));
        Format::Classic.write(&registry).unwrap()
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
            "# TYPE doorcode_actor_messages_total counter",
            "doorcode_actor_messages_total{kind=\"issuer\",outcome=\"shed\"} 7",
            "doorcode_actor_messages_total{kind=\"issuer\",outcome=\"handled\"} 11",
            "doorcode_actor_messages_total{kind=\"issuer\",outcome=\"expired\"} 13",
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
            "doorcode_ledger_batch_rows_count{kind=\"ledger.login\"} 19",
            "doorcode_ledger_batch_rows_sum{kind=\"ledger.login\"} 190.0",
            "doorcode_ledger_flush_duration_seconds_sum{kind=\"ledger.login\"} 0.5",
            "doorcode_ledger_statement_failures_total{kind=\"ledger.login\"} 1",
            "doorcode_outcomes_total{verb=\"refresh\",outcome=\"theft\"} 23",
            "doorcode_mails_finished_total{outcome=\"sent\"} 29",
            "doorcode_mail_attempts_total{outcome=\"sent\"} 29",
            "doorcode_mails_due_total 0",
            "doorcode_mail_oldest_due_timestamp_seconds 47.5",
            "doorcode_mail_providers_stopped 101",
            "doorcode_codes_mailed_total{alphabet=\"base32\"} 59",
            "doorcode_tenant_limit_decisions_total{decision=\"refused\"} 67",
            "doorcode_tenant_logins_total{tenant=\"acme\"} 103",
            "doorcode_tenant_refused_total{tenant=\"acme\",status=\"429\"} 107",
            "doorcode_tenant_refused_total{tenant=\"acme\",status=\"503\"} 109",
            "doorcode_janitor_deleted_rows_total{table=\"sessions\"} 31",
            "doorcode_janitor_last_sweep_timestamp_seconds{table=\"sessions\"} 71",
            "doorcode_webhook_events_total{outcome=\"delivered\"} 73",
            "doorcode_webhook_events_total{outcome=\"skipped\"} 83",
            "doorcode_webhooks_disabled_total 89",
            "doorcode_webhook_delay_seconds_count 97",
            "doorcode_database_connections_max 16",
            "doorcode_database_statements_refused_total{reason=\"disk_full\"} 113",
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
}
