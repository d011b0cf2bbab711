//! Refreshes. The same token shown twice at once is one write, and both get the one successor.

use super::Batch;
use crate::store::sessions::{RefreshVerdict, SessionId};
use crate::store::{Store, StoreError, micros};
use doorcode_domain::{Clock, TenantId, TokenPosition};
use std::time::Duration;

pub(crate) struct RefreshBatch {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) idle: Duration,
    pub(crate) retry_window: Duration,
}

impl Batch for RefreshBatch {
    type Row = (SessionId, TokenPosition);
    type Key = SessionId;
    type Answer = RefreshVerdict;

    fn key(row: &Self::Row) -> SessionId {
        row.0
    }

    fn tenant(row: &Self::Row) -> TenantId {
        row.0.tenant
    }

    fn same(waiting: &Self::Row, new: &Self::Row) -> bool {
        waiting.1 == new.1
    }

    async fn write(&self, rows: Vec<Self::Row>) -> Result<Vec<(SessionId, RefreshVerdict)>, StoreError> {
        self.store.refresh(self.clock.sql_now(), &rows, micros(self.idle), micros(self.retry_window)).await
    }

    /// Repeating a refresh is safe by design: the same token gets the same successor.
    async fn look_up(&self, rows: Vec<Self::Row>) -> Result<Vec<(SessionId, RefreshVerdict)>, StoreError> {
        self.write(rows).await
    }
}
