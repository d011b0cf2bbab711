//! Fairness in simulation: admission, the tenant's limit, the ledger's queue and the mails in memory, as they are, between
//! seeded arrivals and a database and a relay that are nothing but slow. One tick is a millisecond of paused time.

mod flood_tests;

use crate::address_id::AddressId;
use crate::ledger::queue::Queue;
use crate::ledger::{Answers, Batch, Entry, Waiter};
use crate::login::fair_queue::FairQueue;
use crate::login::quota::{Leases, LimitKey, Taken, TenantLimit};
use crate::mail::capacity::MailCapacity;
use crate::mail::outbox::Outbox;
use crate::mail::record::{self, DueMail};
use crate::settings::{AdmissionSettings, DatabaseSettings};
use crate::store::outbox::OutboxRow;
use crate::store::{Store, StoreError};
use crate::test_settings;
use actor_runtime::{Admission, Flow, Meter};
use doorcode_domain::{AddressKey, Alphabet, ChallengeId, Clock, TenantId};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// What the database writes in a tick.
const CAPACITY: usize = 10;
/// What a flush costs beside its rows, in rows.
const FLUSH: usize = 10;
/// What the relay takes in a tick.
const RELAY: usize = 8;
const DEADLINE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(1);
const TICKS: u64 = 3_000;

/// Who asks: a source of logins for one tenant.
#[derive(Clone, Debug)]
struct Source {
    tenant: u128,
    /// Requests in a thousand ticks.
    rate: u64,
    networks: u32,
    /// Each tenant has its own; see the source's place.
    slugs: u128,
    /// All its requests are about one address; else each about another.
    address: Option<u128>,
    /// From a device that is known there.
    known: bool,
}

/// What became of a source's requests.
#[derive(Default)]
struct SourceCounts {
    asked: u64,
    refused: u64,
    served: Vec<u64>,
    mailed: Vec<u64>,
    deferred: u64,
}

impl SourceCounts {
    fn share(&self) -> f64 {
        self.served.len() as f64 / self.asked.max(1) as f64
    }
}

fn p99(mut ticks: Vec<u64>) -> u64 {
    ticks.sort_unstable();
    ticks.get(ticks.len() * 99 / 100).copied().unwrap_or(0)
}

#[derive(Clone, Debug)]
struct Row {
    source: usize,
    asked: u64,
    address: AddressId,
    known: bool,
}

/// Rows of a database that is played.
struct Rows;

impl Batch for Rows {
    type Row = Row;
    type Key = Uuid;
    type Answer = ();

    fn key(row: &Row) -> Uuid {
        row.address.key.0
    }
    fn tenant(row: &Row) -> TenantId {
        row.address.tenant
    }
    fn is_known(row: &Row) -> bool {
        row.known
    }
    fn same(_: &Row, _: &Row) -> bool {
        false
    }
    async fn write(&self, _: Vec<Row>, _: &[Instant]) -> Result<Answers<Self>, StoreError> {
        Ok(Vec::new())
    }
}

type Asked = (Row, IpAddr, Admission);

/// An issuer's queue for one limit, and when its renewal is back.
struct Renewal {
    queue: FairQueue<Asked>,
    back: u64,
}

struct World {
    random: ChaCha8Rng,
    tick: u64,
    sources: Vec<Source>,
    counts: Vec<SourceCounts>,
    meter: Arc<Meter>,
    database: DatabaseSettings,
    limit: Option<TenantLimit>,
    leases: Leases,
    /// The rows of `tenant_limits`: theoretical arrival times, in ticks.
    limits: HashMap<LimitKey, f64>,
    renewals: HashMap<LimitKey, Renewal>,
    ledger: Queue<Rows>,
    /// Rows under way, and how much of them is not written.
    in_flight: Vec<(Vec<Entry<Rows>>, f64)>,
    capacity: Arc<MailCapacity>,
    outbox: Outbox,
    mails: HashMap<Uuid, (usize, u64)>,
}

impl World {
    fn new(seed: u64, limit: Option<TenantLimit>, sources: Vec<Source>) -> Self {
        // never reached: what it would answer is played here
        let database = test_settings::database("postgres://nobody@127.0.0.1:1/none");
        let store = Store::new(&database).unwrap();
        let admission: AdmissionSettings = test_settings::section("admission");
        let capacity = MailCapacity::new(10_000);
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            tick: 0,
            counts: sources.iter().map(|_| SourceCounts::default()).collect(),
            sources,
            meter: Meter::new("issuer", Some(admission.issuer_permits.get())),
            database,
            limit,
            leases: Leases::new(limit, store, Clock::Database),
            limits: HashMap::new(),
            renewals: HashMap::new(),
            ledger: Queue::new(),
            in_flight: Vec::new(),
            outbox: Outbox::new(capacity.clone()),
            capacity,
            mails: HashMap::new(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    async fn run(mut self) -> Vec<SourceCounts> {
        for tick in 0..TICKS {
            self.tick = tick;
            tokio::time::advance(TICK).await;
            self.land();
            let back: Vec<_> =
                self.renewals.iter().filter(|(_, r)| r.back <= tick).map(|(key, _)| *key).collect();
            back.into_iter().for_each(|key| self.renewed(key));
            let mut arrivals: Vec<usize> = Vec::new();
            for source in 0..self.sources.len() {
                let rate = self.sources[source].rate;
                let count = rate / 1_000 + u64::from(self.below(1_000) < rate % 1_000);
                arrivals.extend((0..count).map(|_| source));
            }
            // the scheduler: in any order
            for at in (1..arrivals.len()).rev() {
                let other = self.below(at as u64 + 1) as usize;
                arrivals.swap(at, other);
            }
            arrivals.into_iter().for_each(|source| self.arrive(source));
            self.set_out();
            self.mail();
        }
        self.counts
    }

    fn arrive(&mut self, source: usize) {
        let Source { tenant, networks, slugs, address, known, .. } = self.sources[source];
        let network = IpAddr::from([10, source as u8, (self.below(networks.into()) >> 8) as u8, 1]);
        let key = address.unwrap_or_else(|| u128::from(self.random.next_u64()));
        let key = AddressKey(Uuid::from_u128(key));
        let tenant = TenantId(Uuid::from_u128(tenant));
        self.counts[source].asked += 1;
        let flow = Flow(tenant.0.as_u128());
        let Ok(admission) = Admission::admit(&self.meter, Some(flow), Instant::now() + DEADLINE) else {
            self.counts[source].refused += 1;
            return;
        };
        let limit = LimitKey(Uuid::from_u128(
            (tenant.0.as_u128() << 32) | (u128::from(self.random.next_u64()) % slugs),
        ));
        let row = Row { source, asked: self.tick, address: AddressId { tenant, key }, known };
        self.issue(limit, (row, network, admission));
    }

    /// As `Issuer::receive`.
    fn issue(&mut self, limit: LimitKey, asked: Asked) {
        let network = asked.1;
        if let Some(renewal) = self.renewals.get_mut(&limit) {
            if let Some((row, ..)) = renewal.queue.push(network, asked) {
                self.counts[row.source].refused += 1;
            }
            return;
        }
        match self.leases.take(limit) {
            Taken::Yes => self.put(asked),
            taken => {
                let mut queue = FairQueue::new(usize::MAX);
                queue.push(network, asked);
                self.wait(limit, queue, taken);
            }
        }
    }

    /// As `Issuer::wait`.
    fn wait(&mut self, limit: LimitKey, mut queue: FairQueue<Asked>, taken: Taken) {
        let (after, room) = match taken {
            Taken::Dry(wait) if wait < Duration::from_secs(1) => {
                (wait.max(Duration::from_millis(20)), self.leases.room())
            }
            Taken::Dry(wait) => (wait, 0),
            Taken::Yes | Taken::Empty => (Duration::ZERO, usize::MAX),
        };
        for (row, ..) in queue.set_room(room) {
            self.counts[row.source].refused += 1;
        }
        if !queue.is_empty() {
            let back = self.tick + after.as_millis() as u64 + 1 + self.below(5);
            self.renewals.insert(limit, Renewal { queue, back });
        }
    }

    /// What `tenant_limits/lease.sql` grants, and then as `Issuer::serve`.
    fn renewed(&mut self, key: LimitKey) {
        let Some(Renewal { mut queue, .. }) = self.renewals.remove(&key) else { return };
        if let Some(limit) = self.limit {
            let wanted = self.leases.wanted(limit, key, queue.len());
            let (period, now) = (1_000.0 / f64::from(limit.per_second), self.tick as f64);
            let tat = self.limits.entry(key).or_insert(0.0);
            let free = ((now - tat.max(now)) / period + f64::from(limit.burst)).max(0.0).floor() as i64;
            let granted = wanted.min(free);
            *tat = tat.max(now) + granted as f64 * period;
            let wait = (*tat - now - (f64::from(limit.burst) - 1.0) * period).max(0.0);
            self.leases.hold(key, wanted, granted, Duration::from_secs_f64(wait / 1_000.0));
        }
        let mut served = 0;
        while let Some(asked) = queue.pop() {
            match self.leases.take(key) {
                Taken::Yes => {
                    served += 1;
                    self.put(asked);
                }
                Taken::Dry(_) if served == 0 => {
                    self.counts[asked.0.source].refused += 1;
                    for (row, ..) in queue.set_room(0) {
                        self.counts[row.source].refused += 1;
                    }
                }
                taken => {
                    queue.push_front(asked.1, asked);
                    return self.wait(key, queue, taken);
                }
            }
        }
    }

    fn put(&mut self, (row, _, admission): Asked) {
        // nobody listens: what becomes of a row is counted here
        let waiter = Waiter { reply: oneshot::channel().0, admission };
        let source = row.source;
        if self.ledger.put(row, waiter).is_err() {
            // its address has as many guesses waiting as may wait
            self.counts[source].refused += 1;
        }
    }

    /// As the ledger: a few flushes under way, each with what has come together.
    fn set_out(&mut self) {
        let (most, batch) = (self.database.max_in_flight.get(), self.database.batch_max.get());
        while self.in_flight.len() < most && self.ledger.due() > self.in_flight.len() * 16 {
            let entries: Vec<_> = std::iter::from_fn(|| self.ledger.take()).take(batch).collect();
            let work = (FLUSH + entries.len()) as f64;
            self.in_flight.push((entries, work));
        }
    }

    /// The database does its flushes side by side.
    fn land(&mut self) {
        let each = CAPACITY as f64 / self.in_flight.len().max(1) as f64;
        self.in_flight.iter_mut().for_each(|flush| flush.1 -= each);
        let (landed, under_way): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|flush| flush.1 <= 0.0);
        self.in_flight = under_way;
        landed.into_iter().for_each(|(entries, _)| self.landed(entries));
    }

    fn landed(&mut self, entries: Vec<Entry<Rows>>) {
        let rows: Vec<Row> = entries.iter().map(|entry| entry.row.clone()).collect();
        for entry in entries {
            self.ledger.release(&Rows::key(&entry.row));
            let is_late = entry.waiters.iter().any(|waiter| waiter.admission.is_late());
            let Row { source, asked, .. } = entry.row;
            if !is_late {
                self.counts[source].served.push(self.tick - asked);
            }
        }
        let (fits, room) = self.capacity.reserve(rows.iter().map(|row| row.address.tenant));
        let mut due = Vec::new();
        for (row, fits) in rows.into_iter().zip(fits) {
            // guesses at one address: nobody is mailed
            if self.sources[row.source].address.is_some() {
                continue;
            }
            if !fits {
                self.counts[row.source].deferred += 1;
                continue;
            }
            self.mails.insert(row.address.key.0, (row.source, self.tick));
            due.push(DueMail {
                address: row.address,
                note: [].into(),
                challenge: ChallengeId(row.address.key.0),
                alphabet: Alphabet::Digits,
                known: false,
            });
        }
        let (asked, due) = record::encode(&due);
        let id = Uuid::from_u128(u128::from(self.random.next_u64()));
        let row = OutboxRow { id, asked_us: 0, attempts: 0, asked, due, done: Vec::new(), expired: false };
        assert!(self.outbox.insert(row, Instant::now() + Duration::from_secs(20)));
        drop(room);
    }

    /// The relay.
    fn mail(&mut self) {
        let now = Instant::now();
        for turn in self.outbox.next(RELAY, Duration::from_secs(1), now) {
            if let Some((source, due)) = self.mails.remove(&turn.mail.address.key.0) {
                self.counts[source].mailed.push(self.tick - due);
            }
            self.outbox.finish(turn.id);
        }
        let settled: Vec<Uuid> =
            self.outbox.settlements(1_000, false, now).iter().map(|row| row.id).collect();
        self.outbox.settled(&settled, &settled, now);
    }
}

fn from(tenant: u128, per_second: u64, networks: u32) -> Source {
    Source { tenant, rate: per_second, networks, slugs: 1, address: None, known: false }
}

/// The counts of calm sources beside these floods.
async fn beside(
    seed: u64,
    limit: Option<TenantLimit>,
    calm: &[Source],
    floods: &[Source],
) -> Vec<SourceCounts> {
    let mut counts = World::new(seed, limit, [calm, floods].concat()).run().await;
    let flood = counts.split_off(calm.len());
    let refused: u64 = flood.iter().map(|source| source.refused + source.deferred).sum();
    assert!(refused > 1_000, "seed {seed}: no flood");
    counts
}
