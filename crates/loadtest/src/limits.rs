//! Proves limits: not one too many, not one too few, and what a run was too short to measure is said to be unmeasured.
//!
//! Every part calls from networks that the run never used before, so that it meets limits at rest and is not
//! disturbed by what others send. The parts run side by side but for the last two: a restart, and the tenant's limit,
//! which takes the machine for itself.

mod client;
mod cool_down;
mod expect;
mod guesses;
mod judge;
mod mail;
mod policy;
mod restart;
mod tenant;

pub use expect::{Expectations, Group, GuessLimit, MailLimit, PerGroup, TenantLimit};
use judge::{Decision, Exchange, first_breach};
pub use policy::{Policy, PolicyError};

use crate::call::Failure;
use crate::callers::Callers;
use crate::customers::{Customer, Customers};
use crate::mail::Inbox;
use crate::service::{Answer, Link, Probe, Service};
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Customers that the parts on mails and guesses use up, each of whom must not have been mailed today.
pub(crate) const CUSTOMERS: u64 = 12;

/// What a run says of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// One more or one less would have been seen, in every part of the limit.
    Exact,
    /// The same for a part of it; the rest is in `unmeasured`.
    PartlyMeasured,
    /// Within the bounds that the limit promises, which are wider than one.
    WithinBounds,
    /// Nothing can be said.
    Unmeasured,
    /// Broken.
    Broken,
}

impl Status {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Status::Exact => "exact",
            Status::PartlyMeasured => "exact as far as measured",
            Status::WithinBounds => "within its bounds",
            Status::Unmeasured => "unmeasured",
            Status::Broken => "BROKEN",
        }
    }
}

/// A finding on one limit.
#[derive(Debug, Clone, Serialize)]
pub struct LimitReport {
    /// Which.
    pub limit: String,
    /// Where it was met: one replica, or all.
    pub target: String,
    /// What it should be.
    pub expected: String,
    /// The verdict.
    pub status: Status,
    /// Requests (or mails, or guesses) that it let through.
    pub admitted: u64,
    /// Requests that it held back.
    pub refused: u64,
    /// Requests without a usable answer.
    pub unknown: u64,
    /// From the first sending to the last answer.
    pub span_s: f64,
    /// Fewer admitted is wrong, where the limit is a bound on the whole run.
    pub least: Option<u64>,
    /// More admitted is wrong, where the limit is a bound on the whole run.
    pub most: Option<u64>,
    /// What one more or one less of would have been seen.
    pub measured: Vec<String>,
    /// What not, and what it would take.
    pub unmeasured: Vec<String>,
    /// What broke it, with the request.
    pub complaints: Vec<String>,
}

impl LimitReport {
    fn new(limit: impl Into<String>, target: &Service, expected: impl Into<String>) -> LimitReport {
        LimitReport {
            limit: limit.into(),
            target: target.name(),
            expected: expected.into(),
            status: Status::Unmeasured,
            admitted: 0,
            refused: 0,
            unknown: 0,
            span_s: 0.0,
            least: None,
            most: None,
            measured: Vec::new(),
            unmeasured: Vec::new(),
            complaints: Vec::new(),
        }
    }

    fn count(&mut self, run: &[Exchange]) {
        let count = |decision| run.iter().filter(|exchange| exchange.decision == decision).count() as u64;
        self.admitted = count(Decision::Admitted);
        self.refused = count(Decision::Refused);
        self.unknown = count(Decision::Unknown);
        let first = run.iter().map(|exchange| exchange.sent).min().unwrap_or_default();
        let last = run.iter().map(|exchange| exchange.answered).max().unwrap_or_default();
        self.span_s = last.saturating_sub(first).as_secs_f64();
    }

    /// Holds a run against the policies, all of which each request must pass.
    fn judge(&mut self, policies: &[Policy], run: &[Exchange]) {
        self.count(run);
        if let Some(breach) = first_breach(policies, Duration::ZERO, run) {
            let what = if breach.too_many { "one too many" } else { "one too few" };
            self.complaints.push(format!("{what}: {} was {}", run[breach.place].name, breach.rule));
            // What the run measured is another limit than this.
            return;
        }
        for (which, policy) in policies.iter().enumerate() {
            let sharp = judge::sharpness(policies, which, run);
            let burst = format!("{} at once", policy.burst);
            let rate = format!("{} in {}", policy.count, crate::units::show(policy.window));
            match sharp.burst {
                true => self.measured.push(burst),
                false => self.unmeasured.push(format!("{burst}: {}", longer(policies, which, self.span_s))),
            }
            match sharp.rate {
                true => self.measured.push(rate),
                false => self.unmeasured.push(format!("{rate}: {}", longer(policies, which, self.span_s))),
            }
        }
    }

    /// Decides the verdict, when everything is known.
    fn finish(mut self) -> LimitReport {
        self.status = match (&self.complaints[..], &self.measured[..], &self.unmeasured[..]) {
            ([_, ..], ..) => Status::Broken,
            (_, [], _) => Status::Unmeasured,
            (_, _, []) => Status::Exact,
            _ => Status::PartlyMeasured,
        };
        self
    }

    fn unmeasured(mut self, why: impl Into<String>) -> LimitReport {
        self.unmeasured.push(why.into());
        self.finish()
    }
}

/// Whether the service counted the refusals that the driver saw (others may have been refused meanwhile, too).
pub(crate) fn counted(service: &Service, seen: u64, own_count: u64) -> LimitReport {
    let mut report = LimitReport::new("metrics", service, format!("{seen} or more answers 429 counted"));
    (report.refused, report.admitted) = (seen, own_count);
    match own_count >= seen {
        true => report.measured.push(format!("the service counted {own_count}")),
        false => report.complaints.push(format!("the service counted {own_count} of {seen} refusals")),
    }
    report.finish()
}

/// How long a run shows the policy at `which`: until it binds beside the others, and one place came back.
fn longer(policies: &[Policy], which: usize, span_s: f64) -> String {
    let policy = policies[which];
    let faster =
        policies.iter().filter(|other| other.burst < policy.burst && other.interval() < policy.interval());
    let until_bound = faster.map(|other| other.interval() * (policy.burst - other.burst)).max();
    let time = until_bound.unwrap_or_default() + policy.interval();
    match time.as_secs_f64() < span_s {
        true => "answers were too slow to tell one more or less; needs a longer --duration".to_owned(),
        false => {
            let time = crate::units::show(Duration::from_secs(time.as_secs() + 1));
            format!("this run was too short; needs a --duration above {time}")
        }
    }
}

/// What a run of the limits works with.
#[derive(Debug)]
pub(crate) struct Bench {
    /// All replicas.
    pub service: Arc<Service>,
    /// The run's mails.
    pub inbox: Arc<Inbox>,
    /// Addresses to call from.
    pub callers: Callers,
    /// Customers to mail.
    pub customers: Customers,
    /// What holds.
    pub expected: Expectations,
    /// Connections of the part that needs many.
    pub connections: usize,
    /// How long the visible limits are watched.
    pub duration: Duration,
    /// Restarts the service.
    pub restart: Option<String>,
    /// Customers used up.
    pub used: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a limit did with a request, and what the answer is called.
fn decided(outcome: Result<Answer, Failure>) -> (Decision, String) {
    match outcome {
        Ok(answer) if answer.status == 429 => (Decision::Refused, answer.id),
        Ok(answer) => (Decision::Admitted, answer.id),
        Err(failure) => (Decision::Unknown, failure.to_string()),
    }
}

/// A login that was accepted, and the codes of the mails that came.
struct Asked {
    sent: Instant,
    answered: Instant,
    name: String,
    codes: Vec<Option<String>>,
}

type Part = Pin<Box<dyn Future<Output = Vec<LimitReport>> + Send>>;

impl Bench {
    /// A customer that no part has used.
    fn customer(&self) -> Customer {
        self.customers.at(self.used.fetch_add(1, Ordering::Relaxed))
    }

    /// An address of the first tenant that no customer has, so that nobody is mailed.
    fn nobody(&self) -> Customer {
        let email = format!("nobody-{}@example.com", Uuid::new_v4().simple());
        Customer { tenant: self.customers.at(0).tenant, email }
    }

    /// Asks for a code and waits for what is mailed.
    async fn ask(&self, link: &mut Link, customer: &Customer) -> Result<Asked, String> {
        self.inbox.learn_old(link, &customer.email).await?;
        self.inbox.asked(&customer.email, Instant::now(), false);
        let sent = Instant::now();
        let answer = link.probe(Probe::Login(customer)).await?;
        let answered = Instant::now();
        let name = format!("a login (X-Request-Id {})", answer.id);
        if answer.status != 200 {
            return Err(format!("{name} was answered {}", answer.status));
        }
        let mails = self.inbox.arrivals(link, &customer.email, answered + self.inbox.wait()).await;
        Ok(Asked { sent, answered, name, codes: mails.into_iter().map(|(_, code)| code).collect() })
    }

    /// Runs all parts that are expected.
    pub(crate) async fn run(self) -> Vec<LimitReport> {
        let bench = Arc::new(self);
        let slow = tokio::spawn(cool_down::run(Arc::clone(&bench)));
        let mut reports = Vec::new();
        let parts: [Part; 3] = [
            Box::pin(client::run(Arc::clone(&bench))),
            Box::pin(mail::run(Arc::clone(&bench))),
            Box::pin(guesses::run(Arc::clone(&bench))),
        ];
        for part in parts.map(tokio::spawn) {
            reports.extend(part.await.unwrap_or_default());
        }
        reports.extend(slow.await.ok().flatten());
        reports.extend(restart::run(Arc::clone(&bench)).await);
        reports.extend(tenant::run(Arc::clone(&bench)).await);
        reports
    }
}
