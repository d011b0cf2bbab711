//! Customers ask for codes and do nothing with them: the burst after a campaign mail.

use super::{Part, Scenario, StepOutcome};
use crate::callers::Caller;
use crate::service::Link;

/// One login per step, over the connection's customers in turn.
#[derive(Debug)]
pub struct Login(pub Part);

impl Scenario for Login {
    fn caller(&self) -> Option<Caller> {
        self.0.caller()
    }

    /// A customer's first login must cause a mail; whether a further one does is up to the limits.
    async fn step(&mut self, link: &mut Link) -> StepOutcome {
        self.0.next_caller(link);
        let customer = self.0.customers.next_round();
        let outcome = link.login(&customer).await;
        if let (Ok(begun), true) = (outcome, self.0.inbox.sees_all()) {
            let first = !self.0.inbox.was_asked(&customer.email);
            self.0.inbox.asked(&customer.email, begun, first);
        }
        outcome.into()
    }
}
