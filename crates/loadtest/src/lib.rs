//! Load and proofs of limits for services that log people in with codes sent by mail.
//!
//! It speaks to the service by HTTP only, and is its mail relay if asked. What it must know about the service (paths,
//! metrics, what helps after a failure) comes as a [`Profile`], what the limits should be as [`Expectations`].
//!
//! # Layout
//! `args` and `options` read the command line. `driver` decides when a step happens (`schedule`, for an open load),
//! `scenarios` what it is, `service` makes the calls over `http` connections as one of the `callers`, and books each
//! with the `meter`. `mail` sees the mails, `customers` hands out who logs in, `scrape` reads the service's metrics,
//! `process` what processes cost. `limits` proves limits. `progress`, `threshold` and `report` tell.
//!
//! The driver runs on one thread of its own: it shares the machine with the service it measures, and so takes at
//! most one core and says in every report how much of it.

mod args;
mod call;
mod callers;
mod customers;
mod driver;
mod http;
mod limits;
mod mail;
mod meter;
mod options;
mod process;
mod profile;
mod progress;
mod report;
mod run;
mod scenarios;
mod schedule;
mod scrape;
mod service;
mod threshold;
mod units;

pub use args::LoadArgs;
pub use call::Failure;
pub use callers::CallerMode;
pub use customers::{Customer, Customers};
pub use driver::{Load, Pace};
pub use http::Target;
pub use limits::{
    Expectations, Group, GuessLimit, LimitReport, MailLimit, PerGroup, Policy, PolicyError, Status,
    TenantLimit,
};
pub use mail::{MailTotals, Sink, SmtpFaults};
pub use meter::{CallPoint, Point};
pub use options::{CodesFrom, Options, OptionsError, ScenarioName};
pub use profile::{Hints, Metrics, Panel, Paths, Profile, Reading};
pub use progress::Progress;
pub use report::{CallReport, Latency, ProcessReport, Report, Verdict};
pub use run::{LoadError, run};
pub use schedule::Shape;
pub use scrape::PanelReport;
pub use threshold::{Threshold, ThresholdReport};

#[cfg(test)]
mod tests;
