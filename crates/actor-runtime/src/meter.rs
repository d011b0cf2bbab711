//! What is counted of one kind of actor. Meters live outside the actors, so a restart loses no count.

use super::periodic::{PeriodicSnapshot, PeriodicStats};
use serde::Serialize;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Why an actor was started again.
#[derive(Clone, Copy, Debug)]
pub enum RestartReason {
    /// A panic, or an error from its handler.
    Failed,
    /// Killed from outside.
    Killed,
    /// It could not be started.
    StartFailed,
    /// It stopped by itself.
    Stopped,
}

const REASONS: [&str; 4] = ["panic_or_error", "killed", "start_failed", "stopped"];

/// Upper bounds in seconds: from well inside a mailbox hop to past a request's whole deadline.
const BOUNDS: [f64; 12] = [1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.5, 2.0];

/// A fixed-bucket histogram of durations.
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Adds one.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[at].fetch_add(1, Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Relaxed);
    }

    fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            count += bucket.load(Relaxed);
            buckets.push((*bound, count));
        }
        count += self.buckets[BOUNDS.len()].load(Relaxed);
        HistogramSnapshot { buckets, count, sum_s: self.micros.load(Relaxed) as f64 / 1e6 }
    }
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
    /// How rounds went, of kinds that work in rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periodic: Option<PeriodicSnapshot>,
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

/// Counters and gauges of one kind.
pub struct Meter {
    /// Names the kind in metrics and logs.
    pub kind: &'static str,
    alive: AtomicI64,
    depth: AtomicI64,
    shed: AtomicU64,
    handled: AtomicU64,
    expired: AtomicU64,
    restarts: [AtomicU64; 4],
    wait: Histogram,
    busy: Histogram,
    permits: Option<(usize, Arc<Semaphore>)>,
    periodic: OnceLock<PeriodicStats>,
}

impl Meter {
    /// `permits`: how many messages may be accepted and not yet answered; `None` for kinds that only get messages from
    /// actors which are limited themselves.
    pub fn new(kind: &'static str, permits: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            alive: AtomicI64::new(0),
            depth: AtomicI64::new(0),
            shed: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            restarts: Default::default(),
            wait: Histogram::default(),
            busy: Histogram::default(),
            permits: permits.map(|n| (n, Arc::new(Semaphore::new(n)))),
            periodic: OnceLock::new(),
        })
    }

    pub(crate) fn semaphore(&self) -> Option<&Arc<Semaphore>> {
        self.permits.as_ref().map(|(_, semaphore)| semaphore)
    }

    pub(crate) fn started(&self) {
        self.alive.fetch_add(1, Relaxed);
    }
    pub(crate) fn ended(&self) {
        self.alive.fetch_sub(1, Relaxed);
    }
    pub(crate) fn enqueued(&self) {
        self.depth.fetch_add(1, Relaxed);
    }
    pub(crate) fn dequeued(&self) {
        self.depth.fetch_sub(1, Relaxed);
    }
    /// A message was refused.
    pub fn shed(&self) {
        self.shed.fetch_add(1, Relaxed);
    }
    /// A message was dropped: its deadline had passed.
    pub fn expired(&self) {
        self.expired.fetch_add(1, Relaxed);
    }
    pub(crate) fn waited(&self, took: Duration) {
        self.wait.record(took);
    }
    /// A message was handled in that time.
    pub fn handled(&self, took: Duration) {
        self.handled.fetch_add(1, Relaxed);
        self.busy.record(took);
    }
    /// An actor was started again.
    pub fn restarted(&self, reason: RestartReason) {
        self.restarts[reason as usize].fetch_add(1, Relaxed);
    }

    /// Where rounds are counted; asked for once, they are shown.
    pub fn periodic(&self) -> &PeriodicStats {
        self.periodic.get_or_init(PeriodicStats::default)
    }

    /// Everything, as of now.
    pub fn snapshot(&self) -> KindSnapshot {
        let (permits, free) = match &self.permits {
            Some((all, semaphore)) => (*all as u64, semaphore.available_permits() as u64),
            None => (0, 0),
        };
        KindSnapshot {
            kind: self.kind,
            alive: self.alive.load(Relaxed).max(0) as u64,
            depth: self.depth.load(Relaxed).max(0) as u64,
            permits_in_use: permits.saturating_sub(free),
            permits,
            shed: self.shed.load(Relaxed),
            handled: self.handled.load(Relaxed),
            expired: self.expired.load(Relaxed),
            restarts: REASONS.iter().zip(&self.restarts).map(|(name, n)| (*name, n.load(Relaxed))).collect(),
            wait: self.wait.snapshot(),
            busy: self.busy.snapshot(),
            periodic: self.periodic.get().map(PeriodicStats::snapshot),
        }
    }
}
