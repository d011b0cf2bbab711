//! The whole life of a login: code, tokens, new tokens, end, and nothing after the end.

use super::{Part, Scenario, StepOutcome};
use crate::call::Failure;
use crate::callers::Caller;
use crate::service::Link;

/// One journey per step, over the connection's customers in turn.
#[derive(Debug)]
pub struct Journey(pub Part);

impl Journey {
    async fn journey(&mut self, link: &mut Link) -> Result<(), Failure> {
        let customer = self.0.customers.next_round();
        let first = self.0.open_session(link, &customer).await?;
        let second = link.refresh(&first).await?;
        link.logout(&second).await?;
        link.refresh_after_logout(&second).await
    }
}

impl Scenario for Journey {
    fn caller(&self) -> Option<Caller> {
        self.0.caller()
    }

    /// A mailbox that cannot be read ends the run here, with its reason, and not in every step.
    async fn prepare(&mut self, link: &mut Link) -> Result<(), Failure> {
        let first = self.0.customers.clone().next_round();
        self.0.inbox.learn_old(link, &first.email).await
    }

    async fn step(&mut self, link: &mut Link) -> StepOutcome {
        self.0.next_caller(link);
        self.journey(link).await.into()
    }
}
