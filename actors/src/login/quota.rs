//! What a tenant may ask: an upper bound over all replicas.
//!
//! Each replica leases requests from the tenant's row (`tenant_limits`, GCRA) and its issuer hands them out. A lease lasts
//! a second, so over any span all replicas together admit at most burst + ⌊(span + 1 s) / period⌋. Leases live here, with
//! the issuers' supervisor: an issuer that crashes or retires takes none with it.

use crate::keys::Keys;
use crate::settings::TenantLimitSettings;
use crate::store::{Store, StoreError};
use doorcode_domain::{Clock, TenantSlug};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Life of a lease.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// The first lease.
const LEASE_MIN: i64 = 16;
/// A lease that is used up sooner is renewed twice as large: leases last for a quarter to a half of their life while the
/// demand is the same. What is left of a lease when its life ends is lost to the tenant.
const SOON: Duration = Duration::from_millis(250);
/// Rows that slugs which name no tenant share: a flood of them makes no more. Two of them collide with 1 in 65,536.
const UNKNOWN_LIMITS: u128 = 65_536;
/// Leases held at most beside those of live tenants; those that have ended go first.
const HELD: usize = 100_000;
/// How long a request waits for the next token at most, in the queue of a tenant that has used up its limit.
const PATIENCE: Duration = Duration::from_millis(500);
/// Requests in such a queue, at least and at most.
const ROOM: (u128, u128) = (4, 1_024);

/// The limit: `per_second` in the long run, `burst` at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TenantLimit {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl TenantLimit {
    /// `None`: off.
    pub(crate) fn of(settings: TenantLimitSettings) -> Option<Self> {
        let TenantLimitSettings { enabled, per_second, burst } = settings;
        enabled.then(|| Self { per_second: per_second.get(), burst: burst.get() })
    }

    fn period_us(self) -> i64 {
        1_000_000 / i64::from(self.per_second.clamp(1, 1_000_000))
    }

    /// As many as will be served within [`PATIENCE`].
    fn room(self) -> usize {
        (PATIENCE.as_micros() / u128::from(self.period_us().unsigned_abs())).clamp(ROOM.0, ROOM.1) as usize
    }
}

/// Primary key of a limit's row: a keyed hash of the slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LimitKey(pub(crate) Uuid);

impl LimitKey {
    /// Alike in cost for a slug that names a tenant and one that does not.
    pub(crate) fn of(keys: &Keys, slug: &TenantSlug, exists: bool) -> Self {
        let hash = u128::from_be_bytes(keys.address.mac128(&[b"slug", slug.as_str().as_bytes()]));
        Self(Uuid::from_u128(if exists { hash } else { hash % UNKNOWN_LIMITS }))
    }
}

/// The leases of this replica.
pub(crate) struct Leases {
    /// `None`: off.
    limit: Option<TenantLimit>,
    store: Store,
    clock: Clock,
    held: Mutex<HashMap<LimitKey, Lease>>,
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// Requests that this replica may still admit.
#[derive(Clone, Copy)]
struct Lease {
    granted: i64,
    left: i64,
    until: Instant,
    /// Less was granted than asked for: there is nothing more to lease before then.
    dry_until: Option<Instant>,
}

/// What a lease says to one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It may pass.
    Yes,
    /// The limit is used up: the next token is that far away.
    Dry(Duration),
    /// There is no lease, or it is used up: renew it.
    Empty,
}

impl Lease {
    fn take(&mut self, now: Instant) -> Taken {
        if self.left > 0 && self.until > now {
            self.left -= 1;
            return Taken::Yes;
        }
        match self.dry_until.filter(|until| *until > now) {
            Some(until) => Taken::Dry(until - now),
            None => Taken::Empty,
        }
    }

    /// What to ask for now, with so many in the queue.
    fn wanted(&self, waiting: i64, burst: i64, now: Instant) -> i64 {
        let since = self.until - LEASE;
        let usual = match self.left {
            0 if now < since + SOON => self.granted * 2,
            0 => self.granted,
            left => (self.granted - left) / 2,
        };
        usual.max(waiting).max(LEASE_MIN).min(burst)
    }

    fn granted(wanted: i64, granted: i64, wait: Duration, now: Instant) -> Self {
        let dry_until = (granted < wanted).then(|| now + wait);
        Self { granted, left: granted, until: now + LEASE, dry_until }
    }
}

impl Leases {
    pub(crate) fn new(limit: Option<TenantLimit>, store: Store, clock: Clock) -> Self {
        let (admitted, refused) = Default::default();
        Self { limit, store, clock, held: Mutex::default(), admitted, refused }
    }

    /// One request's worth of a lease.
    pub(crate) fn take(&self, key: LimitKey) -> Taken {
        let taken = match self.limit {
            None => Taken::Yes,
            Some(_) => self.held().get_mut(&key).map_or(Taken::Empty, |lease| lease.take(Instant::now())),
        };
        self.admitted.fetch_add(u64::from(taken == Taken::Yes), Relaxed);
        taken
    }

    /// A request was refused by the limit.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Requests admitted and refused by all limits.
    pub(crate) fn decided(&self) -> (u64, u64) {
        (self.admitted.load(Relaxed), self.refused.load(Relaxed))
    }

    /// How many may wait for the tokens of a limit that is used up.
    pub(crate) fn room(&self) -> usize {
        self.limit.map_or(usize::MAX, TenantLimit::room)
    }

    /// Leases anew, for so many who wait.
    pub(super) async fn renew(&self, key: LimitKey, waiting: usize) -> Result<(), StoreError> {
        let Some(limit) = self.limit else { return Ok(()) };
        let wanted = self.wanted(limit, key, waiting);
        let now = self.clock.sql_now();
        let (burst, period_us) = (i64::from(limit.burst), limit.period_us());
        let (granted, wait) = self.store.lease_limit(now, key.0, wanted, burst, period_us).await?;
        self.hold(key, wanted, granted, wait);
        Ok(())
    }

    /// How much to ask for.
    pub(crate) fn wanted(&self, limit: TenantLimit, key: LimitKey, waiting: usize) -> i64 {
        let (waiting, burst) = (i64::try_from(waiting).unwrap_or(i64::MAX), i64::from(limit.burst));
        let least = waiting.max(LEASE_MIN).min(burst);
        self.held().get(&key).map_or(least, |lease| lease.wanted(waiting, burst, Instant::now()))
    }

    /// Takes in what was granted; if that is less than was wanted, the next token is `wait` away.
    pub(crate) fn hold(&self, key: LimitKey, wanted: i64, granted: i64, wait: Duration) {
        let mut held = self.held();
        if held.len() >= HELD {
            let now = Instant::now();
            held.retain(|_, lease| lease.until > now);
        }
        held.insert(key, Lease::granted(wanted, granted, wait, Instant::now()));
    }

    /// Changed in single steps: a panic in between leaves it usable.
    fn held(&self) -> MutexGuard<'_, HashMap<LimitKey, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_used_up_and_then_renewed_larger() {
        let now = Instant::now();
        let mut lease = Lease::granted(16, 16, Duration::ZERO, now);
        assert!((0..16).all(|_| lease.take(now) == Taken::Yes));
        assert_eq!(lease.take(now), Taken::Empty);
        assert_eq!(lease.wanted(0, 10_000, now), 32);
        assert_eq!(lease.wanted(500, 10_000, now), 500, "all who wait");
        assert_eq!(lease.wanted(500, 100, now), 100, "never more than the burst");
        assert_eq!(lease.wanted(0, 10_000, now + SOON), 16, "it lasts long enough");
        let mut lease = Lease::granted(32, 32, Duration::ZERO, now);
        assert_eq!(lease.take(now + LEASE), Taken::Empty, "a lease does not outlive its second");
    }

    /// Whatever the demand is, next to nothing of a burst is lost in leases that end before they are used up.
    #[test]
    fn a_burst_is_used_by_those_who_ask() {
        for per_second in [300, 1_000, 2_500, 9_000] {
            let step = Duration::from_secs(1) / per_second;
            let (mut now, mut lost, mut used) = (Instant::now(), 0, 0);
            let mut lease = Lease::granted(LEASE_MIN, LEASE_MIN, Duration::ZERO, now);
            while used < 50_000 {
                match lease.take(now) {
                    Taken::Yes => used += 1,
                    _ => {
                        lost += lease.left;
                        let wanted = lease.wanted(1, 10_000, now);
                        lease = Lease::granted(wanted, wanted, Duration::ZERO, now);
                        continue;
                    }
                }
                now += step;
            }
            assert!(lost * 100 < used, "{per_second} a second: {lost} lost beside {used}");
        }
    }

    #[test]
    fn short_means_wait() {
        let now = Instant::now();
        let mut lease = Lease::granted(16, 1, Duration::from_millis(300), now);
        assert_eq!(lease.take(now), Taken::Yes);
        assert_eq!(lease.take(now), Taken::Dry(Duration::from_millis(300)));
        assert_eq!(lease.take(now + Duration::from_millis(300)), Taken::Empty);
    }

    #[test]
    fn room_is_what_half_a_second_serves() {
        let room = |per_second| TenantLimit { per_second, burst: 1 }.room();
        assert_eq!((room(1), room(100), room(1_000), room(1_000_000)), (4, 50, 500, 1_024));
    }
}
