//! One session per connection, refreshed over and over: each token is the answer to the one before.

use super::{Part, Scenario, StepOutcome};
use crate::call::Failure;
use crate::callers::Caller;
use crate::service::Link;

/// One refresh per step.
pub struct Refresh {
    part: Part,
    token: String,
}

impl Refresh {
    /// The session is of the first of the part's customers.
    pub fn new(part: Part) -> Refresh {
        Refresh { part, token: String::new() }
    }
}

impl Scenario for Refresh {
    fn caller(&self) -> Option<Caller> {
        self.part.caller()
    }

    async fn prepare(&mut self, link: &mut Link) -> Result<(), Failure> {
        let customer = self.part.customers.next_round();
        self.token = self.part.open_session(link, &customer).await?;
        Ok(())
    }

    async fn step(&mut self, link: &mut Link) -> StepOutcome {
        self.part.next_caller(link);
        match link.refresh(&self.token).await {
            Ok(next) => {
                self.token = next;
                StepOutcome::Done
            }
            // The session is gone: every further try would fail alike.
            Err(Failure::Status(401)) => StepOutcome::Exhausted,
            // Repeating is safe: within the grace time the service gives the same successor.
            Err(_) => StepOutcome::Failed,
        }
    }
}
