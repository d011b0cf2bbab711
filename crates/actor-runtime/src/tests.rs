//! Supervision and admission on paused time.

use crate::{
    Actor, Admission, CallError, ChildSpec, Context, Failure, Fault, Handle, Intensity, Meter, Reply,
    Supervisor, SupervisorExit, SupervisorMessage, Tolerance, backoff, child,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Answers with how many it has answered in this life; notes its end.
struct Counter {
    name: &'static str,
    ends: Arc<Mutex<Vec<&'static str>>>,
}

impl Actor for Counter {
    type Message = Reply<u32>;
    type State = u32;
    const MESSAGES: &'static [&'static str] = &["count"];

    async fn start(&self, _: &Context<Reply<u32>>) -> Result<u32, Failure> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: &Context<Reply<u32>>,
        reply: Reply<u32>,
        _: Option<Admission>,
        count: &mut u32,
    ) -> Result<(), Failure> {
        *count += 1;
        let _ = reply.send(*count);
        Ok(())
    }

    async fn finish(&self, _: &mut u32) {
        self.ends.lock().unwrap().push(self.name);
    }
}

type Root = ractor::ActorRef<SupervisorMessage>;

struct Tree {
    root: Root,
    exit: SupervisorExit,
    children: Vec<Handle<Reply<u32>>>,
    ends: Arc<Mutex<Vec<&'static str>>>,
}

async fn tree(names: &[&'static str], permits: Option<usize>, tolerance: Tolerance) -> Tree {
    let ends: Arc<Mutex<Vec<_>>> = Arc::default();
    let children: Vec<_> = names.iter().map(|name| Handle::new(Meter::new(name, permits))).collect();
    let specs: Vec<ChildSpec> = children
        .iter()
        .zip(names)
        .map(|(handle, &name)| {
            let ends = ends.clone();
            child(handle, move || Counter { name, ends: ends.clone() })
        })
        .collect();
    let exit = SupervisorExit::default();
    let supervisor = Supervisor { tolerance, exit: exit.clone() };
    let (root, _) = ractor::ActorRuntime::spawn(None, supervisor, specs).await.unwrap();
    Tree { root, exit, children, ends }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

async fn asked(handle: &Handle<Reply<u32>>) -> Result<u32, CallError> {
    handle.call(soon(), |reply| reply).await
}

/// Until the actor lives again; how long that took.
async fn back(handle: &Handle<Reply<u32>>) -> Duration {
    let begun = Instant::now();
    while asked(handle).await.is_err() {
        sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

fn restarts(handle: &Handle<Reply<u32>>, reason: &str) -> u64 {
    handle.meter.snapshot().restarts.iter().find(|(name, _)| *name == reason).unwrap().1
}

/// The pauses double up to the longest, spread over half of it; a child that was up for long begins anew.
#[tokio::test(start_paused = true)]
async fn restarts_are_paused_and_counted_by_reason() {
    for (failures, ms) in [(0, 20), (1, 40), (5, 640), (7, 2_000), (63, 2_000), (u32::MAX, 2_000)] {
        let pause = backoff(Duration::from_millis(20), Duration::from_secs(2), failures).as_millis();
        assert!((ms / 2..=ms + ms / 2).contains(&pause), "{failures}: {pause} ms");
    }
    let tree = tree(&["counter"], None, Tolerance::default()).await;
    let counter = &tree.children[0];
    assert_eq!(asked(counter).await, Ok(1));
    for (fault, reason, times) in
        [(Fault::Panic, "panic", 1), (Fault::Error, "error", 1), (Fault::Panic, "panic", 2)]
    {
        assert!(counter.instance.inject(fault, soon()).await);
        let pause = back(counter).await;
        assert!(pause < Duration::from_millis(200), "{pause:?}");
        assert_eq!(restarts(counter, reason), times, "{reason}");
    }
    let row = counter.instance.snapshot(0);
    assert_eq!((row.restarts, row.failed_in_row, row.depth), (3, 3, 0));
    let failure = row.last_failure.unwrap();
    assert_eq!((failure.reason, failure.kind), ("panic", "counter"));
    // well for longer than `healthy_after`
    sleep(Duration::from_secs(11)).await;
    assert!(counter.instance.inject(Fault::Error, soon()).await);
    back(counter).await;
    assert_eq!(counter.instance.snapshot(0).failed_in_row, 1);
}

/// A fault that is read too late is none: who told it was answered that nothing happened, and tells it again.
#[tokio::test(start_paused = true)]
async fn a_fault_nobody_waits_for_does_nothing() {
    let tree = tree(&["counter"], None, Tolerance::default()).await;
    let counter = &tree.children[0];
    assert!(counter.instance.inject(Fault::Slow(Duration::from_millis(500)), soon()).await);
    let (counted, told) = tokio::join!(
        asked(counter),
        counter.instance.inject(Fault::Panic, Instant::now() + Duration::from_millis(100))
    );
    assert_eq!((counted, told), (Ok(1), false));
    sleep(Duration::from_secs(5)).await;
    assert_eq!((asked(counter).await, restarts(counter, "panic")), (Ok(2), 0));
}

/// A hung child names the message it is at; ended for it, it is counted as stuck and comes back. An event of the life
/// before restarts nothing twice.
#[tokio::test(start_paused = true)]
async fn a_hung_child_is_ended_and_comes_back_once() {
    let tree = tree(&["counter"], None, Tolerance::default()).await;
    let counter = &tree.children[0];
    assert!(counter.instance.inject(Fault::Hang, soon()).await);
    assert_eq!(counter.instance.ping(soon()).await, Some(false));
    let (message, busy) = counter.instance.in_hand().unwrap();
    assert!(message == "fault" && busy >= Duration::from_secs(1), "{message} {busy:?}");
    counter.instance.end_stuck();
    back(counter).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(counter.meter.snapshot().restarts.iter().map(|(_, n)| n).sum::<u64>(), 1);
    assert_eq!((restarts(counter, "stuck"), counter.meter.snapshot().alive), (1, 1));
}

/// More restarts than tolerated within the window: the root gives up, for good.
#[tokio::test(start_paused = true)]
async fn too_many_restarts_end_the_root() {
    let tolerance = Tolerance { max_restarts: 3, ..Tolerance::default() };
    let tree = tree(&["counter"], None, tolerance).await;
    for _ in 0..4 {
        assert!(!tree.exit.gave_up());
        assert!(tree.children[0].instance.inject(Fault::Error, soon()).await);
        sleep(Duration::from_secs(3)).await;
    }
    assert!(tree.exit.gave_up());
    assert_eq!(asked(&tree.children[0]).await, Err(CallError::Unavailable));
    // spread over more than the window, the same number is fine
    let mut intensity = Intensity::new(3, Duration::from_secs(60));
    for _ in 0..20 {
        assert!(!intensity.exceeded());
        sleep(Duration::from_secs(21)).await;
    }
}

/// Whoever promises is drained before whoever keeps the promise; what was accepted is answered.
#[tokio::test(start_paused = true)]
async fn children_are_drained_in_reverse() {
    let tree = tree(&["first", "second", "third"], None, Tolerance::default()).await;
    let (reply, answer) = tokio::sync::oneshot::channel();
    tree.children[2].tell(reply).unwrap();
    tree.root.stop_and_wait(None, None).await.unwrap();
    assert_eq!(answer.await, Ok(1));
    assert_eq!(*tree.ends.lock().unwrap(), ["third", "second", "first"]);
}

/// A permit ends with its caller, not when a hung actor reads its mailbox; the mailbox has a bound of its own.
#[tokio::test(start_paused = true)]
async fn a_hung_actor_keeps_no_permits_and_its_mailbox_is_bounded() {
    let tree = tree(&["counter"], Some(2), Tolerance::default()).await;
    let counter = &tree.children[0];
    assert!(counter.instance.inject(Fault::Hang, soon()).await);
    for round in 0..3 {
        let calls = futures_util::future::join3(asked(counter), asked(counter), asked(counter)).await;
        assert_eq!(
            calls,
            (Err(CallError::Late), Err(CallError::Late), Err(CallError::Overloaded)),
            "{round}"
        );
        assert_eq!(counter.meter.snapshot().permits_in_use, 0, "{round}");
    }
    assert_eq!(counter.instance.snapshot(0).depth, 6, "envelopes that nobody has read");
    let mut told = 0;
    while counter.tell(tokio::sync::oneshot::channel().0).is_ok() {
        told += 1;
    }
    assert_eq!(told + 6, 16_384);
    assert_eq!(asked(counter).await, Err(CallError::Overloaded));
    counter.instance.end_stuck();
    back(counter).await;
    assert_eq!(counter.instance.snapshot(0).depth, 0, "they died with their mailbox");
}

/// Slow by so much, for each message, until told otherwise.
#[tokio::test(start_paused = true)]
async fn a_slow_actor_is_slow_until_told_otherwise() {
    let tree = tree(&["counter"], None, Tolerance::default()).await;
    let counter = &tree.children[0];
    for ms in [300, 0] {
        assert!(counter.instance.inject(Fault::Slow(Duration::from_millis(ms)), soon()).await);
        let begun = Instant::now();
        assert!(asked(counter).await.is_ok());
        let took = begun.elapsed().as_millis() as u64;
        assert!((ms..ms + 5).contains(&took), "{took} ms");
    }
}
