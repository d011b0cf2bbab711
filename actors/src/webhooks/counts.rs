//! What became of events that were to be sent.

use actor_runtime::{Histogram, HistogramSnapshot, powers_of_two};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds in seconds: from what every event waits (10 s) to half a day.
const DELAY_SECONDS: [f64; 14] = powers_of_two(3);

/// Counted over all lives of the actor.
pub(crate) struct WebhookCounts {
    pub(crate) delivered: AtomicU64,
    /// Tries that failed.
    pub(crate) failed: AtomicU64,
    /// Events left out, because their receiver refused them too often.
    pub(crate) skipped: AtomicU64,
    /// Webhooks.
    pub(crate) disabled: AtomicU64,
    /// From an event until its receiver has it.
    pub(crate) delay: Histogram,
}

impl Default for WebhookCounts {
    fn default() -> Self {
        Self {
            delivered: AtomicU64::default(),
            failed: AtomicU64::default(),
            skipped: AtomicU64::default(),
            disabled: AtomicU64::default(),
            delay: Histogram::new(&DELAY_SECONDS),
        }
    }
}

/// Webhooks as of now.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WebhookSnapshot {
    /// Tries and events by what they came to.
    pub events: [(&'static str, u64); 3],
    /// Webhooks disabled here.
    pub disabled: u64,
    /// From an event until its receiver has it, in seconds.
    pub delay: HistogramSnapshot,
}

impl WebhookCounts {
    pub(crate) fn snapshot(&self) -> WebhookSnapshot {
        let counts = [("delivered", &self.delivered), ("failed", &self.failed), ("skipped", &self.skipped)];
        WebhookSnapshot {
            events: counts.map(|(what, count)| (what, count.load(Relaxed))),
            disabled: self.disabled.load(Relaxed),
            delay: self.delay.snapshot(),
        }
    }
}
