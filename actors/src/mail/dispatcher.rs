//! The mail_dispatcher: what is due, who gets it, what has left.
//!
//! Postgres holds the truth (`mail_due`): a promise is struck off only after the mail server took the mail. Whatever
//! is lost here (a crash, a full queue, a mailer's death) becomes due again when its lease has passed. At-least-once,
//! with a stable Message-ID.

use crate::mail::mailers::{MailerPool, Outgoing};
use crate::store::challenges::DueMail;
use crate::store::mails::Recipient;
use crate::store::{Store, StoreError};
use actor_runtime::{Actor, Admission, Context, Failure};
use doorcode_domain::Clock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// First wait.
const RETRY: Duration = Duration::from_secs(2);

pub(crate) enum MailDispatcherMessage {
    /// A ledger committed these; they are leased to this replica.
    Committed(Vec<DueMail>),
    /// The mail server took it, or never will.
    Finished(DueMail),
    /// To be tried again.
    Failed(DueMail),
    /// Look for mail whose lease has passed.
    Sweep,
    /// A task of ours ended; strike off what has come together meanwhile.
    Landed,
}

/// What became of mails.
#[derive(Default)]
pub(crate) struct MailCounts {
    pub(crate) due: AtomicU64,
    pub(crate) sent: AtomicU64,
    /// To nobody: unknown or disabled.
    pub(crate) unaddressed: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Outlived by its code.
    pub(crate) expired: AtomicU64,
    /// Did not fit into memory and waits in Postgres.
    pub(crate) deferred: AtomicU64,
    /// Found by a sweep.
    pub(crate) recovered: AtomicU64,
}

pub(crate) struct MailDispatcher {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) mailers: MailerPool,
    pub(crate) lease: Duration,
    pub(crate) deadline: Duration,
    pub(crate) sweep: Duration,
    pub(crate) counts: Arc<MailCounts>,
}

#[derive(Default)]
pub(crate) struct MailDispatcherState {
    /// Committed and not yet resolved.
    waiting: Vec<DueMail>,
    finished: Vec<DueMail>,
    failed: Vec<(DueMail, Duration)>,
    working: bool,
    tasks: JoinSet<()>,
}

/// Tells the mail_dispatcher that a task ended, also when it panicked.
struct FlushGuard(Context<MailDispatcherMessage>);

impl Drop for FlushGuard {
    fn drop(&mut self) {
        self.0.send(MailDispatcherMessage::Landed);
    }
}

impl MailDispatcher {
    /// One task at a time works off everything that has come together: the busier, the larger the batches.
    fn work(&self, context: &Context<MailDispatcherMessage>, state: &mut MailDispatcherState) {
        let idle = state.waiting.is_empty() && state.finished.is_empty() && state.failed.is_empty();
        if state.working || idle {
            return;
        }
        state.working = true;
        let desk = self.desk();
        let (waiting, finished, failed) = state.take();
        let guard = FlushGuard(context.clone());
        state.tasks.spawn(async move {
            let _landing = guard;
            desk.settle(finished, failed).await;
            desk.dispatch(waiting, Instant::now()).await;
        });
    }

    fn look(&self, context: &Context<MailDispatcherMessage>, state: &mut MailDispatcherState) {
        let (desk, lease, context, sweep) = (self.desk(), self.lease, context.clone(), self.sweep);
        state.tasks.spawn(async move {
            let room = desk.mailers.room();
            match desk.store.claim_mails(desk.clock.sql_now(), lease, room.min(1_000) as i64).await {
                Ok((claimed, now_us)) if !claimed.is_empty() => {
                    desk.counts.recovered.fetch_add(claimed.len() as u64, Relaxed);
                    let (live, dead): (Vec<_>, Vec<_>) =
                        claimed.into_iter().partition(|m| m.expires_us > now_us);
                    desk.counts.expired.fetch_add(dead.len() as u64, Relaxed);
                    desk.settle(dead, Vec::new()).await;
                    desk.dispatch(live, Instant::now()).await;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "due mail cannot be looked for"),
            }
            context.send_after(sweep, MailDispatcherMessage::Sweep);
        });
    }

    fn desk(&self) -> Desk {
        Desk {
            store: self.store.clone(),
            clock: self.clock.clone(),
            mailers: self.mailers.clone(),
            counts: self.counts.clone(),
            // whoever starts later than this could still be sending when the lease has passed
            patience: self.lease.saturating_sub(self.deadline),
        }
    }
}

impl MailDispatcherState {
    fn take(&mut self) -> (Vec<DueMail>, Vec<DueMail>, Vec<(DueMail, Duration)>) {
        (
            std::mem::take(&mut self.waiting),
            std::mem::take(&mut self.finished),
            std::mem::take(&mut self.failed),
        )
    }
}

/// What the mail_dispatcher's tasks need.
struct Desk {
    store: Store,
    clock: Clock,
    mailers: MailerPool,
    counts: Arc<MailCounts>,
    patience: Duration,
}

impl Desk {
    /// Gives mails to the mailers; strikes off at once what has no recipient.
    async fn dispatch(&self, mails: Vec<DueMail>, leased: Instant) {
        if mails.is_empty() {
            return;
        }
        self.counts.due.fetch_add(mails.len() as u64, Relaxed);
        let recipients = match self.store.resolve(&mails).await {
            Ok(recipients) => recipients,
            Err(error) => {
                tracing::warn!(%error, mails = mails.len(), "recipients cannot be looked up; their mail stays due");
                return;
            }
        };
        let nobody = self.hand_out(mails, &recipients, leased + self.patience);
        self.counts.unaddressed.fetch_add(nobody.len() as u64, Relaxed);
        self.settle(nobody, Vec::new()).await;
    }

    fn hand_out(
        &self,
        mails: Vec<DueMail>,
        recipients: &HashMap<crate::store::challenges::AddressId, Recipient>,
        start_by: Instant,
    ) -> Vec<DueMail> {
        let mut nobody = Vec::new();
        for due in mails {
            // an address may be in a batch twice: asked again as soon as its code was used
            match recipients.get(&due.address) {
                None => nobody.push(due),
                Some(recipient) => {
                    if !self.mailers.dispatch(Outgoing { due, recipient: recipient.clone(), start_by }) {
                        self.counts.deferred.fetch_add(1, Relaxed);
                    }
                }
            }
        }
        nobody
    }

    async fn settle(&self, finished: Vec<DueMail>, failed: Vec<(DueMail, Duration)>) {
        let log = |what: &str, result: Result<(), StoreError>| {
            if let Err(error) = result {
                tracing::warn!(%error, what, "mail cannot be settled; it will be sent again");
            }
        };
        if !finished.is_empty() {
            log("done", self.store.mails_done(&finished).await);
        }
        if !failed.is_empty() {
            log("postpone", self.store.postpone_mails(self.clock.sql_now(), &failed).await);
        }
    }
}

/// Doubles with each attempt, spread over half of it by the challenge's own random bits.
fn retry_wait(due: &DueMail) -> Duration {
    let doubled = RETRY.saturating_mul(1 << u32::from(due.attempts.clamp(0, 6).unsigned_abs()));
    let jitter = f64::from(due.challenge.0.as_bytes()[0]) / 510.0;
    doubled.min(RETRY_MAX).mul_f64(0.75 + jitter)
}

impl Actor for MailDispatcher {
    type Message = MailDispatcherMessage;
    type State = MailDispatcherState;

    async fn start(&self, context: &Context<Self::Message>) -> Result<Self::State, Failure> {
        context.send(MailDispatcherMessage::Sweep);
        Ok(MailDispatcherState::default())
    }

    async fn handle(
        &self,
        context: &Context<Self::Message>,
        message: Self::Message,
        _: Option<Admission>,
        state: &mut Self::State,
    ) -> Result<(), Failure> {
        match message {
            MailDispatcherMessage::Committed(mails) => state.waiting.extend(mails),
            MailDispatcherMessage::Finished(due) => state.finished.push(due),
            MailDispatcherMessage::Failed(due) => {
                let wait = retry_wait(&due);
                state.failed.push((due, wait));
            }
            MailDispatcherMessage::Sweep => self.look(context, state),
            MailDispatcherMessage::Landed => {
                state.working = false;
                while state.tasks.try_join_next().is_some() {}
            }
        }
        self.work(context, state);
        Ok(())
    }

    /// What was sent is struck off before the end; what was not stays due for the next start.
    async fn finish(&self, state: &mut Self::State) {
        let (waiting, finished, mut failed) = state.take();
        // nobody here will send these: free for the next start, or another replica, at once
        failed.extend(waiting.into_iter().map(|due| (due, Duration::ZERO)));
        self.desk().settle(finished, failed).await;
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            while state.tasks.join_next().await.is_some() {}
        })
        .await;
        state.tasks.abort_all();
    }
}
