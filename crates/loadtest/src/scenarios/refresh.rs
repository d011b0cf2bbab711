//! One session per connection, refreshed over and over: each token is the answer to the one before.

use std::time::Duration;

use super::journey::open_session;
use super::{Scenario, StepOutcome};
use crate::addresses::Share;
use crate::codes::Codes;
use crate::link::Link;
use crate::meter::Failure;

/// One refresh per step.
pub struct Refresh {
    addresses: Share,
    codes: Codes,
    mail_wait: Duration,
    token: String,
}

impl Refresh {
    /// The session is of the first of these addresses.
    pub fn new(addresses: Share, codes: Codes, mail_wait: Duration) -> Refresh {
        Refresh { addresses, codes, mail_wait, token: String::new() }
    }
}

impl Scenario for Refresh {
    async fn prepare(&mut self, link: &mut Link) -> Result<(), Failure> {
        let address = self.addresses.next_round();
        self.token = open_session(link, &mut self.codes, &address, self.mail_wait).await?;
        Ok(())
    }

    async fn step(&mut self, link: &mut Link) -> StepOutcome {
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
