//! What a tenant may ask: an upper bound over all replicas.
//!
//! Each replica leases requests from the slug's row (`tenant_limits`, GCRA) and hands them out. A lease lasts a second,
//! so over any span all replicas together admit at most burst + ⌊(span + 1 s) / period⌋. A slug that names no tenant has
//! the same limit, row and cost. When a lease comes back short, network prefixes that already had their fair share of it
//! are refused first: one heavy caller does not take the rest's place.

use crate::error::Refusal;
use crate::keys::Keys;
use crate::store::Store;
use arc_swap::ArcSwap;
use doorcode_domain::{Clock, TenantSlug};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Life of a lease.
const LEASE: Duration = Duration::from_secs(1);
/// The first lease; the next asks for twice what was used up early, or half again what was used in time.
const LEASE_MIN: i64 = 16;
/// Slugs held at most.
const SLUGS: usize = 100_000;

/// The limit: `per_second` in the long run, `burst` at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TenantLimit {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl TenantLimit {
    fn period_us(self) -> i64 {
        1_000_000 / i64::from(self.per_second.clamp(1, 1_000_000))
    }
}

/// The limits of all slugs.
pub(crate) struct Quotas {
    /// `None`: off.
    limit: Option<TenantLimit>,
    store: Store,
    clock: Clock,
    keys: Arc<ArcSwap<Keys>>,
    cells: Mutex<HashMap<TenantSlug, Arc<Cell>>>,
}

/// One slug's lease.
#[derive(Default)]
struct Cell {
    lease: Mutex<Lease>,
    /// Whoever leases; the others wait for it.
    leasing: tokio::sync::Mutex<()>,
}

struct Lease {
    granted: i64,
    left: i64,
    until: Instant,
    /// How much the next lease asks for.
    next: i64,
    /// Less was granted than asked for.
    short: bool,
    /// Nothing was: until then nobody asks again.
    dry_until: Option<Instant>,
    used: HashMap<IpAddr, i64>,
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            granted: 0,
            left: 0,
            until: Instant::now(),
            next: LEASE_MIN,
            short: false,
            dry_until: None,
            used: HashMap::new(),
        }
    }
}

/// What a lease says to one request.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    /// Wait that long.
    No(Duration),
    /// There is no lease, or it is used up.
    Empty,
}

impl Lease {
    fn take(&mut self, prefix: IpAddr, now: Instant) -> Taken {
        if let Some(until) = self.dry_until.filter(|until| *until > now) {
            return Taken::No(until - now);
        }
        if self.left == 0 || self.until <= now {
            return Taken::Empty;
        }
        let others = self.used.len() as i64 + i64::from(!self.used.contains_key(&prefix));
        let used = self.used.entry(prefix).or_insert(0);
        if self.short && *used >= (self.granted / others).max(1) {
            return Taken::No(self.until - now);
        }
        *used += 1;
        self.left -= 1;
        Taken::Yes
    }

    /// What to ask for now.
    fn wanted(&self, burst: i64) -> i64 {
        let used = self.granted - self.left;
        let wanted = if self.left == 0 { self.next * 2 } else { used + used / 2 };
        wanted.clamp(LEASE_MIN.min(burst), burst)
    }

    fn renew(&mut self, wanted: i64, granted: i64, wait: Duration, now: Instant) {
        *self = Lease {
            granted,
            left: granted,
            until: now + LEASE,
            next: wanted,
            short: granted < wanted,
            dry_until: (granted == 0).then(|| now + wait),
            used: HashMap::new(),
        };
    }
}

impl Quotas {
    pub(crate) fn new(
        limit: Option<TenantLimit>,
        store: Store,
        clock: Clock,
        keys: Arc<ArcSwap<Keys>>,
    ) -> Self {
        Self { limit, store, clock, keys, cells: Mutex::default() }
    }

    /// One request of a caller to a slug, or the refusal.
    pub(crate) async fn take(&self, slug: &TenantSlug, client: IpAddr) -> Result<(), Refusal> {
        let Some(limit) = self.limit else { return Ok(()) };
        let (cell, prefix) = (self.cell(slug), prefix(client));
        match lock(&cell.lease).take(prefix, Instant::now()) {
            Taken::Yes => return Ok(()),
            Taken::No(wait) => return Err(limited(wait)),
            Taken::Empty => {}
        }
        let _leasing = cell.leasing.lock().await;
        // somebody else may have leased meanwhile
        match lock(&cell.lease).take(prefix, Instant::now()) {
            Taken::Yes => return Ok(()),
            Taken::No(wait) => return Err(limited(wait)),
            Taken::Empty => {}
        }
        let wanted = lock(&cell.lease).wanted(i64::from(limit.burst));
        let (granted, wait) = self.lease(slug, wanted, limit).await?;
        let mut lease = lock(&cell.lease);
        lease.renew(wanted, granted, wait, Instant::now());
        match lease.take(prefix, Instant::now()) {
            Taken::Yes => Ok(()),
            Taken::No(wait) => Err(limited(wait)),
            Taken::Empty => Err(limited(LEASE)),
        }
    }

    async fn lease(
        &self,
        slug: &TenantSlug,
        wanted: i64,
        limit: TenantLimit,
    ) -> Result<(i64, Duration), Refusal> {
        let hash = Uuid::from_bytes(self.keys.load().address.mac128(&[b"slug", slug.as_str().as_bytes()]));
        let leased = self
            .store
            .lease_limit(self.clock.sql_now(), hash, wanted, i64::from(limit.burst), limit.period_us())
            .await;
        leased.map_err(|error| {
            tracing::warn!(%error, "a tenant's limit cannot be leased");
            Refusal::Unavailable
        })
    }

    fn cell(&self, slug: &TenantSlug) -> Arc<Cell> {
        let mut cells = lock(&self.cells);
        if cells.len() >= SLUGS && !cells.contains_key(slug) {
            let now = Instant::now();
            cells.retain(|_, cell| lock(&cell.lease).until > now);
        }
        // full of slugs that are in use this second: a cell of its own, which asks the database
        if cells.len() >= SLUGS { Arc::default() } else { cells.entry(slug.clone()).or_default().clone() }
    }
}

fn limited(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Refusal::TenantLimited { retry_after_s: u32::try_from(seconds.max(1)).unwrap_or(u32::MAX) }
}

/// /32 or /64: what one caller is.
fn prefix(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

/// The states are changed in single steps: a panic in between leaves them usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_lease_is_used_up_and_then_renewed_larger() {
        let (mut lease, now) = (Lease::default(), Instant::now());
        assert_eq!(lease.take(ip(1), now), Taken::Empty);
        lease.renew(16, 16, Duration::ZERO, now);
        assert!((0..16).all(|_| lease.take(ip(1), now) == Taken::Yes));
        assert_eq!(lease.take(ip(1), now), Taken::Empty);
        assert_eq!(lease.wanted(10_000), 32);
        lease.renew(32, 32, Duration::ZERO, now);
        assert_eq!(lease.take(ip(1), now + LEASE), Taken::Empty, "a lease does not outlive its second");
    }

    /// I2: when little is left, the heavy caller is refused before the light ones.
    #[test]
    fn the_heaviest_prefix_is_shed_first() {
        let (mut lease, now) = (Lease::default(), Instant::now());
        lease.renew(100, 10, Duration::ZERO, now);
        assert_eq!(lease.take(ip(2), now), Taken::Yes);
        let heavy = (0..50).filter(|_| lease.take(ip(1), now) == Taken::Yes).count();
        assert_eq!(heavy, 5, "half of ten between two");
        assert_eq!(lease.take(ip(3), now), Taken::Yes);
        assert_eq!(lease.take(ip(2), now), Taken::Yes);
    }

    #[test]
    fn dry_means_wait() {
        let (mut lease, now) = (Lease::default(), Instant::now());
        lease.renew(16, 0, Duration::from_millis(300), now);
        assert_eq!(lease.take(ip(1), now), Taken::No(Duration::from_millis(300)));
        assert_eq!(limited(Duration::from_millis(300)), Refusal::TenantLimited { retry_after_s: 1 });
        assert_eq!(lease.take(ip(1), now + Duration::from_millis(300)), Taken::Empty);
    }

    #[test]
    fn one_network_is_one_caller() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(prefix(ip("2001:db8::1")), prefix(ip("2001:db8::ffff:1")));
        assert_ne!(prefix(ip("2001:db8::1")), prefix(ip("2001:db8:0:1::1")));
    }
}
