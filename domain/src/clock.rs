//! Whose clock counts.
//!
//! Every replica asks the database for the time inside the statement that needs it, so two machines whose clocks
//! disagree still hold one limit. Tests pass their own time in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Microseconds since 1970-01-01 UTC: the unit of every time and budget in the database.
pub type Micros = i64;

/// The source of "now" for statements.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// Production: statements read the database's clock.
    #[default]
    Database,
    /// Tests: statements are told the time.
    Manual(ManualClock),
}

impl Clock {
    /// What to bind to a statement's `$now`: `None` makes it read its own clock.
    pub fn sql_now(&self) -> Option<Micros> {
        match self {
            Clock::Database => None,
            Clock::Manual(clock) => Some(clock.now()),
        }
    }
}

/// A clock that moves only when told to.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Starts at `now`.
    pub fn at(now: Micros) -> Self {
        Self(Arc::new(AtomicI64::new(now)))
    }

    /// The time it shows.
    pub fn now(&self) -> Micros {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves it forward by whole seconds.
    pub fn advance_s(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// Moves it forward, down to the microsecond.
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}
