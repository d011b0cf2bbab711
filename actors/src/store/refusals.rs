//! What the database refuses although it answers: a full disk, a standby, an I/O error. Reads go on meanwhile, and nobody is
//! silent, so that nothing else tells.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

/// For how long a refusal is told of.
const LATELY: Duration = Duration::from_secs(10);
/// By PostgreSQL's error codes: 53100; others of class 53, such as no memory; 25006; class 58, such as an I/O error.
const REASONS: [&str; 4] = ["disk_full", "resources", "read_only", "system"];

/// Refused statements of this process, by reason.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    counts: [AtomicU64; REASONS.len()],
    last: Mutex<Option<(&'static str, Instant)>>,
}

impl Refusals {
    /// A statement failed so.
    pub(super) fn note(&self, code: Option<&SqlState>) {
        let reason = match code.map(SqlState::code) {
            Some("53100") => 0,
            Some(code) if code.starts_with("53") => 1,
            Some("25006") => 2,
            Some(code) if code.starts_with("58") => 3,
            _ => return,
        };
        if let (Some(count), Some(name)) = (self.counts.get(reason), REASONS.get(reason)) {
            count.fetch_add(1, Relaxed);
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((name, Instant::now()));
        }
    }

    /// How many, by reason.
    pub(super) fn counts(&self) -> [(&'static str, u64); REASONS.len()] {
        std::array::from_fn(|at| {
            let count = self.counts.get(at).map_or(0, |count| count.load(Relaxed));
            (REASONS.get(at).copied().unwrap_or_default(), count)
        })
    }

    /// The last one's reason, if that was a moment ago.
    pub(super) fn lately(&self) -> Option<&'static str> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(_, at)| at.elapsed() < LATELY).map(|(reason, _)| reason)
    }
}
