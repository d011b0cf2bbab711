//! How an actor is reached: a swappable reference behind admission permits.
//!
//! ractor's mailboxes are unbounded, so what may enter one is bounded here. A message carries its permit, its place in
//! the depth gauge and its deadline; all three are released when it is answered, dropped unread with a dead actor's
//! mailbox, or found to be late.

use super::actor::{Envelope, Fault};
use super::error::CallError;
use super::meter::Meter;
use arc_swap::ArcSwapOption;
use ractor::ActorRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

/// Where an answer goes. It travels with the message, also from actor to actor.
pub type Reply<T> = oneshot::Sender<T>;

/// What a message carries besides its words.
pub struct Admission {
    meter: Arc<Meter>,
    permit: Option<OwnedSemaphorePermit>,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    pub(crate) sent: Instant,
}

impl Admission {
    /// A permit of this kind, or an immediate refusal.
    pub fn admit(meter: &Arc<Meter>, deadline: Instant) -> Result<Self, CallError> {
        let permit = match meter.semaphore() {
            None => None,
            Some(semaphore) => Some(semaphore.clone().try_acquire_owned().map_err(|_| {
                meter.shed();
                CallError::Overloaded
            })?),
        };
        Ok(Self::new(meter, permit, deadline))
    }

    fn new(meter: &Arc<Meter>, permit: Option<OwnedSemaphorePermit>, deadline: Instant) -> Self {
        meter.enqueued();
        Self { meter: meter.clone(), permit, deadline, sent: Instant::now() }
    }

    /// Takes the time that the message waited to be read.
    pub fn read(&self) {
        self.meter.waited(self.sent.elapsed());
    }

    /// Nobody waits for the answer any more.
    pub fn is_late(&self) -> bool {
        self.deadline <= Instant::now()
    }

    /// Counts the message as lost to its deadline.
    pub fn expire(self) {
        self.meter.expired();
    }

    /// The same message in the next actor's mailbox: it keeps its permit, so the first door bounds the whole way.
    fn pass_to(mut self, meter: &Arc<Meter>) -> Self {
        Admission::new(meter, self.permit.take(), self.deadline)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.meter.dequeued();
    }
}

/// The way to one actor, alive or between two lives.
pub struct Handle<M: Send + 'static> {
    target: Arc<ArcSwapOption<ActorRef<Envelope<M>>>>,
    /// What is counted of its kind.
    pub meter: Arc<Meter>,
}

impl<M: Send + 'static> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), meter: self.meter.clone() }
    }
}

impl<M: Send + 'static> Handle<M> {
    /// Points nowhere until the actor lives.
    pub fn new(meter: Arc<Meter>) -> Self {
        Self { target: Arc::default(), meter }
    }

    pub(crate) fn set(&self, target: Option<ActorRef<Envelope<M>>>) {
        self.target.store(target.map(Arc::new));
    }

    /// Points at an actor that nobody restarts (issuers are found anew instead).
    pub fn to(meter: Arc<Meter>, target: ActorRef<Envelope<M>>) -> Self {
        let handle = Self::new(meter);
        handle.set(Some(target));
        handle
    }

    /// Hands over a message with a admission of another actor's.
    pub fn forward(&self, message: M, admission: Admission) -> Result<(), CallError> {
        self.deliver(Envelope::Work(message, admission.pass_to(&self.meter)))
            .map_err(|_| CallError::Unavailable)
    }

    /// The same, giving both back when the actor has just ended, so that its successor can have them.
    pub fn offer(&self, message: M, admission: Admission) -> Result<(), Option<(M, Admission)>> {
        self.deliver(Envelope::Work(message, admission)).map_err(|back| match back {
            Some(Envelope::Work(message, admission)) => Some((message, admission)),
            _ => None,
        })
    }

    /// Tells the actor something nobody waits for. Not limited: for messages between actors only.
    pub fn tell(&self, message: M) -> Result<(), M> {
        match self.deliver(Envelope::Message(message)) {
            Ok(()) => Ok(()),
            Err(Some(Envelope::Message(message))) => Err(message),
            // unreachable in practice: what comes back is what was sent
            Err(_) => Ok(()),
        }
    }

    /// Sends a message and awaits its answer until the deadline.
    pub async fn call<R>(
        &self,
        deadline: Instant,
        build: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, CallError> {
        let admission = Admission::admit(&self.meter, deadline)?;
        let (reply, answer) = oneshot::channel();
        self.deliver(Envelope::Work(build(reply), admission)).map_err(|_| CallError::Unavailable)?;
        until(deadline, answer).await
    }

    /// Makes the actor fail as told, and returns once it has read the message. For `dev` and tests.
    pub async fn inject(&self, fault: Fault, deadline: Instant) -> Result<(), CallError> {
        let (reply, answer) = oneshot::channel();
        self.deliver(Envelope::Fault(fault, reply)).map_err(|_| CallError::Unavailable)?;
        until(deadline, answer).await
    }

    /// Whether the actor reads its mailbox: asked, not guessed.
    pub async fn ping(&self, deadline: Instant) -> Result<(), CallError> {
        let (reply, answer) = oneshot::channel();
        self.deliver(Envelope::Ping(reply)).map_err(|_| CallError::Unavailable)?;
        until(deadline, answer).await
    }

    /// Ends an actor that hangs; its supervisor starts it anew.
    pub fn kill(&self) {
        if let Some(target) = self.target.load_full() {
            target.kill();
        }
    }

    /// Lets the actor finish what it has, then ends it; kills it if that takes too long.
    pub async fn drain(&self, patience: std::time::Duration) {
        let Some(target) = self.target.load_full() else { return };
        if target.drain_and_wait(Some(patience)).await.is_err() {
            let _ = target.kill_and_wait(Some(patience)).await;
        }
    }

    fn deliver(&self, envelope: Envelope<M>) -> Result<(), Option<Envelope<M>>> {
        let Some(target) = self.target.load_full() else { return Err(Some(envelope)) };
        target.cast(envelope).map_err(|error| match error {
            ractor::MessagingErr::SendErr(envelope) => Some(envelope),
            _ => None,
        })
    }
}

/// Awaits an answer: a dropped port is a dead actor, a passed deadline is late.
pub async fn until<R>(deadline: Instant, answer: oneshot::Receiver<R>) -> Result<R, CallError> {
    match timeout_at(deadline, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) if Instant::now() >= deadline => Err(CallError::Late),
        Ok(Err(_)) => Err(CallError::Unavailable),
        Err(_) => Err(CallError::Late),
    }
}

/// Several actors of one kind, asked in turn.
pub struct Pool<M: Send + 'static> {
    /// All of them, in turn order.
    pub members: Arc<[Handle<M>]>,
    next: Arc<AtomicUsize>,
}

impl<M: Send + 'static> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self { members: self.members.clone(), next: self.next.clone() }
    }
}

impl<M: Send + 'static> Pool<M> {
    /// At least one member.
    pub fn new(meter: &Arc<Meter>, size: usize) -> Self {
        let members = (0..size.max(1)).map(|_| Handle::new(meter.clone())).collect();
        Self { members, next: Arc::default() }
    }

    /// The next member whose turn it is; one that is between two lives is passed over by asking again.
    pub fn next(&self) -> &Handle<M> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.members.len();
        &self.members[at]
    }
}
