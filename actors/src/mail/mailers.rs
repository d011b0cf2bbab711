//! Mailers: a factory's workers, each with a connection of its own; as many as the backlog needs, within limits.
//!
//! A worker never fails on a mail: panics and timeouts are caught, and every mail is reported to the mail dispatcher, by its
//! own destruction if need be. The factory restarts workers without backoff and loses the job of a dying one, so neither is left to it.

use super::counts::MailCounts;
use super::dispatcher::MailDispatcherMessage;
use super::factory_remote::FactoryRemote;
use super::note::Note;
use super::outbox::{MailId, Turn};
use super::providers::Providers;
use super::{Content, Mail, MailTransport, Secret, SendError, Sender, Templates, Transport};
use crate::address_id::AddressId;
use crate::keys::Keys;
use crate::outside_faults::OutsideFaults;
use crate::store::{Store, outbox::Recipient};
use actor_runtime::{Admission, Alive, ChildSpec, Context, Instance, Meter};
use arc_swap::{ArcSwap, ArcSwapOption};
use doorcode_domain::{Alphabet, LoginCode};
use futures_util::FutureExt;
use ractor::factory::{
    DiscardMode, DiscardSettings, Factory, FactoryArguments, FactoryMessage, Job, Worker, WorkerBuilder,
    WorkerId, queues::DefaultQueue, routing::QueuerRouting,
};
use ractor::{ActorProcessingErr, ActorRef};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Mails given to the mailers and not yet sent, at most: a few statements' worth.
const READY_MAX: usize = 1_024;
/// Mails are looked at this long before their turn, at most: what is used meanwhile is mailed in vain.
const AHEAD_US: u64 = 500_000;
/// As many mailers as send what waits within this time: so much may wait for as long as the load lasts.
const DRAIN_US: u64 = 250_000;
/// How long a mail takes, until one was sent.
const FIRST_GUESS_US: u64 = 20_000;

/// A mail on its way out. Dropped by whoever dies with it, it goes back to the queue.
pub(crate) struct Outgoing {
    dispatcher: Option<Context<MailDispatcherMessage>>,
    turn: Turn,
    recipient: Recipient,
    /// When the code was asked for.
    asked_at: Instant,
    /// The code's end.
    dead_at: Instant,
}

impl Outgoing {
    pub(crate) fn new(
        dispatcher: &Context<MailDispatcherMessage>,
        turn: Turn,
        recipient: Recipient,
        asked_at: Instant,
        left: Duration,
    ) -> Self {
        let dead_at = Instant::now() + left;
        Self { dispatcher: Some(dispatcher.clone()), turn, recipient, asked_at, dead_at }
    }

    fn report(mut self, message: fn(MailId) -> MailDispatcherMessage) {
        if let Some(dispatcher) = self.dispatcher.take() {
            dispatcher.send(message(self.turn.id));
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(dispatcher) = self.dispatcher.take() {
            dispatcher.send(MailDispatcherMessage::PutBack(self.turn.id));
        }
    }
}

/// What a mailer works with.
#[derive(Clone)]
pub(crate) struct MailerDeps {
    pub(crate) transport: Transport,
    pub(crate) sender: Sender,
    pub(crate) templates: Arc<Templates>,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    pub(crate) deadline: Duration,
    /// For how long an address gets no mail whose mailbox a relay denies, and where that is noted.
    pub(crate) suppression: (Duration, Store),
    pub(crate) counts: Arc<MailCounts>,
    /// On demand only.
    pub(crate) faults: OutsideFaults,
    pub(crate) meter: Arc<Meter>,
}

impl MailerDeps {
    /// Derives the code, which exists only from here to the mail server.
    fn message(&self, outgoing: &Outgoing) -> Mail {
        let Outgoing { turn, recipient, dead_at, .. } = outgoing;
        let due = &turn.mail;
        let code = LoginCode::derive(&self.keys.load().code_derivation, due.challenge, due.alphabet);
        let left = dead_at.saturating_duration_since(Instant::now());
        let note = Note::decode(&due.note);
        Mail {
            to: recipient.email.clone(),
            tenant: recipient.tenant.clone(),
            language: recipient.language.or(note.language).or(recipient.tenant_language).unwrap_or_default(),
            content: Content::Code {
                code: Secret::from(code.reveal().as_str()),
                alphabet: match due.alphabet {
                    Alphabet::Digits => super::Alphabet::Digits,
                    Alphabet::Base32 => super::Alphabet::Base32,
                },
                // a code that is five seconds old still lives ten minutes
                minutes: u32::try_from((left.as_secs() + 5) / 60).unwrap_or(10).max(1),
                expires_us: in_us(left),
            },
            at_us: turn.asked_us,
            providers: recipient.providers.clone(),
            customer_id: recipient.customer_id,
            network: note.network.map(|network| network.to_string()),
            message_id: message_id(turn),
        }
    }
}

/// Microseconds since 1970 after this time.
fn in_us(left: Duration) -> i64 {
    let then = SystemTime::now() + left;
    then.duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// The same for every try at one mail, and nothing of the challenge in it.
fn message_id(turn: &Turn) -> uuid::Uuid {
    uuid_of(&[turn.mail.challenge.0.as_bytes().as_slice(), &turn.asked_us.to_be_bytes()].concat())
}

/// A UUID made of a digest: version 4, as if it were random.
pub(super) fn uuid_of(content: &[u8]) -> uuid::Uuid {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// A mail in the queue, counted as such until it is answered for or lost with the factory.
pub(super) type Queued = (Outgoing, Admission);
type MailerFactory = Factory<u64, Queued, (), Mailer, Routing, DefaultQueue<u64, Queued>>;
type Routing = QueuerRouting<u64, Queued>;

/// The way to the mailers.
#[derive(Clone)]
pub(crate) struct MailerPool {
    target: Arc<ArcSwapOption<ActorRef<FactoryMessage<u64, Queued>>>>,
    /// At the start and in quiet times; and at most.
    workers: (usize, usize),
    now: Arc<AtomicUsize>,
    /// How long a mail takes, µs, smoothed.
    mean_us: Arc<AtomicU64>,
    meter: Arc<Meter>,
    providers: Arc<Providers>,
}

impl MailerPool {
    /// How many mails the mailers can begin soon; 0 between two lives.
    pub(crate) fn wanted(&self) -> usize {
        if self.target.load().is_none() {
            return 0;
        }
        let workers = self.now.load(Relaxed);
        let soon = workers as u64 * AHEAD_US / self.mean_us.load(Relaxed).max(1);
        let wanted =
            usize::try_from(soon).unwrap_or(READY_MAX).clamp((2 * workers).min(READY_MAX), READY_MAX);
        self.providers.fitting(wanted)
    }

    /// Grows with what waits.
    pub(crate) fn fit(&self, waiting: usize) {
        let needed = waiting as u64 * self.mean_us.load(Relaxed) / DRAIN_US;
        let needed = usize::try_from(needed).unwrap_or(usize::MAX).min(self.workers.1);
        if needed > self.now.load(Relaxed) {
            self.resize(needed);
        }
    }

    /// As few as at the start.
    pub(crate) fn rest(&self) {
        self.resize(self.workers.0);
    }

    fn resize(&self, workers: usize) {
        if let Some(target) = self.target.load_full()
            && target.cast(FactoryMessage::AdjustWorkerPool(workers)).is_ok()
        {
            self.now.store(workers, Relaxed);
        }
    }

    /// Between two lives of the factory the mail goes back.
    pub(crate) fn dispatch(&self, mail: Outgoing) {
        let Some(target) = self.target.load_full() else { return };
        let Ok(admission) = Admission::admit(&self.meter, None, mail.turn.start_by) else { return };
        let _ = target.cast(FactoryMessage::Dispatch(Job::new(0, (mail, admission))));
    }
}

/// The factory as a child of the root; `workers` at the start, and at most.
pub(crate) fn mailers(deps: MailerDeps, workers: (usize, usize)) -> (MailerPool, ChildSpec) {
    let pool = MailerPool {
        target: Arc::default(),
        workers,
        now: Arc::new(AtomicUsize::new(workers.0)),
        mean_us: Arc::new(AtomicU64::new(FIRST_GUESS_US)),
        meter: deps.meter.clone(),
        providers: deps.transport.0.clone(),
    };
    let (up, down) = (pool.clone(), pool.clone());
    let remote = FactoryRemote(pool.target.clone());
    let spec = ChildSpec {
        instance: Instance::new(&Meter::new("mailers", None), None, Some(Box::new(remote))),
        spawn: Box::new(move |parent| {
            let (deps, up) = (deps.clone(), up.clone());
            Box::pin(async move {
                up.now.store(workers.0, Relaxed);
                let builder = Builder(deps, up.mean_us.clone());
                let arguments = FactoryArguments::builder()
                    .worker_builder(Box::new(builder) as Box<dyn WorkerBuilder<Mailer, ()>>)
                    .num_initial_workers(workers.0)
                    .router(Routing::default())
                    .queue(DefaultQueue::default())
                    // the dispatcher gives READY_MAX; these are for what a life of it before left
                    .discard_settings(DiscardSettings::Static {
                        limit: 2 * READY_MAX,
                        mode: DiscardMode::Newest,
                    })
                    .build();
                let (factory, _) =
                    ractor::ActorRuntime::spawn_linked(None, MailerFactory::default(), arguments, parent)
                        .await?;
                let cell = factory.get_cell();
                up.target.store(Some(Arc::new(factory)));
                Ok(cell)
            })
        }),
        on_down: Box::new(move || down.target.store(None)),
        // ractor's drain is wrong for a factory; what is queued stays due in Postgres, what is being sent may finish
        drain: Some(Box::new(|cell| {
            Box::pin(async move { cell.stop_and_wait(None, Some(Duration::from_secs(5))).await.is_ok() })
        })),
    };
    (pool, spec)
}

struct Builder(MailerDeps, Arc<AtomicU64>);

impl WorkerBuilder<Mailer, ()> for Builder {
    fn build(&mut self, _: WorkerId) -> (Mailer, ()) {
        (Mailer { deps: self.0.clone(), mean_us: self.1.clone() }, ())
    }
}

pub(crate) struct Mailer {
    deps: MailerDeps,
    mean_us: Arc<AtomicU64>,
}

impl Mailer {
    async fn carry(&self, transport: &mut MailTransport, mail: Outgoing) {
        let now = Instant::now();
        if mail.turn.start_by <= now {
            return;
        }
        if mail.dead_at <= now {
            self.deps.counts.expired.fetch_add(1, Relaxed);
            return mail.report(MailDispatcherMessage::Finished);
        }
        if self.deps.faults.is_mail_refused() {
            return self.try_later(mail, "refused: a fault on demand");
        }
        let message = self.deps.message(&mail);
        let sending = async {
            self.deps.faults.slow_mail().await;
            transport.send(&message).await
        };
        let tried = AssertUnwindSafe(tokio::time::timeout(self.deps.deadline, sending)).catch_unwind();
        match tried.await {
            Ok(Ok(Ok(()))) => {
                self.deps.counts.sent.fetch_add(1, Relaxed);
                let is_base32 = mail.turn.mail.alphabet == Alphabet::Base32;
                self.deps.counts.base32.fetch_add(u64::from(is_base32), Relaxed);
                self.deps.counts.delay.record(mail.asked_at.elapsed());
                self.took(now.elapsed());
                let (request_id, tenant) = (mail.turn.request().known(), &mail.recipient.tenant.slug);
                tracing::debug!(request_id, tenant, attempts = mail.turn.attempts, "a mail is handed over");
                mail.report(MailDispatcherMessage::Finished);
            }
            Ok(Ok(Err(error))) if error.is_permanent() => {
                self.deps.counts.refused.fetch_add(1, Relaxed);
                let (request_id, tenant) = (mail.turn.request().known(), &mail.recipient.tenant.slug);
                let customer = mail.recipient.customer_id.map(tracing::field::display);
                tracing::warn!(%error, request_id, tenant, customer, "mail refused for good");
                let denied =
                    error.denies_mailbox().then_some((mail.turn.mail.address, mail.recipient.customer_id));
                mail.report(MailDispatcherMessage::Finished);
                if let Some((address, Some(_))) = denied {
                    self.suppress(address, transport.provider()).await;
                }
            }
            // the breakers pace it: a mail that nobody began goes back and has lost no try
            Ok(Ok(Err(SendError::NoProvider))) if transport.is_everybodys(&message) => {}
            Ok(Ok(Err(error))) => self.try_later(mail, &error.to_string()),
            Ok(Err(_)) => self.try_later(mail, "no answer in time"),
            Err(_) => self.try_later(mail, "panic"),
        }
    }

    /// A stranger who asks for codes there costs this once within that time: the next mails have no recipient. Where it fails, the next
    /// refusal does it.
    async fn suppress(&self, address: AddressId, provider: &str) {
        let (time, store) = &self.deps.suppression;
        if !time.is_zero()
            && let Err(error) = store.suppress(address, *time, provider).await
        {
            tracing::warn!(%error, "an address without a mailbox could not be noted");
        }
    }

    /// An eighth of the new, seven eighths of what was.
    fn took(&self, time: Duration) {
        let (new, old) = (u64::try_from(time.as_micros()).unwrap_or(u64::MAX), self.mean_us.load(Relaxed));
        self.mean_us.store((old / 8).saturating_mul(7).saturating_add(new / 8).max(1), Relaxed);
    }

    fn try_later(&self, mail: Outgoing, why: &str) {
        self.deps.counts.retried.fetch_add(1, Relaxed);
        tracing::warn!(
            why,
            request_id = mail.turn.request().known(),
            tenant = mail.recipient.tenant.slug,
            customer = mail.recipient.customer_id.map(tracing::field::display),
            attempts = mail.turn.attempts,
            "mail not sent; trying later"
        );
        mail.report(MailDispatcherMessage::Failed);
    }
}

/// A mailer's connection, and its place among those alive.
pub(crate) struct MailerState {
    transport: MailTransport,
    alive: Alive,
}

impl Worker for Mailer {
    type Key = u64;
    type Message = Queued;
    type Arguments = ();
    type State = MailerState;

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<u64, Queued>>,
        (): (),
    ) -> Result<MailerState, ActorProcessingErr> {
        let transport = self.deps.transport.transport(self.deps.sender.clone(), self.deps.templates.clone());
        Ok(MailerState { transport, alive: Alive::new(&self.deps.meter) })
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<u64, Queued>>,
        job: Job<u64, Queued>,
        state: &mut MailerState,
    ) -> Result<u64, ActorProcessingErr> {
        let busy = state.alive.busy();
        let (mail, admission) = job.msg;
        admission.read();
        self.carry(&mut state.transport, mail).await;
        busy.done();
        Ok(job.key)
    }

    async fn post_stop(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<u64, Queued>>,
        state: &mut MailerState,
    ) -> Result<(), ActorProcessingErr> {
        state.transport.close().await;
        Ok(())
    }
}
