//! The visible limits of a client and of its network: one caller, or many of one network, ask until they are refused,
//! and then without pause.

use super::{Bench, Decision, Exchange, Group, LimitReport, Policy, decided, lock};
use crate::call::{Call, Failure};
use crate::callers::{Caller, Network};
use crate::customers::Customer;
use crate::service::{Answer, Link, Probe, Service};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Senders of the first, simultaneous requests: a limit that can be overtaken shows it here.
const AT_ONCE: usize = 16;
/// Requests beyond the burst among them.
const BEYOND: u32 = 8;
/// Between a refusal and the next try: a hundredth of the time in which a place comes free, within these bounds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(bench: Arc<Bench>) -> Vec<LimitReport> {
    let mut runs = JoinSet::new();
    let mut order = 0_usize;
    for replica in bench.service.each_replica() {
        for group in Group::ALL {
            for of_network in [false, true] {
                let run = Run { bench: Arc::clone(&bench), replica: Arc::clone(&replica), group, of_network };
                if !run.policies().is_empty() {
                    order += 1;
                    let place = order;
                    runs.spawn(async move { (place, run.report().await) });
                }
            }
        }
    }
    let mut reports: Vec<(usize, LimitReport)> = runs.join_all().await;
    reports.sort_by_key(|(place, _)| *place);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// One limit on one replica.
struct Run {
    bench: Arc<Bench>,
    replica: Arc<Service>,
    group: Group,
    of_network: bool,
}

/// What all senders of a run share.
struct Shared {
    network: Network,
    /// Requests that one address may send without being refused for itself.
    per_host: u32,
    began: Instant,
    next: AtomicU32,
    exchanges: Mutex<Vec<Exchange>>,
    announced: Mutex<Option<Option<String>>>,
    bare_refusals: AtomicU32,
}

impl Run {
    fn policies(&self) -> &[Policy] {
        let expected = &self.bench.expected;
        if self.of_network { expected.network.of(self.group) } else { expected.client.of(self.group) }
    }

    async fn report(&self) -> LimitReport {
        let whose = if self.of_network { "network" } else { "client" };
        let policies = self.policies();
        let expected: Vec<String> = policies.iter().map(Policy::to_string).collect();
        let report =
            LimitReport::new(format!("{whose}.{}", self.group.name()), &self.replica, expected.join("; "));
        if self.of_network && !self.bench.callers.can_vary() {
            return report.unmeasured("needs many client addresses: --clients-by header or socket");
        }
        let own = self.bench.expected.client.of(self.group).iter().map(|policy| policy.burst).min();
        let shared = Arc::new(Shared {
            network: self.bench.callers.network(),
            // Half of what it may: a client limit that is off by some is another part's finding.
            per_host: if self.of_network { own.map_or(20, |own| (own / 2).max(1)) } else { u32::MAX },
            began: Instant::now(),
            next: AtomicU32::new(0),
            exchanges: Mutex::default(),
            announced: Mutex::default(),
            bare_refusals: AtomicU32::new(0),
        });
        self.burst(&shared, policies).await;
        self.watch(&shared).await;
        self.judge(&shared, report)
    }

    /// The burst and some more, all at once.
    async fn burst(&self, shared: &Arc<Shared>, policies: &[Policy]) {
        let total = policies.iter().map(|policy| policy.burst).min().unwrap_or(0) + BEYOND;
        let mut senders = JoinSet::new();
        for number in 0..AT_ONCE {
            let (shared, bench, group) = (Arc::clone(shared), Arc::clone(&self.bench), self.group);
            let mut link = self.replica.link(shared.caller(0), number);
            senders.spawn(async move {
                loop {
                    let number = shared.next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    shared.send(&mut link, &bench, group, number).await;
                }
            });
        }
        senders.join_all().await;
    }

    /// One request after the other, until the time is over.
    async fn watch(&self, shared: &Shared) {
        let mut link = self.replica.link(shared.caller(0), 0);
        let interval = self.policies().iter().map(Policy::interval).min().unwrap_or_default();
        let pause = (interval / 100).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        while shared.began.elapsed() < self.bench.duration {
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            if shared.send(&mut link, &self.bench, self.group, number).await != Decision::Admitted {
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn judge(&self, shared: &Shared, mut report: LimitReport) -> LimitReport {
        let policies = self.policies();
        let run = std::mem::take(&mut *lock(&shared.exchanges));
        report.judge(policies, &run);
        if report.refused == 0 && report.complaints.is_empty() {
            let why = format!("never reached with {} requests in {:.0} s", report.admitted, report.span_s);
            report.unmeasured = vec![why];
        }
        let bare = shared.bare_refusals.load(Ordering::Relaxed);
        if bare > 0 {
            report.complaints.push(format!("{bare} answers 429 had no Retry-After of at least 1 s"));
        }
        if let (false, Some(Some(header))) = (self.of_network, &*lock(&shared.announced)) {
            let (said, meant) = (announced(header), policies.iter().map(in_seconds).collect());
            if said != meant {
                report.complaints.push(format!("RateLimit-Policy announces another limit: {header}"));
            }
        }
        report.finish()
    }
}

impl Shared {
    fn caller(&self, number: u32) -> Option<Caller> {
        self.network.host(number / self.per_host)
    }

    async fn send(&self, link: &mut Link, bench: &Bench, group: Group, number: u32) -> Decision {
        link.call_as(self.caller(number));
        // Nobody's tenant: neither a tenant's limit nor what it does after many wrong codes is the question here.
        let tenant = format!("nobody-{}", self.network.to_string().replace(['.', '/'], "-"));
        let nobody = Customer { tenant, ..bench.nobody() };
        let even = number.is_multiple_of(2);
        let (call, probe) = match group {
            Group::Login => (Call::Login, Probe::Login(&nobody)),
            Group::Code => {
                let call = if even { Call::Verify } else { Call::Token };
                (call, Probe::Code(call, &nobody, "000000"))
            }
            Group::Session => {
                let call = if even { Call::Refresh } else { Call::Logout };
                (call, Probe::Session(call))
            }
        };
        let sent = self.began.elapsed();
        let outcome = link.probe(probe).await;
        let answered = self.began.elapsed();
        let (decision, id) = self.read(outcome);
        let name = format!("request {} ({}, X-Request-Id {id})", number + 1, call.name());
        lock(&self.exchanges).push(Exchange { sent, answered, decision, name });
        decision
    }

    fn read(&self, outcome: Result<Answer, Failure>) -> (Decision, String) {
        match &outcome {
            Ok(answer) => {
                lock(&self.announced).get_or_insert_with(|| answer.rate_policy.clone());
            }
            Err(Failure::Body) => {
                self.bare_refusals.fetch_add(1, Ordering::Relaxed);
                return (Decision::Refused, "not read".to_owned());
            }
            Err(_) => {}
        }
        decided(outcome)
    }
}

fn in_seconds(policy: &Policy) -> (u64, u64) {
    (policy.count.into(), policy.window.as_secs())
}

/// `"login-minute";q=30;w=60, …` as (quota, window in seconds).
fn announced(header: &str) -> BTreeSet<(u64, u64)> {
    let number = |item: &str, key: &str| {
        item.split(';').find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    };
    header.split(',').filter_map(|item| Some((number(item, "q")?, number(item, "w")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_read() {
        let said = announced("\"login-minute\";q=30;w=60, \"login-hour\";q=200;w=3600");
        assert_eq!(said, BTreeSet::from([(30, 60), (200, 3_600)]));
        assert!(announced("").is_empty());
    }
}
