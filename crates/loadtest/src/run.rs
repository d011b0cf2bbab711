//! A run from its options to its report.

use crate::call::{Call, Failure};
use crate::callers::Callers;
use crate::driver::{Load, Measured, drive};
use crate::limits::{Bench, LimitReport};
use crate::mail::{CodeFiles, Inbox, Source};
use crate::meter::{Account, Meter, Phase};
use crate::options::{CodesFrom, Options, ScenarioName};
use crate::process::{Watched, Watches};
use crate::progress::Progress;
use crate::report::{CallReport, ProcessReport, Report};
use crate::scenarios::Part;
use crate::schedule::Shape;
use crate::scrape::Scraper;
use crate::service::Service;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

/// Points of a run at most: a longer run has longer intervals.
const MOST_POINTS: u32 = 240;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(500);

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
    /// The address of the sink cannot be had.
    #[error("--smtp-sink cannot listen: {0}")]
    Sink(#[source] std::io::Error),
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
    for target in &options.targets {
        if tokio::net::TcpStream::connect(target.address).await.is_err() {
            let (target, hint) = (format!("http://{}", target.authority), options.profile.hints.unreachable);
            return Err(LoadError::Unreachable { target, hint });
        }
    }
    let meter = Meter::new().map_err(|error| LoadError::Driver(error.to_string()))?;
    let meter = Arc::new(meter);
    let paths = &options.profile.paths;
    let run = Run {
        options,
        service: Arc::new(Service::new(&options.targets, paths, options.time_limit, Arc::clone(&meter))),
        inbox: inbox(options, &meter).await?,
        meter: Arc::clone(&meter),
        began: SystemTime::now(),
    };
    let mut watches = Watches::new(&options.pids).map_err(LoadError::NoProcess)?;
    let mut scraper = Scraper::new(&options.profile.metrics, &options.metrics);
    scraper.read().await;
    let refused_before = scraper.answers("429");
    let found = tokio::select! {
        found = run.measure(&mut watches) => found?,
        never = watch(&meter, &mut scraper, options.pace.duration) => match never {},
        never = progress.run(&meter) => match never {},
    };
    meter.tick();
    scraper.read().await;
    // A service that has answered nothing yet shows no counter.
    let refused = scraper.answers("429").map(|after| after.saturating_sub(refused_before.unwrap_or(0)));
    Ok(run.report(found, &scraper, refused))
}

async fn inbox(options: &Options, meter: &Arc<Meter>) -> Result<Arc<Inbox>, LoadError> {
    let source = match &options.codes {
        CodesFrom::Mailbox => Source::Mailbox,
        CodesFrom::Files(paths) => {
            Source::Files(Mutex::new(CodeFiles::open(paths).map_err(LoadError::CodesFile)?))
        }
        CodesFrom::Sink(_) => Source::Sink,
    };
    let inbox = Arc::new(Inbox::new(source, Arc::clone(meter), options.mail_wait));
    if let CodesFrom::Sink(sink) = &options.codes {
        sink.start(Arc::clone(&inbox)).await.map_err(LoadError::Sink)?;
    }
    Ok(inbox)
}

/// Ends an interval and reads the service's metrics, over and over.
async fn watch(meter: &Meter, scraper: &mut Scraper, duration: Duration) -> Infallible {
    let every = (duration / MOST_POINTS).max(SHORTEST_INTERVAL);
    let mut phase = Phase::Before;
    loop {
        tokio::time::sleep(every).await;
        if phase == Phase::Before && meter.phase() == Phase::Measured {
            // The interval that straddles the beginning belongs to neither.
            phase = Phase::Measured;
            scraper.begin();
        }
        meter.tick();
        scraper.read().await;
    }
}

struct Run<'a> {
    options: &'a Options,
    service: Arc<Service>,
    inbox: Arc<Inbox>,
    meter: Arc<Meter>,
    began: SystemTime,
}

/// What was found beside the books.
struct Found {
    began: Instant,
    processes: Vec<Watched>,
    exhausted: usize,
    unsent: u64,
    limits: Vec<LimitReport>,
}

impl Run<'_> {
    async fn measure(&self, watches: &mut Watches) -> Result<Found, LoadError> {
        if self.options.scenario == ScenarioName::Limits {
            return self.measure_limits(watches).await;
        }
        let Options { profile, pace, .. } = self.options;
        let measured = drive(&self.service, &profile.hints, self.parts(), *pace, watches).await?;
        self.inbox.settle().await;
        let Measured { began, processes, exhausted, unsent } = measured;
        Ok(Found { began, processes, exhausted, unsent, limits: Vec::new() })
    }

    async fn measure_limits(&self, watches: &mut Watches) -> Result<Found, LoadError> {
        let options = self.options;
        let bench = Bench {
            service: Arc::clone(&self.service),
            inbox: Arc::clone(&self.inbox),
            callers: self.callers(),
            customers: options.customers.clone(),
            expected: options.expected.clone(),
            connections: options.connections,
            duration: options.pace.duration,
            restart: options.restart.clone(),
            used: AtomicU64::new(0),
        };
        watches.begin();
        self.meter.start_measuring();
        let began = Instant::now();
        let limits = bench.run().await;
        Ok(Found { began, processes: watches.end(), exhausted: 0, unsent: 0, limits })
    }

    /// Every connection's customers and client addresses.
    fn parts(&self) -> Vec<Part> {
        let (lanes, callers) = (self.options.connections, self.callers());
        let networks: Vec<_> = (0..self.options.clients).map(|_| callers.network()).collect();
        let part = |lane| {
            let networks = match networks.len() {
                0 => Vec::new(),
                clients if clients <= lanes => vec![networks[lane % clients]],
                _ => networks.iter().skip(lane).step_by(lanes).copied().collect(),
            };
            let customers = self.options.customers.share(lane as u64, lanes as u64);
            Part::new(self.options.scenario, customers, Arc::clone(&self.inbox), networks)
        };
        (0..lanes).map(part).collect()
    }

    fn callers(&self) -> Callers {
        let [high, low, ..] = Uuid::new_v4().into_bytes();
        Callers::new(self.options.callers, u16::from_be_bytes([high, low]))
    }

    fn report(&self, found: Found, scraper: &Scraper, refused: Option<u64>) -> Report {
        let options = self.options;
        let accounts = self.meter.accounts(Phase::Measured);
        let last = accounts.iter().filter_map(|(_, account)| account.last_answer).max();
        let measured = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(found.began));
        let requests =
            accounts.iter().filter(|(call, _)| call.is_request()).map(|(_, account)| account.sent).sum();
        let mails = options.scenario != ScenarioName::Limits;
        let mut report = Report {
            ok: false,
            verdicts: Vec::new(),
            scenario: options.scenario.name(),
            load: match options.pace.load {
                Load::Closed => "closed load".to_owned(),
                Load::Open(rate, shape) => format!("open load, {} {rate} a second", shape.name()),
            },
            targets: options.targets.iter().map(|target| format!("http://{}", target.authority)).collect(),
            began_unix_s: self.began.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            connections: options.connections,
            measured_s: measured.as_secs_f64(),
            unsent: found.unsent,
            calls: call_reports(&accounts, measured),
            // Preparation has no pace of its own, hence no rate.
            before: call_reports(&self.meter.accounts(Phase::Before), Duration::ZERO),
            mail: Some(self.inbox.totals()).filter(|totals| mails && totals.expected > 0),
            limits: found.limits,
            thresholds: Vec::new(),
            soak: matches!(options.pace.load, Load::Open(_, Shape::Soak)),
            points: self.meter.points(),
            server: scraper.report(),
            processes: found.processes.iter().map(|process| ProcessReport::new(process, requests)).collect(),
            notes: self.notes(found.exhausted, scraper),
        };
        report.limits.extend(refused.filter(|_| !mails).map(|service| {
            let counted = |point: &crate::meter::Point| point.statuses.get("429").copied();
            crate::limits::counted(&self.service, report.points.iter().filter_map(counted).sum(), service)
        }));
        report.thresholds = options.thresholds.iter().map(|threshold| threshold.check(&report)).collect();
        report.decide();
        report
    }

    fn notes(&self, exhausted: usize, scraper: &Scraper) -> Vec<String> {
        let hints = &self.options.profile.hints;
        let mut notes = Vec::new();
        if exhausted > 0 {
            notes.push(format!("{exhausted} connections ran out of work before the time was over"));
        }
        if self.meter.accounts(Phase::Measured).is_empty() {
            notes.push("nothing was measured: shorten --warm-up, or give more addresses".to_owned());
        }
        if let Some(failure) = scraper.failure {
            notes.push(format!("the service's metrics could not be read ({failure}); {}", hints.no_metrics));
        }
        notes.extend(self.meter.sample().map(|sample| format!("first unexpected answer: {sample}")));
        let accounts = [self.meter.accounts(Phase::Before), self.meter.accounts(Phase::Measured)].concat();
        let failures = accounts.iter().flat_map(|(_, account)| account.failed.keys());
        let helps: BTreeSet<&str> = failures.filter_map(|failure| hints.of(*failure)).collect();
        notes.extend(helps.into_iter().map(str::to_owned));
        notes
    }
}

fn call_reports(accounts: &[(Call, Account)], measured: Duration) -> Vec<CallReport> {
    accounts.iter().map(|(call, account)| CallReport::new(*call, account, measured)).collect()
}
