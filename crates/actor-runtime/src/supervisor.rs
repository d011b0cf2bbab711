//! The root: starts its children in order, restarts each that ends with backoff and jitter, gives up when that does not
//! help, and on a stop drains them in reverse.
//!
//! Ours because the ready-made one dies with a caller that goes away (ractor-supervisor 0.1).

use super::actor::{self, Adapter};
use super::alive::Alive;
use super::handle::Handle;
use super::instance::Instance;
use super::meter::RestartReason;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// When to restart, and when to give up.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// First wait; doubles with each failure in a row. Default 20 ms.
    pub backoff: Duration,
    /// Longest wait. Default 2 s.
    pub backoff_max: Duration,
    /// A child up for that long has recovered: its next failure starts the backoff anew. Default 10 s.
    pub healthy_after: Duration,
    /// More restarts than this within `window` over all children: the root gives up. Default 60.
    pub max_restarts: usize,
    /// Default 60 s.
    pub window: Duration,
    /// How long a child may take to drain before it is killed. Default 5 s.
    pub drain: Duration,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self {
            backoff: Duration::from_millis(20),
            backoff_max: Duration::from_secs(2),
            healthy_after: Duration::from_secs(10),
            max_restarts: 60,
            window: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }
}

/// Starts a child linked to the given parent.
pub type Spawn = Box<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;
/// Ends a child in good order; for children that need more than a drain.
pub type Drain = Box<dyn Fn(ActorCell) -> BoxFuture<'static, bool> + Send + Sync>;

/// How to start one child, and what to do while it is down.
pub struct ChildSpec {
    /// What is counted of it.
    pub instance: Arc<Instance>,
    /// Starts a life of it.
    pub spawn: Spawn,
    /// Runs when a life has ended.
    pub on_down: Box<dyn Fn() + Send + Sync>,
    /// `None`: ractor's drain.
    pub drain: Option<Drain>,
}

/// A child that is an actor of ours; `handle` points at it while it lives.
pub fn child<A: actor::Actor>(
    handle: &Handle<A::Message>,
    make: impl Fn() -> A + Send + Sync + 'static,
) -> ChildSpec {
    let (up, down) = (handle.clone(), handle.clone());
    ChildSpec {
        instance: handle.instance.clone(),
        spawn: Box::new(move |parent| {
            let (adapter, up) = (Adapter::new(make(), up.instance.clone()), up.clone());
            Box::pin(async move {
                let (actor, _) = ractor::ActorRuntime::spawn_linked(None, adapter, (), parent).await?;
                let cell = actor.get_cell();
                up.set(Some(actor));
                Ok(cell)
            })
        }),
        on_down: Box::new(move || down.set(None)),
        drain: None,
    }
}

/// What the root hears.
pub enum SupervisorMessage {
    /// Start the child at that place.
    Restart(usize),
}

struct Child {
    spec: ChildSpec,
    cell: Option<ActorCell>,
    /// Of a child that is no actor of ours, and so does not count itself.
    alive: Option<Alive>,
    failures: u32,
    up_since: Instant,
}

pub struct SupervisorState {
    children: Vec<Child>,
    intensity: Intensity,
}

/// How often children may end badly before their supervisor gives up: what it starts anew is broken itself.
pub struct Intensity {
    max: usize,
    window: Duration,
    ends: VecDeque<Instant>,
}

impl Intensity {
    /// More than `max` within `window` are too many.
    pub fn new(max: usize, window: Duration) -> Self {
        Self { max, window, ends: VecDeque::new() }
    }

    /// One more, now. `true`: too many.
    pub fn exceeded(&mut self) -> bool {
        let now = Instant::now();
        self.ends.retain(|then| now.saturating_duration_since(*then) < self.window);
        self.ends.push_back(now);
        self.ends.len() > self.max
    }
}

/// Why the root ended, for the process's exit code.
#[derive(Clone, Default)]
pub struct SupervisorExit(Arc<AtomicBool>);

impl SupervisorExit {
    /// Restart intensity was exceeded.
    pub fn gave_up(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The root supervisor.
pub struct Supervisor {
    /// When to restart, and when to give up.
    pub tolerance: Tolerance,
    /// Filled when it gives up.
    pub exit: SupervisorExit,
}

impl Supervisor {
    async fn start(
        &self,
        context: &ActorRef<SupervisorMessage>,
        state: &mut SupervisorState,
        at: usize,
    ) -> Result<(), ActorProcessingErr> {
        match (state.children[at].spec.spawn)(context.get_cell()).await {
            Ok(cell) => {
                let child = &mut state.children[at];
                child.cell = Some(cell);
                child.up_since = Instant::now();
                let counted = child.spec.instance.is_alive();
                child.alive = (!counted).then(|| Alive::of(&child.spec.instance, &[]));
                Ok(())
            }
            // a failed start is no event of ractor's: it arrives here
            Err(error) => {
                self.restart_later(context, state, at, RestartReason::StartFailed, &error.to_string())
            }
        }
    }

    fn restart_later(
        &self,
        context: &ActorRef<SupervisorMessage>,
        state: &mut SupervisorState,
        at: usize,
        reason: RestartReason,
        why: &str,
    ) -> Result<(), ActorProcessingErr> {
        let (now, child) = (Instant::now(), &mut state.children[at]);
        (child.spec.on_down)();
        child.cell = None;
        child.alive = None;
        if now.saturating_duration_since(child.up_since) > self.tolerance.healthy_after {
            child.failures = 0;
        }
        let wait = backoff(self.tolerance.backoff, self.tolerance.backoff_max, child.failures);
        child.failures += 1;
        let reason = child.spec.instance.failed(reason, why, wait, child.failures.into());
        tracing::warn!(
            actor = child.spec.instance.meter.kind,
            reason = reason.name(),
            in_row = child.failures,
            why,
            wait_ms = wait.as_millis() as u64,
            "actor ended; restarting"
        );
        if state.intensity.exceeded() {
            self.exit.0.store(true, Ordering::SeqCst);
            tracing::error!(
                max = self.tolerance.max_restarts,
                window_s = self.tolerance.window.as_secs(),
                "restart intensity exceeded; giving up"
            );
            return Err("restart intensity exceeded".into());
        }
        context.send_after(wait, move || SupervisorMessage::Restart(at));
        Ok(())
    }
}

/// Doubles from the first wait to the longest with each failure in a row, and spreads over half of it, so that replicas
/// and tenants do not restart in step.
pub fn backoff(first: Duration, longest: Duration, failures: u32) -> Duration {
    let full = first.saturating_mul(2u32.saturating_pow(failures)).min(longest);
    let mut byte = [0u8; 1];
    // without randomness: no jitter, which only costs evenness
    let _ = getrandom::fill(&mut byte);
    full.mul_f64(0.5 + f64::from(byte[0]) / 510.0)
}

fn find(state: &SupervisorState, id: ActorId) -> Option<usize> {
    state.children.iter().position(|child| child.cell.as_ref().is_some_and(|cell| cell.get_id() == id))
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = Vec<ChildSpec>;

    async fn pre_start(
        &self,
        context: ActorRef<Self::Msg>,
        specs: Vec<ChildSpec>,
    ) -> Result<Self::State, ActorProcessingErr> {
        let now = Instant::now();
        let children: Vec<Child> = specs
            .into_iter()
            .map(|spec| Child { spec, cell: None, alive: None, failures: 0, up_since: now })
            .collect();
        let intensity = Intensity::new(self.tolerance.max_restarts, self.tolerance.window);
        let mut state = SupervisorState { children, intensity };
        for at in 0..state.children.len() {
            self.start(&context, &mut state, at).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        context: ActorRef<Self::Msg>,
        SupervisorMessage::Restart(at): Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.start(&context, state, at).await
    }

    async fn handle_supervisor_evt(
        &self,
        context: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // by id, never by name: a late event of an older life must not restart the newer one
        match event {
            SupervisionEvent::ActorFailed(cell, why) => match find(state, cell.get_id()) {
                Some(at) => self.restart_later(&context, state, at, RestartReason::Panic, &why.to_string()),
                None => Ok(()),
            },
            SupervisionEvent::ActorTerminated(cell, _, why) => match find(state, cell.get_id()) {
                Some(at) => {
                    let reason = if why.as_deref() == Some("killed") {
                        RestartReason::Killed
                    } else {
                        RestartReason::Stopped
                    };
                    self.restart_later(
                        &context,
                        state,
                        at,
                        reason,
                        why.as_deref().unwrap_or("no reason given"),
                    )
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (begun, of) = (Instant::now(), state.children.len());
        for (stage, child) in state.children.iter_mut().rev().enumerate() {
            (child.spec.on_down)();
            let Some(cell) = child.cell.take() else { continue };
            let (actor, since) = (child.spec.instance.meter.kind, Instant::now());
            child.spec.instance.draining();
            let drained = match &child.spec.drain {
                Some(drain) => drain(cell.clone()).await,
                None => cell.drain_and_wait(Some(self.tolerance.drain)).await.is_ok(),
            };
            let (stage, took_ms) = (stage + 1, since.elapsed().as_millis() as u64);
            if drained {
                tracing::info!(actor, stage, of, took_ms, "drained");
            } else {
                let at = child.spec.instance.in_hand().map(|(message, _)| message);
                tracing::warn!(actor, stage, of, took_ms, at, "did not drain in time; killed");
                let _ = cell.kill_and_wait(Some(Duration::from_secs(1))).await;
            }
        }
        tracing::info!(stages = of, took_ms = begun.elapsed().as_millis() as u64, "all actors drained");
        Ok(())
    }
}
