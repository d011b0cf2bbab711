//! What a service that logs people in with mailed codes bears, and whether its limits are exact.
//!
//! It speaks to the service by HTTP only. What it must know about the service (paths, what helps after a failure)
//! comes as a [`Profile`].
//!
//! # Layout
//! `args` reads the command line into [`Options`]. `driver` decides when a step happens, `scenarios` what it is,
//! `link` makes the service's calls over a `client` connection (`wire` reads the answers), and books each with the
//! `meter`. `codes` gets mailed codes, `addresses` hands out customers, `gcra` knows what a limit must admit,
//! `process` reads what processes cost, `progress` and `report` tell.
//!
//! The driver runs on one thread of its own: it shares the machine with the service it measures, and so takes at
//! most one core and says in every report how much of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod addresses;
mod args;
mod client;
mod codes;
mod driver;
mod gcra;
mod link;
mod meter;
mod process;
mod profile;
mod progress;
mod report;
mod scenarios;
mod wire;

pub use addresses::Addresses;
pub use args::{LoadArgs, ScenarioName};
pub use client::Target;
pub use driver::Pace;
pub use gcra::Policy;
pub use meter::Failure;
pub use profile::{Hints, Paths, Profile};
pub use progress::Progress;
pub use report::{CallReport, Latency, LimitReport, ProcessReport, Report};

use codes::{CodeFiles, Codes};
use driver::{Measured, closed_loop};
use link::Service;
use meter::{Call, Meter, Phase};
use process::{Watched, Watches};
use scenarios::{journey::Journey, limits, login::Login, refresh::Refresh, verify::Verify};

/// More would exhaust file descriptors and ports before they told anything new.
const MOST_CONNECTIONS: usize = 10_000;
/// A forgotten run ends by itself.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A run, checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is known of the service.
    pub profile: Profile,
    /// What to do.
    pub scenario: ScenarioName,
    /// Where.
    pub target: Target,
    /// Over how many connections.
    pub connections: usize,
    /// From when and how long.
    pub pace: Pace,
    /// For one request.
    pub time_limit: Duration,
    /// The tenant's slug.
    pub tenant: String,
    /// Its customers.
    pub addresses: Addresses,
    /// Where codes are read.
    pub codes: CodesFrom,
    /// How long a mail may take.
    pub mail_wait: Duration,
    /// What `limits` holds the service to.
    pub limits: LimitOptions,
    /// Processes whose cost is reported.
    pub pids: Vec<u32>,
}

/// Where codes are read.
#[derive(Debug, Clone)]
pub enum CodesFrom {
    /// `/dev/mailbox.json`.
    Mailbox,
    /// Files with `address code` lines.
    Files(Vec<PathBuf>),
}

/// What `limits` holds the service to; `None` skips the part.
#[derive(Debug, Clone, Copy)]
pub struct LimitOptions {
    /// Requests of one client.
    pub client: Option<Policy>,
    /// Mails to one address.
    pub mail: Option<MailLimit>,
}

/// Mails to one address.
#[derive(Debug, Clone, Copy)]
pub struct MailLimit {
    /// How many.
    pub policy: Policy,
    /// Time between two while a code is unused.
    pub cool_down: Duration,
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
    /// The pattern gives no addresses.
    #[error(
        "`{0}` gives no addresses; write one {{}} for the number, as in user{{}}@example.com, and an --email-count above 0"
    )]
    Emails(String),
    /// A number out of range, or two options that do not go together.
    #[error("{0}")]
    Unusable(&'static str),
}

impl Options {
    fn check(&self) -> Result<(), OptionsError> {
        let Options { connections, pace, scenario, .. } = self;
        let limits_only = *scenario == ScenarioName::Limits;
        let needs_own_address =
            matches!(scenario, ScenarioName::Journey | ScenarioName::Refresh | ScenarioName::Verify);
        let rules = [
            ((1..=MOST_CONNECTIONS).contains(connections), "--connections must be 1 to 10000"),
            (
                !pace.duration.is_zero() && pace.duration <= LONGEST,
                "--duration must be above 0 and at most 1h",
            ),
            (pace.warm_up <= LONGEST, "--warm-up must be at most 1h"),
            (pace.steps != Some(0), "--count must be above 0"),
            (!self.time_limit.is_zero(), "--timeout must be above 0"),
            (
                !needs_own_address || self.addresses.count() >= *connections as u64,
                "--email-count must be at least --connections: each connection needs addresses of its own",
            ),
            (
                !limits_only || matches!(self.codes, CodesFrom::Mailbox),
                "limits counts mails in the dev mailbox and cannot use --codes-file",
            ),
            (
                !limits_only || self.limits.client.is_some() || self.limits.mail.is_some(),
                "limits has nothing to check with both --client-limit and --mail-limit off",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(OptionsError::Unusable(rule)),
            None => Ok(()),
        }
    }
}

/// Why a run gave no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody listens.
    #[error("{target} does not answer; {hint}")]
    Unreachable {
        /// Its URL.
        target: String,
        /// What helps.
        hint: &'static str,
    },
    /// What must be there before measuring could not be made.
    #[error("preparing failed ({failure}): {sample}{}", hint.map(|hint| format!("\n{hint}")).unwrap_or_default())]
    Preparation {
        /// How.
        failure: Failure,
        /// The answer that was not as it should be, if there was one.
        sample: String,
        /// What helps, where that is known.
        hint: Option<&'static str>,
    },
    /// A process to watch does not exist.
    #[error("there is no process {0} to watch; check --pid")]
    NoProcess(u32),
    /// A code file cannot be read.
    #[error("a --codes-file cannot be read: {0}")]
    CodesFile(#[source] std::io::Error),
    /// A connection's task died.
    #[error("a connection of the driver ended by a defect; the figures would be wrong")]
    LaneLost,
    /// The driver could not be set up.
    #[error("the driver could not start: {0}")]
    Driver(String),
}

/// Runs to the end and reports. Blocks: from async code, call it where blocking is allowed.
pub fn run(options: Options, mut progress: Progress) -> Result<Report, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LoadError::Driver(error.to_string()))?;
    let report = runtime.block_on(run_async(&options, &mut progress));
    progress.finish();
    report
}

/// The same within a runtime.
pub(crate) async fn run_async(options: &Options, progress: &mut Progress) -> Result<Report, LoadError> {
    let meter = Meter::new(calls(options.scenario)).map_err(|error| LoadError::Driver(error.to_string()))?;
    let meter = Arc::new(meter);
    let target = options.target.clone();
    let service = Arc::new(Service::new(
        target,
        &options.profile.paths,
        options.tenant.clone(),
        options.time_limit,
        Arc::clone(&meter),
    ));
    if tokio::net::TcpStream::connect(options.target.address).await.is_err() {
        let target = format!("http://{}", options.target.authority);
        return Err(LoadError::Unreachable { target, hint: options.profile.hints.unreachable });
    }
    let mut watches = Watches::new(&options.pids).map_err(LoadError::NoProcess)?;
    tokio::select! {
        outcome = measure(&service, options, &mut watches) => outcome.map(|run| run.report(options, &meter)),
        never = progress.run(&meter) => match never {},
    }
}

fn calls(scenario: ScenarioName) -> &'static [Call] {
    use Call::{Login, Logout, Mail, Mailbox, Refresh, RefreshAfterLogout, Verify};
    match scenario {
        ScenarioName::Login => &[Login],
        ScenarioName::Verify => &[Login, Mail, Mailbox, Verify],
        ScenarioName::Refresh => &[Login, Mail, Mailbox, Verify, Refresh],
        ScenarioName::Journey => &[Login, Mail, Mailbox, Verify, Refresh, Logout, RefreshAfterLogout],
        ScenarioName::Limits => &[Login, Mailbox, Verify],
    }
}

async fn measure(service: &Arc<Service>, options: &Options, watches: &mut Watches) -> Result<Run, LoadError> {
    if options.scenario == ScenarioName::Limits {
        return measure_limits(service, options, watches).await;
    }
    let lanes = options.connections as u64;
    let files = match &options.codes {
        CodesFrom::Mailbox => None,
        CodesFrom::Files(paths) => {
            Some(Arc::new(Mutex::new(CodeFiles::open(paths).map_err(LoadError::CodesFile)?)))
        }
    };
    let codes = || match &files {
        None => Codes::Mailbox(Default::default()),
        Some(files) => Codes::Files(Arc::clone(files)),
    };
    let shares = (0..lanes).map(|lane| options.addresses.share(lane, lanes));
    let (pace, wait, hints) = (options.pace, options.mail_wait, &options.profile.hints);
    let measured = match options.scenario {
        ScenarioName::Login => {
            closed_loop(service, hints, shares.map(Login::new).collect(), pace, watches).await?
        }
        ScenarioName::Verify => {
            closed_loop(
                service,
                hints,
                shares.map(|share| Verify::new(share, codes(), wait)).collect(),
                pace,
                watches,
            )
            .await?
        }
        ScenarioName::Refresh => {
            closed_loop(
                service,
                hints,
                shares.map(|share| Refresh::new(share, codes(), wait)).collect(),
                pace,
                watches,
            )
            .await?
        }
        ScenarioName::Journey | ScenarioName::Limits => {
            closed_loop(
                service,
                hints,
                shares.map(|share| Journey::new(share, codes(), wait)).collect(),
                pace,
                watches,
            )
            .await?
        }
    };
    let Measured { began, processes, exhausted } = measured;
    Ok(Run { began, processes, exhausted, limits: Vec::new() })
}

async fn measure_limits(
    service: &Arc<Service>,
    options: &Options,
    watches: &mut Watches,
) -> Result<Run, LoadError> {
    service.meter().start_measuring();
    watches.begin();
    let began = Instant::now();
    let limits = limits::run(service, options).await?;
    Ok(Run { began, processes: watches.end(), exhausted: 0, limits })
}

struct Run {
    began: Instant,
    processes: Vec<Watched>,
    exhausted: usize,
    limits: Vec<LimitReport>,
}

impl Run {
    fn report(&self, options: &Options, meter: &Meter) -> Report {
        let accounts = meter.accounts(Phase::Measured);
        let last = accounts.iter().filter_map(|(_, account)| account.last_answer).max();
        let measured = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(self.began));
        let requests =
            accounts.iter().filter(|(call, _)| call.is_request()).map(|(_, account)| account.sent).sum();
        let calls = call_reports(&accounts, measured);
        // Preparation has no pace of its own, hence no rate.
        let before = call_reports(&meter.accounts(Phase::Before), Duration::ZERO);
        let answered = calls.iter().any(|call| call.answered > 0);
        let balanced = before.iter().all(|call| call.open == 0);
        Report {
            ok: answered
                && balanced
                && calls.iter().all(CallReport::is_clean)
                && self.limits.iter().all(|limit| limit.ok),
            scenario: options.scenario.name(),
            target: format!("http://{}", options.target.authority),
            connections: options.connections,
            measured_s: measured.as_secs_f64(),
            calls,
            before,
            limits: self.limits.clone(),
            processes: self.processes.iter().map(|process| ProcessReport::new(process, requests)).collect(),
            notes: self.notes(&options.profile.hints, meter),
        }
    }

    fn notes(&self, hints: &Hints, meter: &Meter) -> Vec<String> {
        let mut notes = Vec::new();
        if self.exhausted > 0 {
            notes.push(format!("{} connections ran out of work before the time was over", self.exhausted));
        }
        if meter.accounts(Phase::Measured).is_empty() {
            notes.push("nothing was measured: shorten --warm-up, or give more addresses".to_owned());
        }
        notes.extend(meter.sample().map(|sample| format!("first unexpected answer: {sample}")));
        let accounts = [meter.accounts(Phase::Before), meter.accounts(Phase::Measured)].concat();
        let failures = accounts.iter().flat_map(|(_, account)| account.failed.keys());
        let helps: BTreeSet<&str> = failures.filter_map(|failure| hints.of(*failure)).collect();
        notes.extend(helps.into_iter().map(str::to_owned));
        notes
    }
}

fn call_reports(accounts: &[(Call, meter::Account)], measured: Duration) -> Vec<CallReport> {
    accounts.iter().map(|(call, account)| CallReport::new(*call, account, measured)).collect()
}

#[cfg(test)]
mod tests;
