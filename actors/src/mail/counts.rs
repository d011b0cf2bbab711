//! What became of mails, counted over all lives of the dispatcher and the mailers.

use super::providers::Providers;
use actor_runtime::{Histogram, HistogramSnapshot, powers_of_two};
use serde::Serialize;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// What became of mails.
pub(crate) struct MailCounts {
    /// Each mail once, when it was promised.
    pub(crate) due: AtomicU64,
    pub(crate) sent: AtomicU64,
    /// To nobody: unknown or disabled.
    pub(crate) unaddressed: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Their code was outlived, used or replaced before they left.
    pub(crate) expired: AtomicU64,
    /// Did not fit into memory and waited in Postgres.
    pub(crate) deferred: AtomicU64,
    /// Claimed from Postgres: deferred ones, and what a crash left.
    pub(crate) recovered: AtomicU64,
    /// Of the sent ones, with a base32 code.
    pub(crate) base32: AtomicU64,
    /// From a code's request until a mail server took its mail.
    pub(crate) delay: Histogram,
    /// When the oldest mail was asked for that this replica is to send: database time; 0 is none.
    pub(crate) oldest_due_us: AtomicI64,
}

/// Upper bounds in seconds: powers of two from 16 ms to half a code's life and beyond it.
const DELAY_SECONDS: [f64; 17] = powers_of_two(-6);

impl Default for MailCounts {
    fn default() -> Self {
        Self {
            due: AtomicU64::default(),
            sent: AtomicU64::default(),
            unaddressed: AtomicU64::default(),
            retried: AtomicU64::default(),
            refused: AtomicU64::default(),
            expired: AtomicU64::default(),
            deferred: AtomicU64::default(),
            recovered: AtomicU64::default(),
            base32: AtomicU64::default(),
            delay: Histogram::new(&DELAY_SECONDS),
            oldest_due_us: AtomicI64::default(),
        }
    }
}

/// Mail as of now.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MailSnapshot {
    /// From a code's request until a mail server took its mail, in seconds.
    pub delay: HistogramSnapshot,
    /// Mails sent by their code's alphabet.
    pub codes: [(&'static str, u64); 2],
    /// When the oldest mail was asked for that this replica is to send, in microseconds since 1970. `None`: nothing waits.
    pub oldest_due_us: Option<i64>,
    /// Providers that want no mail until the next start (410).
    pub stopped_providers: u64,
}

impl MailCounts {
    /// What became of mails: (state, count).
    pub(crate) fn states(&self) -> Vec<(&'static str, u64)> {
        let states = [
            ("due", &self.due),
            ("sent", &self.sent),
            ("unaddressed", &self.unaddressed),
            ("retried", &self.retried),
            ("refused", &self.refused),
            ("expired", &self.expired),
            ("deferred", &self.deferred),
            ("recovered", &self.recovered),
        ];
        states.map(|(state, count)| (state, count.load(Relaxed))).to_vec()
    }

    pub(crate) fn snapshot(&self, providers: &Providers) -> MailSnapshot {
        let base32 = self.base32.load(Relaxed);
        let digits = self.sent.load(Relaxed).saturating_sub(base32);
        MailSnapshot {
            delay: self.delay.snapshot(),
            codes: [("digits", digits), ("base32", base32)],
            stopped_providers: providers.stopped(),
            oldest_due_us: Some(self.oldest_due_us.load(Relaxed)).filter(|us| *us != 0),
        }
    }
}
