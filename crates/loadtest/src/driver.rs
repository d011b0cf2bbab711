//! The closed loop: every connection starts its next step when its last has ended, so the load adapts to the
//! service and the figure is its throughput. (How it fares at a rate that does not adapt is another driver's
//! question; the scenarios are the same.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::LoadError;
use super::link::{Link, Service};
use super::meter::{Failure, Meter, Phase};
use super::process::{Watched, Watches};
use super::profile::Hints;
use super::scenarios::{Scenario, StepOutcome};

/// When a run begins to count and when it ends.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Runs before anything counts, so that connections, caches and plans are warm.
    pub warm_up: Duration,
    /// Measured time, at most.
    pub duration: Duration,
    /// Measured steps, at most.
    pub steps: Option<u64>,
}

/// What the measured part took.
#[derive(Debug)]
pub struct Measured {
    /// When it began.
    pub began: Instant,
    /// The watched processes over it.
    pub processes: Vec<Watched>,
    /// Connections that ran out of work before the time was over.
    pub exhausted: usize,
}

/// Runs each scenario on a connection of its own.
pub async fn closed_loop<S: Scenario>(
    service: &Arc<Service>,
    hints: &Hints,
    scenarios: Vec<S>,
    pace: Pace,
    watches: &mut Watches,
) -> Result<Measured, LoadError> {
    let meter = service.meter();
    let (gate, _) = watch::channel(None);
    let (ready, mut prepared) = mpsc::unbounded_channel();
    let steps_left = pace.steps.map(|steps| Arc::new(AtomicU64::new(steps)));
    let mut lanes = JoinSet::new();
    for scenario in scenarios {
        let lane =
            Lane { link: service.link(None), meter: Arc::clone(meter), steps_left: steps_left.clone() };
        lanes.spawn(lane.run(scenario, ready.clone(), gate.subscribe()));
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
    let open = || gate.send_replace(Some(Instant::now() + pace.warm_up + pace.duration));
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
    finish(&mut lanes, &mut exhausted).await?;
    Ok(Measured { began, processes: watches.end(), exhausted })
}

async fn finish(lanes: &mut JoinSet<StepOutcome>, exhausted: &mut usize) -> Result<(), LoadError> {
    while let Some(ended) = lanes.join_next().await {
        let ended = ended.map_err(|_| LoadError::LaneLost)?;
        *exhausted += usize::from(ended == StepOutcome::Exhausted);
    }
    Ok(())
}

struct Lane {
    link: Link,
    meter: Arc<Meter>,
    steps_left: Option<Arc<AtomicU64>>,
}

impl Lane {
    async fn run<S: Scenario>(
        mut self,
        mut scenario: S,
        ready: mpsc::UnboundedSender<Result<(), Failure>>,
        mut gate: watch::Receiver<Option<Instant>>,
    ) -> StepOutcome {
        let prepared = scenario.prepare(&mut self.link).await;
        // The receiver is gone when another lane's preparation failed; this one is then ended from outside.
        let _ = ready.send(prepared);
        drop(ready);
        let deadline = match gate.wait_for(Option::is_some).await {
            Ok(open) => *open,
            Err(_) => None,
        };
        let Some(deadline) = deadline else { return StepOutcome::Failed };
        while Instant::now() < deadline && self.take_step() {
            if scenario.step(&mut self.link).await == StepOutcome::Exhausted {
                return StepOutcome::Exhausted;
            }
        }
        StepOutcome::Done
    }

    /// Only measured steps use up the count.
    fn take_step(&self) -> bool {
        let take = |left: &Arc<AtomicU64>| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        self.meter.phase() == Phase::Before || self.steps_left.as_ref().is_none_or(take)
    }
}
