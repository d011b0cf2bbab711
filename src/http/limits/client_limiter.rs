//! One limit over many callers: governor's arithmetic on a table of ours, which can be read without being charged and
//! cannot outgrow its cap.

use crate::http::request::client::Prefix;
use governor::clock::{Clock, FakeRelativeClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whose time the limits go by.
#[derive(Clone, Debug)]
pub enum LimitClock {
    /// The machine's monotonic clock.
    Real(Instant),
    /// A test's.
    Manual(FakeRelativeClock),
}

impl LimitClock {
    /// The machine's.
    pub fn real() -> Self {
        Self::Real(Instant::now())
    }
}

impl Clock for LimitClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        match self {
            LimitClock::Real(origin) => origin.elapsed().into(),
            LimitClock::Manual(clock) => clock.now(),
        }
    }
}

/// Which limit: `burst` at once, the same again over `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests; 0 counts as 1.
    pub burst: u32,
    /// Seconds over which the burst comes back, at least 1.
    pub window_s: u32,
}

impl Rate {
    fn quota(self) -> Quota {
        let burst = self.burst.max(1);
        let period = Duration::from_secs(u64::from(self.window_s.max(1))) / burst;
        let burst = std::num::NonZeroU32::new(burst).unwrap_or(std::num::NonZeroU32::MIN);
        Quota::with_period(period).unwrap_or(Quota::per_second(burst)).allow_burst(burst)
    }
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests that would pass now.
    pub remaining: u32,
    /// Until one more than that would pass.
    pub next: Duration,
}

/// One limit and its table.
pub struct Limiter {
    inner: RateLimiter<Prefix, Table, LimitClock, NoOpMiddleware<Nanos>>,
    table: Table,
    start: Nanos,
    period: u64,
    burst: u64,
}

impl Limiter {
    /// `max_keys` bounds the table.
    pub fn new(rate: Rate, max_keys: usize, clock: &LimitClock) -> Self {
        let (quota, table) = (rate.quota(), Table::new(max_keys));
        let inner = RateLimiter::new(quota, table.clone(), clock.clone());
        // Taken after governor took its own: what we compute from it is never earlier than what governor will do.
        let start = clock.now();
        let period = Nanos::from(quota.replenish_interval()).as_u64();
        Self { inner, table, start, period, burst: u64::from(quota.burst_size().get()) }
    }

    /// Charges one request, or refuses it without a charge.
    pub fn admit(&self, key: Prefix) -> bool {
        self.inner.check_key(&key).is_ok()
    }

    /// Looks without charging. When nothing remains, `next` is when the next request would pass.
    pub fn left(&self, key: Prefix) -> Left {
        let now = self.now();
        let full = now + self.burst * self.period;
        let arrival = self.table.get(key).map_or(now, |arrival| arrival.max(now));
        let remaining = ((full.saturating_sub(arrival)) / self.period).min(self.burst);
        let next = (arrival + (remaining + 1) * self.period).saturating_sub(full);
        let next = if remaining == self.burst { 0 } else { next };
        Left { remaining: u32::try_from(remaining).unwrap_or(u32::MAX), next: Duration::from_nanos(next) }
    }

    /// Forgets callers that are as good as new.
    pub fn sweep(&self) {
        let now = self.now();
        self.table.lock().retain(|_, arrival| arrival.as_u64() > now);
    }

    /// Callers in the table.
    pub fn len(&self) -> usize {
        self.table.lock().len()
    }

    fn now(&self) -> u64 {
        self.inner.clock().now().duration_since(self.start).as_u64()
    }
}

/// Theoretical arrival times by caller.
#[derive(Clone)]
struct Table {
    arrivals: Arc<Mutex<HashMap<Prefix, Nanos>>>,
    max_keys: usize,
}

impl Table {
    fn new(max_keys: usize) -> Self {
        Self { arrivals: Arc::default(), max_keys: max_keys.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Prefix, Nanos>> {
        // Nothing in here panics half-way through a change: a poisoned table is as good as any.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: Prefix) -> Option<u64> {
        self.lock().get(&key).map(|arrival| arrival.as_u64())
    }
}

impl StateStore for Table {
    type Key = Prefix;

    /// A full table admits newcomers untracked: whoever can fill it comes from so many networks that a limit per network
    /// is no limit to them, and refusing newcomers would only lock honest ones out. Known callers keep their limits.
    fn measure_and_replace<T, F, E>(&self, key: &Prefix, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut arrivals = self.lock();
        if let Some(arrival) = arrivals.get_mut(key) {
            let (outcome, next) = f(Some(*arrival))?;
            *arrival = next;
            return Ok(outcome);
        }
        let (outcome, next) = f(None)?;
        if arrivals.len() < self.max_keys {
            arrivals.insert(*key, next);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(burst: u32, window_s: u32, max_keys: usize) -> (Limiter, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limiter::new(Rate { burst, window_s }, max_keys, &LimitClock::Manual(clock.clone())), clock)
    }

    const ANN: Prefix = Prefix::V4(1);

    #[test]
    fn what_is_left_agrees_with_what_passes() {
        let (limiter, clock) = limiter(30, 60, 10);
        assert_eq!(limiter.left(ANN), Left { remaining: 30, next: Duration::ZERO });
        for remaining in (0..30).rev() {
            assert!(limiter.admit(ANN));
            assert_eq!(limiter.left(ANN).remaining, remaining);
        }
        assert!(!limiter.admit(ANN));
        assert_eq!(limiter.left(ANN), Left { remaining: 0, next: Duration::from_secs(2) });
        clock.advance(Duration::from_millis(1_999));
        assert!(!limiter.admit(ANN));
        assert_eq!(limiter.left(ANN).next, Duration::from_millis(1));
        clock.advance(Duration::from_millis(1));
        assert!(limiter.admit(ANN) && !limiter.admit(ANN));
    }

    /// B11: the table has a cap, hot callers keep their limit, and idle ones are forgotten.
    #[test]
    fn memory_is_bounded() {
        let (limiter, clock) = limiter(2, 60, 100);
        assert!(limiter.admit(ANN) && limiter.admit(ANN) && !limiter.admit(ANN));
        for other in 2..10_000 {
            assert!(limiter.admit(Prefix::V4(other)));
        }
        assert_eq!(limiter.len(), 100);
        assert!(!limiter.admit(ANN), "a hot caller's limit holds");
        limiter.sweep();
        assert_eq!(limiter.len(), 100, "nobody is as good as new yet");
        clock.advance(Duration::from_secs(30));
        limiter.sweep();
        assert_eq!(limiter.len(), 1);
        clock.advance(Duration::from_secs(31));
        limiter.sweep();
        assert_eq!(limiter.len(), 0);
    }
}
