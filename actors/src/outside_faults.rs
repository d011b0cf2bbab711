//! Faults of what is outside the process, on demand: the link to the database drops, the mail relay is slow or refuses.
//! For `dev`, tests and trials; without one, a load of an atomic each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What is out of order now. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OutsideFaults(Arc<Inner>);

struct Inner {
    /// The link to the database is down until then; each new value breaks what is on its way.
    link_down_until: watch::Sender<Instant>,
    mail_slow_ms: AtomicU64,
    mail_refused_until: watch::Sender<Instant>,
}

impl Default for OutsideFaults {
    fn default() -> Self {
        let never = || watch::Sender::new(Instant::now());
        let (link_down_until, mail_refused_until) = (never(), never());
        Self(Arc::new(Inner { link_down_until, mail_slow_ms: AtomicU64::new(0), mail_refused_until }))
    }
}

impl OutsideFaults {
    /// What can be told to `database` and `mail`. `None`: it is neither.
    pub(crate) fn inject(&self, target: &str, fault: &str, ms: u64) -> Option<Result<(), String>> {
        let until = Instant::now() + Duration::from_millis(ms.min(3_600_000));
        let expected = match (target, fault) {
            ("database", "drop") => {
                self.0.link_down_until.send_replace(until);
                return Some(Ok(()));
            }
            ("mail", "slow") => {
                self.0.mail_slow_ms.store(ms, Relaxed);
                return Some(Ok(()));
            }
            ("mail", "refuse") => {
                self.0.mail_refused_until.send_replace(until);
                return Some(Ok(()));
            }
            ("database", _) => "drop",
            ("mail", _) => "slow or refuse",
            _ => return None,
        };
        Some(Err(format!("{fault:?} is no fault of {target}: expected {expected}")))
    }

    /// Whether the link to the database is down.
    pub(crate) fn is_link_down(&self) -> bool {
        *self.0.link_down_until.borrow() > Instant::now()
    }

    /// Ends when the link breaks.
    pub(crate) async fn link_broken(&self) {
        // the sender lives as long as this
        let _ = self.0.link_down_until.subscribe().changed().await;
    }

    /// Whether the mail relay refuses.
    pub(crate) fn is_mail_refused(&self) -> bool {
        *self.0.mail_refused_until.borrow() > Instant::now()
    }

    /// How long the mail relay is made to take.
    pub(crate) async fn slow_mail(&self) {
        let ms = self.0.mail_slow_ms.load(Relaxed);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}
