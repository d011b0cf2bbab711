//! Who reads next: connections with a new request take turns, tenant by tenant.
//!
//! In a flood thousands of connections have a request each. Some are read in each round of their carrier; the others wait
//! here, each in the line of the tenant whose request it brought last, and lines are served one after the other. So what
//! was admitted does not wait for what is still to be read, and no tenant for another's flood (docs/adr/0031).

use prometheus_client::metrics::histogram::Histogram;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
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
    /// At most one entry for each open connection, and those of connections that ended since they came.
    waiting: HashMap<Line, VecDeque<oneshot::Sender<Turn>>>,
    /// Lines where somebody waits, the next one in front.
    order: VecDeque<Line>,
}

/// Leave to read one request.
pub(crate) struct Turn(Arc<Turns>);

/// A connection's way to its next turn.
pub(crate) struct NextTurn {
    turns: Arc<Turns>,
    waits: Option<(Instant, oneshot::Receiver<Turn>)>,
}

impl NextTurn {
    pub(crate) fn new(turns: Arc<Turns>) -> Self {
        Self { turns, waits: None }
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
        !self.lock().order.is_empty()
    }

    /// Gets in line.
    fn await_turn(&self, line: Line) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        self.lock().push(line, sender);
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, line: Line, waiter: oneshot::Sender<Turn>) {
        let waiting = self.waiting.entry(line).or_default();
        if waiting.is_empty() {
            self.order.push_back(line);
        }
        waiting.push_back(waiter);
    }

    /// Whose turn it is: the first of the next line whose connection is still there.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        while self.given < ROUND && !self.order.is_empty() {
            if let Some(waiter) = self.pop() {
                self.given += 1;
                return Some(waiter);
            }
        }
        None
    }

    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        let line = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&line)?;
        let waiter = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&line);
        } else {
            self.order.push_back(line);
        }
        waiter.filter(|waiter| !waiter.is_closed())
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
        assert!(!turns.are_awaited() && turns.lock().waiting.is_empty());
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
