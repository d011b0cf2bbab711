//! Providers: the ways out, in order. What all mailers share of one: its breaker, its rate, how many may be at it.

use super::breaker::{Breaker, Verdict};
use super::error::SendError;
use super::hook::Hook;
use super::memory::Mailbox;
use super::progress::Limits;
use super::smtp::Relay;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

/// A provider that has not taken a mail yet may have so many tries at once: one that hangs holds no more mailers.
const UNPROVEN: usize = 2;

/// How a provider takes mail.
#[derive(Clone)]
pub(super) enum Kind {
    Smtp(Arc<Relay>),
    Hook(Arc<Hook>),
    Memory(Mailbox),
}

/// What bounds a provider's use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// One try, connecting included.
    pub(super) limits: Limits,
    pub(super) connections: usize,
    /// Mails a second; 0: as many as it takes.
    pub(super) per_second: u32,
}

impl Bounds {
    /// Mails that can be begun soon.
    fn most(&self, is_proven: bool) -> usize {
        let within = usize::try_from(self.limits.until_content.as_secs().max(1)).unwrap_or(usize::MAX);
        let by_rate = match self.per_second {
            0 => usize::MAX,
            rate => within.saturating_mul(rate as usize),
        };
        by_rate.min(self.connections).min(if is_proven { usize::MAX } else { UNPROVEN })
    }
}

pub(super) struct Provider {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) bounds: Bounds,
    connections: Arc<Semaphore>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    breaker: Breaker,
    is_proven: bool,
    /// Tries that are out.
    out: usize,
    /// When the next mail may leave.
    next: Option<Instant>,
}

/// A try that was let in. Dropped without a word (the try was cancelled), it counts as a fault.
pub(super) struct Pass<'p> {
    provider: &'p Provider,
    is_probe: bool,
    is_noted: bool,
    _connection: OwnedSemaphorePermit,
}

impl Provider {
    pub(super) fn new(name: &str, kind: Kind, bounds: Bounds) -> Self {
        let connections = Arc::new(Semaphore::new(bounds.connections));
        let is_proven = matches!(kind, Kind::Memory(_));
        let shared = Mutex::new(Shared { is_proven, ..Shared::default() });
        Self { name: name.to_owned(), kind, bounds, connections, shared }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a try begin, in the provider's rate. `None`: not now.
    pub(super) async fn admit(&self) -> Option<Pass<'_>> {
        let connection = self.connections.clone().try_acquire_owned().ok()?;
        let (is_probe, wait) = {
            let (mut shared, now) = (self.lock(), Instant::now());
            if !shared.is_proven && shared.out >= UNPROVEN {
                return None;
            }
            let next = shared.next.filter(|next| *next > now).unwrap_or(now);
            let wait = next - now;
            if wait > self.bounds.limits.until_content {
                return None;
            }
            let is_probe = shared.breaker.admit(now)?;
            if self.bounds.per_second > 0 {
                shared.next = Some(next + Duration::from_secs(1) / self.bounds.per_second);
            }
            shared.out += 1;
            (is_probe, wait)
        };
        let pass = Pass { provider: self, is_probe, is_noted: false, _connection: connection };
        sleep(wait).await;
        Some(pass)
    }
}

impl Pass<'_> {
    pub(super) fn note(mut self, outcome: &Result<(), SendError>) {
        self.is_noted = true;
        self.close(
            match outcome {
                Ok(()) => Verdict::Answered,
                Err(error) => error.verdict(),
            },
            outcome.is_ok(),
        );
    }

    fn close(&self, verdict: Verdict, took: bool) {
        let mut shared = self.provider.lock();
        shared.out -= 1;
        shared.is_proven = took || (shared.is_proven && verdict == Verdict::Answered);
        if !shared.breaker.note(verdict, self.is_probe, Instant::now()) {
            return;
        }
        drop(shared);
        let provider = &self.provider.name;
        match verdict {
            Verdict::Answered => tracing::info!(provider, "a mail provider answers again"),
            Verdict::Stop => tracing::error!(
                provider,
                "a mail provider wants no more mail (410): none until the next start"
            ),
            Verdict::Fault | Verdict::Wait(_) => {
                tracing::warn!(provider, "a mail provider is left alone for a while")
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_noted {
            self.close(Verdict::Fault, false);
        }
    }
}

/// All providers, and in which order a mail tries them.
pub(crate) struct Providers {
    pub(super) all: Vec<Provider>,
    by_name: HashMap<String, usize>,
    /// Where a tenant names none.
    order: Vec<usize>,
}

impl Providers {
    pub(super) fn new(all: Vec<Provider>, order: &[String]) -> Self {
        let by_name: HashMap<String, usize> =
            all.iter().enumerate().map(|(at, provider)| (provider.name.clone(), at)).collect();
        let order = order.iter().filter_map(|name| by_name.get(name).copied()).collect();
        Self { all, by_name, order }
    }

    /// The order of a tenant: its own, as far as there are such providers, else everybody's.
    pub(super) fn route(&self, own: &[String]) -> Vec<usize> {
        let route: Vec<usize> = own.iter().filter_map(|name| self.by_name.get(name).copied()).collect();
        if route.is_empty() { self.order.clone() } else { route }
    }

    /// Whether all mail goes this way: then [`fitting`](Self::fitting) speaks for it.
    pub(super) fn is_everybodys(&self, route: &[usize]) -> bool {
        route == self.order && self.order.len() == self.all.len()
    }

    /// How many mails it makes sense to have ready: all that are wanted, one for a probe, none.
    pub(crate) fn fitting(&self, wanted: usize) -> usize {
        let now = Instant::now();
        let ready = self.all.iter().map(|provider| {
            let shared = provider.lock();
            match (shared.breaker.is_ready(now), shared.breaker.is_probing()) {
                (true, false) => provider.bounds.most(shared.is_proven).min(wanted),
                (true, true) => 1,
                (false, _) => 0,
            }
        });
        ready.max().unwrap_or(0)
    }

    /// How many want no mail until the next start.
    pub(crate) fn stopped(&self) -> u64 {
        self.all.iter().filter(|provider| provider.lock().breaker.is_stopped()).count() as u64
    }
}
