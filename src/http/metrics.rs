//! HTTP as Prometheus sees it: by route and status, both from our own tables, so labels cannot grow without end.

use crate::http::exchange::Exchange;
use crate::http::routes::READYZ;
use doorcode_actors::powers_of_two;
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

/// Counters of one process.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    requests: Family<Outcome, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    /// Connections to the public listener that were closed at once: too many, of all or of one client.
    pub connections_refused: Counter,
    /// What connections to the public listener with a request to read waited for their turn.
    pub turn_waits: Histogram,
    limited: AtomicU64,
    unavailable: AtomicU64,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            connections_refused: Counter::default(),
            turn_waits: histogram(),
            limited: AtomicU64::default(),
            unavailable: AtomicU64::default(),
        }
    }
}

/// Powers of two, as native histograms have them, from half a millisecond to 4 s: the deadline (2 s) and what objectives
/// are set for (0.25 s, 0.5 s) are bounds.
const SECONDS: [f64; 14] = powers_of_two(-11);

/// Of times in seconds.
pub(crate) fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl HttpMetrics {
    pub(super) fn record(&self, exchange: &Exchange, status: StatusCode) {
        let route = exchange.route();
        // an answer to a probe is no refusal
        let refused = match status {
            StatusCode::TOO_MANY_REQUESTS => Some(&self.limited),
            StatusCode::SERVICE_UNAVAILABLE if route != READYZ.name => Some(&self.unavailable),
            _ => None,
        };
        refused.map(|count| count.fetch_add(1, Relaxed));
        self.requests.get_or_create(&Outcome { route, status: status.as_u16() }).inc();
        self.seconds.get_or_create(&Route { route }).observe(exchange.began().elapsed().as_secs_f64());
    }

    /// Answers 429 and 503 so far, on all routes.
    pub(crate) fn refused(&self) -> [u64; 2] {
        [self.limited.load(Relaxed), self.unavailable.load(Relaxed)]
    }

    /// Makes the counters part of a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("doorcode_http_requests", "Answers by route and status", self.requests.clone());
        let help = "Connections closed at once: too many of all, of a client or of its network";
        registry.register("doorcode_http_connections_refused", help, self.connections_refused.clone());
        let help = "Time from when a connection has a request until it is read";
        registry.register("doorcode_http_turn_wait_seconds", help, self.turn_waits.clone());
        let help = "Time from a request's head to its answer, by route";
        registry.register("doorcode_http_request_duration_seconds", help, self.seconds.clone());
    }
}
