//! Mails to one address: asked for by several at the same moment, each code used at once (which lifts the cool-down), so
//! that the number of mails is limited by the budget alone; until asking stays without a mail.

use super::{Bench, Decision, Exchange, LimitReport, MailLimit};
use crate::call::Failure;
use crate::callers::Network;
use crate::customers::Customer;
use crate::service::Probe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Logins for one address at the same moment: only the first may mail.
const AT_ONCE: u32 = 3;
/// The address that uses codes, and so becomes known: services may tell clients by network or by address.
const KNOWN_HOST: u32 = 200;
/// A second mail of the same round would follow the first closely.
const SETTLE: Duration = Duration::from_millis(300);

pub(super) async fn run(bench: Arc<Bench>) -> Vec<LimitReport> {
    let Some(limit) = bench.expected.mail else { return Vec::new() };
    if !bench.callers.can_vary() {
        let report = LimitReport::new("mail", &bench.service, limit.budget.to_string());
        return vec![report.unmeasured("needs several client addresses: --clients-by header or socket")];
    }
    let mut run = MailRun {
        customer: bench.customer(),
        bench: &bench,
        limit,
        began: Instant::now(),
        exchanges: Vec::new(),
        complaints: Vec::new(),
        unmeasured: None,
        hosts: 0,
    };
    let strangers = run.strangers().await;
    match strangers {
        (report, Some(known)) => vec![report, run.known(known).await],
        (report, None) => vec![report],
    }
}

struct MailRun<'a> {
    bench: &'a Bench,
    limit: MailLimit,
    customer: Customer,
    began: Instant,
    exchanges: Vec<Exchange>,
    complaints: Vec<String>,
    unmeasured: Option<String>,
    hosts: u32,
}

/// What one round came to.
struct Round {
    mails: u64,
    /// One of its logins.
    id: String,
}

impl MailRun<'_> {
    /// The strangers' budget, and what one network gets of it. Returns a network that logged in: a known client's.
    async fn strangers(&mut self) -> (LimitReport, Option<Network>) {
        let budget = self.limit.budget;
        let share = self.limit.per_network.unwrap_or(budget.burst).min(budget.burst);
        let mut known = None;
        let mut total = 0;
        for place in 0..3 {
            let network = self.bench.callers.network();
            // What a network may still get: its share, or what the others left.
            let free = u64::from(budget.burst).saturating_sub(total);
            let expected = free.min(u64::from(share));
            let (mut got, mut last) = (0, String::new());
            while got <= expected + 1 {
                let mails = match self.round(network, None, &mut known).await {
                    Ok(round) => {
                        last = round.id;
                        round.mails
                    }
                    Err(failure) => {
                        self.unmeasured = Some(format!("the run could not be finished: {failure}"));
                        break;
                    }
                };
                if mails == 0 {
                    // Silence within a network's share is the budget's; beyond it, it is the share's.
                    if got < u64::from(share) {
                        self.refused(&format!("asking from network {} (X-Request-Id {last})", place + 1));
                    }
                    break;
                }
                got += mails;
            }
            total += got;
            if got != expected && self.unmeasured.is_none() && share < budget.burst {
                let network = place + 1;
                self.complaints.push(format!(
                    "network {network} got {got} mails, {expected} are right (at most {share} for one network), with its \
                     last login (X-Request-Id {last})"
                ));
            }
            if got == 0 && place > 0 {
                break;
            }
        }
        (self.report("mail.stranger"), known)
    }

    /// The budget of a client that has logged in before.
    async fn known(&mut self, network: Network) -> LimitReport {
        self.began = Instant::now();
        for _ in 0..self.limit.budget.burst + 2 {
            match self.round(network, Some(network), &mut None).await {
                Ok(Round { mails: 0, id }) => {
                    self.refused(&format!("asking from a known client (X-Request-Id {id})"));
                    break;
                }
                Ok(_) => {}
                Err(failure) => {
                    self.unmeasured = Some(format!("the run could not be finished: {failure}"));
                    break;
                }
            }
        }
        self.report("mail.known")
    }

    /// Asks at once from one network and uses the code from another, so that the asking one stays a stranger.
    async fn round(
        &mut self,
        from: Network,
        use_from: Option<Network>,
        known: &mut Option<Network>,
    ) -> Result<Round, Failure> {
        let user = use_from.unwrap_or_else(|| self.bench.callers.network());
        let mut reader = self.bench.service.link(user.host(KNOWN_HOST), self.exchanges.len());
        let email = self.customer.email.clone();
        self.bench.inbox.learn_old(&mut reader, &email).await?;
        let sent = self.began.elapsed();
        let id = self.ask(from, use_from.is_some()).await?;
        let silence = self.bench.inbox.wait();
        let mut mails = self.bench.inbox.arrivals(&mut reader, &email, Instant::now() + silence).await;
        if let Some(code) = mails.iter().rev().find_map(|(_, code)| code.clone()) {
            mails.extend(self.bench.inbox.arrivals(&mut reader, &email, Instant::now() + SETTLE).await);
            reader.verify(&self.customer, &code).await?;
            known.get_or_insert(user);
        }
        for number in 1..=mails.len() {
            let name = format!("mail {number} after a login from {from} (X-Request-Id {id})");
            let answered = self.began.elapsed();
            self.exchanges.push(Exchange { sent, answered, decision: Decision::Admitted, name });
        }
        if mails.len() > 1 && self.limit.cool_down.is_some() {
            self.complaints.push(format!(
                "{} mails for logins at the same moment, 1 is right (X-Request-Id {id})",
                mails.len()
            ));
        }
        Ok(Round { mails: mails.len() as u64, id })
    }

    /// Returns one of the requests' ids.
    async fn ask(&mut self, from: Network, as_known: bool) -> Result<String, Failure> {
        let mut senders = JoinSet::new();
        for number in 0..AT_ONCE {
            self.hosts += 1;
            let place = usize::try_from(number).unwrap_or(0);
            let host = if as_known { KNOWN_HOST } else { self.hosts % KNOWN_HOST };
            let mut link = self.bench.service.link(from.host(host), place);
            let customer = self.customer.clone();
            let inbox = Arc::clone(&self.bench.inbox);
            inbox.asked(&customer.email, Instant::now(), false);
            senders.spawn(async move { link.probe(Probe::Login(&customer)).await });
        }
        let answers: Vec<_> = senders.join_all().await.into_iter().collect::<Result<_, Failure>>()?;
        if let Some(answer) = answers.iter().find(|answer| answer.status != 200) {
            let (status, id) = (answer.status, &answer.id);
            self.complaints.push(format!("a silent limit showed itself: {status} (X-Request-Id {id})"));
        }
        Ok(answers.into_iter().next().map_or_else(String::new, |answer| answer.id))
    }

    fn refused(&mut self, name: &str) {
        let now = self.began.elapsed();
        let silence = self.bench.inbox.wait();
        let sent = now.saturating_sub(silence);
        self.exchanges.push(Exchange {
            sent,
            answered: now,
            decision: Decision::Refused,
            name: name.to_owned(),
        });
    }

    fn report(&mut self, name: &str) -> LimitReport {
        let share = self.limit.per_network.filter(|_| name == "mail.stranger");
        let share = share.map(|share| format!("; at most {share} for one network")).unwrap_or_default();
        let mut report = LimitReport::new(name, &self.bench.service, format!("{}{share}", self.limit.budget));
        report.judge(&[self.limit.budget], &std::mem::take(&mut self.exchanges));
        report.complaints.append(&mut self.complaints);
        if let Some(share) = self.limit.per_network.filter(|_| name == "mail.stranger") {
            report.measured.push(format!("{share} for one network"));
        }
        // A service that does not answer breaks no limit; the failed call fails the run.
        if let Some(why) = self.unmeasured.take() {
            report.measured.clear();
            report.unmeasured.push(why);
        }
        report.finish()
    }
}
