//! What the actors show of themselves: one serialisable snapshot for `/actors`, `/metrics` and the live page, and an
//! observer that asks every actor whether it still reads its mailbox.

use crate::ledger::FlushCounts;
use crate::login::issuers::TenantDirectory;
use crate::mail::dispatcher::MailCounts;
use crate::store::Store;
use crate::upkeep::janitor::SweepCounts;
use actor_runtime::{Failure, KindSnapshot, Meter, PeriodicTask, Rhythm};
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
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
    verify_handed_over = "verify" "handed_over";
    exchange_done = "exchange" "done";
    exchange_rejected = "exchange" "rejected";
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

/// Somebody who can be asked whether they answer.
pub(crate) struct Probe {
    pub(crate) kind: &'static str,
    /// Asks until the given moment.
    pub(crate) ask: Ask,
    /// Ends an actor that hangs. `None`: what is asked is no actor of ours.
    pub(crate) kill: Option<Box<dyn Fn() + Send + Sync>>,
}

/// See [`Probe`].
pub(crate) type Ask = Box<dyn Fn(Instant) -> BoxFuture<'static, bool> + Send + Sync>;

/// Everything there is to see. Shared by the service and the observer.
pub(crate) struct Observability {
    pub(crate) meters: Vec<Arc<Meter>>,
    pub(crate) ledgers: Vec<(&'static str, Arc<FlushCounts>)>,
    pub(crate) outcomes: Outcomes,
    pub(crate) mails: Arc<MailCounts>,
    pub(crate) swept: Arc<SweepCounts>,
    pub(crate) store: Store,
    pub(crate) tenants: TenantDirectory,
    pub(crate) probes: Vec<Probe>,
    pub(crate) silent: Mutex<Vec<String>>,
}

impl Observability {
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
        let silent = self.silent(patience).await;
        silent.into_iter().filter_map(|at| Some(self.probes.get(at)?.kind.to_owned())).collect()
    }

    /// The same, as places in `probes`.
    async fn silent(&self, patience: Duration) -> Vec<usize> {
        let until = Instant::now() + patience;
        let asked = self.probes.iter().map(|probe| (probe.ask)(until));
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().enumerate().filter(|(_, answered)| !answered).map(|(at, _)| at).collect()
    }
}

/// How often to ask, and how long to wait for an answer: a handler takes microseconds.
pub(crate) const RHYTHM: Rhythm = Rhythm { interval: Duration::from_secs(2), limit: Duration::from_secs(10) };
const PATIENCE: Duration = Duration::from_secs(2);
/// An actor that is silent so often in a row hangs, and is ended so that its supervisor starts it anew.
const WEDGED: u32 = 3;

/// Finds actors that are alive and do nothing: no supervisor hears of those.
pub(crate) struct Observer {
    pub(crate) observability: Arc<Observability>,
    /// How often in a row each probe was silent, by its place.
    pub(crate) silences: HashMap<usize, u32>,
}

impl PeriodicTask for Observer {
    async fn run(&mut self) -> Result<Option<Duration>, Failure> {
        let silent = self.observability.silent(PATIENCE).await;
        self.judge(&silent);
        Ok(None)
    }
}

impl Observer {
    /// Shows who is silent, and ends who was so too often in a row.
    fn judge(&mut self, silent: &[usize]) {
        self.silences.retain(|at, _| silent.contains(at));
        let mut names = Vec::new();
        for at in silent {
            let Some(probe) = self.observability.probes.get(*at) else { continue };
            names.push(probe.kind.to_owned());
            let times = self.silences.entry(*at).or_insert(0);
            *times += 1;
            if let Some(kill) = probe.kill.as_ref().filter(|_| *times >= WEDGED) {
                tracing::error!(actor = probe.kind, "hangs; ending it so that it is started anew");
                *times = 0;
                kill();
            }
        }
        *self.observability.silent.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }
}
