//! Whose work this is: an id that goes with a request through every mailbox, for the log.

use std::future::Future;

tokio::task_local! {
    static REQUEST: u128;
}

/// Runs work for a request. Messages that it sends carry the id, and so do those that are sent on with them.
pub async fn in_request<F: Future>(id: u128, work: F) -> F::Output {
    REQUEST.scope(id, work).await
}

/// The request that is being worked for here; 0 is none.
pub(crate) fn current() -> u128 {
    REQUEST.try_with(|id| *id).unwrap_or(0)
}
