//! Why a call to an actor has no answer.

use thiserror::Error;

/// None of these says anything about what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// Admission is full: nothing was queued.
    #[error("too many requests are in flight")]
    Overloaded,
    /// The actor is between two lives, or ended before it answered: whether the work was done is unknown.
    #[error("an actor is not available")]
    Unavailable,
    /// The deadline passed: whether the work was done is unknown.
    #[error("the request took too long")]
    Late,
}
