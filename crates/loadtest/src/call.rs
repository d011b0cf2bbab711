//! The calls of a run, and how they fail.

use std::fmt;

/// What a scenario does that is counted and timed on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Asks for a code.
    Login,
    /// From the asking to the mail's arrival (in a mailbox: to its being seen there).
    Mail,
    /// One look into the mailbox.
    Mailbox,
    /// Exchanges a code for tokens.
    Verify,
    /// The same for programs.
    Token,
    /// Exchanges a refresh token for the next.
    Refresh,
    /// Ends the session.
    Logout,
    /// A refresh that must be refused, for its session has ended.
    RefreshAfterLogout,
}

impl Call {
    /// All calls.
    pub const ALL: [Call; 8] = [
        Call::Login,
        Call::Mail,
        Call::Mailbox,
        Call::Verify,
        Call::Token,
        Call::Refresh,
        Call::Logout,
        Call::RefreshAfterLogout,
    ];

    /// The stable name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Call::Login => "login",
            Call::Mail => "mail",
            Call::Mailbox => "mailbox",
            Call::Verify => "verify",
            Call::Token => "token",
            Call::Refresh => "refresh",
            Call::Logout => "logout",
            Call::RefreshAfterLogout => "refresh_after_logout",
        }
    }

    /// A wait is booked like a call, but costs the service no request.
    pub fn is_request(self) -> bool {
        self != Call::Mail
    }
}

/// How a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// No complete answer within the time limit.
    Timeout,
    /// The connection broke before the answer was complete.
    Closed,
    /// The answer is not strict HTTP/1.1.
    Protocol,
    /// The right status with the wrong content.
    Body,
    /// The mail did not come in time.
    NoMail,
    /// Another status than the one that is right here.
    Status(u16),
}

impl From<Failure> for String {
    fn from(failure: Failure) -> String {
        failure.to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect => f.write_str("connect"),
            Failure::Timeout => f.write_str("timeout"),
            Failure::Closed => f.write_str("closed"),
            Failure::Protocol => f.write_str("protocol"),
            Failure::Body => f.write_str("body"),
            Failure::NoMail => f.write_str("no_mail"),
            Failure::Status(code) => write!(f, "status_{code}"),
        }
    }
}
