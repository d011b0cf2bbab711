//! What the driver is told about a service: the crate itself knows none.

use super::meter::Failure;

/// A kind of service.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Where its calls are.
    pub paths: Paths,
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
    /// Exchanges a refresh token: `{refresh_token}`.
    pub refresh: &'static str,
    /// Ends a session: `{refresh_token}`, answered 204.
    pub logout: &'static str,
    /// Mails to an address, up to the address itself: `[{id, subject, text}]`, newest first.
    pub mailbox: &'static str,
}

/// What helps, by failure.
#[derive(Debug, Clone)]
pub struct Hints {
    /// Nobody listens.
    pub unreachable: &'static str,
    /// A mail did not come.
    pub no_mail: &'static str,
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
