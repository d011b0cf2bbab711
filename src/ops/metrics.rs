//! The actors' snapshot as Prometheus text.

use crate::http::reply;
use crate::http::{ClientLimits, Door};
use doorcode_actors::KindSnapshot;
use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use warp::reply::Response;

/// Adds what is looked up at each scrape.
pub fn register(registry: &mut Registry, service: Arc<dyn Door>, limits: Arc<ClientLimits>) {
    registry.register_collector(Box::new(Tree(service)));
    registry.register_collector(Box::new(Callers(limits)));
}

/// Everything in the registry.
pub fn text(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => {
            reply::typed(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            reply::json(
                StatusCode::INTERNAL_SERVER_ERROR,
                &serde_json::json!({"detail": "Internal Server Error"}),
            )
        }
    }
}

struct Tree(Arc<dyn Door>);

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tree")
    }
}

type Reading = (&'static str, &'static str, fn(&KindSnapshot) -> u64);

const GAUGES: [Reading; 4] = [
    ("doorcode_actors", "Actors alive, by kind", |kind| kind.alive),
    ("doorcode_actor_mailbox_depth", "Messages accepted and not yet handled", |kind| kind.depth),
    ("doorcode_actor_permits_in_use", "Admission permits in use", |kind| kind.permits_in_use),
    ("doorcode_actor_permits", "Admission permits there are; 0 is no limit", |kind| kind.permits),
];

const COUNTERS: [Reading; 3] = [
    ("doorcode_actor_handled", "Messages handled", |kind| kind.handled),
    ("doorcode_actor_shed", "Messages refused because all permits were taken", |kind| kind.shed),
    ("doorcode_actor_expired", "Messages dropped because their deadline had passed", |kind| kind.expired),
];

impl Collector for Tree {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let actors = self.0.snapshot().actors;
        for (name, help, read) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for kind in &actors {
                family.encode_family(&[("kind", kind.kind)])?.encode_gauge(&signed(read(kind)))?;
            }
        }
        for (name, help, read) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for kind in &actors {
                family
                    .encode_family(&[("kind", kind.kind)])?
                    .encode_counter::<NoLabelSet, u64, u64>(&read(kind), None)?;
            }
        }
        let help = "Restarts by reason";
        let mut family =
            encoder.encode_descriptor("doorcode_actor_restarts", help, None, MetricType::Counter)?;
        for kind in &actors {
            for (reason, count) in &kind.restarts {
                let labels = [("kind", kind.kind), ("reason", *reason)];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(count, None)?;
            }
        }
        Ok(())
    }
}

struct Callers(Arc<ClientLimits>);

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callers")
    }
}

impl Collector for Callers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Networks whose requests are being counted";
        let mut gauge =
            encoder.encode_descriptor("doorcode_client_limit_callers", help, None, MetricType::Gauge)?;
        gauge.encode_gauge(&signed(self.0.callers() as u64))
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
