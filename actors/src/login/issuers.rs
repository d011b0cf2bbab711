//! Tenants: who they are, and which issuer serves them.
//!
//! The directory of issuers lives here, outside the issuers, so that a crash of one is seen and answered.

use crate::error::Refusal;
use crate::login::issuer::{Issuer, IssuerDeps, IssuerMessage};
use crate::store::Store;
use crate::store::tenants::Tenant;
use actor_runtime::{
    Actor, Admission, ChildEnd, Context, Failure, Handle, Intensity, Label, Meter, RestartReason, backoff,
    start_linked,
};
use doorcode_domain::{Clock, TenantId, TenantSlug};
use futures_util::FutureExt;
use futures_util::future::Shared;
use ractor::{ActorCell, ActorId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

/// Issuers that serve whoever has none of their own: unknown slugs, and tenants beyond the cap.
const SHARED: u64 = 16;
/// How long a tenant that was looked up is taken as it was; alike for slugs that name none.
const FRESH: Duration = Duration::from_secs(5);
/// Slugs remembered at most.
const REMEMBERED: usize = 100_000;
/// Look-ups of slugs that name no tenant as far as is known, at once: a flood of ever new ones must not take the pool's
/// connections from everybody's flushes.
const UNKNOWN_LOOKUPS: usize = 2;
/// How long such a look-up waits for its turn.
const TURN: Duration = Duration::from_millis(500);
/// First pause after an issuer's crash; doubles.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long an issuer that crashed and was not called again is shown.
const CRASHES_KEPT: Duration = Duration::from_secs(600);
/// More issuers than this crash within a minute: what they share is broken, and the root is to know.
const CRASHES_MAX: usize = 1_200;

/// Which issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IssuerSlot {
    Own(TenantId),
    Shared(u64),
}

impl IssuerSlot {
    /// Of the issuer that is begun for a call with that slug.
    fn label(self, slug: &TenantSlug) -> Label {
        match self {
            Self::Own(tenant) => Label { id: tenant.0.to_string().into(), slug: Some(slug.as_str().into()) },
            Self::Shared(n) => Label { id: format!("shared-{n}").into(), slug: None },
        }
    }
}

/// What was found, and when.
type Remembered = HashMap<TenantSlug, (Option<Tenant>, Instant)>;

/// Tenants by slug, remembered for a few seconds. A slug that exists and one that does not are treated alike.
#[derive(Clone)]
pub(crate) struct TenantDirectory {
    store: Store,
    clock: Clock,
    known: Arc<Mutex<Remembered>>,
    asked: Arc<Mutex<HashMap<TenantSlug, Lookup>>>,
    unknown: Arc<Semaphore>,
}

/// A query on its way, for all who wait for it.
type Lookup = Shared<oneshot::Receiver<Result<Option<Tenant>, Refusal>>>;

impl TenantDirectory {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        let unknown = Arc::new(Semaphore::new(UNKNOWN_LOOKUPS));
        Self { store, clock, known: Arc::default(), asked: Arc::default(), unknown }
    }

    /// Tenants whose strangers get base32 codes now, of those somebody asked for lately.
    pub(crate) fn tripped(&self) -> u64 {
        lock(&self.known).values().filter(|(tenant, _)| tenant.is_some_and(|t| t.tripped)).count() as u64
    }

    /// `is_known`: whether a tenant is known by that slug, maybe no longer or not yet.
    pub(crate) async fn find(&self, slug: &TenantSlug, is_known: bool) -> Result<Option<Tenant>, Refusal> {
        // a text that cannot be a slug would be an error in Postgres if it held a NUL; no tenant has it either way
        if !slug.can_exist() {
            return Ok(None);
        }
        if let Some((tenant, since)) = lock(&self.known).get(slug)
            && since.elapsed() < FRESH
        {
            return Ok(*tenant);
        }
        self.look_up(slug, is_known).await.unwrap_or_else(|_| {
            // its task was lost: the next caller begins another
            lock(&self.asked).remove(slug);
            Err(Refusal::Unavailable)
        })
    }

    /// All who ask for one slug at once share one query: a burst must not take the pool's every connection for it. The
    /// query is a task's, so that a caller who leaves does not leave it half done.
    fn look_up(&self, slug: &TenantSlug, is_known: bool) -> Lookup {
        let mut asked = lock(&self.asked);
        if let Some(lookup) = asked.get(slug) {
            return lookup.clone();
        }
        let (answer, lookup) = oneshot::channel();
        let lookup = lookup.shared();
        asked.insert(slug.clone(), lookup.clone());
        let (directory, slug) = (self.clone(), slug.clone());
        tokio::spawn(async move {
            let found = directory.query(&slug, is_known).await;
            if let Ok(tenant) = found {
                directory.remember(&slug, tenant);
            }
            lock(&directory.asked).remove(&slug);
            // nobody may be waiting any more
            let _ = answer.send(found);
        });
        lookup
    }

    async fn query(&self, slug: &TenantSlug, is_known: bool) -> Result<Option<Tenant>, Refusal> {
        let _turn = match is_known {
            true => None,
            false => {
                let turn = tokio::time::timeout(TURN, self.unknown.acquire()).await;
                Some(turn.map_err(|_| Refusal::Overloaded)?)
            }
        };
        self.store.find_tenant(slug, self.clock.sql_now()).await.map_err(|error| {
            tracing::warn!(%error, "a tenant cannot be looked up");
            Refusal::Unavailable
        })
    }

    fn remember(&self, slug: &TenantSlug, tenant: Option<Tenant>) {
        let mut known = lock(&self.known);
        let before = known.get(slug).and_then(|(tenant, _)| *tenant);
        if tenant.is_some_and(|now| now.tripped) && !before.is_some_and(|then| then.tripped) {
            tracing::warn!(
                event = "tenant_step_up",
                tenant = slug.as_str(),
                "failed guesses outgrow successes: new codes for strangers are base32 until that ends"
            );
        }
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, since)| since.elapsed() < FRESH);
        }
        if known.len() < REMEMBERED {
            known.insert(slug.clone(), (tenant, Instant::now()));
        }
    }
}

struct Live {
    handle: Handle<IssuerMessage>,
    id: ActorId,
}

/// After a crash: how often in a row, until when callers are refused at once, and the issuer's row.
struct Crash {
    times: u32,
    until: Instant,
    handle: Handle<IssuerMessage>,
}

#[derive(Default)]
struct Directory {
    live: HashMap<IssuerSlot, Live>,
    /// Every life until its end is known, also one that takes no more messages.
    lives: HashMap<ActorId, (IssuerSlot, Handle<IssuerMessage>)>,
    crashes: HashMap<IssuerSlot, Crash>,
    parent: Option<ActorCell>,
}

/// The way to the issuers: finds a tenant's, or starts it.
#[derive(Clone)]
pub(crate) struct Issuers {
    directory: Arc<Mutex<Directory>>,
    pub(crate) meter: Arc<Meter>,
    deps: IssuerDeps,
    max: usize,
}

impl Issuers {
    pub(crate) fn new(meter: Arc<Meter>, deps: IssuerDeps, max: usize) -> Self {
        Self { directory: Arc::default(), meter, deps, max }
    }

    /// Sends a message to a tenant's issuer. One that is just retiring gives it back: then to the next.
    pub(crate) fn send(
        &self,
        (slot, slug): (IssuerSlot, &TenantSlug),
        message: IssuerMessage,
        admission: Admission,
    ) -> Result<(), Refusal> {
        let (mut message, mut admission) = (message, admission);
        for _ in 0..3 {
            let (handle, id) = self.find_or_start(slot, slug)?;
            match handle.offer(message, admission) {
                Ok(()) => return Ok(()),
                Err(None) => break,
                Err(Some(back)) => {
                    (message, admission) = back;
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

    fn find_or_start(
        &self,
        slot: IssuerSlot,
        slug: &TenantSlug,
    ) -> Result<(Handle<IssuerMessage>, ActorId), Refusal> {
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
        let issuer = Issuer { deps: self.deps.clone(), slot, issuers: self.clone() };
        let handle = match directory.crashes.get(&slot) {
            Some(crash) => crash.handle.clone(),
            None => Handle::labelled(self.meter.clone(), Some(slot.label(slug))),
        };
        let cell = start_linked(issuer, &handle, parent).map_err(|_| Refusal::Unavailable)?;
        let id = cell.get_id();
        directory.live.insert(slot, Live { handle: handle.clone(), id });
        directory.lives.insert(id, (slot, handle.clone()));
        Ok((handle, id))
    }

    /// An issuer retires.
    pub(crate) fn forget(&self, slot: IssuerSlot, context: &Context<IssuerMessage>) {
        let mut directory = lock(&self.directory);
        directory.crashes.remove(&slot);
        drop(directory);
        self.remove(slot, context.cell().get_id());
    }

    /// Only if it is still that life of it.
    fn remove(&self, slot: IssuerSlot, id: ActorId) {
        let mut directory = lock(&self.directory);
        if directory.live.get(&slot).is_some_and(|live| live.id == id) {
            directory.live.remove(&slot);
        }
    }

    /// An issuer ended by itself: the next call starts it anew, after a pause that grows while it keeps crashing.
    fn crashed(&self, id: ActorId, reason: RestartReason, why: &str) {
        let mut directory = lock(&self.directory);
        let Some((slot, handle)) = directory.lives.remove(&id) else { return };
        // a call may have met the dead one already, and begun the next life
        if directory.live.get(&slot).is_some_and(|live| live.id == id) {
            directory.live.remove(&slot);
        }
        let now = Instant::now();
        // who crashed and was not called again is forgotten
        directory.crashes.retain(|_, crash| now.saturating_duration_since(crash.until) < CRASHES_KEPT);
        let crash =
            directory.crashes.entry(slot).or_insert(Crash { times: 0, until: now, handle: handle.clone() });
        let pause = backoff(PAUSE, PAUSE_MAX, crash.times);
        crash.times += 1;
        crash.until = now + pause;
        let times = crash.times;
        drop(directory);
        let reason = handle.instance.failed(reason, why, pause, times.into());
        let (issuer, pause_ms) = (handle.instance.name(), pause.as_millis() as u64);
        tracing::warn!(
            actor = issuer,
            reason = reason.name(),
            why,
            in_row = times,
            pause_ms,
            "actor ended; a call after the pause starts it anew"
        );
    }

    /// A retired issuer has ended.
    fn retired(&self, id: ActorId) {
        let mut directory = lock(&self.directory);
        let Some((slot, _)) = directory.lives.remove(&id) else { return };
        if directory.live.get(&slot).is_some_and(|live| live.id == id) {
            directory.live.remove(&slot);
        }
    }

    fn set_parent(&self, parent: Option<ActorCell>) {
        let mut directory = lock(&self.directory);
        directory.parent = parent;
        directory.live.clear();
        directory.lives.clear();
    }

    /// All that live now, to drain.
    pub(crate) fn live(&self) -> Vec<Handle<IssuerMessage>> {
        lock(&self.directory).live.values().map(|live| live.handle.clone()).collect()
    }
}

/// The maps are changed in single steps: a panic in between leaves them usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The issuers' supervisor: starts them on demand, gives up when too many crash.
pub(crate) struct Tenants {
    pub(crate) issuers: Issuers,
}

impl Actor for Tenants {
    /// It only watches.
    type Message = ();
    type State = Intensity;

    async fn start(&self, context: &Context<()>) -> Result<Intensity, Failure> {
        self.issuers.set_parent(Some(context.cell()));
        Ok(Intensity::new(CRASHES_MAX, Duration::from_secs(60)))
    }

    async fn handle(
        &self,
        _: &Context<()>,
        (): (),
        _: Option<Admission>,
        _: &mut Intensity,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// A parent's end kills its children, so they are drained by hand: no request that was accepted is lost.
    async fn finish(&self, _: &mut Intensity) {
        let live = self.issuers.live();
        self.issuers.set_parent(None);
        futures_util::future::join_all(live.iter().map(|handle| handle.drain(Duration::from_secs(5)))).await;
        tracing::info!(issuers = live.len(), "issuers drained");
    }

    fn child_ended(&self, child: ActorCell, why: ChildEnd, crashes: &mut Intensity) -> Result<(), Failure> {
        let (reason, why) = match why {
            // retired
            ChildEnd::Stopped(Some(reason)) if reason == "Drained" => {
                self.issuers.retired(child.get_id());
                return Ok(());
            }
            ChildEnd::Stopped(why) => (RestartReason::Killed, why.unwrap_or_default()),
            ChildEnd::Failed(why) => (RestartReason::Panic, why),
        };
        self.issuers.crashed(child.get_id(), reason, &why);
        if crashes.exceeded() { Err("too many issuers crash".into()) } else { Ok(()) }
    }
}
