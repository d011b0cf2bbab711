//! Drives all connections of a listener with as many tasks as the runtime has threads.
//!
//! The runtime polls its tasks in the order in which they were woken. Were each connection a task, thousands of them with
//! something to read would stand before every step of an actor and every answer of the database.

use crate::http::connection::turns::{NextTurn, Turns};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use prometheus_client::metrics::histogram::Histogram;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::coop::unconstrained;

/// Deals connections out. The tasks end with their last connection once this is dropped.
pub(crate) struct Carriers {
    all: Vec<Carrier>,
    next: usize,
}

struct Carrier {
    /// Whoever sends holds a place, and places are bounded.
    new: UnboundedSender<BoxFuture<'static, ()>>,
    turns: Arc<Turns>,
}

impl Carriers {
    pub(crate) fn start(waits: &Histogram) -> Self {
        let start = |_| {
            let ((new, connections), turns) = (unbounded_channel(), Arc::new(Turns::new(waits.clone())));
            tokio::spawn(carry(connections, turns.clone()));
            Carrier { new, turns }
        };
        Self { all: (0..Handle::current().metrics().num_workers()).map(start).collect(), next: 0 }
    }

    /// Drives a connection to its end. It is to take a turn before it reads.
    pub(crate) fn take<C>(&mut self, connection: impl FnOnce(NextTurn) -> C)
    where
        C: Future<Output = ()> + Send + 'static,
    {
        self.next = (self.next + 1) % self.all.len().max(1);
        if let Some(carrier) = self.all.get(self.next) {
            // A panic ends one connection only. The runtime's budget for a task would be everybody's: without any left, all
            // would be polled in vain, and once more in the reverse order.
            let connection = connection(NextTurn::new(carrier.turns.clone()));
            let connection = unconstrained(AssertUnwindSafe(connection).catch_unwind().map(drop));
            // It lives as long as `self`.
            let _ = carrier.new.send(connection.boxed());
        }
    }
}

/// A pass ends after the second connection that wakes itself, as requests with a body do. With one pass a round the actors get
/// their rows by twos and flush small batches (a third fewer logins at 1,024 connections), with eight they wait too long in a
/// flood.
const PASSES: usize = 3;

/// Each poll is a round: whoever has something to read gets in line, what is answered is written, and those whose turn it is
/// are read. Then the runtime's other tasks go on.
async fn carry(mut new: UnboundedReceiver<BoxFuture<'static, ()>>, turns: Arc<Turns>) {
    let mut connections = FuturesUnordered::new();
    let mut is_open = true;
    poll_fn(|cx| {
        turns.give();
        while is_open {
            match new.poll_recv(cx) {
                Poll::Ready(Some(connection)) => connections.push(connection),
                Poll::Ready(None) => is_open = false,
                Poll::Pending => break,
            }
        }
        for _ in 0..PASSES {
            while let Poll::Ready(Some(())) = connections.poll_next_unpin(cx) {}
        }
        if turns.are_awaited() {
            cx.waker().wake_by_ref();
        }
        if is_open || !connections.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::connection::turns::Line;
    use crate::http::metrics::histogram;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::sync::Barrier;
    use tokio::time::timeout;
    use uuid::Uuid;

    const FLOOD: Line = Line::Tenant(Uuid::from_u128(1));
    const CONNECTIONS: usize = 1_000;

    type Read = Arc<Mutex<Vec<Line>>>;

    /// Reads one request, when all are there and its turn has come.
    async fn reads(mut turn: NextTurn, all: Arc<Barrier>, line: Line, read: Read) {
        all.wait().await;
        let _turn = poll_fn(|cx| turn.poll(Some(line), cx)).await;
        read.lock().unwrap().push(line);
    }

    /// To the end of the runtime's queue and back.
    async fn step() {
        let mut is_first = true;
        poll_fn(|cx| match std::mem::take(&mut is_first) {
            true => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            false => Poll::Ready(()),
        })
        .await;
    }

    /// The order in which connections were read, one flood and these, and how often another task went on meanwhile.
    async fn flooded_with(others: &[Line]) -> (Vec<Line>, usize) {
        let connections = CONNECTIONS + others.len();
        let (read, mut carriers) = (Read::default(), Carriers::start(&histogram()));
        let all = Arc::new(Barrier::new(connections));
        carriers.take(|_| async { panic!("on purpose: ends this connection only") });
        for line in std::iter::repeat_n(FLOOD, CONNECTIONS).chain(others.iter().copied()) {
            carriers.take(|turn| reads(turn, all.clone(), line, read.clone()));
        }
        let counted = read.clone();
        let other = tokio::spawn(async move {
            let mut steps = 0;
            loop {
                let read = counted.lock().unwrap().len();
                if read == connections {
                    return steps;
                }
                steps += usize::from(read > 0);
                step().await;
            }
        });
        let steps = timeout(Duration::from_secs(60), other).await.expect("nobody is read any more").unwrap();
        let order = read.lock().unwrap().clone();
        (order, steps)
    }

    #[tokio::test]
    async fn one_tenant_s_flood_delays_no_other() {
        let others = [Line::New, Line::Tenant(Uuid::from_u128(2))];
        let (order, _) = flooded_with(&others).await;
        for line in others {
            let place = order.iter().position(|read| *read == line).unwrap();
            assert!(place < 5, "{line:?} is read as number {place}");
        }
    }

    #[tokio::test]
    async fn a_flood_delays_no_other_task() {
        let (order, steps) = flooded_with(&[]).await;
        assert_eq!(order.len(), CONNECTIONS);
        assert!(steps >= CONNECTIONS / 20, "{steps} steps");
    }
}
