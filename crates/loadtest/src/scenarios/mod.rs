//! What a run does. A [`Scenario`] is one connection's part in it: a driver decides *when* a step happens, the
//! scenario *what* a step is. The closed loop (`driver.rs`) starts the next step when the last has ended; a driver
//! with a constant arrival rate can use the same scenarios.

use std::future::Future;

use super::link::Link;
use super::meter::Failure;

pub mod journey;
pub mod limits;
pub mod login;
pub mod refresh;
pub mod verify;

/// What a step came to. Failed calls are booked where they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// Everything went as it should.
    Done,
    /// A call failed; the next step may go well.
    Failed,
    /// Nothing is left to do on this connection.
    Exhausted,
}

impl From<Result<(), Failure>> for StepOutcome {
    fn from(outcome: Result<(), Failure>) -> StepOutcome {
        if outcome.is_ok() { StepOutcome::Done } else { StepOutcome::Failed }
    }
}

/// One connection's part in a run.
pub trait Scenario: Send + 'static {
    /// What must be there before the first step, such as a session to refresh; not measured.
    fn prepare(&mut self, _link: &mut Link) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }

    /// One round.
    fn step(&mut self, link: &mut Link) -> impl Future<Output = StepOutcome> + Send;
}
