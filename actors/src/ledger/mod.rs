//! The ledger: group commit. Whatever arrived while the previous statement was on its way goes into the next.
//!
//! One actor per kind of write, each with its own [`Batch`]. A row's key is written at most once per statement: what is
//! the same request joins the row that waits, what is not queues behind it, at most [`KEY_QUEUE`] deep.

mod commit;
mod login;
mod logout;
pub(crate) mod queue;
mod refresh;
#[cfg(test)]
mod tests;
mod verify;

use crate::error::Refusal;
use crate::store::StoreError;
use actor_runtime::{Actor, Admission, Context, Failure, Histogram, Meter, Reply, powers_of_two};
use doorcode_domain::TenantId;
use queue::Queue;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use login::LoginBatch;
pub(crate) use logout::{LogoutBatch, Reach};
pub(crate) use refresh::RefreshBatch;
pub(crate) use verify::VerifyBatch;

/// Different requests for one key that may wait behind each other; the next is refused.
/// Five guesses a code, twice over two lanes, never need more.
pub(crate) const KEY_QUEUE: usize = 8;
/// Places behind those for a known device: strangers who guess at an address without end cannot fill them.
pub(crate) const KNOWN_PLACES: usize = 4;

/// What a statement came to, by key.
pub(crate) type Answers<B> = Vec<(<B as Batch>::Key, <B as Batch>::Answer)>;

/// Rows that must be due for each flush that is on its way before another one sets out: when the processor is the limit,
/// larger batches do more than more flushes (docs/adr/0003, 0031). A lone row never waits for company, only for a guard.
const ROWS_PER_FLUSH: usize = 32;

/// One kind of write.
pub(crate) trait Batch: Sized + Send + Sync + 'static {
    type Row: Clone + Send + Sync + 'static;
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    type Answer: Clone + Send + 'static;
    /// Whether a lost answer can be looked up.
    const LOOKS_UP: bool = false;

    fn key(row: &Self::Row) -> Self::Key;
    fn tenant(row: &Self::Row) -> TenantId;
    /// Whether it comes from a device that is known at its key.
    fn is_known(_row: &Self::Row) -> bool {
        false
    }
    /// Whether one write serves both.
    fn same(waiting: &Self::Row, new: &Self::Row) -> bool;
    /// Writes rows of distinct keys in one statement; `until` says by row when the last who waits for it has gone. A row
    /// that was decided on too late to be written has no answer.
    fn write(
        &self,
        rows: Vec<Self::Row>,
        until: &[Instant],
    ) -> impl Future<Output = Result<Answers<Self>, StoreError>> + Send;
    /// After an answer was lost: what can be found out by now. A row of which nothing is known has no answer. Asked again
    /// as long as somebody waits: what was sent may still happen.
    fn look_up(
        &self,
        _rows: Vec<Self::Row>,
        _until: &[Instant],
    ) -> impl Future<Output = Result<Answers<Self>, StoreError>> + Send {
        async { Ok(Vec::new()) }
    }
}

/// An answer, or a refusal of this one row.
pub(crate) type Outcome<A> = Result<A, Refusal>;

/// Somebody who waits for a row.
pub(super) struct Waiter<A> {
    pub(super) reply: Reply<Outcome<A>>,
    pub(super) admission: Admission,
}

impl<A> Waiter<A> {
    fn is_gone(&self) -> bool {
        self.admission.is_late() || self.reply.is_closed()
    }
}

/// A row and all who wait for it.
pub(super) struct Entry<B: Batch> {
    pub(super) row: B::Row,
    pub(super) waiters: Vec<Waiter<B::Answer>>,
}

pub(crate) enum LedgerMessage<B: Batch> {
    Put(B::Row, Reply<Outcome<B::Answer>>),
    /// Behind everything that was in the mailbox: the burst is complete, flush it.
    FlushSoon,
    /// A flush ended, however it ended.
    Flushed(Vec<B::Key>),
}

/// Sizes of a ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LedgerSettings {
    pub(crate) max_in_flight: usize,
    pub(crate) batch_max: usize,
}

/// Counted per ledger: how well writes are grouped.
pub(crate) struct FlushCounts {
    /// Rows in a flush.
    pub(crate) batch: Histogram,
    /// From a flush's beginning until all who waited for it are answered.
    pub(crate) flush: Histogram,
    pub(crate) failed: AtomicU64,
}

/// Upper bounds of a batch's rows: powers of two.
const BATCH_ROWS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// Upper bounds of a flush's time in seconds: powers of two from half a millisecond to past a request's deadline.
const FLUSH_SECONDS: [f64; 14] = powers_of_two(-11);

impl Default for FlushCounts {
    fn default() -> Self {
        let (batch, flush) = (Histogram::new(&BATCH_ROWS), Histogram::new(&FLUSH_SECONDS));
        Self { batch, flush, failed: AtomicU64::new(0) }
    }
}

pub(crate) struct Ledger<B: Batch> {
    pub(crate) batch: Arc<B>,
    pub(crate) settings: LedgerSettings,
    pub(crate) meter: Arc<Meter>,
    pub(crate) counts: Arc<FlushCounts>,
}

pub(crate) struct LedgerState<B: Batch> {
    queue: Queue<B>,
    in_flight: usize,
    flush_requested: bool,
    tasks: JoinSet<()>,
}

impl<B: Batch> Ledger<B> {
    /// Asks for a flush once everything that is already in the mailbox has been read.
    fn flush_soon(&self, context: &Context<LedgerMessage<B>>, state: &mut LedgerState<B>) {
        let worthwhile = state.queue.due() >= state.in_flight * ROWS_PER_FLUSH;
        if state.flush_requested
            || state.in_flight >= self.settings.max_in_flight
            || state.queue.is_empty()
            || !worthwhile
        {
            return;
        }
        if context.send(LedgerMessage::FlushSoon) {
            state.flush_requested = true;
        } else {
            // draining: no more notes, so flush now
            self.flush(Some(context), state);
        }
    }

    fn flush(&self, context: Option<&Context<LedgerMessage<B>>>, state: &mut LedgerState<B>) {
        let entries = self.still_wanted(state);
        if entries.is_empty() {
            return;
        }
        state.in_flight += 1;
        self.counts.batch.record_count(entries.len());
        let keys = entries.iter().map(|entry| B::key(&entry.row)).collect();
        let guard = FlushGuard { context: context.cloned(), keys };
        let (batch, counts) = (self.batch.clone(), self.counts.clone());
        state.tasks.spawn(async move {
            let _guard = guard;
            let begun = Instant::now();
            commit::commit(&*batch, &counts, entries).await;
            counts.flush.record(begun.elapsed());
        });
    }

    /// Takes rows from the queue; those whose callers have all gone are dropped before they are written.
    fn still_wanted(&self, state: &mut LedgerState<B>) -> Vec<Entry<B>> {
        let mut entries = Vec::new();
        while entries.len() < self.settings.batch_max {
            let Some(mut entry) = state.queue.take() else { break };
            let (gone, here): (Vec<_>, Vec<_>) = entry.waiters.into_iter().partition(Waiter::is_gone);
            gone.iter().for_each(|_| self.meter.expired());
            if here.is_empty() {
                state.queue.release(&B::key(&entry.row));
                continue;
            }
            entry.waiters = here;
            entries.push(entry);
        }
        entries
    }
}

/// Tells the ledger that a flush ended, also when its task panicked.
struct FlushGuard<B: Batch> {
    context: Option<Context<LedgerMessage<B>>>,
    keys: Vec<B::Key>,
}

impl<B: Batch> Drop for FlushGuard<B> {
    fn drop(&mut self) {
        if let Some(context) = &self.context {
            context.send(LedgerMessage::Flushed(std::mem::take(&mut self.keys)));
        }
    }
}

impl<B: Batch> Actor for Ledger<B> {
    type Message = LedgerMessage<B>;
    type State = LedgerState<B>;
    const MESSAGES: &'static [&'static str] = &["put", "flush_soon", "flushed"];

    fn index(message: &Self::Message) -> usize {
        match message {
            LedgerMessage::Put(..) => 0,
            LedgerMessage::FlushSoon => 1,
            LedgerMessage::Flushed(_) => 2,
        }
    }

    async fn start(&self, _: &Context<Self::Message>) -> Result<Self::State, Failure> {
        Ok(LedgerState { queue: Queue::new(), in_flight: 0, flush_requested: false, tasks: JoinSet::new() })
    }

    async fn handle(
        &self,
        context: &Context<Self::Message>,
        message: Self::Message,
        admission: Option<Admission>,
        state: &mut Self::State,
    ) -> Result<(), Failure> {
        match message {
            LedgerMessage::Put(row, reply) => {
                // only requests are put, and requests have admissions
                let Some(admission) = admission else { return Ok(()) };
                if let Err(waiter) = state.queue.put(row, Waiter { reply, admission }) {
                    self.meter.shed();
                    let _ = waiter.reply.send(Err(Refusal::Overloaded));
                }
            }
            LedgerMessage::FlushSoon => {
                state.flush_requested = false;
                self.flush(Some(context), state);
            }
            LedgerMessage::Flushed(keys) => {
                state.in_flight -= 1;
                while state.tasks.try_join_next().is_some() {}
                keys.iter().for_each(|key| state.queue.release(key));
            }
        }
        self.flush_soon(context, state);
        Ok(())
    }

    /// A drain loses nothing: flush until nothing waits.
    async fn finish(&self, state: &mut Self::State) {
        loop {
            while state.tasks.join_next().await.is_some() {}
            state.queue.release_all();
            if state.queue.is_empty() {
                return;
            }
            self.flush(None, state);
        }
    }
}
