//! The issuer: one per active tenant. Holds its tenant's rate limit, decides what a login or a guess writes, and never
//! waits for either: while a lease of the limit is renewed, requests wait in its queue, networks in turn.
//!
//! It holds nothing that must survive it: budgets live in Postgres, leases with the supervisor ([`crate::login::quota`]).

use crate::error::Refusal;
use crate::keys::Keys;
use crate::ledger::{Ledger, LedgerMessage, LoginBatch, Outcome, VerifyBatch};
use crate::login::fair_queue::FairQueue;
use crate::login::issuers::{IssuerSlot, Issuers};
use crate::login::quota::{Leases, LimitKey, Taken};
use crate::login::request::{Guess, LoginRequest};
use crate::login::rng::SecretRng;
use crate::store::challenges::Verdict;
use actor_runtime::{Actor, Admission, Context, Failure, Handle, Reply};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A limit that is used up is leased again so often at most: a saturated tenant costs 50 statements a second.
const MIN_WAIT: Duration = Duration::from_millis(20);
/// Whoever would wait longer for the next token is refused at once: callers have two seconds.
const MAX_WAIT: Duration = Duration::from_secs(1);
pub(crate) enum IssuerMessage {
    /// Somebody waits for it.
    Ask(Ask),
    /// A lease was renewed, or could not be.
    Renewed(LimitKey, Renewal),
    /// Time to see whether anybody still asks.
    Tick,
}

/// One caller's request, and where its answer goes.
pub(crate) struct Ask {
    pub(crate) request: Arc<LoginRequest>,
    pub(crate) what: Question,
}

pub(crate) enum Question {
    /// Mail me a code.
    Code(Reply<Outcome<()>>),
    /// Is this the code?
    Guess(Guess, Reply<Outcome<Verdict>>),
}

impl Ask {
    fn refuse(self, refusal: Refusal) {
        // a caller that has gone needs no answer
        match self.what {
            Question::Code(reply) => drop(reply.send(Err(refusal))),
            Question::Guess(_, reply) => drop(reply.send(Err(refusal))),
        }
    }
}

/// How a renewal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Done,
    Failed,
}

/// What every issuer works with.
#[derive(Clone)]
pub(crate) struct IssuerDeps {
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    pub(crate) login: Handle<LedgerMessage<LoginBatch>>,
    pub(crate) verify: Handle<LedgerMessage<VerifyBatch>>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) idle: Duration,
}

pub(crate) struct Issuer {
    pub(crate) deps: IssuerDeps,
    pub(crate) slot: IssuerSlot,
    pub(crate) issuers: Issuers,
}

pub(crate) struct IssuerState {
    rng: SecretRng,
    /// Requests since the last tick.
    handled: u64,
    /// Who waits for a renewal. A limit has a queue while one is on its way; a tenant's issuer has one limit.
    queues: HashMap<LimitKey, FairQueue<Waiting>>,
    renewals: JoinSet<()>,
}

type Waiting = (Ask, Admission);

/// Passes a row on to a ledger with the request's own admission and reply port.
fn pass<B: crate::ledger::Batch>(
    ledger: &Handle<LedgerMessage<B>>,
    row: B::Row,
    reply: Reply<Outcome<B::Answer>>,
    admission: Admission,
) where
    Ledger<B>: Actor<Message = LedgerMessage<B>>,
{
    // a ledger between two lives drops the reply port: the caller is told at once
    if ledger.forward(LedgerMessage::Put(row, reply), admission).is_err() {
        tracing::debug!(ledger = ledger.meter.kind, "not there");
    }
}

/// The limit, held against requests.
impl Issuer {
    /// Refused by the limit; the next token is that far away.
    fn limited(&self, wait: Duration) -> Refusal {
        self.deps.leases.refused();
        limited(wait)
    }

    /// Decides at once, or lets the request wait for a lease, or refuses it.
    fn receive(&self, context: &Context<IssuerMessage>, state: &mut IssuerState, waiting: Waiting) {
        state.handled += 1;
        let (limit, network) = (waiting.0.request.limit, waiting.0.request.network());
        if let Some(queue) = state.queues.get_mut(&limit) {
            if let Some((refused, _)) = queue.push(network, waiting) {
                refused.refuse(self.limited(Duration::ZERO));
            }
            return;
        }
        match self.deps.leases.take(limit) {
            Taken::Yes => self.decide(state, waiting),
            taken => {
                let mut queue = FairQueue::new(usize::MAX);
                queue.push(network, waiting);
                self.wait(Some(context), state, limit, queue, taken);
            }
        }
    }

    /// Serves who waits, networks in turn, as far as the lease goes.
    fn serve(
        &self,
        context: Option<&Context<IssuerMessage>>,
        state: &mut IssuerState,
        limit: LimitKey,
        renewal: Renewal,
    ) {
        let Some(mut queue) = state.queues.remove(&limit) else { return };
        if renewal == Renewal::Failed {
            queue.set_room(0).into_iter().for_each(|(ask, _)| ask.refuse(Refusal::Unavailable));
        }
        let mut served = 0;
        while let Some((ask, admission)) = queue.pop() {
            if admission.is_late() {
                admission.expire();
                continue;
            }
            match self.deps.leases.take(limit) {
                Taken::Yes => {
                    served += 1;
                    self.decide(state, (ask, admission));
                }
                // other replicas took the tokens that these waited for: once is enough
                Taken::Dry(wait) if served == 0 => {
                    ask.refuse(self.limited(wait));
                    queue.set_room(0).into_iter().for_each(|(ask, _)| ask.refuse(self.limited(wait)));
                }
                taken => {
                    let network = ask.request.network();
                    queue.push_front(network, (ask, admission));
                    return self.wait(context, state, limit, queue, taken);
                }
            }
        }
    }

    /// Has the lease renewed for those who wait. Where the limit is used up, only as many wait as will be served soon.
    fn wait(
        &self,
        context: Option<&Context<IssuerMessage>>,
        state: &mut IssuerState,
        limit: LimitKey,
        mut queue: FairQueue<Waiting>,
        taken: Taken,
    ) {
        let (after, room) = match taken {
            Taken::Dry(wait) if wait < MAX_WAIT => (wait.max(MIN_WAIT), self.deps.leases.room()),
            Taken::Dry(wait) => (wait, 0),
            Taken::Yes | Taken::Empty => (Duration::ZERO, usize::MAX),
        };
        queue.set_room(room).into_iter().for_each(|(ask, _)| ask.refuse(self.limited(after)));
        let Some(context) = context.cloned() else {
            // draining: nobody will hear of a renewal
            queue.set_room(0).into_iter().for_each(|(ask, _)| ask.refuse(Refusal::Unavailable));
            return;
        };
        if queue.is_empty() {
            return;
        }
        let (leases, waiting) = (self.deps.leases.clone(), queue.len());
        state.queues.insert(limit, queue);
        while state.renewals.try_join_next().is_some() {}
        state.renewals.spawn(async move {
            let mut renewed = RenewedGuard { context, limit, renewal: Renewal::Failed };
            tokio::time::sleep(after).await;
            match leases.renew(limit, waiting).await {
                Ok(()) => renewed.renewal = Renewal::Done,
                Err(error) => tracing::warn!(%error, "a tenant's limit cannot be leased"),
            }
        });
    }

    /// Passes what the request writes on to its ledger, which answers.
    fn decide(&self, state: &mut IssuerState, (ask, admission): Waiting) {
        let Ask { request, what } = ask;
        let tenant = request.tenant.map(|tenant| tracing::field::display(tenant.id.0));
        tracing::debug!(request_id = admission.request.known(), tenant, "a request is admitted");
        match what {
            Question::Code(reply) => {
                match request.login_row(&self.deps.keys.load(), &mut state.rng, admission.request) {
                    Ok(row) => pass(&self.deps.login, row, reply, admission),
                    Err(error) => {
                        tracing::error!(%error, "the operating system gives no random numbers");
                        let _ = reply.send(Err(Refusal::Unavailable));
                    }
                }
            }
            Question::Guess(guess, reply) => {
                pass(&self.deps.verify, request.verify_row(&self.deps.keys.load(), &guess), reply, admission);
            }
        }
    }
}

/// Tells the issuer that a renewal ended, also when its task panicked.
struct RenewedGuard {
    context: Context<IssuerMessage>,
    limit: LimitKey,
    renewal: Renewal,
}

impl Drop for RenewedGuard {
    fn drop(&mut self) {
        self.context.send(IssuerMessage::Renewed(self.limit, self.renewal));
    }
}

fn limited(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Refusal::TenantLimited { retry_after_s: u32::try_from(seconds.max(1)).unwrap_or(u32::MAX) }
}

impl Actor for Issuer {
    type Message = IssuerMessage;
    type State = IssuerState;
    const MESSAGES: &'static [&'static str] = &["request_code", "verify", "renewed", "tick"];

    fn index(message: &Self::Message) -> usize {
        match message {
            IssuerMessage::Ask(Ask { what: Question::Code(_), .. }) => 0,
            IssuerMessage::Ask(Ask { what: Question::Guess(..), .. }) => 1,
            IssuerMessage::Renewed(..) => 2,
            IssuerMessage::Tick => 3,
        }
    }

    async fn start(&self, context: &Context<Self::Message>) -> Result<Self::State, Failure> {
        context.send_after(self.deps.idle, IssuerMessage::Tick);
        let (queues, renewals) = (HashMap::new(), JoinSet::new());
        Ok(IssuerState { rng: SecretRng::new()?, handled: 0, queues, renewals })
    }

    async fn handle(
        &self,
        context: &Context<Self::Message>,
        message: Self::Message,
        admission: Option<Admission>,
        state: &mut Self::State,
    ) -> Result<(), Failure> {
        match (message, admission) {
            (IssuerMessage::Ask(ask), Some(admission)) => self.receive(context, state, (ask, admission)),
            // requests always have admissions
            (IssuerMessage::Ask(_), None) => {}
            (IssuerMessage::Renewed(limit, renewal), _) => self.serve(Some(context), state, limit, renewal),
            (IssuerMessage::Tick, _) if state.handled == 0 && state.queues.is_empty() => {
                // out of the directory first: what was sent before is still handled by the drain
                self.issuers.forget(self.slot, context);
                context.retire();
            }
            (IssuerMessage::Tick, _) => {
                state.handled = 0;
                context.send_after(self.deps.idle, IssuerMessage::Tick);
            }
        }
        Ok(())
    }

    /// A drain loses nobody who waits for a renewal that is on its way.
    async fn finish(&self, state: &mut Self::State) {
        while state.renewals.join_next().await.is_some() {}
        let limits: Vec<_> = state.queues.keys().copied().collect();
        limits.into_iter().for_each(|limit| self.serve(None, state, limit, Renewal::Done));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_whole_seconds() {
        assert_eq!(limited(Duration::from_millis(300)), Refusal::TenantLimited { retry_after_s: 1 });
        assert_eq!(limited(Duration::from_millis(1_300)), Refusal::TenantLimited { retry_after_s: 2 });
    }
}
