//! The mail dispatcher: whose mail leaves next, and what Postgres has to know of it.
//!
//! Postgres holds the truth (`outbox`): a row goes only after a mail server took each of its mails. What is lost here (a
//! crash, a mailer's death) is claimed again when the row's lease has passed. At-least-once, with a stable Message-ID.
//! Everything is bounded: mails in memory, statements in flight, rows in a statement; one that failed is repeated smaller.

use super::capacity::{MailCapacity, Reservation};
use super::counts::MailCounts;
use super::mailers::{MailerPool, Outgoing};
use super::note::Note;
use super::outbox::{MailId, Outbox, Turn};
use super::record::DUE_BYTES;
use super::typed_address;
use crate::keys::Keys;
use crate::settings::SignupLimitSettings;
use crate::store::outbox::{Look, OutboxRow, Seen};
use crate::store::{Store, StoreError};
use actor_runtime::{Actor, Admission, Context, Failure};
use arc_swap::ArcSwap;
use doorcode_domain::Clock;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

/// Looks in flight.
const LOOKS: usize = 2;
/// Mails that left before Postgres is told without waiting for the next checkpoint.
const CHECKPOINT: usize = 512;
/// Between a failed statement and its repetition.
const PAUSE: Duration = Duration::from_millis(200);
/// Checkpoints without a mail before the mailers are as few as at the start.
const IDLE_CHECKPOINTS: u32 = 30;

pub(crate) enum MailDispatcherMessage {
    /// A ledger committed this row; it is leased to this replica until then. Its mails have their room.
    Committed(OutboxRow, Instant, Reservation),
    /// The mail server took it, or never will.
    Finished(MailId),
    /// To be tried again.
    Failed(MailId),
    /// No mailer began it.
    PutBack(MailId),
    /// Checkpoint, and look for rows whose lease has passed.
    Tick,
    /// After a pause.
    Resume,
    /// Statements ended, or their tasks did.
    Looked(Looked),
    Settled(Settled),
    Claimed(Option<Vec<OutboxRow>>, Instant),
}

/// Mails that were looked at; `None`: the statement failed.
pub(crate) struct Looked(Vec<Turn>, Option<Vec<Seen>>);

/// Rows that were to be settled, those that were still ours (`None`: the statement failed), and when it was sent.
pub(crate) struct Settled(Vec<Uuid>, Option<Vec<Uuid>>, Instant);

#[derive(Clone)]
pub(crate) struct MailDispatcher {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) mailers: MailerPool,
    pub(crate) capacity: Arc<MailCapacity>,
    /// Names this process in the outbox.
    pub(crate) holder: Uuid,
    pub(crate) lease: Duration,
    /// Longest try at one mail.
    pub(crate) deadline: Duration,
    pub(crate) tick: Duration,
    pub(crate) batch_max: usize,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    /// Mails to addresses that are no customers yet, of each tenant.
    pub(crate) signup: SignupLimitSettings,
    pub(crate) counts: Arc<MailCounts>,
}

pub(crate) struct MailDispatcherState {
    outbox: Outbox,
    /// Given to the mailers and not heard of since.
    out: usize,
    looks: usize,
    is_settling: bool,
    is_claiming: bool,
    /// The last claim found something: there may be more.
    may_be_more: bool,
    is_paused: bool,
    /// Mails in a look, rows in a settlement: halved by a failure, doubled by a success.
    look_max: usize,
    settle_max: usize,
    idle: u32,
    tasks: JoinSet<()>,
}

/// Tells the dispatcher how a task ended, also when it panicked.
struct Report<T>(Context<MailDispatcherMessage>, Option<T>, fn(T) -> MailDispatcherMessage);

impl<T> Report<T> {
    fn fill(&mut self, with: impl FnOnce(&mut T)) {
        self.1.as_mut().map(with);
    }
}

impl<T> Drop for Report<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.1.take() {
            self.0.send((self.2)(outcome));
        }
    }
}

impl MailDispatcher {
    /// Begins whatever can be begun.
    fn work(&self, context: &Context<MailDispatcherMessage>, state: &mut MailDispatcherState) {
        if state.is_paused {
            return;
        }
        self.mailers.fit(state.outbox.waiting() + state.out);
        while state.looks < LOOKS && self.look(context, state) {}
        let (unsettled, is_complete) = state.outbox.unsettled();
        if is_complete || unsettled >= CHECKPOINT {
            self.settle(context, state, unsettled >= CHECKPOINT);
        }
        if state.may_be_more && self.capacity.room() >= self.batch_max {
            self.claim(context, state);
        }
    }

    /// Looks at mails before they go to the mailers: as many as these can begin soon. `false`: none.
    fn look(&self, context: &Context<MailDispatcherMessage>, state: &mut MailDispatcherState) -> bool {
        let count = self.mailers.wanted().saturating_sub(state.out).min(state.look_max);
        let turns = state.outbox.next(count, self.deadline, Instant::now());
        if turns.is_empty() {
            return false;
        }
        state.looks += 1;
        state.out += turns.len();
        let keys = self.keys.load();
        let looks: Vec<Look> = turns
            .iter()
            .map(|Turn { mail, .. }| Look {
                address: mail.address,
                challenge: mail.challenge,
                known: mail.known,
                typed: typed_address::open(&keys, mail.address, &Note::decode(&mail.note).typed),
            })
            .collect();
        let mut report = Report(context.clone(), Some(Looked(turns, None)), MailDispatcherMessage::Looked);
        let dispatcher = self.clone();
        state.tasks.spawn(async move {
            let seen = dispatcher.see(&looks).await;
            let seen = logged(seen, "mails cannot be looked at; they stay due");
            report.fill(|Looked(_, answer)| *answer = seen);
        });
        true
    }

    fn looked(
        &self,
        context: &Context<MailDispatcherMessage>,
        state: &mut MailDispatcherState,
        looked: Looked,
    ) {
        let Looked(turns, seen) = looked;
        state.looks -= 1;
        let Some(seen) = seen else {
            state.look_max = (turns.len() / 2).max(1);
            state.out -= turns.len();
            turns.iter().for_each(|turn| state.outbox.put_back(turn.id));
            return self.pause(context, state);
        };
        state.look_max = (state.look_max * 2).min(self.batch_max);
        let (now, now_us) = (Instant::now(), self.store.now_us(&self.clock));
        for (turn, code) in turns.into_iter().zip(seen) {
            let recipient = code.map(|code| (code.left, code.recipient));
            match recipient {
                // a mailer reports each mail that it was given, or its death does
                Some((left, Some(recipient))) => {
                    let age = Duration::from_micros((now_us - turn.asked_us).max(0).unsigned_abs());
                    let asked_at = now.checked_sub(age).unwrap_or(now);
                    self.mailers.dispatch(Outgoing::new(context, turn, recipient, asked_at, left))
                }
                other => {
                    let (count, why) = match other {
                        Some(_) => (&self.counts.unaddressed, "it is nobody's"),
                        None => (&self.counts.expired, "its code was outlived, used or replaced"),
                    };
                    count.fetch_add(1, Relaxed);
                    tracing::debug!(request_id = turn.request().known(), why, "a mail does not leave");
                    state.out -= 1;
                    state.outbox.finish(turn.id);
                }
            }
        }
    }

    fn settle(
        &self,
        context: &Context<MailDispatcherMessage>,
        state: &mut MailDispatcherState,
        checkpoint: bool,
    ) {
        let sent = Instant::now();
        if state.is_settling {
            return;
        }
        let rows = state.outbox.settlements(state.settle_max, checkpoint, sent + self.renew());
        if rows.is_empty() {
            return;
        }
        state.is_settling = true;
        let ids = rows.iter().map(|row| row.id).collect();
        let mut report =
            Report(context.clone(), Some(Settled(ids, None, sent)), MailDispatcherMessage::Settled);
        let dispatcher = self.clone();
        state.tasks.spawn(async move {
            let (now, holder) = (dispatcher.clock.sql_now(), dispatcher.holder);
            let held = dispatcher.store.settle_mails(now, holder, dispatcher.lease, &rows).await;
            let held = logged(held, "mails cannot be settled; that is repeated");
            report.fill(|Settled(_, answer, _)| *answer = held);
        });
    }

    /// A lease is extended when less than this is left of it: while its mails may still be begun.
    fn renew(&self) -> Duration {
        self.deadline + self.lease.saturating_sub(self.deadline) / 2
    }

    fn settled(
        &self,
        context: &Context<MailDispatcherMessage>,
        state: &mut MailDispatcherState,
        settled: Settled,
    ) {
        let Settled(ids, held, sent) = settled;
        state.is_settling = false;
        match held {
            Some(held) => {
                state.settle_max = (state.settle_max * 2).min(self.batch_max);
                state.outbox.settled(&ids, &held, sent + self.lease);
                // more rows than one statement takes: the next at once, or the last leases end before their turn
                if state.outbox.is_any_ending(Instant::now() + self.renew()) {
                    self.settle(context, state, true);
                }
            }
            None => {
                state.settle_max = (ids.len() / 2).max(1);
                self.pause(context, state);
            }
        }
    }

    fn claim(&self, context: &Context<MailDispatcherMessage>, state: &mut MailDispatcherState) {
        let (room, sent) = (self.capacity.room(), Instant::now());
        if state.is_claiming || room == 0 {
            return;
        }
        state.is_claiming = true;
        let mut report = Report(context.clone(), Some((None, sent)), |(rows, sent)| {
            MailDispatcherMessage::Claimed(rows, sent)
        });
        let dispatcher = self.clone();
        state.tasks.spawn(async move {
            let (now, holder) = (dispatcher.clock.sql_now(), dispatcher.holder);
            let rows = dispatcher.store.claim_mails(now, holder, dispatcher.lease, room).await;
            let rows = logged(rows, "due mail cannot be looked for");
            report.fill(|(answer, _)| *answer = rows);
        });
    }

    fn claimed(&self, state: &mut MailDispatcherState, rows: Option<Vec<OutboxRow>>, sent: Instant) {
        state.is_claiming = false;
        let rows = rows.unwrap_or_default();
        state.may_be_more = !rows.is_empty();
        for row in rows {
            let (waiting, is_expired) = (state.outbox.waiting(), row.expired);
            let mails = row.due.len() / DUE_BYTES;
            self.take_in(state, row, sent + self.lease);
            let count = if is_expired { &self.counts.expired } else { &self.counts.recovered };
            count
                .fetch_add(if is_expired { mails } else { state.outbox.waiting() - waiting } as u64, Relaxed);
        }
    }

    fn take_in(&self, state: &mut MailDispatcherState, row: OutboxRow, leased_until: Instant) {
        let id = row.id;
        if !state.outbox.insert(row, leased_until) {
            tracing::error!(row = %id, "a row of the outbox cannot be read; it stays there");
        }
    }

    /// A database that does not answer is not asked again at once.
    fn pause(&self, context: &Context<MailDispatcherMessage>, state: &mut MailDispatcherState) {
        if !std::mem::replace(&mut state.is_paused, true) {
            context.send_after(PAUSE, MailDispatcherMessage::Resume);
        }
    }

    fn tick(&self, context: &Context<MailDispatcherMessage>, state: &mut MailDispatcherState) {
        context.send_after(self.tick, MailDispatcherMessage::Tick);
        while state.tasks.try_join_next().is_some() {}
        let oldest = state.outbox.oldest_us(Instant::now());
        self.counts.oldest_due_us.store(oldest.unwrap_or(0), Relaxed);
        state.idle = if state.outbox.waiting() + state.out == 0 { state.idle + 1 } else { 0 };
        if state.idle == IDLE_CHECKPOINTS {
            self.mailers.rest();
        }
        if !state.is_paused {
            self.settle(context, state, true);
            self.claim(context, state);
        }
    }
}

fn logged<T>(result: Result<T, StoreError>, what: &str) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%error, "{what}")).ok()
}

impl Actor for MailDispatcher {
    type Message = MailDispatcherMessage;
    type State = MailDispatcherState;
    async fn start(&self, context: &Context<Self::Message>) -> Result<Self::State, Failure> {
        context.send(MailDispatcherMessage::Tick);
        Ok(MailDispatcherState {
            outbox: Outbox::new(self.capacity.clone()),
            out: 0,
            looks: 0,
            is_settling: false,
            is_claiming: false,
            may_be_more: false,
            is_paused: false,
            look_max: self.batch_max,
            settle_max: self.batch_max,
            idle: 0,
            tasks: JoinSet::new(),
        })
    }

    async fn handle(
        &self,
        context: &Context<Self::Message>,
        message: Self::Message,
        _: Option<Admission>,
        state: &mut Self::State,
    ) -> Result<(), Failure> {
        match message {
            // the reservation ends behind this, when the mails have been counted themselves
            MailDispatcherMessage::Committed(row, leased_until, _room) => {
                self.take_in(state, row, leased_until)
            }
            MailDispatcherMessage::Finished(id) => {
                state.out = state.out.saturating_sub(1);
                state.outbox.finish(id);
            }
            MailDispatcherMessage::Failed(id) => {
                state.out = state.out.saturating_sub(1);
                state.outbox.put_off(id);
            }
            MailDispatcherMessage::PutBack(id) => {
                state.out = state.out.saturating_sub(1);
                state.outbox.put_back(id);
            }
            MailDispatcherMessage::Tick => self.tick(context, state),
            MailDispatcherMessage::Resume => state.is_paused = false,
            MailDispatcherMessage::Looked(looked) => self.looked(context, state, looked),
            MailDispatcherMessage::Settled(settled) => self.settled(context, state, settled),
            MailDispatcherMessage::Claimed(rows, sent) => self.claimed(state, rows, sent),
        }
        self.work(context, state);
        Ok(())
    }

    /// What was sent is noted before the end; what was not is free for the next start, or another replica, at once.
    async fn finish(&self, state: &mut Self::State) {
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            while state.tasks.join_next().await.is_some() {}
        })
        .await;
        state.tasks.abort_all();
        // twice if an answer is outstanding: its settlement is repeated as it was, what came since follows
        for _ in 0..=usize::from(state.outbox.is_unanswered()) {
            for rows in state.outbox.close_all().chunks(self.batch_max) {
                let (now, free) = (self.clock.sql_now(), Duration::ZERO);
                let held = self.store.settle_mails(now, self.holder, free, rows).await;
                if let Some(held) = logged(held, "mails cannot be settled; they are due after their lease") {
                    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
                    state.outbox.settled(&ids, &held, Instant::now());
                }
            }
        }
    }
}
