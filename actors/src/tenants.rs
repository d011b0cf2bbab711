//! Tenants: who they are, how much they may ask, and which issuer serves them.
//!
//! Quotas and the directory of issuers live here, outside the issuers, so that no crash resets a limit.

use crate::error::Refusal;
use crate::issuer::{Issuer, IssuerKit, IssuerMessage};
use crate::runtime::{ChildEnd, Failure, Handle, Me, Meter, RestartReason, Role, Ticket, start_linked};
use crate::store::Store;
use crate::store::tenants::Tenant;
use doorcode_domain::{TenantId, TenantSlug};
use futures_util::FutureExt;
use futures_util::future::Shared;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ractor::{ActorCell, ActorId};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Issuers that serve whoever has none of their own: unknown slugs, and tenants beyond the cap.
const SHARED: u64 = 16;
/// How long a tenant that was looked up is taken as it was; alike for slugs that name none.
const FRESH: Duration = Duration::from_secs(5);
/// Slugs remembered at most.
const REMEMBERED: usize = 100_000;
/// First pause after an issuer's crash; doubles.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Which issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IssuerSlot {
    Own(TenantId),
    Shared(u64),
}

/// Tenants by slug, remembered for a few seconds. A slug that exists and one that does not are treated alike.
#[derive(Clone)]
pub(crate) struct TenantDirectory {
    store: Store,
    known: Arc<Mutex<HashMap<TenantSlug, (Option<Tenant>, Instant)>>>,
    asked: Arc<Mutex<HashMap<TenantSlug, Lookup>>>,
}

/// A query on its way, for all who wait for it.
type Lookup = Shared<oneshot::Receiver<Result<Option<Tenant>, Refusal>>>;

impl TenantDirectory {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Arc::default(), asked: Arc::default() }
    }

    pub(crate) async fn find(&self, slug: &TenantSlug) -> Result<Option<Tenant>, Refusal> {
        // a text that cannot be a slug would be an error in Postgres if it held a NUL; no tenant has it either way
        if !slug.can_exist() {
            return Ok(None);
        }
        if let Some((tenant, since)) = lock(&self.known).get(slug)
            && since.elapsed() < FRESH
        {
            return Ok(*tenant);
        }
        // a lookup whose task was lost is one that failed
        self.look_up(slug).await.unwrap_or(Err(Refusal::Unavailable))
    }

    /// All who ask for one slug at once share one query: a burst must not take the pool's every connection for it. The
    /// query is a task's, so that a caller who leaves does not leave it half done.
    fn look_up(&self, slug: &TenantSlug) -> Lookup {
        let mut asked = lock(&self.asked);
        if let Some(lookup) = asked.get(slug) {
            return lookup.clone();
        }
        let (answer, lookup) = oneshot::channel();
        let lookup = lookup.shared();
        asked.insert(slug.clone(), lookup.clone());
        let (directory, slug) = (self.clone(), slug.clone());
        tokio::spawn(async move {
            let found = directory.store.find_tenant(&slug).await.map_err(|error| {
                tracing::warn!(%error, "a tenant cannot be looked up");
                Refusal::Unavailable
            });
            if let Ok(tenant) = found {
                directory.remember(&slug, tenant);
            }
            lock(&directory.asked).remove(&slug);
            // nobody may be waiting any more
            let _ = answer.send(found);
        });
        lookup
    }

    fn remember(&self, slug: &TenantSlug, tenant: Option<Tenant>) {
        let mut known = lock(&self.known);
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, since)| since.elapsed() < FRESH);
        }
        if known.len() < REMEMBERED {
            known.insert(slug.clone(), (tenant, Instant::now()));
        }
    }
}

/// What a tenant may ask, keyed by the slug's hash: a slug that does not exist has the same limit.
pub(crate) struct TenantLimit {
    limiter: Option<DefaultKeyedRateLimiter<u64>>,
    hasher: RandomState,
    clock: DefaultClock,
}

impl TenantLimit {
    /// Requests a second and burst; `None`: no limit.
    pub(crate) fn new(limit: Option<(u32, u32)>) -> Self {
        let quota = limit.and_then(|(rate, burst)| {
            Some(Quota::per_second(NonZeroU32::new(rate)?).allow_burst(NonZeroU32::new(burst)?))
        });
        Self {
            limiter: quota.map(RateLimiter::keyed),
            hasher: RandomState::new(),
            clock: DefaultClock::default(),
        }
    }

    pub(crate) fn check(&self, slug: &TenantSlug) -> Result<(), Refusal> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(&self.hasher.hash_one(slug)).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Refusal::TenantLimited {
                retry_after_s: u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1),
            }
        })
    }

    /// Forgets slugs that have their whole burst again: the store never shrinks by itself.
    pub(crate) fn shrink(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

struct Live {
    handle: Handle<IssuerMessage>,
    id: ActorId,
}

/// After a crash: how often in a row, and until when callers are refused at once.
struct Crash {
    times: u32,
    until: Instant,
}

#[derive(Default)]
struct Directory {
    live: HashMap<IssuerSlot, Live>,
    slots: HashMap<ActorId, IssuerSlot>,
    crashes: HashMap<IssuerSlot, Crash>,
    parent: Option<ActorCell>,
}

/// The way to the issuers: finds a tenant's, or starts it.
#[derive(Clone)]
pub(crate) struct Issuers {
    directory: Arc<Mutex<Directory>>,
    pub(crate) meter: Arc<Meter>,
    kit: IssuerKit,
    max: usize,
}

impl Issuers {
    pub(crate) fn new(meter: Arc<Meter>, kit: IssuerKit, max: usize) -> Self {
        Self { directory: Arc::default(), meter, kit, max }
    }

    /// Sends a message to a tenant's issuer. One that is just retiring gives it back: then to the next.
    pub(crate) fn send(
        &self,
        slot: IssuerSlot,
        message: IssuerMessage,
        ticket: Ticket,
    ) -> Result<(), Refusal> {
        let (mut message, mut ticket) = (message, ticket);
        for _ in 0..3 {
            let (handle, id) = self.find_or_start(slot)?;
            match handle.offer(message, ticket) {
                Ok(()) => return Ok(()),
                Err(None) => break,
                Err(Some(back)) => {
                    (message, ticket) = back;
                    self.remove(slot, id);
                }
            }
        }
        Err(Refusal::Unavailable)
    }

    /// A tenant's own issuer, or a shared one for slugs that name none.
    pub(crate) fn slot(&self, tenant: Option<Tenant>, slug: &TenantSlug) -> IssuerSlot {
        match tenant {
            Some(tenant) => IssuerSlot::Own(tenant.id),
            None => {
                let bytes = slug.as_str().bytes();
                IssuerSlot::Shared(
                    bytes.fold(0u64, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into())) % SHARED,
                )
            }
        }
    }

    fn find_or_start(&self, slot: IssuerSlot) -> Result<(Handle<IssuerMessage>, ActorId), Refusal> {
        let mut directory = lock(&self.directory);
        let slot = match slot {
            IssuerSlot::Own(tenant)
                if !directory.live.contains_key(&slot) && directory.live.len() >= self.max =>
            {
                IssuerSlot::Shared((tenant.0.as_u128() % u128::from(SHARED)) as u64)
            }
            slot => slot,
        };
        if let Some(live) = directory.live.get(&slot) {
            return Ok((live.handle.clone(), live.id));
        }
        if directory.crashes.get(&slot).is_some_and(|crash| Instant::now() < crash.until) {
            return Err(Refusal::Unavailable);
        }
        let parent = directory.parent.clone().ok_or(Refusal::Unavailable)?;
        let issuer = Issuer { kit: self.kit.clone(), slot, issuers: self.clone() };
        let (handle, cell) = start_linked(issuer, &self.meter, parent).map_err(|_| Refusal::Unavailable)?;
        let id = cell.get_id();
        directory.live.insert(slot, Live { handle: handle.clone(), id });
        directory.slots.insert(id, slot);
        Ok((handle, id))
    }

    /// An issuer retires.
    pub(crate) fn forget(&self, slot: IssuerSlot, me: &Me<IssuerMessage>) {
        let mut directory = lock(&self.directory);
        directory.crashes.remove(&slot);
        drop(directory);
        self.remove(slot, me.cell().get_id());
    }

    /// Only if it is still that life of it.
    fn remove(&self, slot: IssuerSlot, id: ActorId) {
        let mut directory = lock(&self.directory);
        directory.slots.remove(&id);
        if directory.live.get(&slot).is_some_and(|live| live.id == id) {
            directory.live.remove(&slot);
        }
    }

    /// An issuer ended by itself: the next call starts it anew, after a pause that grows while it keeps crashing.
    fn crashed(&self, id: ActorId) {
        let slot = lock(&self.directory).slots.get(&id).copied();
        let Some(slot) = slot else { return };
        self.remove(slot, id);
        let mut directory = lock(&self.directory);
        let crash = directory.crashes.entry(slot).or_insert(Crash { times: 0, until: Instant::now() });
        let pause = PAUSE.saturating_mul(2u32.saturating_pow(crash.times)).min(PAUSE_MAX);
        crash.times += 1;
        crash.until = Instant::now() + pause;
    }

    fn set_parent(&self, parent: Option<ActorCell>) {
        let mut directory = lock(&self.directory);
        directory.parent = parent;
        directory.live.clear();
        directory.slots.clear();
    }

    /// A tenant's own, if it lives.
    pub(crate) fn of(&self, tenant: TenantId) -> Option<Handle<IssuerMessage>> {
        lock(&self.directory).live.get(&IssuerSlot::Own(tenant)).map(|live| live.handle.clone())
    }

    /// All that live now, to drain or to ask.
    pub(crate) fn live(&self) -> Vec<Handle<IssuerMessage>> {
        lock(&self.directory).live.values().map(|live| live.handle.clone()).collect()
    }
}

/// The maps are changed in single steps: a panic in between leaves them usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) enum TenantsMessage {
    /// Forget quotas that are whole again.
    Shrink,
}

/// The issuers' supervisor.
pub(crate) struct Tenants {
    pub(crate) issuers: Issuers,
    pub(crate) limit: Arc<TenantLimit>,
}

const SHRINK: Duration = Duration::from_secs(30);

impl Role for Tenants {
    type Message = TenantsMessage;
    type State = Vec<ActorCell>;

    async fn start(&self, me: &Me<Self::Message>) -> Result<Self::State, Failure> {
        self.issuers.set_parent(Some(me.cell()));
        me.note_after(SHRINK, TenantsMessage::Shrink);
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        me: &Me<Self::Message>,
        TenantsMessage::Shrink: Self::Message,
        _: Option<Ticket>,
        _: &mut Self::State,
    ) -> Result<(), Failure> {
        self.limit.shrink();
        me.note_after(SHRINK, TenantsMessage::Shrink);
        Ok(())
    }

    /// A parent's end kills its children, so they are drained by hand: no request that was accepted is lost.
    async fn finish(&self, _: &mut Self::State) {
        let live = self.issuers.live();
        self.issuers.set_parent(None);
        futures_util::future::join_all(live.iter().map(|handle| handle.drain(Duration::from_secs(5)))).await;
    }

    fn child_ended(&self, child: ActorCell, why: ChildEnd, _: &mut Self::State) -> Result<(), Failure> {
        match why {
            // retired
            ChildEnd::Stopped(Some(reason)) if reason == "Drained" => self.issuers.remove_id(child.get_id()),
            ChildEnd::Stopped(_) => {
                self.issuers.meter.restarted(RestartReason::Killed);
                self.issuers.crashed(child.get_id());
            }
            ChildEnd::Failed(why) => {
                tracing::warn!(actor = "issuer", why, "actor ended; the next call starts it anew");
                self.issuers.meter.restarted(RestartReason::Failed);
                self.issuers.crashed(child.get_id());
            }
        }
        Ok(())
    }
}

impl Issuers {
    fn remove_id(&self, id: ActorId) {
        let slot = lock(&self.directory).slots.get(&id).copied();
        if let Some(slot) = slot {
            self.remove(slot, id);
        }
    }
}
