//! What an actor does, without what every actor does.

use super::handle::{Handle, Reply, Ticket};
use super::meter::Meter;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Ends an actor's life: its supervisor starts it anew. An error in somebody's request is an answer, never this.
pub(crate) type Failure = ActorProcessingErr;

/// A failure on demand, for `dev` and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Panic,
    Error,
    Hang,
}

/// What lies in a mailbox.
pub(crate) enum Parcel<M> {
    /// A request somebody waits for.
    Work(M, Ticket),
    /// A message between actors, or to oneself.
    Note(M),
    /// "Do you read?"
    Ping(Reply<()>),
    /// Acknowledged before it happens, so that a test asserts after it.
    Fault(Fault, Reply<()>),
}

/// An actor's own mailbox.
pub(crate) struct Me<M: Send + 'static>(ActorRef<Parcel<M>>);

impl<M: Send + 'static> Clone for Me<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Send + 'static> Me<M> {
    /// Leaves a note to oneself, behind everything already there. `false` while draining: finish without it.
    pub(crate) fn note(&self, message: M) -> bool {
        self.0.cast(Parcel::Note(message)).is_ok()
    }

    /// The same, later.
    pub(crate) fn note_after(&self, wait: Duration, message: M) {
        self.0.send_after(wait, move || Parcel::Note(message));
    }

    /// Finishes what lies in the mailbox, takes nothing more, and ends.
    pub(crate) fn retire(&self) {
        // Err means that it is draining already
        let _ = self.0.drain();
    }

    /// For linking children.
    pub(crate) fn cell(&self) -> ActorCell {
        self.0.get_cell()
    }
}

/// An actor's behaviour. The order in each actor's file: constants, messages, state, role, logic, glue, tests.
pub(crate) trait Role: Sized + Send + Sync + 'static {
    type Message: Send + 'static;
    type State: Send + 'static;

    /// Makes the state of a new life. An error counts as a failed start and is retried with backoff.
    fn start(&self, me: &Me<Self::Message>) -> impl Future<Output = Result<Self::State, Failure>> + Send;

    /// Handles one message. Never awaits the database or a mail server: that would stall everyone behind it.
    fn handle(
        &self,
        me: &Me<Self::Message>,
        message: Self::Message,
        ticket: Option<Ticket>,
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
pub(crate) enum ChildEnd {
    Failed(String),
    Stopped(Option<String>),
}

/// ractor's view of a role: unwraps parcels, measures, drops what is late.
pub(crate) struct Shell<R: Role> {
    role: R,
    meter: Arc<Meter>,
}

/// A shell's state: the role's, and a guard that counts the actor alive for as long as the state lives.
pub(crate) struct ShellState<S> {
    inner: S,
    _alive: Alive,
}

/// Counts an actor alive for as long as it is held; in an actor's state it also ends with a panic.
pub(crate) struct Alive(Arc<Meter>);

impl Alive {
    pub(crate) fn new(meter: &Arc<Meter>) -> Self {
        meter.started();
        Self(meter.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl<R: Role> Shell<R> {
    pub(crate) fn new(role: R, meter: Arc<Meter>) -> Self {
        Self { role, meter }
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

impl<R: Role> Actor for Shell<R> {
    type Msg = Parcel<R::Message>;
    type State = ShellState<R::State>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        let inner = self.role.start(&Me(myself)).await?;
        Ok(ShellState { inner, _alive: Alive::new(&self.meter) })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        parcel: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (message, ticket) = match parcel {
            Parcel::Work(message, ticket) => (message, Some(ticket)),
            Parcel::Note(message) => (message, None),
            Parcel::Ping(reply) => {
                let _ = reply.send(());
                return Ok(());
            }
            Parcel::Fault(fault, acknowledge) => return self.fail_as_told(fault, acknowledge).await,
        };
        let begun = Instant::now();
        if let Some(ticket) = &ticket {
            ticket.read();
        }
        match ticket {
            // dropping the message drops its reply port: the caller, if still there, is told
            Some(ticket) if ticket.is_late() => ticket.expire(),
            ticket => self.role.handle(&Me(myself), message, ticket, &mut state.inner).await?,
        }
        self.meter.handled(begun.elapsed());
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.role.finish(&mut state.inner).await;
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
                self.role.child_ended(cell, ChildEnd::Failed(why.to_string()), &mut state.inner)
            }
            ractor::SupervisionEvent::ActorTerminated(cell, _, why) => {
                self.role.child_ended(cell, ChildEnd::Stopped(why), &mut state.inner)
            }
            _ => Ok(()),
        }
    }
}

/// Starts a role at once, linked to `parent`, without waiting for its start; messages queue meanwhile.
pub(crate) fn start_linked<R: Role>(
    role: R,
    meter: &Arc<Meter>,
    parent: ActorCell,
) -> Result<(Handle<R::Message>, ActorCell), SpawnErr> {
    let (actor, _) =
        ractor::ActorRuntime::spawn_linked_instant(None, Shell::new(role, meter.clone()), (), parent)?;
    let cell = actor.get_cell();
    Ok((Handle::to(meter.clone(), actor), cell))
}
