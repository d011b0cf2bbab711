//! Whose work this is: an id that goes with a request through every mailbox, for the log.

use std::fmt;
use std::future::Future;

tokio::task_local! {
    static REQUEST: RequestId;
}

/// A request's id; 0 is none. Shown as in `X-Request-Id`: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestId(pub u128);

impl RequestId {
    /// For the log: a field that is not there says that there is none.
    pub fn known(self) -> Option<tracing::field::DisplayValue<Self>> {
        (self != Self::default()).then(|| tracing::field::display(self))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Runs work for a request. Messages that it sends carry the id, and so do those that are sent on with them.
pub async fn in_request<F: Future>(id: RequestId, work: F) -> F::Output {
    REQUEST.scope(id, work).await
}

/// The request that is being worked for here.
pub(crate) fn current() -> RequestId {
    REQUEST.try_with(|id| *id).unwrap_or_default()
}
