//! What is counted of one kind of actor. Meters live outside the actors, so a restart loses no count.

use super::histogram::{Histogram, HistogramSnapshot};
use super::instance::{FailureSnapshot, Instance};
use super::periodic::{PeriodicSnapshot, PeriodicStats};
use super::permits::Permits;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// Why an actor was started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartReason {
    /// Its handler panicked.
    Panic,
    /// Its handler returned an error.
    Error,
    /// It could not be started.
    StartFailed,
    /// Killed from outside.
    Killed,
    /// Killed because it did not read its mailbox any more.
    Stuck,
    /// It stopped by itself.
    Stopped,
}

const REASONS: [RestartReason; 6] = [
    RestartReason::Panic,
    RestartReason::Error,
    RestartReason::StartFailed,
    RestartReason::Killed,
    RestartReason::Stuck,
    RestartReason::Stopped,
];

impl RestartReason {
    /// As metrics and `/actors` have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Error => "error",
            Self::StartFailed => "start_failed",
            Self::Killed => "killed",
            Self::Stuck => "stuck",
            Self::Stopped => "stopped",
        }
    }

    /// Its place plus one; 0 is none.
    pub(crate) fn from_u8(n: u8) -> Option<Self> {
        REASONS.get(usize::from(n.checked_sub(1)?)).copied()
    }
}

/// The last failures of one kind that are kept.
const FAILURES: usize = 16;

/// Upper bounds in seconds: from well inside a mailbox hop to past a request's whole deadline.
const SECONDS: [f64; 12] = [1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.5, 2.0];

/// One kind of actor, all its instances added up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KindSnapshot {
    /// `keyring`, `ledger.login`, `issuer` …
    pub kind: &'static str,
    /// The kind of its supervisor.
    pub parent: &'static str,
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
    /// Restarts by reason: `panic`, `error`, `start_failed`, `killed`, `stuck`, `stopped`.
    pub restarts: Vec<(&'static str, u64)>,
    /// Time from being sent to being read.
    pub wait: HistogramSnapshot,
    /// Time in the handler.
    pub busy: HistogramSnapshot,
    /// The last sixteen failures, oldest first.
    pub failures: Vec<FailureSnapshot>,
    /// How rounds went, of kinds that work in rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periodic: Option<PeriodicSnapshot>,
}

/// The kind of the root supervisor, of whom there is no meter.
pub const ROOT: &str = "root";

/// Maps and lists here are changed in single steps: a panic in between leaves them usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counters and gauges of one kind.
pub struct Meter {
    /// Names the kind in metrics and logs.
    pub kind: &'static str,
    /// The kind of its supervisor.
    pub parent: &'static str,
    instances: Mutex<BTreeMap<u64, Weak<Instance>>>,
    failures: Mutex<VecDeque<FailureSnapshot>>,
    alive: AtomicI64,
    depth: AtomicI64,
    shed: AtomicU64,
    handled: AtomicU64,
    expired: AtomicU64,
    restarts: [AtomicU64; REASONS.len()],
    wait: Histogram,
    busy: Histogram,
    permits: Option<Arc<Permits>>,
    periodic: OnceLock<PeriodicStats>,
}

impl Meter {
    /// `permits`: how many messages may be accepted and not yet answered; `None` for kinds that only get messages from
    /// actors which are limited themselves.
    pub fn new(kind: &'static str, permits: Option<usize>) -> Arc<Self> {
        Self::under(ROOT, kind, permits)
    }

    /// The same, for a kind with a supervisor of its own.
    pub fn under(parent: &'static str, kind: &'static str, permits: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            parent,
            instances: Mutex::default(),
            failures: Mutex::default(),
            alive: AtomicI64::new(0),
            depth: AtomicI64::new(0),
            shed: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            restarts: Default::default(),
            wait: Histogram::new(&SECONDS),
            busy: Histogram::new(&SECONDS),
            permits: permits.map(Permits::new),
            periodic: OnceLock::new(),
        })
    }

    pub(crate) fn permits(&self) -> Option<&Arc<Permits>> {
        self.permits.as_ref()
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
    /// A life ended badly.
    pub(crate) fn restarted(&self, reason: RestartReason, failure: FailureSnapshot) {
        self.restarts[reason as usize].fetch_add(1, Relaxed);
        let mut failures = lock(&self.failures);
        failures.truncate(FAILURES - 1);
        failures.push_front(failure);
    }

    pub(crate) fn enroll(&self, instance: &Arc<Instance>) {
        lock(&self.instances).insert(instance.id, Arc::downgrade(instance));
    }

    pub(crate) fn strike_off(&self, id: u64) {
        lock(&self.instances).remove(&id);
    }

    pub(crate) fn find(&self, id: u64) -> Option<Arc<Instance>> {
        lock(&self.instances).get(&id)?.upgrade()
    }

    /// Every actor of this kind, alive or between two lives, in the order in which they were made.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        // the last reference to one may be dropped here, which locks again: not before the lock is released
        let all: Vec<_> = lock(&self.instances).values().map(Weak::upgrade).collect();
        all.into_iter().flatten().collect()
    }

    /// Where rounds are counted; asked for once, they are shown.
    pub fn periodic(&self) -> &PeriodicStats {
        self.periodic.get_or_init(PeriodicStats::default)
    }

    /// How many live.
    pub fn alive(&self) -> u64 {
        self.alive.load(Relaxed).max(0) as u64
    }

    /// Admission permits in use, of how many; 0: not limited.
    pub(crate) fn permits_in_use(&self) -> (u64, u64) {
        self.permits.as_ref().map_or((0, 0), |permits| (permits.in_use() as u64, permits.all as u64))
    }

    /// Everything, as of now.
    pub fn snapshot(&self) -> KindSnapshot {
        let (permits_in_use, permits) = self.permits_in_use();
        KindSnapshot {
            kind: self.kind,
            parent: self.parent,
            alive: self.alive(),
            depth: self.depth.load(Relaxed).max(0) as u64,
            permits_in_use,
            permits,
            shed: self.shed.load(Relaxed),
            handled: self.handled.load(Relaxed),
            expired: self.expired.load(Relaxed),
            restarts: REASONS
                .iter()
                .zip(&self.restarts)
                .map(|(reason, n)| (reason.name(), n.load(Relaxed)))
                .collect(),
            wait: self.wait.snapshot(),
            busy: self.busy.snapshot(),
            failures: lock(&self.failures).iter().rev().cloned().collect(),
            periodic: self.periodic.get().map(PeriodicStats::snapshot),
        }
    }
}
