//! Work that comes round: one round at a time, the next one due whatever became of the last.
//!
//! A round runs as a task beside the mailbox, so that the actor answers pings meanwhile. A guard in the task asks for the
//! next round when the task ends, also by a panic: nothing that a round does stops the rounds.

use super::actor::{Actor, Context, Failure};
use super::handle::Admission;
use super::meter::Meter;
use serde::Serialize;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// What comes round. Its memory outlives a round that failed, not the actor's life.
pub trait PeriodicTask: Send + 'static {
    /// One round. `Some(wait)`: there is more to do, so the next round is due after that wait; `None`: after the interval.
    /// An error is counted and logged, and the next round comes after the interval.
    fn run(&mut self) -> impl Future<Output = Result<Option<Duration>, Failure>> + Send;

    /// After the last round, when the actor is drained.
    fn finish(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// How often, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// From the end of a round to the beginning of the next.
    pub interval: Duration,
    /// A round that takes longer is given up and counted as failed.
    pub limit: Duration,
}

/// How rounds went. Times are seconds since 1970; 0 is never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PeriodicSnapshot {
    /// Rounds that ended well.
    pub succeeded: u64,
    /// Rounds that ended with an error, by a panic, or were given up.
    pub failed: u64,
    /// Of them, since the last one that ended well.
    pub failed_in_row: u64,
    /// When a round last ended well.
    pub last_success_s: u64,
    /// When one last failed.
    pub last_failure_s: u64,
    /// Why. Empty: never.
    pub last_error: String,
}

/// Counts rounds; lives in the actor's [`Meter`], so a restart loses no count.
#[derive(Default)]
pub struct PeriodicStats {
    succeeded: AtomicU64,
    failed: AtomicU64,
    failed_in_row: AtomicU64,
    last_success_s: AtomicU64,
    last_failure_s: AtomicU64,
    last_error: StdMutex<String>,
}

impl PeriodicStats {
    fn succeeded(&self) {
        self.succeeded.fetch_add(1, Relaxed);
        self.failed_in_row.store(0, Relaxed);
        self.last_success_s.store(unix_seconds(), Relaxed);
    }

    fn failed(&self, kind: &str, why: &str) {
        self.failed.fetch_add(1, Relaxed);
        let in_row = self.failed_in_row.fetch_add(1, Relaxed) + 1;
        self.last_failure_s.store(unix_seconds(), Relaxed);
        why.clone_into(&mut self.last_error.lock().unwrap_or_else(PoisonError::into_inner));
        tracing::warn!(actor = kind, why, in_row, "a round failed; the next one comes");
    }

    /// As of now.
    pub fn snapshot(&self) -> PeriodicSnapshot {
        PeriodicSnapshot {
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
            failed_in_row: self.failed_in_row.load(Relaxed),
            last_success_s: self.last_success_s.load(Relaxed),
            last_failure_s: self.last_failure_s.load(Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Now, by this machine's clock.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a periodic actor is told, by itself.
pub enum PeriodicMessage {
    /// A round is due.
    Due,
    /// A round ended; the next is due after this wait.
    Ended(Duration),
}

/// An actor that does one task periodically. The first round is due one interval after its start.
pub struct Periodic<T> {
    task: Arc<Mutex<T>>,
    rhythm: Rhythm,
    meter: Arc<Meter>,
}

impl<T: PeriodicTask> Periodic<T> {
    /// Rounds are counted in `meter`.
    pub fn new(task: T, rhythm: Rhythm, meter: Arc<Meter>) -> Self {
        Self { task: Arc::new(Mutex::new(task)), rhythm, meter }
    }

    fn begin(&self, context: &Context<PeriodicMessage>, tasks: &mut JoinSet<()>) {
        let (task, limit) = (self.task.clone(), self.rhythm.limit);
        let mut again = Again {
            context: context.clone(),
            meter: self.meter.clone(),
            wait: self.rhythm.interval,
            outcome: Err("panic".into()),
        };
        tasks.spawn(async move {
            let mut task = task.lock().await;
            again.outcome = match tokio::time::timeout(limit, task.run()).await {
                Ok(Ok(more)) => {
                    again.wait = more.unwrap_or(again.wait);
                    Ok(())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("not done within {limit:?}")),
            };
            drop(again);
        });
    }
}

/// Counts a round and asks for the next one when it is dropped: at a round's end, also by a panic.
struct Again {
    context: Context<PeriodicMessage>,
    meter: Arc<Meter>,
    wait: Duration,
    outcome: Result<(), String>,
}

impl Drop for Again {
    fn drop(&mut self) {
        match &self.outcome {
            Ok(()) => self.meter.periodic().succeeded(),
            Err(why) => self.meter.periodic().failed(self.meter.kind, why),
        }
        self.context.send(PeriodicMessage::Ended(self.wait));
    }
}

impl<T: PeriodicTask> Actor for Periodic<T> {
    type Message = PeriodicMessage;
    type State = JoinSet<()>;
    const MESSAGES: &'static [&'static str] = &["due", "ended"];

    fn index(message: &PeriodicMessage) -> usize {
        match message {
            PeriodicMessage::Due => 0,
            PeriodicMessage::Ended(_) => 1,
        }
    }

    async fn start(&self, context: &Context<PeriodicMessage>) -> Result<JoinSet<()>, Failure> {
        self.meter.periodic();
        context.send_after(self.rhythm.interval, PeriodicMessage::Due);
        Ok(JoinSet::new())
    }

    async fn handle(
        &self,
        context: &Context<PeriodicMessage>,
        message: PeriodicMessage,
        _: Option<Admission>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Failure> {
        match message {
            PeriodicMessage::Due => self.begin(context, tasks),
            PeriodicMessage::Ended(wait) => {
                while tasks.try_join_next().is_some() {}
                context.send_after(wait, PeriodicMessage::Due);
            }
        }
        Ok(())
    }

    async fn finish(&self, tasks: &mut JoinSet<()>) {
        while tasks.join_next().await.is_some() {}
        self.task.lock().await.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChildSpec, Handle, Supervisor, SupervisorExit, Tolerance, child};

    const RHYTHM: Rhythm = Rhythm { interval: Duration::from_secs(60), limit: Duration::from_secs(5) };

    /// Plays a script: what each round comes to, by its number.
    struct Script(u64, fn(u64) -> Play);

    enum Play {
        Done,
        More,
        Error,
        Panic,
        Hang,
    }

    impl PeriodicTask for Script {
        async fn run(&mut self) -> Result<Option<Duration>, Failure> {
            self.0 += 1;
            match (self.1)(self.0) {
                Play::Done => Ok(None),
                Play::More => Ok(Some(Duration::ZERO)),
                Play::Error => Err("no connection".into()),
                Play::Panic => panic!("row.get"),
                Play::Hang => std::future::pending().await,
            }
        }
    }

    async fn running(script: fn(u64) -> Play) -> Handle<PeriodicMessage> {
        let handle = Handle::new(Meter::new("periodic", None));
        let meter = handle.meter.clone();
        let spec: ChildSpec = child(&handle, move || Periodic::new(Script(0, script), RHYTHM, meter.clone()));
        let root = Supervisor { tolerance: Tolerance::default(), exit: SupervisorExit::default() };
        ractor::ActorRuntime::spawn(None, root, vec![spec]).await.unwrap();
        handle
    }

    async fn after_minutes(handle: &Handle<PeriodicMessage>, minutes: u64) -> PeriodicSnapshot {
        tokio::time::sleep(Duration::from_secs(60 * minutes + 1)).await;
        handle.meter.periodic().snapshot()
    }

    /// A round that panics, fails or hangs is counted, and the next one comes; the actor itself lives on.
    #[tokio::test(start_paused = true)]
    async fn rounds_go_on_whatever_became_of_one() {
        for (script, why) in [
            ((|n| if n == 1 { Play::Panic } else { Play::Done }) as fn(u64) -> Play, "panic"),
            (|n| if n == 1 { Play::Error } else { Play::Done }, "no connection"),
        ] {
            let handle = running(script).await;
            let failed = after_minutes(&handle, 1).await;
            assert_eq!((failed.succeeded, failed.failed, failed.failed_in_row), (0, 1, 1), "{why}");
            assert_eq!((failed.last_error.as_str(), failed.last_success_s), (why, 0));
            let mended = after_minutes(&handle, 2).await;
            assert_eq!((mended.succeeded, mended.failed, mended.failed_in_row), (2, 1, 0), "{why}");
            assert!(mended.last_success_s > 0 && mended.last_failure_s > 0);
            assert_eq!(handle.meter.snapshot().restarts.iter().map(|(_, n)| n).sum::<u64>(), 0);
        }
        let hung = running(|_| Play::Hang).await;
        assert_eq!(after_minutes(&hung, 2).await.failed, 1, "the first was given up after five seconds");
        assert_eq!(after_minutes(&hung, 1).await.failed, 2);
    }

    /// While there is more, the next round does not wait for the interval.
    #[tokio::test(start_paused = true)]
    async fn more_work_is_done_at_once() {
        let handle = running(|n| if n % 10 == 0 { Play::Done } else { Play::More }).await;
        assert_eq!(after_minutes(&handle, 1).await.succeeded, 10);
        assert_eq!(after_minutes(&handle, 1).await.succeeded, 20);
    }
}
