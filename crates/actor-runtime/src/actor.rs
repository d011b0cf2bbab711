//! What an actor does, without what every actor does.

use super::alive::{Alive, Busy};
use super::handle::{Admission, Handle, Reply};
use super::instance::{Instance, Place};
use super::meter::RestartReason;
use ractor::{ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

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
    /// Every message takes that much longer, until the actor's life ends; zero: no longer.
    Slow(Duration),
}

/// What lies in a mailbox.
pub enum Envelope<M> {
    /// A request somebody waits for.
    Work(M, Admission),
    /// A message between actors, or to oneself.
    Message(M, Place),
    /// "Do you read?"
    Ping(Reply<()>, Place),
    /// Acknowledged before it happens, so that a test asserts after it.
    Fault(Fault, Reply<()>, Place),
}

/// An actor's own mailbox.
pub struct Context<M: Send + 'static> {
    target: ActorRef<Envelope<M>>,
    instance: Arc<Instance>,
}

impl<M: Send + 'static> Clone for Context<M> {
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), instance: self.instance.clone() }
    }
}

impl<M: Send + 'static> Context<M> {
    /// Sends a message to oneself, behind everything already there. `false` while draining: finish without it.
    pub fn send(&self, message: M) -> bool {
        self.target.cast(Envelope::Message(message, Place::add(&self.instance))).is_ok()
    }

    /// The same, later.
    pub fn send_after(&self, wait: Duration, message: M) {
        let instance = self.instance.clone();
        self.target.send_after(wait, move || Envelope::Message(message, Place::add(&instance)));
    }

    /// Finishes what lies in the mailbox, takes nothing more, and ends.
    pub fn retire(&self) {
        self.instance.draining();
        // Err means that it is draining already
        let _ = self.target.drain();
    }

    /// For linking children.
    pub fn cell(&self) -> ActorCell {
        self.target.get_cell()
    }
}

/// An actor's behaviour. The order in each actor's file: constants, messages, state, actor, logic, glue, tests.
pub trait Actor: Sized + Send + Sync + 'static {
    /// What it is told.
    type Message: Send + 'static;
    /// What one life of it remembers.
    type State: Send + 'static;
    /// The names of its messages, for whoever watches which one it is at.
    const MESSAGES: &'static [&'static str] = &["message"];

    /// A message's place in [`MESSAGES`](Self::MESSAGES).
    fn index(_message: &Self::Message) -> usize {
        0
    }

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
    instance: Arc<Instance>,
}

/// An adapter's state: the actor's, and a guard that counts the actor alive for as long as the state lives.
pub(crate) struct AdapterState<S> {
    inner: S,
    _alive: Alive,
}

impl<A: Actor> Adapter<A> {
    pub(crate) fn new(actor: A, instance: Arc<Instance>) -> Self {
        Self { actor, instance }
    }

    fn context(&self, target: ActorRef<Envelope<A::Message>>) -> Context<A::Message> {
        Context { target, instance: self.instance.clone() }
    }

    async fn fail_as_told(&self, fault: Fault, acknowledge: Reply<()>) -> Result<(), Failure> {
        let busy = Busy::fault(&self.instance);
        // whoever told it waits no longer and was told that nothing happened
        if acknowledge.send(()).is_err() {
            return Ok(());
        }
        match fault {
            #[expect(clippy::panic, reason = "this is the panic that tests inject")]
            Fault::Panic => panic!("injected"),
            Fault::Error => Err("injected".into()),
            Fault::Hang => std::future::pending().await,
            Fault::Slow(by) => {
                self.instance.slow_down(by);
                drop(busy);
                Ok(())
            }
        }
    }

    /// One message, or none if nobody waits for its answer any more.
    async fn work(
        &self,
        myself: ActorRef<Envelope<A::Message>>,
        message: A::Message,
        admission: Option<Admission>,
        state: &mut A::State,
    ) -> Result<(), Failure> {
        let busy = Busy::new(&self.instance, A::index(&message));
        if let Some(by) = self.instance.slowness() {
            tokio::time::sleep(by).await;
        }
        if let Some(admission) = &admission {
            admission.read();
        }
        match admission {
            // dropping the message drops its reply port: the caller, if still there, is told
            Some(admission) if admission.is_late() => admission.expire(),
            admission => self.actor.handle(&self.context(myself), message, admission, state).await?,
        }
        busy.done();
        Ok(())
    }

    /// Does what an envelope asks for; an error ends the life.
    async fn open(
        &self,
        myself: ActorRef<Envelope<A::Message>>,
        envelope: Envelope<A::Message>,
        state: &mut A::State,
    ) -> Result<(), Failure> {
        let done = match envelope {
            Envelope::Work(message, admission) => self.work(myself, message, Some(admission), state).await,
            Envelope::Message(message, place) => {
                drop(place);
                self.work(myself, message, None, state).await
            }
            Envelope::Ping(reply, _) => {
                let _ = reply.send(());
                Ok(())
            }
            Envelope::Fault(fault, acknowledge, place) => {
                drop(place);
                self.fail_as_told(fault, acknowledge).await
            }
        };
        if done.is_err() {
            self.instance.will_end(RestartReason::Error);
        }
        done
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
        let inner = self.actor.start(&self.context(myself)).await?;
        Ok(AdapterState { inner, _alive: Alive::of(&self.instance, A::MESSAGES) })
    }

    /// Boxed, so that an actor that waits keeps no room for what handling a message takes.
    fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        envelope: Self::Msg,
        state: &mut Self::State,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send {
        Box::pin(self.open(myself, envelope, &mut state.inner))
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
    handle: &Handle<A::Message>,
    parent: ActorCell,
) -> Result<ActorCell, SpawnErr> {
    let adapter = Adapter::new(actor, handle.instance.clone());
    let (target, _) = ractor::ActorRuntime::spawn_linked_instant(None, adapter, (), parent)?;
    let cell = target.get_cell();
    handle.set(Some(target));
    Ok(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Probe;

    impl Actor for Probe {
        type Message = [u8; 1_024];
        type State = ();

        async fn start(&self, _: &Context<Self::Message>) -> Result<(), Failure> {
            Ok(())
        }

        async fn handle(
            &self,
            _: &Context<Self::Message>,
            _: Self::Message,
            _: Option<Admission>,
            _: &mut (),
        ) -> Result<(), Failure> {
            Ok(())
        }
    }

    type Handler<'a, F> = fn(
        &'a Adapter<Probe>,
        ActorRef<Envelope<[u8; 1_024]>>,
        Envelope<[u8; 1_024]>,
        &'a mut AdapterState<()>,
    ) -> F;

    fn future_size<F>(_: Handler<'_, F>) -> usize {
        size_of::<F>()
    }

    /// ractor keeps room for this future in every actor.
    #[test]
    fn an_actor_that_waits_keeps_no_room_for_a_message() {
        assert_eq!(future_size(<Adapter<Probe> as ractor::Actor>::handle), size_of::<usize>());
    }
}
