//! The queue and the commit over a batch that writes nowhere.

use super::commit::commit;
use super::queue::Queue;
use super::{
    Answers, Batch, Entry, FlushCounts, KEY_QUEUE, KNOWN_PLACES, Ledger, LedgerSettings, LedgerState,
    Outcome, Waiter,
};
use crate::error::Refusal;
use crate::store::StoreError;
use actor_runtime::{Admission, Meter};
use doorcode_domain::TenantId;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

/// Tenant, key, and what is asked of it.
type Row = (u128, u32, u32);

const POISON: u32 = 666;
/// From here on it is asked by a known device.
const KNOWN: u32 = 1_000;

/// How statements end; they are written down.
#[derive(Default)]
struct Fake {
    /// Taken from the end; `None`: as it should.
    failures: Mutex<Vec<StoreError>>,
    written: Mutex<Vec<Vec<u32>>>,
    looked_up: Mutex<u32>,
    /// A caller who leaves while the statement is on its way.
    leaving: Mutex<Option<oneshot::Receiver<Outcome<u32>>>>,
}

impl Batch for Fake {
    type Row = Row;
    type Key = u32;
    type Answer = u32;
    const LOOKS_UP: bool = true;

    fn key(row: &Row) -> u32 {
        row.1
    }
    fn tenant(row: &Row) -> TenantId {
        TenantId(Uuid::from_u128(row.0))
    }
    fn is_known(row: &Row) -> bool {
        row.2 >= KNOWN
    }
    fn same(waiting: &Row, new: &Row) -> bool {
        waiting == new
    }

    async fn write(&self, rows: Vec<Row>, _: &[Instant]) -> Result<Answers<Self>, StoreError> {
        drop(self.leaving.lock().unwrap().take());
        self.written.lock().unwrap().push(rows.iter().map(|row| row.1).collect());
        if rows.iter().any(|row| row.2 == POISON) {
            return Err(StoreError::Data("poison".to_owned()));
        }
        match self.failures.lock().unwrap().pop() {
            Some(error) => Err(error),
            None => Ok(rows.iter().map(|row| (row.1, row.1 * 10)).collect()),
        }
    }

    /// The second look finds the even keys, the fourth all.
    async fn look_up(&self, rows: Vec<Row>, _: &[Instant]) -> Result<Answers<Self>, StoreError> {
        let mut looked_up = self.looked_up.lock().unwrap();
        *looked_up += 1;
        let seen = *looked_up;
        match seen {
            1 => Err(StoreError::Ambiguous("gone".to_owned())),
            _ => Ok(rows
                .iter()
                .filter(|row| seen > 3 || row.1 % 2 == 0)
                .map(|row| (row.1, row.1 * 10))
                .collect()),
        }
    }
}

fn waiter() -> (Waiter<u32>, oneshot::Receiver<Outcome<u32>>) {
    let (reply, answer) = oneshot::channel();
    let deadline = Instant::now() + Duration::from_secs(3);
    let admission = Admission::admit(&Meter::new("ledger.fake", None), None, deadline).unwrap();
    (Waiter { reply, admission }, answer)
}

async fn committed(fake: &Fake, rows: &[Row]) -> Vec<Outcome<u32>> {
    let (mut entries, mut answers) = (Vec::new(), Vec::new());
    for row in rows {
        let (waiter, answer) = waiter();
        entries.push(Entry::<Fake> { row: *row, waiters: vec![waiter] });
        answers.push(answer);
    }
    commit(fake, &FlushCounts::default(), entries).await;
    futures_util::future::join_all(answers).await.into_iter().map(Result::unwrap).collect()
}

/// Taken one by one: tenants in turn, however many rows one of them has.
#[tokio::test]
async fn tenants_take_turns() {
    let mut queue = Queue::<Fake>::new();
    for row in [(1, 10, 0), (1, 11, 0), (1, 12, 0), (2, 20, 0), (3, 30, 0), (3, 31, 0)] {
        assert!(queue.put(row, waiter().0).is_ok());
    }
    assert_eq!(queue.due(), 6);
    let order: Vec<u32> = std::iter::from_fn(|| queue.take()).map(|entry| entry.row.1).collect();
    assert_eq!(order, [10, 20, 30, 11, 31, 12]);
    assert!(queue.is_empty());
}

/// One key: the same request joins, another one waits its turn, and a full line refuses.
#[tokio::test]
async fn a_keys_line_is_bounded() {
    let mut queue = Queue::<Fake>::new();
    assert!(queue.put((1, 7, 0), waiter().0).is_ok());
    assert!(queue.put((1, 7, 0), waiter().0).is_ok());
    for n in 1..=KEY_QUEUE as u32 {
        assert!(queue.put((1, 7, n), waiter().0).is_ok(), "{n}");
    }
    assert!(queue.put((1, 7, 99), waiter().0).is_err());
    for n in 0..KNOWN_PLACES as u32 {
        assert!(queue.put((1, 7, KNOWN + n), waiter().0).is_ok(), "strangers leave these to it");
    }
    assert!(queue.put((1, 7, 2 * KNOWN), waiter().0).is_err());
    let last = (1, 7, KNOWN + KNOWN_PLACES as u32 - 1);
    assert!(queue.put(last, waiter().0).is_ok(), "the same as the last one joins it");
    let head = queue.take().unwrap();
    assert_eq!((head.row.2, head.waiters.len()), (0, 2));
    assert!(queue.take().is_none(), "the next one waits until the head has landed");
    queue.release(&7);
    assert_eq!(queue.take().unwrap().row.2, 1);
}

/// A row that the server refuses fails alone: the batch is halved until it stands by itself.
#[tokio::test(start_paused = true)]
async fn a_poison_row_fails_alone() {
    let fake = Fake::default();
    let rows: Vec<Row> = (1..=8).map(|key| (1, key, if key == 5 { POISON } else { 0 })).collect();
    for (outcome, key) in committed(&fake, &rows).await.into_iter().zip(1..) {
        assert_eq!(outcome, if key == 5 { Err(Refusal::Unavailable) } else { Ok(key * 10) }, "{key}");
    }
    // 8, then 4 and 4, 2 and 2, 1 and 1
    assert_eq!(fake.written.lock().unwrap().len(), 7);
}

/// What wrote nothing for certain is tried once more; a lost answer is never written again, but looked up until it is known.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up() {
    let fake = Fake::default();
    fake.failures.lock().unwrap().push(StoreError::NoConnection("no connection".to_owned()));
    assert_eq!(committed(&fake, &[(1, 1, 0)]).await, [Ok(10)]);
    assert_eq!(fake.written.lock().unwrap().len(), 2);

    let fake = Fake::default();
    fake.failures.lock().unwrap().push(StoreError::Ambiguous("gone".to_owned()));
    assert_eq!(committed(&fake, &[(1, 1, 0), (1, 2, 0)]).await, [Ok(10), Ok(20)]);
    assert_eq!((fake.written.lock().unwrap().len(), *fake.looked_up.lock().unwrap()), (1, 4));
}

/// E2, E3: whoever has left meanwhile has nothing sent again, neither the write nor the question what it was.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_for_somebody_who_has_left() {
    let failures = [StoreError::NoConnection("none".to_owned()), StoreError::Ambiguous("gone".to_owned())];
    for failure in failures {
        let (waiter, answer) = waiter();
        let fake = Fake::default();
        fake.failures.lock().unwrap().push(failure);
        *fake.leaving.lock().unwrap() = Some(answer);
        let entries = vec![Entry::<Fake> { row: (1, 1, 0), waiters: vec![waiter] }];
        commit(&fake, &FlushCounts::default(), entries).await;
        let looked_up = *fake.looked_up.lock().unwrap();
        assert_eq!((fake.written.lock().unwrap().len(), looked_up), (1, 0));
    }
}

/// Rows whose callers have left or run out of time are not written; the others are, as many as fit.
#[tokio::test(start_paused = true)]
async fn rows_that_nobody_waits_for_are_dropped() {
    let ledger = Ledger {
        batch: Arc::new(Fake::default()),
        settings: LedgerSettings { max_in_flight: 1, batch_max: 2 },
        meter: Meter::new("ledger.fake", None),
        counts: Arc::default(),
    };
    let mut state =
        LedgerState { queue: Queue::new(), in_flight: 0, flush_requested: false, tasks: JoinSet::new() };
    let (late, _late) = waiter();
    assert!(state.queue.put((1, 1, 0), late).is_ok());
    tokio::time::advance(Duration::from_secs(4)).await;
    let (left, answer) = waiter();
    drop(answer);
    assert!(state.queue.put((1, 2, 0), left).is_ok());
    let (answers, waiters): (Vec<_>, Vec<_>) = (3..6).map(|_| waiter()).map(|(w, a)| (a, w)).unzip();
    for (waiter, key) in waiters.into_iter().zip(3..) {
        assert!(state.queue.put((1, key, 0), waiter).is_ok());
    }
    let wanted: Vec<u32> = ledger.still_wanted(&mut state).iter().map(|entry| entry.row.1).collect();
    assert_eq!(wanted, [3, 4]);
    assert_eq!((ledger.meter.snapshot().expired, state.queue.due()), (2, 1));
    drop(answers);
}
