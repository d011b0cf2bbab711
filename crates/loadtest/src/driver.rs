//! When steps happen.
//!
//! **Closed loop:** every connection starts its next step when its last has ended, so the load adapts to the service
//! and the figure is its throughput. **Open loop:** steps are due at a rate that does not adapt, as customers come who
//! know nothing of each other; a step that finds every connection busy waits, and its latency counts from when it was
//! due. A closed loop that claims a latency for a rate leaves out exactly the requests that it did not send while the
//! service was slow ("coordinated omission").

use crate::LoadError;
use crate::call::Failure;
use crate::meter::Phase;
use crate::process::{Watched, Watches};
use crate::profile::Hints;
use crate::scenarios::Part;
use crate::schedule::Schedule;
use crate::service::Service;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Who decides when the next step begins.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// The service, by answering.
    Closed,
    /// The clock: steps in a second, and how they run over the time.
    Open(f64, crate::schedule::Shape),
}

/// When a run begins to count and when it ends.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Who sets the pace.
    pub load: Load,
    /// Runs before anything counts, so that connections, caches and plans are warm.
    pub warm_up: Duration,
    /// Measured time, at most.
    pub duration: Duration,
    /// Measured steps, at most.
    pub steps: Option<u64>,
}

/// What the measured part took.
#[derive(Debug)]
pub(crate) struct Measured {
    /// When it began.
    pub began: Instant,
    /// The watched processes over it.
    pub processes: Vec<Watched>,
    /// Connections that ran out of work before the time was over.
    pub exhausted: usize,
    /// Steps of an open load that were due and found no connection before the end.
    pub unsent: u64,
}

/// Hands out steps to connections.
struct Pacer {
    /// Steps that may begin. Closed: no bound. Open: one more whenever one is due.
    due: Semaphore,
    schedule: Option<Schedule>,
    next: AtomicU64,
    steps_left: AtomicI64,
}

impl Pacer {
    fn new(pace: &Pace) -> Arc<Pacer> {
        let schedule = match pace.load {
            Load::Closed => None,
            Load::Open(rate, shape) => {
                Some(Schedule { shape, rate, warm_up: pace.warm_up, duration: pace.duration })
            }
        };
        let steps = pace.steps.and_then(|steps| i64::try_from(steps).ok()).unwrap_or(i64::MAX);
        Arc::new(Pacer {
            due: Semaphore::new(0),
            schedule,
            next: AtomicU64::new(0),
            steps_left: AtomicI64::new(steps),
        })
    }

    /// Waits for the next step to be due and says when that was; `None` at the end.
    async fn next(&self, start: Instant, deadline: Instant, phase: Phase) -> Option<Option<Instant>> {
        // Only measured steps use up the count.
        if phase == Phase::Measured && self.steps_left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return None;
        }
        let due = match &self.schedule {
            None => None,
            Some(schedule) => {
                self.due.acquire().await.ok()?.forget();
                Some(start + schedule.due(self.next.fetch_add(1, Ordering::Relaxed))?)
            }
        };
        (Instant::now() < deadline).then_some(due)
    }

    /// Marks steps as due in time, on a thread of its own: the runtime's timers are too coarse, and it may be busy.
    fn tick(self: &Arc<Self>, start: Instant) {
        let (Some(schedule), pacer) = (self.schedule, Arc::downgrade(self)) else { return };
        std::thread::spawn(move || {
            for number in 0.. {
                let Some(due) = schedule.due(number) else { return };
                std::thread::sleep((start + due).saturating_duration_since(Instant::now()));
                let Some(pacer) = pacer.upgrade() else { return };
                pacer.due.add_permits(1);
            }
        });
    }
}

/// Runs each part on a connection of its own.
pub(crate) async fn drive(
    service: &Arc<Service>,
    hints: &Hints,
    parts: Vec<Part>,
    pace: Pace,
    watches: &mut Watches,
) -> Result<Measured, LoadError> {
    let meter = service.meter();
    let pacer = Pacer::new(&pace);
    let (gate, _) = watch::channel(None);
    let (ready, mut prepared) = mpsc::unbounded_channel();
    let mut lanes = JoinSet::new();
    for part in parts {
        let lane = Lane { service: Arc::clone(service), pacer: Arc::clone(&pacer), number: lanes.len() };
        lanes.spawn(lane.run(part, ready.clone(), gate.subscribe()));
    }
    drop(ready);
    while let Some(outcome) = prepared.recv().await {
        outcome.map_err(|failure| LoadError::Preparation {
            failure,
            sample: meter.sample().unwrap_or_default(),
            hint: hints.of(failure),
        })?;
    }
    let mut exhausted = 0;
    let start = Instant::now();
    let deadline = start + pace.warm_up + pace.duration;
    let open = || {
        pacer.tick(start);
        gate.send_replace(Some((start, deadline)));
    };
    if !pace.warm_up.is_zero() {
        open();
        // All lanes may end while warming up; there is then nothing to measure, which the report says.
        let _ = tokio::time::timeout(pace.warm_up, finish(&mut lanes, &mut exhausted)).await;
    }
    watches.begin();
    meter.start_measuring();
    let began = Instant::now();
    if pace.warm_up.is_zero() {
        open();
    }
    // Who waits for a step to be due must hear of the end too.
    let end = async {
        tokio::time::sleep_until(deadline.into()).await;
        pacer.due.close();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        finished = finish(&mut lanes, &mut exhausted) => finished?,
        () = end => {}
    }
    // A run that ends by its count leaves steps that nobody wanted.
    let unsent = if pace.steps.is_some() { 0 } else { pacer.due.available_permits() as u64 };
    Ok(Measured { began, processes: watches.end(), exhausted, unsent })
}

async fn finish(lanes: &mut JoinSet<bool>, exhausted: &mut usize) -> Result<(), LoadError> {
    while let Some(ended) = lanes.join_next().await {
        *exhausted += usize::from(ended.map_err(|_| LoadError::LaneLost)?);
    }
    Ok(())
}

struct Lane {
    service: Arc<Service>,
    pacer: Arc<Pacer>,
    number: usize,
}

impl Lane {
    /// Returns whether it ran out of work before the time was over.
    async fn run(
        self,
        mut part: Part,
        ready: mpsc::UnboundedSender<Result<(), Failure>>,
        mut gate: watch::Receiver<Option<(Instant, Instant)>>,
    ) -> bool {
        let mut link = self.service.link(part.caller(), self.number);
        let prepared = part.prepare(&mut link).await;
        // The receiver is gone when another lane's preparation failed; this one is then ended from outside.
        let _ = ready.send(prepared);
        drop(ready);
        let open = match gate.wait_for(Option::is_some).await {
            Ok(open) => *open,
            Err(_) => None,
        };
        let Some((start, deadline)) = open else { return false };
        let phase = || self.service.meter().phase();
        while let Some(due) = self.pacer.next(start, deadline, phase()).await {
            if let Some(due) = due {
                link.due_at(due);
            }
            if !part.step(&mut link).await {
                return true;
            }
        }
        false
    }
}
