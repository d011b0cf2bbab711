//! What time it is at the database: deadlines of requests are given to statements in its time.
//!
//! Learned from each new connection and each answer, so it is right again after the first answer of another server or of a
//! clock that was put right. Until then deadlines come out too early or too late by the difference; one that is too early
//! is noticed by whoever still waits, and asked again.

use doorcode_domain::Micros;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::time::Instant;
use tokio_postgres::Row;

/// The last reading and when it came, which is later than it was taken: deadlines err to the early side.
#[derive(Clone, Default)]
pub(super) struct DatabaseClock(Arc<Mutex<Option<(SystemTime, Instant)>>>);

impl DatabaseClock {
    /// Takes the reading that comes with an answer (column `read_at`).
    pub(super) fn note(&self, rows: &[Row]) {
        if let Some(row) = rows.last() {
            let reading = (row.get("read_at"), Instant::now());
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        }
    }

    /// These moments in the database's time; before the first reading all have passed.
    pub(super) fn times(&self, moments: &[Instant]) -> Vec<SystemTime> {
        let reading = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((read, at)) = reading else { return vec![SystemTime::UNIX_EPOCH; moments.len()] };
        moments.iter().map(|moment| shift(read, *moment, at)).collect()
    }

    /// Now, in the database's time; before the first reading by this machine's clock.
    pub(super) fn now_us(&self) -> Micros {
        let reading = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = reading.map_or_else(SystemTime::now, |(read, at)| shift(read, Instant::now(), at));
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
    }
}

fn shift(read: SystemTime, moment: Instant, at: Instant) -> SystemTime {
    let ahead = moment.saturating_duration_since(at);
    let behind = at.saturating_duration_since(moment);
    (read + ahead).checked_sub(behind).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// When nobody waits any more.
pub(super) fn last(until: &[Instant]) -> Instant {
    until.iter().max().copied().unwrap_or_else(Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn deadlines_follow_the_last_reading() {
        let (clock, now) = (DatabaseClock::default(), Instant::now());
        assert_eq!(clock.times(&[now]), [SystemTime::UNIX_EPOCH], "nothing is known: all is too late");
        let read = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        *clock.0.lock().unwrap() = Some((read, now));
        let second = Duration::from_secs(1);
        assert_eq!(clock.times(&[now + second, now, now - second]), [read + second, read, read - second]);
    }
}
