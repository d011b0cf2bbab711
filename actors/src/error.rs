//! What the service answers when it does not answer: one enum per kind of refusal, none of which carries a value.

use actor_runtime::CallError;
use thiserror::Error;

/// Refusals that any verb may give. None says anything about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The tenant's own limit: 429. The same for slugs that name no tenant.
    #[error("the tenant's limit is reached")]
    TenantLimited {
        /// Seconds until it may work again, at least 1.
        retry_after_s: u32,
    },
    /// Admission is full: 503 at once, nothing was queued.
    #[error("too many requests are in flight")]
    Overloaded,
    /// An actor or the database is down: 503. Whether the work was done is unknown; repeating is safe.
    #[error("a part of the service is not available")]
    Unavailable,
    /// The request's deadline passed: 503. Whether the work was done is unknown; repeating is safe.
    #[error("the request took too long")]
    Late,
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Overloaded => Self::Overloaded,
            CallError::Unavailable => Self::Unavailable,
            CallError::Late => Self::Late,
        }
    }
}

/// Why `/verify` and `/token` give no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// Wrong, expired, used, never issued, unknown or disabled customer or tenant, spent budget: one answer (401).
    #[error("invalid or expired code")]
    Rejected,
    /// See [`Refusal`].
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why `/refresh` gives no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RefreshError {
    /// Unknown, expired, revoked, superseded, forged: one answer (401).
    #[error("invalid refresh token")]
    Rejected,
    /// See [`Refusal`].
    #[error(transparent)]
    Refused(#[from] Refusal),
}
