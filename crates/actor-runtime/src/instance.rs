//! One actor over all its lives: what is counted of it alone, and a way to it for whoever does not know its messages.

use super::actor::Fault;
use super::handle::Reply;
use super::meter::{Meter, RestartReason};
use super::periodic::unix_seconds;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Envelopes in one mailbox at most: several deadlines' worth of all permits. What comes on top is refused.
const MAILBOX_MAX: u64 = 16_384;

/// What `work` holds while a fault is at work; the messages of the actor follow.
const FAULT: u64 = 1;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What an actor does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorState {
    /// Its mailbox is read as it comes.
    Idle,
    /// In its handler.
    Busy,
    /// Takes nothing more and finishes what it has.
    Draining,
    /// Between two lives; the next one begins after a pause.
    BackingOff,
    /// Between two lives.
    Down,
}

/// Whom one of many actors of a kind serves.
#[derive(Clone, Debug)]
pub struct Label {
    /// Unique among them.
    pub id: Arc<str>,
    /// As people call it.
    pub slug: Option<Arc<str>>,
}

/// How a life ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureSnapshot {
    /// Whose.
    pub id: u64,
    /// Its kind.
    pub kind: &'static str,
    /// Whom it served: a tenant's id, of issuers.
    pub tenant: Option<String>,
    /// That tenant's slug.
    pub slug: Option<String>,
    /// `panic`, `error`, `start_failed`, `killed`, `stuck` or `stopped`.
    pub reason: &'static str,
    /// In words.
    pub why: String,
    /// When, in seconds since 1970.
    pub at_s: u64,
}

/// One actor as of now. Durations are milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct ActorSnapshot {
    /// Unique in this process, the same over all lives.
    pub id: u64,
    /// Its kind.
    pub kind: &'static str,
    /// The kind of its supervisor.
    pub parent: &'static str,
    /// Whom it serves: a tenant's id, of issuers.
    pub tenant: Option<String>,
    /// That tenant's slug.
    pub slug: Option<String>,
    /// What it does.
    pub state: ActorState,
    /// Age of this life; 0 between two.
    pub alive_ms: u64,
    /// The message in hand.
    pub message: Option<&'static str>,
    /// For how long it has been.
    pub busy_ms: u64,
    /// Until its next life begins.
    pub backoff_ms: u64,
    /// Actors alive whose supervisor it is.
    pub children: u64,
    /// Envelopes not yet answered or dropped.
    pub depth: u64,
    /// Admission permits of its kind in use, by callers who wait, and how many there are (0 = not limited): actors of a
    /// kind share them.
    pub permits_in_use: u64,
    /// See above.
    pub permits: u64,
    /// Messages handled over all lives.
    pub handled: u64,
    /// Lives that ended badly.
    pub restarts: u64,
    /// Of them, in a row.
    pub failed_in_row: u64,
    /// The last of them.
    pub last_failure: Option<FailureSnapshot>,
}

/// Reaches an actor without knowing its messages. Each returns whether there was somebody to tell.
pub trait Remote: Send + Sync {
    /// "Do you read?"
    fn ping(&self, reply: Reply<()>, place: Place) -> bool;
    /// Fails as told, once it has read the message.
    fn inject(&self, fault: Fault, reply: Reply<()>, place: Place) -> bool;
    /// Ends it at once.
    fn kill(&self);
}

/// One actor of a kind.
pub struct Instance {
    /// Unique in this process.
    pub id: u64,
    /// What is counted of its kind.
    pub meter: Arc<Meter>,
    label: Option<Label>,
    /// `None`: nobody but its supervisor reaches it.
    remote: Option<Box<dyn Remote>>,
    messages: OnceLock<&'static [&'static str]>,
    /// ms since the process's first actor, plus one; 0: between two lives.
    alive_since: AtomicU64,
    /// 0: idle. Else µs since the process's first actor, above eight bits of which message, so that one load tells both.
    work: AtomicU64,
    depth: AtomicU64,
    handled: AtomicU64,
    restarts: AtomicU64,
    failed_in_row: AtomicU64,
    /// As `alive_since`.
    backoff_until: AtomicU64,
    draining: AtomicBool,
    /// A reason that the supervisor cannot know, plus one: set by whoever does before the life ends.
    ending: AtomicU8,
    slow_ms: AtomicU64,
    last_failure: Mutex<Option<FailureSnapshot>>,
}

impl Instance {
    /// A new actor of a kind, not alive yet.
    pub fn new(meter: &Arc<Meter>, label: Option<Label>, remote: Option<Box<dyn Remote>>) -> Arc<Self> {
        let instance = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            meter: meter.clone(),
            label,
            remote,
            messages: OnceLock::new(),
            alive_since: AtomicU64::new(0),
            work: AtomicU64::new(0),
            depth: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            failed_in_row: AtomicU64::new(0),
            backoff_until: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            ending: AtomicU8::new(0),
            slow_ms: AtomicU64::new(0),
            last_failure: Mutex::new(None),
        });
        meter.enroll(&instance);
        instance
    }

    /// The kind, and whom it serves: `ledger.login`, `issuer/6f1c…`.
    pub fn name(&self) -> String {
        match &self.label {
            Some(Label { id, .. }) => format!("{}/{id}", self.meter.kind),
            None => self.meter.kind.to_owned(),
        }
    }

    /// Whom it serves.
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// The label's two parts, to show.
    fn served(&self) -> (Option<String>, Option<String>) {
        let slug = self.label.as_ref().and_then(|label| label.slug.as_deref());
        (self.label.as_ref().map(|label| label.id.to_string()), slug.map(str::to_owned))
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        self.alive_since.load(Relaxed) != 0
    }

    /// Nothing lies in its mailbox and nothing is in hand: nobody waits for it.
    pub fn is_quiet(&self) -> bool {
        self.depth.load(Relaxed) == 0 && self.work.load(Relaxed) == 0
    }

    /// The message in hand, and for how long.
    pub fn in_hand(&self) -> Option<(&'static str, Duration)> {
        let work = self.work.load(Relaxed);
        let since = Duration::from_micros(work >> 8);
        let name = match work & 0xff {
            0 => return None,
            FAULT => "fault",
            at => self.messages.get().and_then(|names| names.get((at - FAULT - 1) as usize).copied())?,
        };
        Some((name, uptime().saturating_sub(since)))
    }

    /// Whether it reads its mailbox before the deadline; `None`: nobody can ask it.
    pub async fn ping(&self, deadline: Instant) -> Option<bool> {
        let remote = self.remote.as_ref()?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        let told = Place::take_any(self).is_some_and(|place| remote.ping(reply, place));
        Some(told && super::until(deadline, answer).await.is_ok())
    }

    /// Makes it fail as told; `true` once it has read the message.
    pub async fn inject(&self, fault: Fault, deadline: Instant) -> bool {
        let Some(remote) = &self.remote else { return false };
        let (reply, answer) = tokio::sync::oneshot::channel();
        let told = Place::take_any(self).is_some_and(|place| remote.inject(fault, reply, place));
        told && super::until(deadline, answer).await.is_ok()
    }

    /// Ends it because it hangs; its supervisor starts it anew.
    pub fn end_stuck(&self) {
        let Some(remote) = &self.remote else { return };
        self.will_end(RestartReason::Stuck);
        remote.kill();
    }

    pub(crate) fn will_end(&self, reason: RestartReason) {
        self.ending.store(reason as u8 + 1, Relaxed);
    }

    /// A life ended by itself: counted, shown, and the next one begins after `wait`. Tells the reason in full.
    pub fn failed(&self, reason: RestartReason, why: &str, wait: Duration, in_row: u64) -> RestartReason {
        let reason = RestartReason::from_u8(self.ending.swap(0, Relaxed)).unwrap_or(reason);
        self.restarts.fetch_add(1, Relaxed);
        self.failed_in_row.store(in_row, Relaxed);
        self.backoff_until.store(millis(uptime() + wait), Relaxed);
        let (tenant, slug) = self.served();
        let failure = FailureSnapshot {
            id: self.id,
            kind: self.meter.kind,
            tenant,
            slug,
            reason: reason.name(),
            // a panic's text may be long
            why: why.chars().take(200).collect(),
            at_s: unix_seconds(),
        };
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
        self.meter.restarted(reason, failure);
        reason
    }

    /// Takes up a message: its place among its actor's, or none for a fault.
    pub(crate) fn takes_up(&self, message: Option<usize>) {
        let what = message.map_or(FAULT, |at| FAULT + 1 + at as u64);
        self.work.store((uptime().as_micros() as u64) << 8 | what, Relaxed);
    }

    pub(crate) fn puts_down(&self) {
        self.work.store(0, Relaxed);
    }

    pub(crate) fn handled(&self, took: Duration) {
        self.handled.fetch_add(1, Relaxed);
        self.meter.handled(took);
    }

    pub(crate) fn draining(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn named(&self, messages: &'static [&'static str]) {
        let _ = self.messages.set(messages);
    }

    /// A life begins; when, for [`ended`](Self::ended).
    pub(crate) fn started(&self) -> u64 {
        self.meter.started();
        self.slow_ms.store(0, Relaxed);
        self.ending.store(0, Relaxed);
        self.draining.store(false, Relaxed);
        self.backoff_until.store(0, Relaxed);
        let began = millis(uptime());
        self.alive_since.store(began, Relaxed);
        began
    }

    /// The life that began then.
    pub(crate) fn ended(&self, began: u64) {
        self.meter.ended();
        // the next one may have begun already
        let _ = self.alive_since.compare_exchange(began, 0, Relaxed, Relaxed);
    }

    pub(crate) fn slow_down(&self, by: Duration) {
        self.slow_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How much longer every message is to take: a fault.
    pub(crate) fn slowness(&self) -> Option<Duration> {
        match self.slow_ms.load(Relaxed) {
            0 => None,
            ms => Some(Duration::from_millis(ms)),
        }
    }

    /// Everything, as of now; only who sees all kinds knows its `children`.
    pub fn snapshot(&self, children: u64) -> ActorSnapshot {
        let (permits_in_use, permits) = self.meter.permits_in_use();
        let now = millis(uptime());
        let in_hand = self.in_hand();
        let backoff_ms = self.backoff_until.load(Relaxed).saturating_sub(now);
        let state = match (self.is_alive(), in_hand.is_some()) {
            (false, _) if backoff_ms > 0 => ActorState::BackingOff,
            (false, _) => ActorState::Down,
            _ if self.draining.load(Relaxed) => ActorState::Draining,
            (true, true) => ActorState::Busy,
            (true, false) => ActorState::Idle,
        };
        let alive = self.alive_since.load(Relaxed);
        let (tenant, slug) = self.served();
        ActorSnapshot {
            id: self.id,
            kind: self.meter.kind,
            parent: self.meter.parent,
            tenant,
            slug,
            state,
            alive_ms: if alive == 0 { 0 } else { now.saturating_sub(alive) },
            message: in_hand.map(|(name, _)| name),
            busy_ms: in_hand.map_or(0, |(_, busy)| busy.as_millis() as u64),
            backoff_ms,
            children,
            depth: self.depth.load(Relaxed),
            permits_in_use,
            permits,
            handled: self.handled.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            failed_in_row: self.failed_in_row.load(Relaxed),
            last_failure: self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.meter.strike_off(self.id);
    }
}

/// Time since the first actor of this process.
fn uptime() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Never 0, which means never.
fn millis(time: Duration) -> u64 {
    time.as_millis() as u64 + 1
}

/// A place in an actor's mailbox, until the envelope is read or dropped with the mailbox; a request's, until it is answered.
pub struct Place(Arc<Instance>);

impl Place {
    /// `None`: the mailbox is full.
    pub(crate) fn take(instance: &Arc<Instance>) -> Option<Self> {
        let place = Self::add(instance);
        (instance.depth.load(Relaxed) <= MAILBOX_MAX).then_some(place)
    }

    /// Without a limit: for what an actor sends to itself, which its own state bounds.
    pub(crate) fn add(instance: &Arc<Instance>) -> Self {
        instance.depth.fetch_add(1, Relaxed);
        Self(instance.clone())
    }

    fn take_any(instance: &Instance) -> Option<Self> {
        Self::take(&instance.meter.find(instance.id)?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.depth.fetch_sub(1, Relaxed);
    }
}
