//! How an actor is reached: a swappable reference behind admission permits.
//!
//! ractor's mailboxes are unbounded, so what may enter one is bounded here. A message carries its permit, its place in
//! the depth gauge and its deadline; all three are released when it is answered, dropped unread with a dead actor's
//! mailbox, or found to be late.

use super::actor::{Envelope, Fault};
use super::error::CallError;
use super::instance::{Instance, Label, Place, Remote};
use super::meter::Meter;
use super::permits::{Flow, Permit};
use super::request::{RequestId, current};
use arc_swap::ArcSwapOption;
use ractor::ActorRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Where an answer goes. It travels with the message, also from actor to actor.
pub type Reply<T> = oneshot::Sender<T>;

/// A caller's hold on its permit. Dropped when the caller has its answer, gives up at its deadline or leaves: an actor
/// that hangs keeps no permit. What lies in its mailbox then is bounded by the mailbox's own size.
pub struct CallerPermit(Option<Arc<Permit>>);

impl Drop for CallerPermit {
    fn drop(&mut self) {
        if let Some(permit) = &self.0 {
            permit.release();
        }
    }
}

/// What a message carries besides its words.
pub struct Admission {
    meter: Arc<Meter>,
    permit: Option<Arc<Permit>>,
    place: Option<Place>,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// The request that it is part of, for the log.
    pub request: RequestId,
    pub(crate) sent: Instant,
}

impl Admission {
    /// A permit of this kind, of the flow's share if it has one, or an immediate refusal.
    pub fn admit(meter: &Arc<Meter>, flow: Option<Flow>, deadline: Instant) -> Result<Self, CallError> {
        let Some(permits) = meter.permits() else { return Ok(Self::new(meter, None, deadline)) };
        let Some(permit) = permits.take(flow) else {
            meter.shed();
            return Err(CallError::Overloaded);
        };
        Ok(Self::new(meter, Some(Arc::new(permit)), deadline))
    }

    fn new(meter: &Arc<Meter>, permit: Option<Arc<Permit>>, deadline: Instant) -> Self {
        meter.enqueued();
        let (request, sent) = (current(), Instant::now());
        Self { meter: meter.clone(), permit, place: None, deadline, request, sent }
    }

    /// To be held by the caller while it waits for the answer.
    pub fn caller_permit(&self) -> CallerPermit {
        CallerPermit(self.permit.clone())
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

    /// The same message in the next actor's mailbox: it keeps its permit, so the first admission bounds the whole way.
    fn pass_to(mut self, meter: &Arc<Meter>) -> Self {
        let mut passed = Admission::new(meter, self.permit.take(), self.deadline);
        passed.request = self.request;
        passed
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.meter.dequeued();
        if let Some(permit) = &self.permit {
            permit.release();
        }
    }
}

/// Points at an actor while it lives.
type Target<M> = Arc<ArcSwapOption<ActorRef<Envelope<M>>>>;

/// The way to one actor, alive or between two lives.
pub struct Handle<M: Send + 'static> {
    target: Target<M>,
    /// What is counted of its kind.
    pub meter: Arc<Meter>,
    /// What is counted of it.
    pub instance: Arc<Instance>,
}

impl<M: Send + 'static> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), meter: self.meter.clone(), instance: self.instance.clone() }
    }
}

/// Why an envelope did not get into a mailbox.
enum Undelivered<M> {
    Full(Envelope<M>),
    /// Nobody is there. What was sent, if it came back.
    Dead(Option<Envelope<M>>),
}

impl<M> From<Undelivered<M>> for CallError {
    fn from(why: Undelivered<M>) -> Self {
        match why {
            Undelivered::Full(_) => Self::Overloaded,
            Undelivered::Dead(_) => Self::Unavailable,
        }
    }
}

impl<M: Send + 'static> Handle<M> {
    /// Points nowhere until the actor lives.
    pub fn new(meter: Arc<Meter>) -> Self {
        Self::labelled(meter, None)
    }

    /// The same, for one of many that serve somebody each.
    pub fn labelled(meter: Arc<Meter>, label: Option<Label>) -> Self {
        let target: Target<M> = Arc::default();
        let instance = Instance::new(&meter, label, Some(Box::new(Way(target.clone()))));
        Self { target, meter, instance }
    }

    pub(crate) fn set(&self, target: Option<ActorRef<Envelope<M>>>) {
        self.target.store(target.map(Arc::new));
    }

    /// Hands over a message with an admission of another actor's.
    pub fn forward(&self, message: M, admission: Admission) -> Result<(), CallError> {
        Ok(self.work(message, admission.pass_to(&self.meter))?)
    }

    /// The same, giving both back when the actor has just ended, so that its successor can have them.
    pub fn offer(&self, message: M, admission: Admission) -> Result<(), Option<(M, Admission)>> {
        self.work(message, admission).map_err(|why| match why {
            Undelivered::Dead(Some(Envelope::Work(message, mut admission))) => {
                admission.place = None;
                Some((message, admission))
            }
            _ => None,
        })
    }

    /// Tells the actor something nobody waits for; gives it back when nobody is there, or the mailbox is full.
    pub fn tell(&self, message: M) -> Result<(), M> {
        let Some(place) = self.place() else { return Err(message) };
        match self.deliver(Envelope::Message(message, place)) {
            Err(Undelivered::Dead(Some(Envelope::Message(message, _)))) => Err(message),
            // what comes back is what was sent
            _ => Ok(()),
        }
    }

    /// Sends a message and awaits its answer until the deadline.
    pub async fn call<R>(
        &self,
        deadline: Instant,
        build: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, CallError> {
        self.send(Admission::admit(&self.meter, None, deadline)?, build).await
    }

    /// The same for one of a flow, with a permit of its share.
    pub async fn call_of<R>(
        &self,
        flow: Flow,
        deadline: Instant,
        build: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, CallError> {
        self.send(Admission::admit(&self.meter, Some(flow), deadline)?, build).await
    }

    async fn send<R>(&self, admission: Admission, build: impl FnOnce(Reply<R>) -> M) -> Result<R, CallError> {
        let deadline = admission.deadline;
        let _permit = admission.caller_permit();
        let (reply, answer) = oneshot::channel();
        self.work(build(reply), admission)?;
        until(deadline, answer).await
    }

    /// Lets the actor finish what it has, then ends it; kills it if that takes too long.
    pub async fn drain(&self, patience: std::time::Duration) {
        let Some(target) = self.target.load_full() else { return };
        self.instance.draining();
        if target.drain_and_wait(Some(patience)).await.is_err() {
            let _ = target.kill_and_wait(Some(patience)).await;
        }
    }

    fn place(&self) -> Option<Place> {
        let place = Place::take(&self.instance);
        if place.is_none() {
            self.meter.shed();
        }
        place
    }

    fn work(&self, message: M, mut admission: Admission) -> Result<(), Undelivered<M>> {
        admission.place = self.place();
        let fits = admission.place.is_some();
        let envelope = Envelope::Work(message, admission);
        if fits { self.deliver(envelope) } else { Err(Undelivered::Full(envelope)) }
    }

    fn deliver(&self, envelope: Envelope<M>) -> Result<(), Undelivered<M>> {
        let Some(target) = self.target.load_full() else { return Err(Undelivered::Dead(Some(envelope))) };
        target.cast(envelope).map_err(|error| match error {
            ractor::MessagingErr::SendErr(envelope) => Undelivered::Dead(Some(envelope)),
            _ => Undelivered::Dead(None),
        })
    }
}

/// A handle's target, for whoever does not know its messages.
struct Way<M: Send + 'static>(Target<M>);

impl<M: Send + 'static> Way<M> {
    fn cast(&self, envelope: Envelope<M>) -> bool {
        self.0.load_full().is_some_and(|target| target.cast(envelope).is_ok())
    }
}

impl<M: Send + 'static> Remote for Way<M> {
    fn ping(&self, reply: Reply<()>, place: Place) -> bool {
        self.cast(Envelope::Ping(reply, place))
    }

    fn inject(&self, fault: Fault, reply: Reply<()>, place: Place) -> bool {
        self.cast(Envelope::Fault(fault, reply, place))
    }

    fn kill(&self) {
        if let Some(target) = self.0.load_full() {
            target.kill();
        }
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
