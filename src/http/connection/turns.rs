//! Who reads next: connections with a new request take turns, tenant by tenant.
//!
//! In a flood thousands of connections have a request each. Some are read in each round of their carrier; the others wait
//! here, each in the line of the tenant whose request it brought last, and lines are served one after the other. So what
//! was admitted does not wait for what is still to be read, and no tenant for another's flood (docs/adr/0031).

use doorcode_actors::Lanes;
use prometheus_client::metrics::histogram::Histogram;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    /// It has brought nothing yet.
    New,
    /// Its last request named no tenant of ours.
    Nobody,
    /// Its last request was this tenant's.
    Tenant(Uuid),
}

/// Turns that are given and not yet used, at most: what a round reads.
const ROUND: usize = 16;

/// A tenant's requests that a carrier has at work before it reads no further ones of its line: enough to fill every flush
/// that is on its way and the next ones. More would only wait for permits, and be refused in the end.
const AT_WORK: usize = 512;

/// The turns of one carrier.
pub(crate) struct Turns {
    lines: Mutex<Lines>,
    /// In seconds.
    waits: Histogram,
}

#[derive(Default)]
struct Lines {
    /// Turns that are given and not yet used.
    given: usize,
    /// At most one for each open connection, and those of connections that ended since they came.
    waiting: Lanes<Line, oneshot::Sender<Turn>>,
    /// Requests that are at work; lines without any have no entry.
    at_work: HashMap<Line, usize>,
}

/// Leave to read one request.
pub(crate) struct Turn(Arc<Turns>);

/// A request that is at work: admitted and not yet answered.
struct Work {
    turns: Arc<Turns>,
    line: Line,
}

/// A connection's way to its next turn.
pub(crate) struct NextTurn {
    turns: Arc<Turns>,
    waits: Option<(Instant, oneshot::Receiver<Turn>)>,
}

impl NextTurn {
    pub(crate) fn new(turns: Arc<Turns>) -> Self {
        Self { turns, waits: None }
    }

    pub(crate) fn turns(&self) -> Arc<Turns> {
        self.turns.clone()
    }

    /// Waits in a line. Without one there is nothing to wait for: what a request is made of, or answered with, needs no turn.
    pub(crate) fn poll(&mut self, line: Option<Line>, cx: &mut Context<'_>) -> Poll<Option<Turn>> {
        let (since, turn) = match (&mut self.waits, line) {
            (Some(waits), _) => waits,
            (None, None) => return Poll::Ready(None),
            (waits, Some(line)) => waits.insert((Instant::now(), self.turns.await_turn(line))),
        };
        let turn = ready!(Pin::new(turn).poll(cx));
        self.turns.waits.observe(since.elapsed().as_secs_f64());
        self.waits = None;
        Poll::Ready(turn.ok())
    }
}

impl Turns {
    pub(crate) fn new(waits: Histogram) -> Self {
        Self { lines: Mutex::default(), waits }
    }

    /// Gives turns to those that wait.
    pub(crate) fn give(self: &Arc<Self>) {
        loop {
            let next = self.lock().next();
            let Some(waiter) = next else { return };
            // Whoever went in this very moment gives the turn back.
            let _ = waiter.send(Turn(self.clone()));
        }
    }

    /// Whether another round is called for.
    pub(crate) fn are_awaited(&self) -> bool {
        let lines = self.lock();
        lines.waiting.lanes().any(|line| is_open(&lines.at_work, line))
    }

    /// Answers a request, which counts as work of its line from when this is known. To be polled by the carrier only: who
    /// waits looks no other time.
    pub(crate) async fn at_work<T>(
        self: &Arc<Self>,
        line: impl Fn() -> Option<Line>,
        answer: impl Future<Output = T>,
    ) -> T {
        let (mut answer, mut work) = (pin!(answer), None);
        poll_fn(|cx| {
            let answered = answer.as_mut().poll(cx);
            work = work.take().or_else(|| line().map(|line| self.begin_work(line)));
            answered
        })
        .await
    }

    fn begin_work(self: &Arc<Self>, line: Line) -> Work {
        *self.lock().at_work.entry(line).or_default() += 1;
        Work { turns: self.clone(), line }
    }

    /// Gets in line.
    fn await_turn(&self, line: Line) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        self.lock().waiting.push(line, sender);
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Whose turn it is: the first of the next open line whose connection is still there.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        while self.given < ROUND {
            let waiter = self.waiting.pop_where(|line| is_open(&self.at_work, line))?;
            if !waiter.is_closed() {
                self.given += 1;
                return Some(waiter);
            }
        }
        None
    }
}

fn is_open(at_work: &HashMap<Line, usize>, line: &Line) -> bool {
    at_work.get(line).is_none_or(|requests| *requests < AT_WORK)
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut lines = self.turns.lock();
        if let Some(requests) = lines.at_work.get_mut(&self.line) {
            *requests -= 1;
            if *requests == 0 {
                lines.at_work.remove(&self.line);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().given -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::metrics::histogram;
    use std::cell::Cell;
    use std::task::Waker;

    const ONE: Line = Line::Tenant(Uuid::from_u128(1));

    /// Those that have a turn now and had none before; they give it back.
    fn served(waiting: &mut Vec<(&'static str, oneshot::Receiver<Turn>)>) -> Vec<&'static str> {
        let mut served = Vec::new();
        waiting.retain_mut(|(name, turn)| turn.try_recv().map(|_| served.push(*name)).is_err());
        served
    }

    #[test]
    fn lines_are_served_in_turn() {
        let turns = Arc::new(Turns::new(histogram()));
        let mut flood: Vec<_> = (0..ROUND + 2).map(|_| ("flood", turns.await_turn(ONE))).collect();
        turns.give();
        turns.give();
        assert_eq!(served(&mut flood).len(), ROUND, "no more than a round's");
        let mut waiting = vec![
            ("new", turns.await_turn(Line::New)),
            ("one's", turns.await_turn(ONE)),
            ("nobody's", turns.await_turn(Line::Nobody)),
        ];
        turns.lock().given = ROUND - 3;
        turns.give();
        assert_eq!((served(&mut flood).len(), served(&mut waiting)), (1, vec!["new", "nobody's"]));
        turns.give();
        assert_eq!((served(&mut flood).len(), served(&mut waiting)), (1, vec!["one's"]));
        assert!(!turns.are_awaited());
    }

    #[test]
    fn a_tenant_with_much_at_work_waits_and_nobody_else() {
        let turns = Arc::new(Turns::new(histogram()));
        let mut work: Vec<_> = (0..AT_WORK).map(|_| turns.begin_work(ONE)).collect();
        let mut waiting = vec![("one's", turns.await_turn(ONE))];
        assert!(!turns.are_awaited(), "no round is called for while nobody may read");
        waiting.push(("nobody's", turns.await_turn(Line::Nobody)));
        assert!(turns.are_awaited());
        turns.give();
        assert_eq!(served(&mut waiting), ["nobody's"]);
        work.pop();
        assert!(turns.are_awaited());
        turns.give();
        assert_eq!(served(&mut waiting), ["one's"]);
        drop(work);
        assert!(turns.lock().at_work.is_empty());
    }

    #[test]
    fn a_request_is_work_from_when_its_tenant_is_known_to_its_answer() {
        let turns = Arc::new(Turns::new(histogram()));
        let (line, (answer, is_asked)) = (Cell::new(None), oneshot::channel());
        let mut work = Box::pin(turns.at_work(|| line.get(), is_asked));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(work.as_mut().poll(cx).is_pending() && turns.lock().at_work.is_empty());
        line.set(Some(ONE));
        assert!(work.as_mut().poll(cx).is_pending() && work.as_mut().poll(cx).is_pending());
        assert_eq!(turns.lock().at_work.get(&ONE), Some(&1));
        answer.send(()).unwrap();
        assert!(work.as_mut().poll(cx).is_ready());
        drop(work);
        assert!(turns.lock().at_work.is_empty());
    }

    /// A connection may end while it waits, or with the turn that it never saw.
    #[test]
    fn a_turn_outlives_who_waited_for_it() {
        let turns = Arc::new(Turns::new(histogram()));
        let gone: Vec<_> = (0..3 * ROUND).map(|_| turns.await_turn(ONE)).collect();
        turns.give();
        drop(gone);
        assert_eq!(turns.lock().given, 0);
        let mut last = turns.await_turn(ONE);
        turns.give();
        assert!(last.try_recv().is_ok());
        assert!(!turns.are_awaited());
    }
}
