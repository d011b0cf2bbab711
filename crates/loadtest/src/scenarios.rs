//! What a run does: the driver decides *when* a step happens, a connection's [`Part`] *what* a step is.

use crate::call::Failure;
use crate::callers::{Caller, CallerMode, Network};
use crate::customers::{Customer, Share};
use crate::mail::Inbox;
use crate::options::ScenarioName;
use crate::service::Link;
use std::sync::Arc;
use std::time::Instant;

/// Mails outstanding per connection while codes are prepared: enough to hide their way, few enough for a small mailbox.
const OUTSTANDING: usize = 8;

/// One connection's part in a run.
#[derive(Debug)]
pub(crate) struct Part {
    scenario: ScenarioName,
    customers: Share,
    inbox: Arc<Inbox>,
    /// The networks that it calls from, one client in each, in turn.
    networks: Vec<Network>,
    steps: usize,
    /// `refresh`: of the connection's one session.
    token: String,
    /// `verify`: whose codes are not used yet.
    ready: Vec<(Customer, String)>,
}

impl Part {
    /// With customers of its own.
    pub(crate) fn new(
        scenario: ScenarioName,
        customers: Share,
        inbox: Arc<Inbox>,
        networks: Vec<Network>,
    ) -> Part {
        Part { scenario, customers, inbox, networks, steps: 0, token: String::new(), ready: Vec::new() }
    }

    /// Whom it calls as.
    pub(crate) fn caller(&self) -> Option<Caller> {
        self.networks.get(self.steps % self.networks.len().max(1)).and_then(|network| network.host(0))
    }

    /// What must be there before the first step; not measured.
    pub(crate) async fn prepare(&mut self, link: &mut Link) -> Result<(), Failure> {
        match self.scenario {
            ScenarioName::Login | ScenarioName::Limits => Ok(()),
            ScenarioName::Verify => self.prepare_codes(link).await,
            ScenarioName::Refresh => {
                let customer = self.customers.next_round();
                self.token = self.open_session(link, &customer).await?;
                Ok(())
            }
            // A mailbox that cannot be read ends the run here, with its reason, and not in every step.
            ScenarioName::Journey => {
                let first = self.customers.clone().next_round();
                self.inbox.learn_old(link, &first.email).await
            }
        }
    }

    /// One round; whether there may be another. Calls that fail are booked where they happen.
    pub(crate) async fn step(&mut self, link: &mut Link) -> bool {
        self.next_caller(link);
        match self.scenario {
            ScenarioName::Login | ScenarioName::Limits => self.login(link).await,
            ScenarioName::Verify => {
                let Some((customer, code)) = self.ready.pop() else { return false };
                let _ = link.verify(&customer, &code).await;
            }
            ScenarioName::Refresh => match link.refresh(&self.token).await {
                Ok(next) => self.token = next,
                // The session is gone: every further try would fail alike.
                Err(Failure::Status(401)) => return false,
                // Repeating is safe: within the grace time the service gives the same successor.
                Err(_) => {}
            },
            ScenarioName::Journey => {
                let _ = self.journey(link).await;
            }
        }
        true
    }

    /// Another client for each step; but a bound socket keeps its address as long as its connection.
    fn next_caller(&mut self, link: &mut Link) {
        self.steps += 1;
        let caller = self.caller();
        if caller.is_some_and(|caller| caller.mode == CallerMode::Header) {
            link.call_as(caller);
        }
    }

    /// A customer's first login must cause a mail; whether a further one does is up to the limits, and one that was not
    /// answered may have been accepted.
    async fn login(&mut self, link: &mut Link) {
        let (customer, now) = (self.customers.next_round(), Instant::now());
        let answer = link.login(&customer).await;
        if self.inbox.sees_all() {
            let must = answer.is_ok() && !self.inbox.was_asked(&customer.email);
            self.inbox.asked(&customer.email, answer.unwrap_or(now), must);
        }
    }

    /// The whole life of a login: code, tokens, new tokens, end, and nothing after the end.
    async fn journey(&mut self, link: &mut Link) -> Result<(), Failure> {
        let customer = self.customers.next_round();
        let first = self.open_session(link, &customer).await?;
        let second = link.refresh(&first).await?;
        link.logout(&second).await?;
        link.refresh_after_logout(&second).await
    }

    /// Login, mail, verify; returns the refresh token.
    async fn open_session(&self, link: &mut Link, customer: &Customer) -> Result<String, Failure> {
        self.ask(link, customer).await?;
        let code = self.inbox.code(link, &customer.email).await?;
        link.verify(customer, &code).await
    }

    async fn ask(&self, link: &mut Link, customer: &Customer) -> Result<(), Failure> {
        self.inbox.learn_old(link, &customer.email).await?;
        let begun = link.login(customer).await?;
        self.inbox.asked(&customer.email, begun, true);
        Ok(())
    }

    /// A code for each customer.
    async fn prepare_codes(&mut self, link: &mut Link) -> Result<(), Failure> {
        loop {
            let next = std::iter::from_fn(|| self.customers.next_once());
            let asked: Vec<Customer> = next.take(OUTSTANDING).collect();
            if asked.is_empty() {
                return Ok(());
            }
            for customer in &asked {
                self.ask(link, customer).await?;
            }
            for customer in asked {
                let code = self.inbox.code(link, &customer.email).await?;
                self.ready.push((customer, code));
            }
        }
    }
}
