//! The whole life of a login: code, tokens, new tokens, end, and nothing after the end.

use std::time::Duration;

use super::{Scenario, StepOutcome};
use crate::addresses::Share;
use crate::codes::Codes;
use crate::link::Link;
use crate::meter::Failure;

/// One journey per step, over the connection's addresses in turn.
#[derive(Debug)]
pub struct Journey {
    addresses: Share,
    codes: Codes,
    mail_wait: Duration,
}

impl Journey {
    /// Over these addresses, waiting for each mail no longer than `mail_wait`.
    pub fn new(addresses: Share, codes: Codes, mail_wait: Duration) -> Journey {
        Journey { addresses, codes, mail_wait }
    }

    async fn journey(&mut self, link: &mut Link) -> Result<(), Failure> {
        let address = self.addresses.next_round();
        let first = open_session(link, &mut self.codes, &address, self.mail_wait).await?;
        let second = link.refresh(&first).await?;
        link.logout(&second).await?;
        link.refresh_after_logout(&second).await
    }
}

impl Scenario for Journey {
    /// A mailbox that cannot be read ends the run here, with its reason, and not in every step.
    async fn prepare(&mut self, link: &mut Link) -> Result<(), Failure> {
        let first = self.addresses.clone().next_round();
        self.codes.learn_old(link, &first).await
    }

    async fn step(&mut self, link: &mut Link) -> StepOutcome {
        self.journey(link).await.into()
    }
}

/// Login, mail, verify; returns the refresh token.
pub async fn open_session(
    link: &mut Link,
    codes: &mut Codes,
    address: &str,
    mail_wait: Duration,
) -> Result<String, Failure> {
    codes.learn_old(link, address).await?;
    link.login(address).await?;
    let code = codes.fetch(link, address, mail_wait).await?;
    link.verify(address, &code).await
}
