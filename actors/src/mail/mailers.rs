//! Mailers: a factory's workers, each with a connection of its own.
//!
//! A worker never fails on a mail: panics and timeouts are caught, and every mail ends at the mail_dispatcher as finished or
//! failed. The factory restarts workers without backoff and loses the job of a dying one, so neither is left to it.

use crate::keys::Keys;
use crate::mail::dispatcher::{MailCounts, MailDispatcherMessage};
use crate::mail::{self, LoginMail, MailTransport, Secret, Sender, Transport};
use crate::store::challenges::DueMail;
use crate::store::mails::Recipient;
use actor_runtime::{Admission, Alive, ChildSpec, Handle, Meter};
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
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// A mail on its way out.
pub(crate) struct Outgoing {
    pub(crate) due: DueMail,
    pub(crate) recipient: Recipient,
    /// Begun later than this, it could overlap with the try of whoever claims it next.
    pub(crate) start_by: Instant,
}

/// What a mailer works with.
#[derive(Clone)]
pub(crate) struct MailerDeps {
    pub(crate) transport: Transport,
    pub(crate) sender: Sender,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    pub(crate) deadline: Duration,
    pub(crate) life: Duration,
    pub(crate) counts: Arc<MailCounts>,
    pub(crate) mail_dispatcher: Handle<MailDispatcherMessage>,
    pub(crate) meter: Arc<Meter>,
    queued: Arc<AtomicUsize>,
}

impl MailerDeps {
    #[allow(clippy::too_many_arguments, reason = "a deps is its parts")]
    pub(crate) fn new(
        transport: Transport,
        sender: Sender,
        keys: Arc<ArcSwap<Keys>>,
        deadline: Duration,
        life: Duration,
        counts: Arc<MailCounts>,
        mail_dispatcher: Handle<MailDispatcherMessage>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            transport,
            sender,
            keys,
            deadline,
            life,
            counts,
            mail_dispatcher,
            meter,
            queued: Arc::default(),
        }
    }

    /// Derives the code, which exists only from here to the mail server.
    fn message(&self, mail: &Outgoing) -> LoginMail {
        let code =
            LoginCode::derive(&self.keys.load().code_derivation, mail.due.challenge, mail.due.alphabet);
        LoginMail {
            to: mail.recipient.email.clone(),
            tenant_name: mail.recipient.tenant_name.clone(),
            tenant_slug: mail.recipient.tenant_slug.clone(),
            code: Secret::from(code.reveal().as_str()),
            alphabet: match mail.due.alphabet {
                Alphabet::Digits => mail::Alphabet::Digits,
                Alphabet::Base32 => mail::Alphabet::Base32,
            },
            minutes: u32::try_from(self.life.as_secs() / 60).unwrap_or(10),
            requested_at: mail.due.asked_us,
            portal_host: mail.recipient.portal_host.clone(),
            message_id: message_id(&mail.due),
        }
    }
}

/// The same for every try at one mail, and nothing of the challenge in it.
fn message_id(due: &DueMail) -> uuid::Uuid {
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        &[due.challenge.0.as_bytes().as_slice(), &due.asked_us.to_be_bytes()].concat(),
    );
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// A mail in the queue, counted as such until it is answered for or lost with the factory.
type Queued = (Outgoing, Admission);
type MailerFactory = Factory<u64, Queued, (), Mailer, Routing, DefaultQueue<u64, Queued>>;
type Routing = QueuerRouting<u64, Queued>;

/// The way to the mailers.
#[derive(Clone)]
pub(crate) struct MailerPool {
    target: Arc<ArcSwapOption<ActorRef<FactoryMessage<u64, Queued>>>>,
    queued: Arc<AtomicUsize>,
    limit: usize,
    meter: Arc<Meter>,
}

impl MailerPool {
    /// How many more mails fit into memory.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.queued.load(Relaxed))
    }

    /// `false`: full, or between two lives; the mail stays due in Postgres.
    pub(crate) fn dispatch(&self, mail: Outgoing) -> bool {
        let Some(target) = self.target.load_full() else { return false };
        if self.room() == 0 {
            return false;
        }
        let Ok(admission) = Admission::admit(&self.meter, mail.start_by) else { return false };
        self.queued.fetch_add(1, Relaxed);
        let sent = target.cast(FactoryMessage::Dispatch(Job::new(0, (mail, admission)))).is_ok();
        if !sent {
            self.queued.fetch_sub(1, Relaxed);
        }
        sent
    }
}

/// The factory as a child of the root.
pub(crate) fn mailers(deps: MailerDeps, workers: usize, limit: usize) -> (MailerPool, ChildSpec) {
    let pool =
        MailerPool { target: Arc::default(), queued: deps.queued.clone(), limit, meter: deps.meter.clone() };
    let (up, down, meter) = (pool.clone(), pool.clone(), deps.meter.clone());
    let spec = ChildSpec {
        meter,
        spawn: Box::new(move |parent| {
            let (deps, up) = (deps.clone(), up.clone());
            Box::pin(async move {
                // a new life begins with an empty queue; what the last one held is due again after its lease
                up.queued.store(0, Relaxed);
                let arguments = FactoryArguments::builder()
                    .worker_builder(Box::new(Builder(deps)) as Box<dyn WorkerBuilder<Mailer, ()>>)
                    .num_initial_workers(workers)
                    .router(Routing::default())
                    .queue(DefaultQueue::default())
                    .discard_settings(DiscardSettings::Static {
                        limit: limit + workers,
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

struct Builder(MailerDeps);

impl WorkerBuilder<Mailer, ()> for Builder {
    fn build(&mut self, _: WorkerId) -> (Mailer, ()) {
        (Mailer { deps: self.0.clone() }, ())
    }
}

pub(crate) struct Mailer {
    deps: MailerDeps,
}

impl Mailer {
    async fn carry(&self, transport: &mut MailTransport, mail: Outgoing) {
        if mail.start_by <= Instant::now() {
            self.deps.counts.deferred.fetch_add(1, Relaxed);
            return;
        }
        let message = self.deps.message(&mail);
        let tried = AssertUnwindSafe(tokio::time::timeout(self.deps.deadline, transport.send(&message)))
            .catch_unwind();
        let report = match tried.await {
            Ok(Ok(Ok(()))) => {
                self.deps.counts.sent.fetch_add(1, Relaxed);
                MailDispatcherMessage::Finished(mail.due)
            }
            Ok(Ok(Err(error))) if error.is_permanent() => {
                self.deps.counts.refused.fetch_add(1, Relaxed);
                tracing::warn!(%error, tenant = mail.recipient.tenant_slug, "mail refused for good");
                MailDispatcherMessage::Finished(mail.due)
            }
            Ok(Ok(Err(error))) => self.try_later(mail, &error.to_string()),
            Ok(Err(_)) => self.try_later(mail, "no answer in time"),
            Err(_) => self.try_later(mail, "panic"),
        };
        // a mail_dispatcher between two lives: the mail is due again after its lease, and goes out twice at worst
        let _ = self.deps.mail_dispatcher.tell(report);
    }

    fn try_later(&self, mail: Outgoing, why: &str) -> MailDispatcherMessage {
        self.deps.counts.retried.fetch_add(1, Relaxed);
        tracing::warn!(
            why,
            tenant = mail.recipient.tenant_slug,
            attempts = mail.due.attempts,
            "mail not sent; trying later"
        );
        MailDispatcherMessage::Failed(mail.due)
    }
}

/// A mailer's connection, and its place among those alive.
pub(crate) struct MailerState {
    transport: MailTransport,
    _alive: Alive,
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
        let transport = self.deps.transport.transport(self.deps.sender.clone());
        Ok(MailerState { transport, _alive: Alive::new(&self.deps.meter) })
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &ActorRef<FactoryMessage<u64, Queued>>,
        job: Job<u64, Queued>,
        state: &mut MailerState,
    ) -> Result<u64, ActorProcessingErr> {
        self.deps.queued.fetch_sub(1, Relaxed);
        let begun = Instant::now();
        let (mail, admission) = job.msg;
        admission.read();
        self.carry(&mut state.transport, mail).await;
        self.deps.meter.handled(begun.elapsed());
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
