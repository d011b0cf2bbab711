//! What the actors show of themselves: one serialisable snapshot for `/actors`, `/metrics` and the live page, and an
//! observer that asks every actor whether it still reads its mailbox.

use crate::ledger::FlushCounts;
use crate::login::busiest::{Busiest, TenantCalls};
use crate::login::issuers::TenantDirectory;
use crate::login::quota::Leases;
use crate::mail::counts::{MailCounts, MailSnapshot};
use crate::mail::providers::Providers;
use crate::outcomes::Outcomes;
use crate::store::PoolSnapshot;
use crate::store::Store;
use crate::upkeep::janitor::{SweepCounts, SweepSnapshot};
use crate::webhooks::counts::{WebhookCounts, WebhookSnapshot};
use actor_runtime::{
    ActorSnapshot, ActorState, Failure, HistogramSnapshot, Instance, KindSnapshot, Meter, PeriodicTask, ROOT,
    Rhythm,
};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The whole tree.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TreeSnapshot {
    /// One entry per kind of actor, in start order.
    pub actors: Vec<KindSnapshot>,
    /// How writes were grouped.
    pub ledgers: Vec<LedgerSnapshot>,
    /// What verbs came to: (verb, outcome, count). Counts only, never of whom.
    pub outcomes: Vec<(&'static str, &'static str, u64)>,
    /// What became of mails: (state, count).
    pub mails: Vec<(&'static str, u64)>,
    /// Of them, what is no state: how long they take, how old the oldest is.
    pub mail: MailSnapshot,
    /// What the tenants' limits said: (admitted, refused).
    pub tenant_limit: (u64, u64),
    /// Of the busiest tenants, where `ops.tenant_metrics` allows it.
    pub tenants: Vec<TenantCalls>,
    /// What the janitor did.
    pub swept: Vec<SweepSnapshot>,
    /// What became of events that were to be sent.
    pub webhooks: WebhookSnapshot,
    /// Database connections.
    pub pool: PoolSnapshot,
    /// Tenants, of those asked for lately, whose strangers get base32 codes because failures outgrew successes: an alert.
    pub stepped_up: u64,
    /// Actors that did not answer when last asked.
    pub silent: Vec<String>,
}

/// One ledger's grouping.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LedgerSnapshot {
    /// `ledger.login` …
    pub kind: &'static str,
    /// Rows in a flush, which is one statement if all goes well.
    pub batch: HistogramSnapshot,
    /// Seconds from a flush's beginning until all who waited for it are answered.
    pub flush: HistogramSnapshot,
    /// Statements that failed for good.
    pub failed: u64,
}

/// Everything there is to see. Shared by the service and the observer.
pub(crate) struct Observability {
    pub(crate) meters: Vec<Arc<Meter>>,
    pub(crate) ledgers: Vec<(&'static str, Arc<FlushCounts>)>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) mails: Arc<MailCounts>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) busiest: Busiest,
    pub(crate) swept: Arc<SweepCounts>,
    pub(crate) webhooks: Arc<WebhookCounts>,
    pub(crate) store: Store,
    pub(crate) tenants: TenantDirectory,
    pub(crate) silent: Mutex<Vec<String>>,
}

impl Observability {
    pub(crate) fn snapshot(&self) -> TreeSnapshot {
        let pool = self.store.status();
        let ledger = |(kind, counts): &(&'static str, Arc<FlushCounts>)| LedgerSnapshot {
            kind,
            batch: counts.batch.snapshot(),
            flush: counts.flush.snapshot(),
            failed: counts.failed.load(Relaxed),
        };
        TreeSnapshot {
            actors: self.meters.iter().map(|meter| meter.snapshot()).collect(),
            ledgers: self.ledgers.iter().map(ledger).collect(),
            outcomes: self.outcomes.snapshot(),
            mails: self.mails.states(),
            mail: self.mails.snapshot(&self.providers),
            tenant_limit: self.leases.decided(),
            tenants: self.busiest.snapshot(),
            swept: self.swept.snapshot(),
            webhooks: self.webhooks.snapshot(),
            pool,
            stepped_up: self.tenants.tripped(),
            silent: self.silent.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// What an operator should know although everybody answers.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let refuses = self.store.status().refuses;
        refuses.map(|why| format!("the database refuses statements: {why}")).into_iter().collect()
    }

    /// What `/readyz` says: who does not answer. Of actors that serve one tenant or one mail each, a kind is not ready
    /// when most of it is silent: one tenant's hung issuer must not take a replica away from all others.
    pub(crate) async fn ask_all(&self, patience: Duration) -> Vec<String> {
        let silent = self.silent(patience).await;
        let many = |kind: &str| silent.actors.iter().filter(|one| one.meter.kind == kind).count();
        let mut names: Vec<String> = Vec::new();
        for meter in &self.meters {
            let threshold = if meter.parent == ROOT { 1 } else { meter.snapshot().alive as usize / 2 + 1 };
            if many(meter.kind) >= threshold {
                names.push(meter.kind.to_owned());
            }
        }
        names.extend(silent.database.then(|| DATABASE.to_owned()));
        names
    }

    /// Asks everybody at once. Actors that are started on demand are asked when something waits for them.
    async fn silent(&self, patience: Duration) -> Silent {
        let until = Instant::now() + patience;
        let asked = self.meters.iter().flat_map(|meter| meter.instances()).filter_map(|one| {
            let (permanent, alive) = (one.meter.parent == ROOT, one.is_alive());
            (permanent || (alive && !one.is_quiet())).then_some(async move {
                let in_time = one.in_hand().is_none_or(|(_, busy)| busy < LONGEST_MESSAGE);
                // a pool's factory, a worker: judged by how long it has been busy
                let answers = one.ping(until).await.unwrap_or(in_time);
                (!answers).then_some(one)
            })
        });
        // a standby, or a primary that was told so, answers and takes nothing
        let query = self.store.query("SELECT current_setting('transaction_read_only') = 'off'", &[]);
        let (actors, database) =
            futures_util::future::join(futures_util::future::join_all(asked), timeout_at(until, query)).await;
        let takes_writes = matches!(&database, Ok(Ok(rows)) if rows.iter().all(|row| row.get::<_, bool>(0)));
        Silent { actors: actors.into_iter().flatten().collect(), database: !takes_writes }
    }

    /// Actors one by one, all or of a kind: those that need a look first, then the deepest mailboxes. And how many there are.
    pub(crate) fn rows(&self, kind: Option<&str>, offset: usize, limit: usize) -> ActorRows {
        let meters = self.meters.iter().filter(|meter| kind.is_none_or(|kind| meter.kind == kind));
        let mut rows = Vec::new();
        for meter in meters {
            let below = self.meters.iter().filter(|below| below.parent == meter.kind);
            let children = below.map(|below| below.alive()).sum();
            rows.extend(meter.instances().iter().map(|one| one.snapshot(children)));
        }
        let failed_at = |row: &ActorSnapshot| row.last_failure.as_ref().map_or(0, |failure| failure.at_s);
        let down = |row: &ActorSnapshot| matches!(row.state, ActorState::BackingOff | ActorState::Down);
        rows.sort_by_cached_key(|row| {
            Reverse((down(row), row.busy_ms, row.depth, failed_at(row), row.handled))
        });
        let total = rows.len();
        ActorRows { total, offset, rows: rows.into_iter().skip(offset).take(limit).collect() }
    }
}

/// One page of actors.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ActorRows {
    /// How many actors there are, on all pages.
    pub total: usize,
    /// Of the first row here.
    pub offset: usize,
    /// Those that need a look first: between two lives, longest busy, deepest mailbox, latest failure, most handled.
    pub rows: Vec<ActorSnapshot>,
}

/// Who did not answer.
struct Silent {
    actors: Vec<Arc<Instance>>,
    database: bool,
}

const DATABASE: &str = "database";
pub(crate) const RHYTHM: Rhythm = Rhythm { interval: Duration::from_secs(2), limit: Duration::from_secs(10) };
/// How long to wait for an answer: a handler takes microseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// No message takes longer: a mail's is the longest, and `mail.deadline` is below `mail.lease`.
const LONGEST_MESSAGE: Duration = Duration::from_secs(60);
/// An actor that is silent so often in a row hangs, and is ended so that its supervisor starts it anew.
const WEDGED: u32 = 3;

/// Finds actors that are alive and do nothing: no supervisor hears of those.
pub(crate) struct Observer {
    pub(crate) observability: Arc<Observability>,
    /// How often in a row each actor was silent, by its id.
    pub(crate) silences: HashMap<u64, u32>,
}

impl PeriodicTask for Observer {
    async fn run(&mut self) -> Result<Option<Duration>, Failure> {
        let silent = self.observability.silent(PATIENCE).await;
        let mut names: Vec<String> = silent.actors.iter().map(|one| one.name()).collect();
        names.extend(silent.database.then(|| DATABASE.to_owned()));
        *self.observability.silent.lock().unwrap_or_else(PoisonError::into_inner) = names;
        self.judge(&silent.actors);
        Ok(None)
    }
}

impl Observer {
    /// Ends who was silent too often in a row, and names the message that it is at.
    fn judge(&mut self, silent: &[Arc<Instance>]) {
        self.silences.retain(|id, _| silent.iter().any(|one| one.id == *id));
        for one in silent.iter().filter(|one| one.is_alive()) {
            let times = self.silences.entry(one.id).or_insert(0);
            *times += 1;
            if *times >= WEDGED {
                *times = 0;
                let (message, busy) = one.in_hand().unwrap_or(("none", Duration::ZERO));
                let busy_s = busy.as_secs();
                tracing::error!(
                    actor = one.name(),
                    message,
                    busy_s,
                    "hangs; ending it so that it is started anew"
                );
                one.end_stuck();
            }
        }
    }
}
