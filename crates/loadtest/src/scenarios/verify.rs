//! Codes exchanged for tokens, alone: the codes are asked for and read before the measurement begins.

use std::time::Duration;

use super::{Scenario, StepOutcome};
use crate::addresses::Share;
use crate::codes::Codes;
use crate::link::Link;
use crate::meter::Failure;

/// Mails outstanding per connection while preparing: enough to hide their way, few enough for a small mailbox.
const OUTSTANDING: usize = 8;

/// One verify per step, until the prepared codes are spent.
pub struct Verify {
    addresses: Share,
    codes: Codes,
    mail_wait: Duration,
    ready: Vec<(String, String)>,
}

impl Verify {
    /// One code for each of these addresses.
    pub fn new(addresses: Share, codes: Codes, mail_wait: Duration) -> Verify {
        Verify { addresses, codes, mail_wait, ready: Vec::new() }
    }
}

impl Scenario for Verify {
    async fn prepare(&mut self, link: &mut Link) -> Result<(), Failure> {
        loop {
            let asked: Vec<String> =
                std::iter::from_fn(|| self.addresses.next_once()).take(OUTSTANDING).collect();
            if asked.is_empty() {
                return Ok(());
            }
            for address in &asked {
                self.codes.learn_old(link, address).await?;
                link.login(address).await?;
            }
            for address in asked {
                let code = self.codes.fetch(link, &address, self.mail_wait).await?;
                self.ready.push((address, code));
            }
        }
    }

    async fn step(&mut self, link: &mut Link) -> StepOutcome {
        let Some((address, code)) = self.ready.pop() else { return StepOutcome::Exhausted };
        link.verify(&address, &code).await.map(|_| ()).into()
    }
}
