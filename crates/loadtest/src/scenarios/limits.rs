//! Checks that limits admit exactly what they say: not one too many, not one too few.
//!
//! On a loopback target every part calls from fresh addresses of 127.0.0.0/8, so each run meets limits at rest and
//! is not disturbed by what other programs on the machine send.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::codes::Codes;
use crate::gcra::{self, Exchange, Policy, Verdict};
use crate::link::{Link, LoginAnswer, Service};
use crate::meter::Failure;
use crate::report::LimitReport;
use crate::{LimitOptions, LoadError, MailLimit, Options};

/// Time between a refusal and the next try: dense enough to claim each place as it comes free, and no flood.
const AFTER_REFUSAL: Duration = Duration::from_millis(5);
/// Requests in one run at most, each of which is remembered.
const MOST_REQUESTS: u64 = 1_000_000;
/// Logins for one address at the same moment: only the first may mail.
const AT_ONCE: usize = 4;
/// Rounds without a mail before the mail limit counts as reached.
const SILENT_ROUNDS: u32 = 2;
/// A second mail of the same round would follow the first closely; so long it is waited for (or as long as for
/// any mail, if that is shorter).
const SETTLE: Duration = Duration::from_millis(300);

/// Runs the parts that are configured, one after the other.
pub async fn run(service: &Arc<Service>, options: &Options) -> Result<Vec<LimitReport>, LoadError> {
    let LimitOptions { client, mail } = &options.limits;
    let mut reports = Vec::new();
    if let Some(policy) = client {
        reports.push(client_limit(service, options, *policy).await?);
    }
    if let Some(limit) = mail {
        reports.push(MailRun::new(service, options, *limit).run().await);
    }
    Ok(reports)
}

/// All connections call from one address, for addresses that no customer has, until the time is over.
async fn client_limit(
    service: &Arc<Service>,
    options: &Options,
    policy: Policy,
) -> Result<LimitReport, LoadError> {
    let source = fresh_source(options);
    let timeline = Timeline::default();
    let deadline = timeline.began + options.pace.duration;
    let most = options.pace.steps.unwrap_or(MOST_REQUESTS);
    let mut lanes = JoinSet::new();
    for _ in 0..options.connections {
        let share = most.div_ceil(options.connections as u64);
        lanes.spawn(fire(service.link(source), timeline.clone(), deadline, share));
    }
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|_| LoadError::LaneLost)?;
    }
    let finding = gcra::judge(&policy, &timeline.take());
    Ok(LimitReport::new("client", policy.to_string(), &finding, Vec::new()))
}

async fn fire(mut link: Link, timeline: Timeline, deadline: Instant, most: u64) {
    for _ in 0..most {
        let sent = timeline.now();
        let answer = link.login_within_limit(&nobody()).await;
        timeline.add(sent, verdict(answer));
        if Instant::now() >= deadline {
            return;
        }
        if answer != Ok(LoginAnswer::Accepted) {
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }
}

fn verdict(answer: Result<LoginAnswer, Failure>) -> Verdict {
    match answer {
        Ok(LoginAnswer::Accepted) => Verdict::Admitted,
        Ok(LoginAnswer::Limited) => Verdict::Refused,
        // A refusal without a usable Retry-After is booked as a failure, but it is a refusal.
        Err(Failure::Body) => Verdict::Refused,
        Err(_) => Verdict::Unknown,
    }
}

/// Rounds of simultaneous logins for one customer. Each round's code is used at once, which lifts the cool-down,
/// so that the number of mails is limited by the budget alone; until rounds stay without a mail.
struct MailRun<'a> {
    service: &'a Arc<Service>,
    options: &'a Options,
    limit: MailLimit,
    address: String,
    timeline: Timeline,
    /// Mails that were there before, or are counted.
    counted: HashSet<String>,
    complaints: Vec<String>,
}

impl<'a> MailRun<'a> {
    fn new(service: &'a Arc<Service>, options: &'a Options, limit: MailLimit) -> MailRun<'a> {
        MailRun {
            service,
            options,
            limit,
            address: options.addresses.at(0),
            timeline: Timeline::default(),
            counted: HashSet::new(),
            complaints: Vec::new(),
        }
    }

    async fn run(mut self) -> LimitReport {
        if let Err(failure) = self.rounds().await {
            self.complaints.push(format!("the run could not be finished: {failure}"));
        }
        let finding = gcra::judge(&self.limit.policy, &self.timeline.take());
        let policy =
            format!("{}; one per {:?} while a code is unused", self.limit.policy, self.limit.cool_down);
        LimitReport::new("mail", policy, &finding, self.complaints)
    }

    async fn rounds(&mut self) -> Result<(), Failure> {
        self.count_new(&mut self.reader()).await?;
        let mut silent = 0;
        // The bound also ends a run against a service whose mail limit is off.
        for round in 0..self.limit.policy.burst() + SILENT_ROUNDS + 2 {
            let mailed = self.round(round).await?;
            silent = if mailed { 0 } else { silent + 1 };
            if silent == SILENT_ROUNDS {
                break;
            }
        }
        // A mail that came after its round was given up counts too.
        tokio::time::sleep(SETTLE.min(self.options.mail_wait)).await;
        let late = self.count_new(&mut self.reader()).await?;
        self.admit(late, Duration::ZERO);
        Ok(())
    }

    /// Returns whether a mail came.
    async fn round(&mut self, round: u32) -> Result<bool, Failure> {
        let mut reader = self.reader();
        let mut codes = Codes::Mailbox(HashMap::new());
        codes.learn_old(&mut reader, &self.address).await?;

        let sent = self.timeline.now();
        self.send_at_once().await?;
        let Some(code) = codes.fetch_if_any(&mut reader, &self.address, self.options.mail_wait).await? else {
            self.timeline.add(sent, Verdict::Refused);
            return Ok(false);
        };
        tokio::time::sleep(SETTLE.min(self.options.mail_wait)).await;
        let mails = self.count_new(&mut reader).await?;
        self.admit(mails, sent);
        self.check_cool_down(round, mails, self.timeline.now().saturating_sub(sent));
        reader.verify(&self.address, &code).await?;
        Ok(true)
    }

    /// Reads the mailbox and spends the codes: from an address of its own, so that the senders stay strangers.
    fn reader(&self) -> Link {
        self.service.link(fresh_source(self.options))
    }

    async fn count_new(&mut self, reader: &mut Link) -> Result<usize, Failure> {
        let mails = reader.mailbox(&self.address).await?;
        Ok(mails.into_iter().filter(|mail| self.counted.insert(mail.id.clone())).count())
    }

    fn admit(&self, mails: usize, sent: Duration) {
        for _ in 0..mails {
            self.timeline.add(sent, Verdict::Admitted);
        }
    }

    async fn send_at_once(&self) -> Result<(), Failure> {
        let source = fresh_source(self.options);
        let mut senders = JoinSet::new();
        for _ in 0..AT_ONCE {
            let mut link = self.service.link(source);
            let address = self.address.clone();
            senders.spawn(async move { link.login(&address).await });
        }
        // A login that was refused or got another answer than `{}` would show callers a limit that must be silent.
        senders.join_all().await.into_iter().collect()
    }

    fn check_cool_down(&mut self, round: u32, mails: usize, span: Duration) {
        let most = Policy::new(1, self.limit.cool_down).map_or(u64::MAX, |cool_down| cool_down.most(span));
        if mails as u64 > most {
            self.complaints
                .push(format!("round {round}: {mails} mails in {span:?}, at most {most} are allowed"));
        }
    }
}

/// The exchanges of a run, in time since it began.
#[derive(Debug, Clone)]
struct Timeline {
    began: Instant,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline { began: Instant::now(), exchanges: Arc::default() }
    }
}

impl Timeline {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn add(&self, sent: Duration, verdict: Verdict) {
        self.push(Exchange { sent, answered: self.now(), verdict });
    }

    fn push(&self, exchange: Exchange) {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }

    fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.exchanges.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An address that no customer has, so that nobody is mailed.
fn nobody() -> String {
    format!("nobody-{}@example.com", Uuid::new_v4().simple())
}

/// A loopback address that was never used, in a network that was never used; only for IPv4 loopback targets on
/// Linux, where all of 127.0.0.0/8 is local.
fn fresh_source(options: &Options) -> Option<IpAddr> {
    let usable = cfg!(target_os = "linux")
        && options.target.address.ip().is_loopback()
        && options.target.address.is_ipv4();
    let [a, b, c, ..] = Uuid::new_v4().into_bytes();
    // 127.0.x.x is what other programs use; a last part of 0 or 255 may read as a network or broadcast address.
    usable.then(|| IpAddr::V4(Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254))))
}
