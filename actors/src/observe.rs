//! What the actors show of themselves: one serialisable snapshot for `/actors`, `/metrics`, `/readyz` and the live page.

use serde::Serialize;

/// The whole tree.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TreeSnapshot {
    /// One entry per kind of actor, in start order.
    pub actors: Vec<KindSnapshot>,
}

/// One kind of actor, all its instances added up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KindSnapshot {
    /// `keyring`, `ledger.login`, `issuer` …
    pub kind: &'static str,
    /// Instances alive now.
    pub alive: u64,
    /// Messages accepted and not yet handled.
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
