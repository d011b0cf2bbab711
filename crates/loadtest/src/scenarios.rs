//! What a run does. A [`Scenario`] is one connection's part in it: the driver decides *when* a step happens, the
//! scenario *what* a step is.

mod journey;
mod login;
mod refresh;
mod verify;

pub use journey::Journey;
pub use login::Login;
pub use refresh::Refresh;
pub use verify::Verify;

use crate::call::Failure;
use crate::callers::{Caller, CallerMode, Network};
use crate::customers::{Customer, Share};
use crate::mail::Inbox;
use crate::service::Link;
use std::future::Future;
use std::sync::Arc;

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

impl<T> From<Result<T, Failure>> for StepOutcome {
    fn from(outcome: Result<T, Failure>) -> StepOutcome {
        if outcome.is_ok() { StepOutcome::Done } else { StepOutcome::Failed }
    }
}

/// One connection's part in a run.
pub trait Scenario: Send + 'static {
    /// Whom it calls as at first.
    fn caller(&self) -> Option<Caller>;

    /// What must be there before the first step, such as a session to refresh; not measured.
    fn prepare(&mut self, _link: &mut Link) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }

    /// One round.
    fn step(&mut self, link: &mut Link) -> impl Future<Output = StepOutcome> + Send;
}

/// What the scenarios of one connection have in common.
#[derive(Debug)]
pub struct Part {
    /// Its customers.
    pub customers: Share,
    /// The run's mails.
    pub inbox: Arc<Inbox>,
    /// The networks that it calls from, one client in each, in turn.
    pub networks: Vec<Network>,
    /// Steps so far.
    pub steps: usize,
}

impl Part {
    fn caller(&self) -> Option<Caller> {
        self.networks.get(self.steps % self.networks.len().max(1)).and_then(|network| network.host(0))
    }

    /// Another client for each step; but a bound socket keeps its address as long as its connection.
    fn next_caller(&mut self, link: &mut Link) {
        self.steps += 1;
        let caller = self.caller();
        if caller.is_some_and(|caller| caller.mode == CallerMode::Header) {
            link.call_as(caller);
        }
    }

    /// Login, mail, verify; returns the refresh token.
    async fn open_session(&self, link: &mut Link, customer: &Customer) -> Result<String, Failure> {
        self.inbox.learn_old(link, &customer.email).await?;
        let begun = link.login(customer).await?;
        self.inbox.asked(&customer.email, begun, true);
        let code = self.inbox.code(link, &customer.email).await?;
        link.verify(customer, &code).await
    }
}
