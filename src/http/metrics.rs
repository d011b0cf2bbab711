//! HTTP as Prometheus sees it: by route and status, both from our own tables, so labels cannot grow without end.

use crate::http::exchange::Exchange;
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

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
pub struct HttpMetrics {
    requests: Family<Outcome, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    /// Connections to the public listener that were closed at once: too many, of all or of one client.
    pub connections_refused: Counter,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            connections_refused: Counter::default(),
        }
    }
}

/// From half a millisecond to over the deadline.
fn histogram() -> Histogram {
    Histogram::new([0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
}

impl HttpMetrics {
    pub(super) fn record(&self, exchange: &Exchange, status: StatusCode) {
        let route = exchange.route();
        self.requests.get_or_create(&Outcome { route, status: status.as_u16() }).inc();
        self.seconds.get_or_create(&Route { route }).observe(exchange.began().elapsed().as_secs_f64());
    }

    /// Makes the counters part of a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("doorcode_http_requests", "Answers by route and status", self.requests.clone());
        let help = "Connections closed at once: too many of all, of a client or of its network";
        registry.register("doorcode_http_connections_refused", help, self.connections_refused.clone());
        let help = "Time from a request's head to its answer, by route";
        registry.register("doorcode_http_request_seconds", help, self.seconds.clone());
    }
}
