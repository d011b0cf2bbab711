//! Codes exchanged for tokens, alone: the codes are asked for and read before the measurement begins.

use super::{Part, Scenario, StepOutcome};
use crate::call::Failure;
use crate::callers::Caller;
use crate::customers::Customer;
use crate::service::Link;

/// Mails outstanding per connection while preparing: enough to hide their way, few enough for a small mailbox.
const OUTSTANDING: usize = 8;

/// One verify per step, until the prepared codes are spent.
pub struct Verify {
    part: Part,
    ready: Vec<(Customer, String)>,
}

impl Verify {
    /// One code for each of the part's customers.
    pub fn new(part: Part) -> Verify {
        Verify { part, ready: Vec::new() }
    }
}

impl Scenario for Verify {
    fn caller(&self) -> Option<Caller> {
        self.part.caller()
    }

    async fn prepare(&mut self, link: &mut Link) -> Result<(), Failure> {
        let Part { customers, inbox, .. } = &mut self.part;
        loop {
            let asked: Vec<Customer> =
                std::iter::from_fn(|| customers.next_once()).take(OUTSTANDING).collect();
            if asked.is_empty() {
                return Ok(());
            }
            for customer in &asked {
                inbox.learn_old(link, &customer.email).await?;
                let begun = link.login(customer).await?;
                inbox.asked(&customer.email, begun, true);
            }
            for customer in asked {
                let code = inbox.code(link, &customer.email).await?;
                self.ready.push((customer, code));
            }
        }
    }

    async fn step(&mut self, link: &mut Link) -> StepOutcome {
        self.part.next_caller(link);
        let Some((customer, code)) = self.ready.pop() else { return StepOutcome::Exhausted };
        link.verify(&customer, &code).await.into()
    }
}
