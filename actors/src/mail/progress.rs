//! How far a try at a mail has come, for whoever waits for it.

use super::error::{SendError, Stage};
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// For how long a provider may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until the content is on its way.
    pub(super) until_content: Duration,
    /// Then, for the answer: whoever hangs up before it does not know whether the mail was taken, and sends it twice.
    pub(super) answer: Duration,
}

impl Limits {
    /// Waits for a try; `None`: it took too long, and was cancelled.
    pub(super) async fn hold<T>(self, progress: &Progress, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        match timeout(self.until_content, &mut work).await {
            Ok(outcome) => Some(outcome),
            Err(_) if progress.stage() == Stage::Handover => timeout(self.answer, work).await.ok(),
            Err(_) => None,
        }
    }
}

/// The stage of a try.
pub(super) struct Progress(Mutex<Stage>);

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::new(Stage::Connect))
    }
}

impl Progress {
    pub(super) fn reach(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    pub(super) fn stage(&self) -> Stage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a try that took too long says.
    pub(super) fn late(&self, limits: Limits) -> SendError {
        let stage = self.stage();
        let limit = if stage == Stage::Handover { limits.answer } else { limits.until_content };
        SendError::Unreachable { stage, what: format!("no answer within {limit:?}") }
    }
}
