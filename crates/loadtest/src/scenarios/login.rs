//! Customers ask for codes and do nothing with them: the burst after a campaign mail.

use super::{Scenario, StepOutcome};
use crate::addresses::Share;
use crate::link::Link;

/// One login per step, over the connection's addresses in turn.
#[derive(Debug)]
pub struct Login {
    addresses: Share,
}

impl Login {
    /// Over these addresses.
    pub fn new(addresses: Share) -> Login {
        Login { addresses }
    }
}

impl Scenario for Login {
    async fn step(&mut self, link: &mut Link) -> StepOutcome {
        link.login(&self.addresses.next_round()).await.into()
    }
}
