//! One limit over many callers: the generic cell rate algorithm on a table that can be read without being charged and
//! cannot outgrow its cap.
//!
//! A table is cut into shards by wide ranges of addresses (/16, IPv6 /32), so that whoever owns a range can fill one
//! shard of [`SHARDS`] and no other. What happens to a newcomer at a full shard is [`WhenFull`].

use crate::http::request::client::Prefix;
use governor::clock::{Clock, FakeRelativeClock, Reference};
use governor::nanos::Nanos;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shards of a table.
const SHARDS: usize = 16;

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
pub(crate) struct Rate {
    /// Requests; 0 counts as 1.
    pub burst: u32,
    /// Seconds over which the burst comes back, at least 1.
    pub window_s: u32,
}

impl Rate {
    /// Nanoseconds until one request more may pass.
    fn period(self) -> u64 {
        let period = Duration::from_secs(u64::from(self.window_s.max(1))) / self.burst.max(1);
        u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// What happens to a newcomer whose shard is full of callers that have not got their whole burst back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// The caller that has used least is forgotten. For callers whose network has a limit of its own: a caller that is
    /// forgotten too early wins little, and the network's limit holds.
    Evict,
    /// It is refused, as if it had used its limit up. For networks, which no other limit stands above.
    Refuse,
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Requests that would pass now.
    pub remaining: u32,
    /// Until one more than that would pass.
    pub next: Duration,
}

/// One limit and its table.
pub(crate) struct Limiter {
    shards: [Mutex<Arrivals>; SHARDS],
    /// Keyed anew for each process: nobody can choose a range that shares another's shard.
    hasher: RandomState,
    keys_per_shard: usize,
    when_full: WhenFull,
    clock: LimitClock,
    start: Nanos,
    period: u64,
    burst: u64,
}

/// Theoretical arrival times by caller, in nanoseconds since the limiter's start: when the caller's burst is whole again.
type Arrivals = HashMap<Prefix, u64>;

impl Limiter {
    /// `max_keys` bounds the table.
    pub(crate) fn new(rate: Rate, max_keys: usize, when_full: WhenFull, clock: &LimitClock) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            keys_per_shard: max_keys.div_ceil(SHARDS).max(1),
            when_full,
            clock: clock.clone(),
            start: clock.now(),
            period: rate.period(),
            burst: u64::from(rate.burst.max(1)),
        }
    }

    /// Charges one request, or refuses it without a charge.
    pub(crate) fn admit(&self, key: Prefix) -> bool {
        let now = self.now();
        let mut arrivals = self.shard(key);
        let arrival = arrivals.get(&key).copied();
        if arrival.is_none() && !self.has_room(&mut arrivals, now) {
            if self.when_full == WhenFull::Refuse {
                return false;
            }
            forget_least(&mut arrivals);
        }
        let next = arrival.unwrap_or(0).max(now) + self.period;
        let passes = next <= now + self.burst * self.period;
        if passes {
            arrivals.insert(key, next);
        }
        passes
    }

    /// Whether [`admit`](Self::admit) would let one request pass, without a charge.
    pub(crate) fn would_admit(&self, key: Prefix) -> bool {
        let now = self.now();
        let mut arrivals = self.shard(key);
        match arrivals.get(&key) {
            Some(arrival) => (*arrival).max(now) + self.period <= now + self.burst * self.period,
            None => self.when_full == WhenFull::Evict || self.has_room(&mut arrivals, now),
        }
    }

    /// Looks without charging. When nothing remains, `next` is when the next request would pass.
    pub(crate) fn left(&self, key: Prefix) -> Left {
        let now = self.now();
        let full = now + self.burst * self.period;
        let arrival = self.shard(key).get(&key).map_or(now, |arrival| (*arrival).max(now));
        let remaining = ((full.saturating_sub(arrival)) / self.period).min(self.burst);
        let next = (arrival + (remaining + 1) * self.period).saturating_sub(full);
        let next = if remaining == self.burst { 0 } else { next };
        Left { remaining: u32::try_from(remaining).unwrap_or(u32::MAX), next: Duration::from_nanos(next) }
    }

    /// Forgets callers that are as good as new.
    pub(crate) fn sweep(&self) {
        let now = self.now();
        self.shards.iter().for_each(|shard| forget_whole(&mut lock(shard), now));
    }

    /// Callers in the table.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn has_room(&self, arrivals: &mut Arrivals, now: u64) -> bool {
        if arrivals.len() >= self.keys_per_shard {
            forget_whole(arrivals, now);
        }
        arrivals.len() < self.keys_per_shard
    }

    fn shard(&self, key: Prefix) -> MutexGuard<'_, Arrivals> {
        let hash = self.hasher.hash_one(key.range());
        lock(&self.shards[(hash % SHARDS as u64) as usize])
    }

    fn now(&self) -> u64 {
        self.clock.now().duration_since(self.start).as_u64()
    }
}

fn lock(shard: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    // Nothing in here panics half-way through a change: a poisoned table is as good as any.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Callers whose burst is whole again.
fn forget_whole(arrivals: &mut Arrivals, now: u64) {
    arrivals.retain(|_, arrival| *arrival > now);
}

fn forget_least(arrivals: &mut Arrivals) {
    let least = arrivals.iter().min_by_key(|(_, arrival)| **arrival).map(|(key, _)| *key);
    least.and_then(|key| arrivals.remove(&key));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(burst: u32, max_keys: usize, when_full: WhenFull) -> (Limiter, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let rate = Rate { burst, window_s: 60 };
        (Limiter::new(rate, max_keys, when_full, &LimitClock::Manual(clock.clone())), clock)
    }

    const ANN: Prefix = Prefix::V4(1);

    #[test]
    fn what_is_left_agrees_with_what_passes() {
        let (limiter, clock) = limiter(30, 10, WhenFull::Evict);
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

    /// B11: the table has a cap at any number of callers, hot callers keep their limit, and idle ones are forgotten.
    #[test]
    fn memory_is_bounded() {
        let (limiter, clock) = limiter(2, 160, WhenFull::Evict);
        assert!(limiter.admit(ANN) && limiter.admit(ANN) && !limiter.admit(ANN));
        for other in 2..10_000 {
            assert!(limiter.admit(Prefix::V4(other << 16)));
        }
        assert!((100..=160).contains(&limiter.len()), "{}", limiter.len());
        assert!(!limiter.admit(ANN), "a hot caller's limit holds");
        limiter.sweep();
        assert!(limiter.len() > 100, "nobody is as good as new yet");
        clock.advance(Duration::from_secs(30));
        limiter.sweep();
        assert_eq!(limiter.len(), 1);
        clock.advance(Duration::from_secs(31));
        limiter.sweep();
        assert_eq!(limiter.len(), 0);
    }

    /// B11: whoever is admitted is counted, also at a full table: nobody passes untracked.
    #[test]
    fn a_full_table_limits_newcomers() {
        let (evicting, _) = limiter(2, 16, WhenFull::Evict);
        let (refusing, clock) = limiter(2, 16, WhenFull::Refuse);
        let newcomer = |n: u32| Prefix::V4(n << 16);
        for other in 0..1_000 {
            evicting.admit(newcomer(other));
            let fits = refusing.would_admit(newcomer(other));
            assert_eq!(refusing.admit(newcomer(other)), fits);
        }
        assert_eq!((evicting.len(), refusing.len()), (16, 16));
        let passed = (0..3).filter(|_| evicting.admit(newcomer(5_000))).count();
        assert_eq!(passed, 2, "counted at once, at the cost of the least");
        assert!(!refusing.admit(newcomer(5_000)), "no place, no admission");
        clock.advance(Duration::from_secs(31));
        assert!(
            refusing.would_admit(newcomer(5_000)) && refusing.admit(newcomer(5_000)),
            "a place is free again"
        );
    }

    /// B11: one range of addresses fills one shard; the others have as much room as before.
    #[test]
    fn a_range_fills_its_own_shard_only() {
        let (limiter, _) = limiter(2, 160, WhenFull::Refuse);
        let admitted =
            (0..65_536).filter(|n| limiter.admit(Prefix::V6(0x2001_0db8_0000_0000 | n << 16))).count();
        assert_eq!((admitted, limiter.len()), (10, 10));
        let others = (0..100).filter(|n| limiter.admit(Prefix::V4(n << 16))).count();
        assert!((60..=100).contains(&others), "{others}");
    }
}
