//! What an actor does, without what every actor does.

use super::handle::{Admission, Handle, Reply};
use super::meter::Meter;
use ractor::{ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Ends an actor's life: its supervisor starts it anew. An error in somebody's request is an answer, never this.
pub type Failure = ActorProcessingErr;

/// A failure on demand, for `dev` and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The handler panics.
    Panic,
    /// The handler returns an error.
    Error,
    /// The handler never returns.
    Hang,
}

/// What lies in a mailbox.
pub enum Envelope<M> {
    /// A request somebody waits for.
    Work(M, Admission),
    /// A message between actors, or to oneself.
    Message(M),
    /// "Do you read?"
    Ping(Reply<()>),
    /// Acknowledged before it happens, so that a test asserts after it.
    Fault(Fault, Reply<()>),
}

/// An actor's own mailbox.
pub struct Context<M: Send + 'static>(ActorRef<Envelope<M>>);

impl<M: Send + 'static> Clone for Context<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Send + 'static> Context<M> {
    /// Sends a message to oneself, behind everything already there. `false` while draining: finish without it.
    pub fn send(&self, message: M) -> bool {
        self.0.cast(Envelope::Message(message)).is_ok()
    }

    /// The same, later.
    pub fn send_after(&self, wait: Duration, message: M) {
        self.0.send_after(wait, move || Envelope::Message(message));
    }

    /// Finishes what lies in the mailbox, takes nothing more, and ends.
    pub fn retire(&self) {
        // Err means that it is draining already
        let _ = self.0.drain();
    }

    /// For linking children.
    pub fn cell(&self) -> ActorCell {
        self.0.get_cell()
    }
}

/// An actor's behaviour. The order in each actor's file: constants, messages, state, actor, logic, glue, tests.
pub trait Actor: Sized + Send + Sync + 'static {
    /// What it is told.
    type Message: Send + 'static;
    /// What one life of it remembers.
    type State: Send + 'static;

    /// Makes the state of a new life. An error counts as a failed start and is retried with backoff.
    fn start(
        &self,
        context: &Context<Self::Message>,
    ) -> impl Future<Output = Result<Self::State, Failure>> + Send;

    /// Handles one message. Never awaits the database or a mail server: that would stall everyone behind it.
    fn handle(
        &self,
        context: &Context<Self::Message>,
        message: Self::Message,
        admission: Option<Admission>,
        state: &mut Self::State,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// After the last message of a drain; not after a crash.
    fn finish(&self, _state: &mut Self::State) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// A linked child ended.
    fn child_ended(
        &self,
        _child: ActorCell,
        _why: ChildEnd,
        _state: &mut Self::State,
    ) -> Result<(), Failure> {
        Ok(())
    }
}

/// How a child ended.
pub enum ChildEnd {
    /// A panic, or an error from its handler.
    Failed(String),
    /// It was told to, with the reason; "killed" if it was killed.
    Stopped(Option<String>),
}

/// ractor's view of an actor of ours: unwraps envelopes, measures, drops what is late.
pub(crate) struct Adapter<A: Actor> {
    actor: A,
    meter: Arc<Meter>,
}

/// An adapter's state: the actor's, and a guard that counts the actor alive for as long as the state lives.
pub(crate) struct AdapterState<S> {
    inner: S,
    _alive: Alive,
}

/// Counts an actor alive for as long as it is held; in an actor's state it also ends with a panic.
pub struct Alive(Arc<Meter>);

impl Alive {
    /// Counts from now on.
    pub fn new(meter: &Arc<Meter>) -> Self {
        meter.started();
        Self(meter.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl<A: Actor> Adapter<A> {
    pub(crate) fn new(actor: A, meter: Arc<Meter>) -> Self {
        Self { actor, meter }
    }

    async fn fail_as_told(&self, fault: Fault, acknowledge: Reply<()>) -> Result<(), Failure> {
        let _ = acknowledge.send(());
        match fault {
            #[expect(clippy::panic, reason = "this is the panic that tests inject")]
            Fault::Panic => panic!("injected"),
            Fault::Error => Err("injected".into()),
            Fault::Hang => std::future::pending().await,
        }
    }
}

impl<A: Actor> ractor::Actor for Adapter<A> {
    type Msg = Envelope<A::Message>;
    type State = AdapterState<A::State>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        let inner = self.actor.start(&Context(myself)).await?;
        Ok(AdapterState { inner, _alive: Alive::new(&self.meter) })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        envelope: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (message, admission) = match envelope {
            Envelope::Work(message, admission) => (message, Some(admission)),
            Envelope::Message(message) => (message, None),
            Envelope::Ping(reply) => {
                let _ = reply.send(());
                return Ok(());
            }
            Envelope::Fault(fault, acknowledge) => return self.fail_as_told(fault, acknowledge).await,
        };
        let begun = Instant::now();
        if let Some(admission) = &admission {
            admission.read();
        }
        match admission {
            // dropping the message drops its reply port: the caller, if still there, is told
            Some(admission) if admission.is_late() => admission.expire(),
            admission => self.actor.handle(&Context(myself), message, admission, &mut state.inner).await?,
        }
        self.meter.handled(begun.elapsed());
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.actor.finish(&mut state.inner).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Self::Msg>,
        event: ractor::SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            ractor::SupervisionEvent::ActorFailed(cell, why) => {
                self.actor.child_ended(cell, ChildEnd::Failed(why.to_string()), &mut state.inner)
            }
            ractor::SupervisionEvent::ActorTerminated(cell, _, why) => {
                self.actor.child_ended(cell, ChildEnd::Stopped(why), &mut state.inner)
            }
            _ => Ok(()),
        }
    }
}

/// Starts an actor at once, linked to `parent`, without waiting for its start; messages queue meanwhile.
pub fn start_linked<A: Actor>(
    actor: A,
    meter: &Arc<Meter>,
    parent: ActorCell,
) -> Result<(Handle<A::Message>, ActorCell), SpawnErr> {
    let (target, _) =
        ractor::ActorRuntime::spawn_linked_instant(None, Adapter::new(actor, meter.clone()), (), parent)?;
    let cell = target.get_cell();
    Ok((Handle::to(meter.clone(), target), cell))
}
