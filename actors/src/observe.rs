//! What the actors show of themselves: one serialisable snapshot for `/actors`, `/metrics` and the live page, and an
//! observer that asks every actor whether it still reads its mailbox.

use crate::janitor::SweepCounts;
use crate::ledger::FlushCounts;
use crate::postmaster::MailCounts;
use crate::runtime::{Failure, Me, Meter, Role, Ticket};
use crate::store::Store;
use crate::tenants::TenantDirectory;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The whole tree.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TreeSnapshot {
    /// One entry per kind of actor, in start order.
    pub actors: Vec<KindSnapshot>,
    /// How writes were grouped: (ledger, flushes, rows, failed flushes).
    pub ledgers: Vec<LedgerSnapshot>,
    /// What verbs came to: (verb, outcome, count). Counts only, never of whom.
    pub outcomes: Vec<(&'static str, &'static str, u64)>,
    /// What became of mails: (state, count).
    pub mails: Vec<(&'static str, u64)>,
    /// Rows deleted by the janitor: (table, count).
    pub swept: Vec<(&'static str, u64)>,
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
    /// Statements sent.
    pub flushes: u64,
    /// Rows in them.
    pub rows: u64,
    /// Statements that failed for good.
    pub failed: u64,
}

/// The pool.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PoolSnapshot {
    /// Open connections.
    pub connections: usize,
    /// Of them, not in use.
    pub idle: usize,
    /// Statements that wait for one.
    pub waiting: usize,
}

/// One kind of actor, all its instances added up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KindSnapshot {
    /// `keyring`, `ledger.login`, `issuer` …
    pub kind: &'static str,
    /// Instances alive now.
    pub alive: u64,
    /// Messages accepted and not yet answered or dropped.
    pub depth: u64,
    /// Admission permits in use, and how many there are (0 = not limited).
    pub permits_in_use: u64,
    /// See above.
    pub permits: u64,
    /// Messages refused because all permits were taken.
    pub shed: u64,
    /// Messages handled.
    pub handled: u64,
    /// Messages dropped because their deadline had passed.
    pub expired: u64,
    /// Restarts by reason: `panic_or_error`, `killed`, `start_failed`, `stopped`.
    pub restarts: Vec<(&'static str, u64)>,
    /// Time from being sent to being read.
    pub wait: HistogramSnapshot,
    /// Time in the handler.
    pub busy: HistogramSnapshot,
}

/// Durations in fixed buckets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HistogramSnapshot {
    /// (upper bound in seconds, how many at or below it): cumulative, as Prometheus has it.
    pub buckets: Vec<(f64, u64)>,
    /// How many in all.
    pub count: u64,
    /// Their sum in seconds.
    pub sum_s: f64,
}

macro_rules! outcomes {
    ($($name:ident = $verb:literal $outcome:literal;)*) => {
        /// What the verbs came to.
        #[derive(Default)]
        pub(crate) struct Outcomes { $(pub(crate) $name: AtomicU64,)* }
        impl Outcomes {
            fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($verb, $outcome, self.$name.load(Relaxed)),)*]
            }
        }
    };
}

outcomes! {
    login_accepted = "login" "accepted";
    login_refused = "login" "refused";
    verify_logged_in = "verify" "logged_in";
    verify_wrong = "verify" "wrong";
    verify_not_evaluated = "verify" "not_evaluated";
    verify_refused = "verify" "refused";
    refresh_rotated = "refresh" "rotated";
    refresh_repeated = "refresh" "repeated";
    refresh_branched = "refresh" "branched";
    refresh_ahead = "refresh" "ahead";
    refresh_gone = "refresh" "gone";
    refresh_theft = "refresh" "theft";
    refresh_forged = "refresh" "forged";
    refresh_refused = "refresh" "refused";
    login_tenant_limited = "login" "tenant_limited";
    verify_tenant_limited = "verify" "tenant_limited";
    logout_done = "logout" "done";
    logout_forged = "logout" "forged";
    logout_refused = "logout" "refused";
    logout_all_done = "logout_all" "done";
    logout_all_forged = "logout_all" "forged";
    logout_all_refused = "logout_all" "refused";
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Asks one actor whether it reads its mailbox, until the given moment.
pub(crate) type Probe = Box<dyn Fn(Instant) -> BoxFuture<'static, bool> + Send + Sync>;

/// Everything there is to see. Shared by the service and the observer.
pub(crate) struct Sights {
    pub(crate) meters: Vec<Arc<Meter>>,
    pub(crate) ledgers: Vec<(&'static str, Arc<FlushCounts>)>,
    pub(crate) outcomes: Outcomes,
    pub(crate) mails: Arc<MailCounts>,
    pub(crate) swept: Arc<SweepCounts>,
    pub(crate) store: Store,
    pub(crate) tenants: TenantDirectory,
    pub(crate) probes: Vec<(&'static str, Probe)>,
    pub(crate) silent: Mutex<Vec<String>>,
}

impl Sights {
    pub(crate) fn snapshot(&self) -> TreeSnapshot {
        let (connections, idle, waiting) = self.store.status();
        let mails = &self.mails;
        let ledger = |(kind, counts): &(&'static str, Arc<FlushCounts>)| LedgerSnapshot {
            kind,
            flushes: counts.flushes.load(Relaxed),
            rows: counts.rows.load(Relaxed),
            failed: counts.failed.load(Relaxed),
        };
        TreeSnapshot {
            actors: self.meters.iter().map(|meter| meter.snapshot()).collect(),
            ledgers: self.ledgers.iter().map(ledger).collect(),
            outcomes: self.outcomes.snapshot(),
            mails: [
                ("due", &mails.due),
                ("sent", &mails.sent),
                ("unaddressed", &mails.unaddressed),
                ("retried", &mails.retried),
                ("refused", &mails.refused),
                ("expired", &mails.expired),
                ("deferred", &mails.deferred),
                ("recovered", &mails.recovered),
            ]
            .into_iter()
            .map(|(state, n)| (state, n.load(Relaxed)))
            .collect(),
            swept: vec![
                ("challenges", self.swept.challenges.load(Relaxed)),
                ("sessions", self.swept.sessions.load(Relaxed)),
                ("tenant_limits", self.swept.tenant_limits.load(Relaxed)),
            ],
            pool: PoolSnapshot { connections, idle, waiting },
            stepped_up: self.tenants.tripped(),
            silent: self.silent.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Asks every actor at once; returns the kinds that did not answer in time.
    pub(crate) async fn ask_all(&self, patience: Duration) -> Vec<String> {
        let until = Instant::now() + patience;
        let asked = self.probes.iter().map(|(kind, probe)| async move { (*kind, probe(until).await) });
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().filter(|(_, answered)| !answered).map(|(kind, _)| kind.to_owned()).collect()
    }
}

/// How often to ask, and how long to wait for an answer. A handler takes microseconds: half a second is a wedge.
const ASK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_millis(500);

pub(crate) enum ObserverMessage {
    Ask,
    Asked,
}

/// Finds actors that are alive and do nothing: no supervisor hears of those.
pub(crate) struct Observer {
    pub(crate) sights: Arc<Sights>,
}

impl Role for Observer {
    type Message = ObserverMessage;
    type State = JoinSet<()>;

    async fn start(&self, me: &Me<Self::Message>) -> Result<Self::State, Failure> {
        me.note_after(ASK, ObserverMessage::Ask);
        Ok(JoinSet::new())
    }

    async fn handle(
        &self,
        me: &Me<Self::Message>,
        message: Self::Message,
        _: Option<Ticket>,
        tasks: &mut Self::State,
    ) -> Result<(), Failure> {
        match message {
            ObserverMessage::Ask => {
                let (sights, me) = (self.sights.clone(), me.clone());
                tasks.spawn(async move {
                    let silent = sights.ask_all(PATIENCE).await;
                    if !silent.is_empty() {
                        tracing::error!(?silent, "actors do not read their mailboxes");
                    }
                    *sights.silent.lock().unwrap_or_else(PoisonError::into_inner) = silent;
                    me.note(ObserverMessage::Asked);
                });
            }
            ObserverMessage::Asked => {
                while tasks.try_join_next().is_some() {}
                me.note_after(ASK, ObserverMessage::Ask);
            }
        }
        Ok(())
    }
}
