//! A run, checked before anything is sent.

use crate::callers::CallerMode;
use crate::customers::Customers;
use crate::driver::{Load, Pace};
use crate::http::Target;
use crate::limits::{self, Expectations};
use crate::mail::Sink;
use crate::profile::Profile;
use crate::schedule::Shape;
use crate::threshold::Threshold;
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Duration;

/// More would exhaust file descriptors and ports before they told anything new.
const MOST_CONNECTIONS: usize = 10_000;
/// A forgotten run ends by itself.
const LONGEST: Duration = Duration::from_secs(3_600);
const LONGEST_SOAK: Duration = Duration::from_secs(7 * 86_400);

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// Ask for codes, over all customers in turn.
    Login,
    /// Exchange codes for tokens; the codes are asked for and read before the measurement.
    Verify,
    /// Refresh one session per connection over and over.
    Refresh,
    /// Login, code from the mail, verify, refresh, logout, and a refresh that must fail.
    Journey,
    /// Prove every limit: neither one too many nor one too few.
    Limits,
}

impl ScenarioName {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ScenarioName::Login => "login",
            ScenarioName::Verify => "verify",
            ScenarioName::Refresh => "refresh",
            ScenarioName::Journey => "journey",
            ScenarioName::Limits => "limits",
        }
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is known of the service.
    pub profile: Profile,
    /// What to do.
    pub scenario: ScenarioName,
    /// Where: the replicas' public listeners.
    pub targets: Vec<Target>,
    /// Where they show their metrics.
    pub metrics: Vec<Target>,
    /// Over how many connections.
    pub connections: usize,
    /// From when and how long, and who sets the pace.
    pub pace: Pace,
    /// For one request.
    pub time_limit: Duration,
    /// Who logs in.
    pub customers: Customers,
    /// How other client addresses are taken.
    pub callers: CallerMode,
    /// How many of them a load run comes from; none: this machine's own.
    pub clients: usize,
    /// Where codes are read.
    pub codes: CodesFrom,
    /// How long a mail may take.
    pub mail_wait: Duration,
    /// What `limits` holds the service to.
    pub expected: Expectations,
    /// Restarts the service, for `limits` to see what it forgot.
    pub restart: Option<String>,
    /// What makes the run fail.
    pub thresholds: Vec<Threshold>,
    /// Processes whose cost is reported.
    pub pids: Vec<u32>,
}

/// Where codes are read.
#[derive(Debug, Clone)]
pub enum CodesFrom {
    /// The service's mailbox for developers.
    Mailbox,
    /// Files with `address code` lines.
    Files(Vec<PathBuf>),
    /// This run is the service's relay.
    Sink(Sink),
}

/// What is wrong with the options.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Not a URL that can be called.
    #[error("`{0}` is no target; write http://HOST:PORT, for example http://127.0.0.1:8080")]
    Target(String),
    /// Not this machine.
    #[error("{0} is not on this machine; add --i-own-this-target if you may put load on it")]
    Foreign(String),
    /// The patterns give no customers.
    #[error(
        "`{0}` gives no customers; write one {{}} for the number, as in user{{}}@example.com, and an --email-count above 0"
    )]
    Customers(String),
    /// An expectation that cannot be read.
    #[error("{0}")]
    Expectation(String),
    /// A number out of range, or two options that do not go together.
    #[error("{0}")]
    Unusable(&'static str),
}

impl Options {
    pub(crate) fn check(self) -> Result<Options, OptionsError> {
        let Options { connections, pace, scenario, expected, .. } = &self;
        let limits = *scenario == ScenarioName::Limits;
        let own_customers =
            matches!(scenario, ScenarioName::Journey | ScenarioName::Refresh | ScenarioName::Verify);
        let mails = limits && (expected.mail.is_some() || expected.guesses.is_some());
        let (open, longest) = match pace.load {
            Load::Closed => (false, LONGEST),
            Load::Open(_, Shape::Soak) => (true, LONGEST_SOAK),
            Load::Open(..) => (true, LONGEST),
        };
        let rate = match pace.load {
            Load::Open(rate, _) => rate > 0.0 && rate <= 1e6,
            Load::Closed => true,
        };
        let rules = [
            ((1..=MOST_CONNECTIONS).contains(connections), "--connections must be 1 to 10000"),
            (
                !pace.duration.is_zero() && pace.duration <= longest,
                "--duration must be above 0 and at most 1h (7d with --shape soak)",
            ),
            (pace.warm_up <= LONGEST, "--warm-up must be at most 1h"),
            (pace.steps != Some(0), "--count must be above 0"),
            (rate, "--rate must be above 0 and at most 1000000"),
            (!(limits && open), "limits sets its own pace: leave --rate and --shape away"),
            (!self.time_limit.is_zero(), "--timeout must be above 0"),
            (
                !own_customers || self.customers.count() >= *connections as u64,
                "--email-count must be at least --connections: each connection needs customers of its own",
            ),
            (
                !mails || self.customers.count() >= limits::CUSTOMERS,
                "limits needs --email-count 12 or more: customers who were not mailed today",
            ),
            (
                !limits || *expected != Expectations::default(),
                "limits has nothing to check: every --expect is off",
            ),
            (
                self.clients == 0 || self.callers != CallerMode::Own,
                "--clients needs another address for each: --clients-by header, or socket on this machine",
            ),
            (
                self.callers != CallerMode::Socket || self.clients <= *connections,
                "with --clients-by socket there is one client to a connection: give as many --connections",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(OptionsError::Unusable(rule)),
            None => Ok(self),
        }
    }
}
