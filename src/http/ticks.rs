//! Waits whose end does not depend on when they began.
//!
//! The runtime's own timers sleep in whole milliseconds from when a worker last looked: `sleep_until` ends late by a part of
//! a millisecond that tells when the work before it was done, which is what a wait for the time grid must hide (C4). So a
//! thread of its own sleeps to the next tick of a clock that nobody's work moves, and wakes all who wait for that tick.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Wakes are gathered to this: a thousand a second at most, however many wait.
const TICK: Duration = Duration::from_millis(1);

/// One thread for the process, begun with the first wait.
static TICKS: LazyLock<Option<Ticks>> = LazyLock::new(Ticks::start);

struct Ticks {
    waits: Arc<Waits>,
    thread: Thread,
}

struct Waits {
    start: Instant,
    /// Who waits for which tick. At most one entry per tick of the longest wait.
    by_tick: Mutex<BTreeMap<u32, Arc<Notify>>>,
}

/// Waits for the first tick at or after `deadline`.
pub(crate) async fn wait_until(deadline: Instant) {
    match &*TICKS {
        Some(ticks) => {
            // Taken under the lock, so that the tick cannot pass between.
            let woken = {
                let mut by_tick = ticks.waits.lock();
                let tick = ticks.waits.tick_at(deadline);
                if by_tick.first_key_value().is_none_or(|(first, _)| tick < *first) {
                    ticks.thread.unpark();
                }
                by_tick.entry(tick).or_default().clone().notified_owned()
            };
            woken.await;
        }
        // No thread could be had: later by less than two milliseconds is better than at once.
        None => tokio::time::sleep_until(deadline.into()).await,
    }
}

impl Ticks {
    fn start() -> Option<Self> {
        let waits = Arc::new(Waits { start: Instant::now(), by_tick: Mutex::default() });
        let turning = waits.clone();
        let thread = thread::Builder::new().name("ticks".to_owned()).spawn(move || turning.turn()).ok()?;
        Some(Self { waits, thread: thread.thread().clone() })
    }
}

impl Waits {
    fn turn(&self) {
        loop {
            let first = self.lock().first_key_value().map(|(tick, _)| *tick);
            let Some(tick) = first else {
                thread::park();
                continue;
            };
            let left = (self.start + TICK * tick).saturating_duration_since(Instant::now());
            if !left.is_zero() {
                thread::park_timeout(left);
                continue;
            }
            if let Some(waiting) = self.lock().remove(&tick) {
                waiting.notify_waiters();
            }
        }
    }

    fn tick_at(&self, deadline: Instant) -> u32 {
        let ticks = deadline.saturating_duration_since(self.start).as_nanos().div_ceil(TICK.as_nanos());
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Notify>>> {
        self.by_tick.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_end_at_their_tick_and_soon_after() {
        let begun = Instant::now();
        let waits = (0..200).map(|n| async move {
            let deadline = begun + Duration::from_micros(300 * n);
            wait_until(deadline).await;
            (Instant::now() >= deadline, deadline.elapsed())
        });
        let ended = futures_util::future::join_all(waits).await;
        assert!(ended.iter().all(|(in_time, _)| *in_time), "one ended early");
        let mut late: Vec<Duration> = ended.into_iter().map(|(_, late)| late).collect();
        late.sort();
        assert!(late[100] < Duration::from_millis(50), "half of them are later than {:?}", late[100]);
    }
}
