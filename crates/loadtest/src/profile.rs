//! What the driver is told about a service: the crate itself knows none.

use crate::call::Failure;

/// A kind of service.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Where its calls are.
    pub paths: Paths,
    /// Figures that it shows of itself.
    pub metrics: Metrics,
    /// What to tell the user after a failure.
    pub hints: Hints,
}

/// Paths of the five calls, each a POST of JSON, and of the mailbox, a GET.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Asks for a code: `{email, tenant_slug}`, answered `200 {}`.
    pub login: &'static str,
    /// Exchanges a code for tokens: `{code, email, tenant_slug}`.
    pub verify: &'static str,
    /// The same for programs.
    pub token: &'static str,
    /// Exchanges a refresh token: `{refresh_token}`.
    pub refresh: &'static str,
    /// Ends a session: `{refresh_token}`, answered 204.
    pub logout: &'static str,
    /// Mails to an address, up to the address itself: `[{id, subject, text}]`, newest first.
    pub mailbox: &'static str,
}

/// Figures that the service shows in Prometheus' text format.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Their path, on a listener that the user names.
    pub path: &'static str,
    /// Which of them to show, and how.
    pub panels: &'static [Panel],
    /// The counter of answers, with the label that holds the status.
    pub answers: (&'static str, &'static str),
}

/// A plot of the service's own figures over time, one line for each value of the label `by`.
#[derive(Debug, Clone, Copy)]
pub struct Panel {
    /// Its title, with the unit.
    pub title: &'static str,
    /// The label that tells its lines apart.
    pub by: &'static str,
    /// What is shown.
    pub reading: Reading,
}

/// How a panel reads its metric.
#[derive(Debug, Clone, Copy)]
pub enum Reading {
    /// As it is.
    Gauge(&'static str),
    /// A counter's growth in a second.
    Rate(&'static str),
    /// The growth of one counter by that of another, as in rows per batch.
    Ratio(&'static str, &'static str),
}

/// What helps, by failure.
#[derive(Debug, Clone)]
pub struct Hints {
    /// Nobody listens.
    pub unreachable: &'static str,
    /// A mail did not come.
    pub no_mail: &'static str,
    /// The metrics could not be read.
    pub no_metrics: &'static str,
    /// By status.
    pub statuses: &'static [(u16, &'static str)],
}

impl Hints {
    pub(crate) fn of(&self, failure: Failure) -> Option<&'static str> {
        match failure {
            Failure::NoMail => Some(self.no_mail),
            Failure::Status(status) => {
                self.statuses.iter().find(|(about, _)| *about == status).map(|(_, hint)| *hint)
            }
            _ => None,
        }
    }
}
