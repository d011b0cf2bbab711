//! The books of a run: every call that is begun is closed as answered or as failed, by kind, in all and by interval.

use crate::call::{Call, Failure};
use hdrhistogram::{CreationError, Histogram};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether what happens now belongs to the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Preparation and warm-up: counted, but apart.
    Before,
    /// The measured part.
    Measured,
}

/// The account of one kind of call.
#[derive(Debug, Clone)]
pub struct Account {
    /// Calls begun.
    pub sent: u64,
    /// Calls that ended as they should.
    pub answered: u64,
    /// The others, by kind.
    pub failed: BTreeMap<Failure, u64>,
    /// Time to a good answer, in microseconds.
    pub latency: Histogram<u64>,
    /// When the last good answer came.
    pub last_answer: Option<Instant>,
}

impl Account {
    fn new() -> Result<Account, CreationError> {
        // Three digits, growing as needed: small where answers are quick, and no ceiling to fall over.
        let latency = Histogram::new(3)?;
        Ok(Account { sent: 0, answered: 0, failed: BTreeMap::new(), latency, last_answer: None })
    }

    /// All failures.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Begun and not closed: none when a run has ended in order.
    pub fn open(&self) -> u64 {
        self.sent.saturating_sub(self.answered + self.failures())
    }

    fn close(&mut self, now: Instant, took: Duration, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => {
                self.answered += 1;
                self.last_answer = Some(now);
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
                // Grows as needed; only a time of ages would not fit.
                let _ = self.latency.record(micros);
            }
            Err(failure) => *self.failed.entry(failure).or_insert(0) += 1,
        }
    }

    fn reset(&mut self) {
        (self.sent, self.answered, self.last_answer) = (0, 0, None);
        self.failed.clear();
        self.latency.reset();
    }
}

/// A call that was begun; give it back to [`Meter::close`].
#[derive(Debug)]
#[must_use = "a call that is not closed unbalances the books"]
pub struct OpenCall {
    call: Call,
    phase: Phase,
    begun: Instant,
}

/// What happened in one interval of the run.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Its end, since the measurement began.
    pub t_s: f64,
    /// Answers by status, and failures without one by kind.
    pub statuses: BTreeMap<String, u64>,
    /// Per call.
    pub calls: BTreeMap<&'static str, CallPoint>,
}

/// One call in one interval. Times are of the calls answered in it; `None` without any.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CallPoint {
    /// Good answers in a second.
    pub rate_per_s: f64,
    /// Failures in the interval.
    pub failed: u64,
    /// Half took no longer.
    pub p50_ms: Option<f64>,
    /// Nine in ten.
    pub p90_ms: Option<f64>,
    /// All but one in a hundred.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
}

/// What the progress line needs to know at a glance.
#[derive(Debug, Clone, Default)]
pub struct Glance {
    /// Requests answered, in all phases.
    pub answered: u64,
    /// Calls failed, in all phases.
    pub failed: u64,
    /// The slowest call's 99th percentile in the last interval.
    pub p99_ms: Option<f64>,
    /// The newest failure's kind.
    pub newest_failure: Option<String>,
}

#[derive(Debug)]
struct Books {
    phase: Phase,
    measured: BTreeMap<Call, Account>,
    before: BTreeMap<Call, Account>,
    /// The interval that is under way, whatever the phase.
    interval: BTreeMap<Call, Account>,
    interval_began: Instant,
    began: Instant,
    statuses: BTreeMap<String, u64>,
    points: Vec<Point>,
    total: Glance,
    sample: Option<String>,
}

/// The books, shared by all connections. The driver runs on one thread, so the lock is never contended; it is
/// never held across an await.
#[derive(Debug)]
pub struct Meter {
    books: Mutex<Books>,
}

impl Meter {
    /// With empty books.
    pub fn new() -> Result<Meter, CreationError> {
        let open = || {
            Call::ALL.iter().map(|&call| Ok((call, Account::new()?))).collect::<Result<_, CreationError>>()
        };
        let books = Books {
            phase: Phase::Before,
            measured: open()?,
            before: open()?,
            interval: open()?,
            interval_began: Instant::now(),
            began: Instant::now(),
            statuses: BTreeMap::new(),
            points: Vec::new(),
            total: Glance::default(),
            sample: None,
        };
        Ok(Meter { books: Mutex::new(books) })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Counters are whole after every statement, so a poisoned lock still guards good books.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on calls count.
    pub fn start_measuring(&self) {
        let mut books = self.books();
        books.end_interval(Instant::now());
        books.phase = Phase::Measured;
        books.began = books.interval_began;
        books.points.clear();
    }

    /// Whether a call begun now counts.
    pub fn phase(&self) -> Phase {
        self.books().phase
    }

    /// Books a call as begun when it was due. It belongs to the phase in which it is booked.
    pub fn open_at(&self, call: Call, begun: Instant) -> OpenCall {
        let mut books = self.books();
        let phase = books.phase;
        if let Some(account) = books.account(phase, call) {
            account.sent += 1;
        }
        OpenCall { call, phase, begun }
    }

    /// Books how it ended, and with which status.
    pub fn close(&self, open_call: OpenCall, status: Option<u16>, outcome: Result<(), Failure>) {
        self.close_at(open_call, Instant::now(), status, outcome);
    }

    /// The same for what ended a moment ago.
    pub fn close_at(
        &self,
        open_call: OpenCall,
        now: Instant,
        status: Option<u16>,
        outcome: Result<(), Failure>,
    ) {
        let took = now.saturating_duration_since(open_call.begun);
        let mut books = self.books();
        match outcome {
            Ok(()) => books.total.answered += u64::from(open_call.call.is_request()),
            Err(failure) => {
                books.total.failed += 1;
                books.total.newest_failure = Some(format!("{} {failure}", open_call.call.name()));
            }
        }
        match (status, outcome) {
            (Some(status), _) => *books.statuses.entry(status.to_string()).or_insert(0) += 1,
            (None, Err(failure)) => *books.statuses.entry(failure.to_string()).or_insert(0) += 1,
            (None, Ok(())) => {}
        }
        if let Some(account) = books.account(open_call.phase, open_call.call) {
            account.close(now, took, outcome);
        }
        if let Some(account) = books.interval.get_mut(&open_call.call) {
            account.close(now, took, outcome);
        }
    }

    /// Ends an interval: what happened since the last becomes a point.
    pub fn tick(&self) {
        self.books().end_interval(Instant::now());
    }

    /// The measured part's intervals.
    pub fn points(&self) -> Vec<Point> {
        self.books().points.clone()
    }

    /// Keeps the first unexpected answer of the run, to show what went wrong.
    pub fn keep_sample(&self, text: impl FnOnce() -> String) {
        self.books().sample.get_or_insert_with(text);
    }

    /// The first unexpected answer, if there was one.
    pub fn sample(&self) -> Option<String> {
        self.books().sample.clone()
    }

    /// Totals so far.
    pub fn glance(&self) -> Glance {
        self.books().total.clone()
    }

    /// The accounts of one phase that were used at all.
    pub fn accounts(&self, phase: Phase) -> Vec<(Call, Account)> {
        let books = self.books();
        let accounts = match phase {
            Phase::Before => &books.before,
            Phase::Measured => &books.measured,
        };
        accounts
            .iter()
            .filter(|(_, account)| account.sent > 0)
            .map(|(&call, account)| (call, account.clone()))
            .collect()
    }
}

impl Books {
    fn account(&mut self, phase: Phase, call: Call) -> Option<&mut Account> {
        match phase {
            Phase::Before => self.before.get_mut(&call),
            Phase::Measured => self.measured.get_mut(&call),
        }
    }

    fn end_interval(&mut self, now: Instant) {
        let length = now.saturating_duration_since(self.interval_began).as_secs_f64();
        let used = self.interval.iter().filter(|(_, account)| account.answered + account.failures() > 0);
        let calls: BTreeMap<&'static str, CallPoint> =
            used.map(|(call, account)| (call.name(), point(account, length))).collect();
        self.total.p99_ms = calls.values().filter_map(|point| point.p99_ms).reduce(f64::max);
        let t_s = now.saturating_duration_since(self.began).as_secs_f64();
        self.points.push(Point { t_s, statuses: std::mem::take(&mut self.statuses), calls });
        self.interval.values_mut().for_each(Account::reset);
        self.interval_began = now;
    }
}

fn point(account: &Account, length_s: f64) -> CallPoint {
    let at = |quantile| {
        (account.answered > 0).then(|| account.latency.value_at_quantile(quantile) as f64 / 1_000.0)
    };
    CallPoint {
        rate_per_s: if length_s > 0.0 { account.answered as f64 / length_s } else { 0.0 },
        failed: account.failures(),
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        max_ms: at(1.0),
    }
}

#[cfg(test)]
mod tests;
