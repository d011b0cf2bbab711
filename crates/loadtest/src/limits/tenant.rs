//! The tenant's limit, shared by all replicas: many clients of many networks ask for many addresses, as fast as the
//! service answers, until they are refused and for some time more.
//!
//! Replicas take from the limit in leases, so its promise is a bound: never more than burst + ⌊(span + lease) / T⌋ in
//! any span, and under saturation at least 0.98 of burst + span / T.

use super::{Bench, Decision, Exchange, LimitReport, Status, decided, first_breach, lock};
use crate::customers::Customer;
use crate::service::Probe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Requests from one address: well below what a client may.
const PER_CLIENT: u32 = 10;
/// Addresses of one network in use: well below what a network may.
const PER_NETWORK: u32 = 5;
/// Connections at most that a service may let wait: some ten MiB of buffers here.
const MOST_WAITING: u64 = 2_000;
/// Who was refused comes again after this time: refusals are not to be a load of their own.
const PAUSE: Duration = Duration::from_millis(200);
/// So long a limit may take to be reached.
const PATIENCE: Duration = Duration::from_secs(30);
/// So long it is watched afterwards, or as long as the other limits, if that is shorter.
const SATURATED: Duration = Duration::from_secs(10);
/// The share of its promise that saturated clients must get.
const LEAST_SHARE: f64 = 0.98;

struct Shared {
    bench: Arc<Bench>,
    began: Instant,
    exchanges: Mutex<Vec<Exchange>>,
    first_refusal: Mutex<Option<Instant>>,
    over: AtomicBool,
}

pub(super) async fn run(bench: Arc<Bench>) -> Vec<LimitReport> {
    let Some(limit) = bench.expected.tenant else { return Vec::new() };
    let expected = format!("{}, leases of {}", limit.policy, crate::units::show(limit.lease));
    let report = LimitReport::new("tenant", &bench.service, expected);
    if !bench.callers.can_vary() {
        return vec![report.unmeasured("needs many client addresses: --clients-by header or socket")];
    }
    let shared = Arc::new(Shared {
        bench: Arc::clone(&bench),
        began: Instant::now(),
        exchanges: Mutex::default(),
        first_refusal: Mutex::default(),
        over: AtomicBool::new(false),
    });
    let neighbour = tokio::spawn(neighbour(Arc::clone(&shared)));
    let mut senders = JoinSet::new();
    // A service may let as many wait for their turn as it will serve within a second, instead of refusing them.
    let waiting = limit.policy.earned(Duration::from_secs(1)).min(MOST_WAITING);
    for number in 0..bench.connections.max(waiting as usize) {
        senders.spawn(saturate(Arc::clone(&shared), number));
    }
    senders.join_all().await;
    shared.over.store(true, Ordering::Relaxed);
    let refused_neighbours = neighbour.await.unwrap_or_default();
    let mut run = std::mem::take(&mut *lock(&shared.exchanges));
    run.sort_by_key(|exchange| exchange.sent);
    vec![judge(report, &bench, &run, refused_neighbours)]
}

/// One connection's requests, each few from another address.
async fn saturate(shared: Arc<Shared>, number: usize) {
    let mut network = shared.bench.callers.network();
    let mut link = shared.bench.service.link(network.host(0), number);
    for sent in 0_u32.. {
        let over = match *lock(&shared.first_refusal) {
            Some(since) => since.elapsed() > shared.bench.duration.min(SATURATED),
            None => shared.began.elapsed() > PATIENCE,
        };
        if over {
            return;
        }
        if sent.is_multiple_of(PER_CLIENT) {
            if (sent / PER_CLIENT).is_multiple_of(PER_NETWORK) {
                network = shared.bench.callers.network();
            }
            link.call_as(network.host(sent / PER_CLIENT));
        }
        let customer = shared.bench.nobody();
        let begun = shared.began.elapsed();
        let outcome = link.probe(Probe::Login(&customer)).await;
        let answered = shared.began.elapsed();
        let (decision, id) = decided(outcome);
        if decision == Decision::Refused {
            lock(&shared.first_refusal).get_or_insert_with(Instant::now);
            tokio::time::sleep(PAUSE).await;
        }
        let name = format!("a login (X-Request-Id {id})");
        let exchange = Exchange { sent: begun, answered, decision, name };
        lock(&shared.exchanges).push(exchange);
    }
}

/// Another tenant's customers come now and then: none may be refused because this one is at its limit.
async fn neighbour(shared: Arc<Shared>) -> Vec<String> {
    let tenant = format!("neighbour-{}", Uuid::new_v4().simple());
    let mut refused = Vec::new();
    while !shared.over.load(Ordering::Relaxed) {
        let network = shared.bench.callers.network();
        let mut link = shared.bench.service.link(network.host(0), 0);
        let customer = Customer { tenant: tenant.clone(), email: shared.bench.nobody().email };
        if let Ok(answer) = link.probe(Probe::Login(&customer)).await
            && answer.status == 429
        {
            refused.push(answer.id);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    refused
}

fn judge(mut report: LimitReport, bench: &Bench, run: &[Exchange], neighbours: Vec<String>) -> LimitReport {
    let Some(limit) = bench.expected.tenant else { return report };
    report.count(run);
    let first = run.iter().map(|exchange| exchange.sent).min().unwrap_or_default();
    let last = run
        .iter()
        .filter(|exchange| exchange.decision == Decision::Refused)
        .map(|exchange| exchange.sent)
        .max();
    let most = limit.policy.most(Duration::from_secs_f64(report.span_s) + limit.lease);
    report.most = Some(most);
    // No refusal can be unjustified here, only too many of them: leases are no business of a single request.
    let leak: Vec<Exchange> =
        run.iter().filter(|exchange| exchange.decision == Decision::Admitted).cloned().collect();
    if let Some(breach) = first_breach(&[limit.policy], limit.lease, &leak) {
        report.complaints.push(format!("one too many: {} was {}", leak[breach.place].name, breach.rule));
    }
    if let Some(id) = neighbours.first() {
        report.complaints.push(format!("another tenant was refused meanwhile (X-Request-Id {id})"));
    }
    let Some(last) = last else {
        let rate = report.admitted as f64 / report.span_s.max(0.001);
        return report.unmeasured(format!(
            "never reached: the service took {rate:.0} logins a second in {} s; it needs more --connections or a \
             quicker machine",
            PATIENCE.as_secs()
        ));
    };
    let earned = last.saturating_sub(first).as_secs_f64() / limit.policy.interval().as_secs_f64();
    let least = (LEAST_SHARE * (f64::from(limit.policy.burst) + earned)).floor() as u64;
    report.least = Some(least);
    let admitted =
        run.iter().filter(|exchange| exchange.decision != Decision::Refused && exchange.sent <= last);
    let admitted = admitted.count() as u64;
    if admitted < least {
        report.complaints.push(format!("too few: {admitted} of at least {least} before the last refusal"));
    }
    report.measured.push(format!("between {least} and {most} admitted"));
    let broken = !report.complaints.is_empty();
    report.status = if broken { Status::Broken } else { Status::WithinBounds };
    report
}
