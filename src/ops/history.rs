//! The last ten minutes, a point a second, for the live page: what it draws when it opens, and what it hears from then on.
//!
//! Bounded: [`POINTS`] points of [`SERIES`] in memory (some 30 KB); each page that listens holds one event, the newest.

use crate::http::{HttpMetrics, LoginApi};
use doorcode_actors::{HistogramSnapshot, TreeSnapshot, unix_seconds};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use warp::sse::Event;

/// Ten minutes.
const POINTS: usize = 600;
/// Pages that may listen at once; the next one is told 503 and asks again.
const LISTENERS: usize = 32;
/// Events of one answer. Then the browser asks again by itself: answers end before `http.idle_timeout` ends them.
const EVENTS: usize = 30;

/// What is drawn: a name, and the unit of its numbers.
const SERIES: [(&str, &str); 10] = [
    ("logins", "/s"),
    ("verifies", "/s"),
    ("refreshes", "/s"),
    ("429", "/s"),
    ("503", "/s"),
    ("mails", "/s"),
    ("time to mail", "s"),
    ("batch size", "rows"),
    ("database time", "ms"),
    ("restarts", "/s"),
];

/// One second: when (seconds since 1970), and a number for each of [`SERIES`].
#[derive(Clone, Copy, Serialize)]
struct Point(u64, [f32; SERIES.len()]);

/// What a page gets when it opens.
#[derive(Serialize)]
pub(super) struct Past {
    series: [(&'static str, &'static str); SERIES.len()],
    points: Vec<Point>,
}

#[derive(Serialize)]
struct Now<'a> {
    point: Point,
    /// Whether actors can be made to fail from here.
    faults: bool,
    tree: &'a TreeSnapshot,
}

/// The last ten minutes.
pub(crate) struct History {
    points: Mutex<VecDeque<Point>>,
    newest: watch::Sender<Arc<str>>,
}

impl Default for History {
    fn default() -> Self {
        Self { points: Mutex::default(), newest: watch::Sender::new("".into()) }
    }
}

impl History {
    /// Takes a point each second until it is dropped; then those who listen hear the end.
    pub(crate) async fn record(
        self: Arc<Self>,
        service: Arc<dyn LoginApi>,
        http: Arc<HttpMetrics>,
        faults: bool,
    ) {
        let _end = End(&self);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Totals::of(&service.snapshot(), &http);
        let mut at = tokio::time::Instant::now();
        loop {
            tick.tick().await;
            let (tree, elapsed) = (service.snapshot(), at.elapsed());
            at = tokio::time::Instant::now();
            let totals = Totals::of(&tree, &http);
            let point = Point(unix_seconds(), totals.since(&before, elapsed.as_secs_f64().max(0.001)));
            before = totals;
            let mut points = self.points();
            points.truncate(POINTS - 1);
            points.push_front(point);
            drop(points);
            if self.newest.receiver_count() > 0 {
                let now = serde_json::to_string(&Now { point, faults, tree: &tree }).unwrap_or_default();
                self.newest.send_replace(now.into());
            }
        }
    }

    pub(super) fn past(&self) -> Past {
        Past { series: SERIES, points: self.points().iter().rev().copied().collect() }
    }

    /// Each second from now on. `None`: too many listen already.
    pub(super) fn events(
        &self,
    ) -> Option<impl Stream<Item = Result<Event, Infallible>> + Send + 'static + use<>> {
        if self.newest.receiver_count() >= LISTENERS {
            return None;
        }
        let state = (self.newest.subscribe(), EVENTS);
        Some(stream::unfold(state, async |(mut newest, left)| {
            if left == 0 || newest.changed().await.is_err() {
                return None;
            }
            let now = newest.borrow_and_update().clone();
            if now.is_empty() {
                return None;
            }
            let event = Event::default().retry(Duration::from_millis(500)).data(&*now);
            Some((Ok(event), (newest, left - 1)))
        }))
    }

    /// Changed in single steps: a panic in between leaves it usable.
    fn points(&self) -> MutexGuard<'_, VecDeque<Point>> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells those who listen that there is no more.
struct End<'h>(&'h History);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.newest.send_replace("".into());
    }
}

/// Counters at one moment.
struct Totals {
    counts: [u64; 7],
    /// (how many, their sum): time to mail, rows of a flush, its time.
    means: [(u64, f64); 3],
}

impl Totals {
    fn of(tree: &TreeSnapshot, http: &HttpMetrics) -> Self {
        let outcomes = |verb: &str, wanted: &[&str]| -> u64 {
            let of = tree.outcomes.iter().filter(|(v, what, _)| *v == verb && wanted.contains(what));
            of.map(|(.., n)| n).sum()
        };
        let restarts = tree.actors.iter().flat_map(|kind| &kind.restarts).map(|(_, n)| n).sum();
        let sent = tree.mails.iter().find(|(state, _)| *state == "sent").map_or(0, |(_, n)| *n);
        let added = |of: fn(&doorcode_actors::LedgerSnapshot) -> &HistogramSnapshot| {
            tree.ledgers.iter().map(of).fold((0, 0.0), |(count, sum), one| (count + one.count, sum + one.sum))
        };
        let [limited, unavailable] = http.refused();
        Self {
            counts: [
                outcomes("login", &["accepted"]),
                outcomes("verify", &["logged_in", "wrong", "not_evaluated", "handed_over"]),
                outcomes("refresh", &["rotated", "repeated", "branched"]),
                limited,
                unavailable,
                sent,
                restarts,
            ],
            means: [
                (tree.mail.delay.count, tree.mail.delay.sum),
                added(|ledger| &ledger.batch),
                added(|ledger| &ledger.flush),
            ],
        }
    }

    /// In the order of [`SERIES`]. A mean of nothing is 0.
    fn since(&self, before: &Self, seconds: f64) -> [f32; SERIES.len()] {
        let rate = |at: usize| {
            let (now, then) = (self.counts.get(at), before.counts.get(at));
            (now.unwrap_or(&0).saturating_sub(*then.unwrap_or(&0)) as f64 / seconds) as f32
        };
        let [delay, batch, flush] =
            [0, 1, 2].map(|at: usize| match (self.means.get(at), before.means.get(at)) {
                (Some((n, sum)), Some((m, earlier))) if n > m => ((sum - earlier) / (n - m) as f64) as f32,
                _ => 0.0,
            });
        let [logins, verifies, refreshes, limited, unavailable, mails, restarts] =
            [0, 1, 2, 3, 4, 5, 6].map(rate);
        [logins, verifies, refreshes, limited, unavailable, mails, delay, batch, flush * 1_000.0, restarts]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests_script::{Mood, Script};
    use futures_util::StreamExt;

    #[tokio::test(start_paused = true)]
    async fn ten_minutes_are_kept_and_each_second_is_told() {
        let history = Arc::new(History::default());
        let service: Arc<dyn LoginApi> = Arc::new(Script::new(Mood::Sound));
        let recording = tokio::spawn(history.clone().record(service, Arc::default(), true));
        tokio::time::sleep(Duration::from_secs(POINTS as u64 + 60)).await;
        assert_eq!(history.past().points.len(), POINTS);
        let heard = Box::pin(history.events().unwrap()).collect::<Vec<_>>().await;
        assert_eq!(heard.len(), EVENTS, "then the browser asks again");
        let event = heard.into_iter().next().unwrap().unwrap().to_string();
        assert!(event.contains("\"faults\":true") && event.contains("retry:500"), "{event}");
        let open: Vec<_> = (0..LISTENERS).map(|_| history.events().unwrap()).collect();
        assert!(history.events().is_none(), "one too many");
        recording.abort();
        for events in open {
            assert!(Box::pin(events).collect::<Vec<_>>().await.len() <= 1, "the end is heard");
        }
    }
}
