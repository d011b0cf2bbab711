//! Logouts from everywhere: all sessions of the customer whose token is shown. Repeating one is harmless.

use super::Batch;
use crate::store::sessions::SessionId;
use crate::store::{Store, StoreError};
use doorcode_domain::{Clock, TenantId};

pub(crate) struct LogoutAllBatch {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
}

impl Batch for LogoutAllBatch {
    type Row = SessionId;
    type Key = SessionId;
    type Answer = ();

    fn key(row: &SessionId) -> SessionId {
        *row
    }

    fn tenant(row: &SessionId) -> TenantId {
        row.0
    }

    fn same(_: &SessionId, _: &SessionId) -> bool {
        true
    }

    async fn write(&self, rows: Vec<SessionId>) -> Result<Vec<(SessionId, ())>, StoreError> {
        self.store.end_all(self.clock.sql_now(), &rows).await?;
        Ok(rows.into_iter().map(|session| (session, ())).collect())
    }

    /// All of a customer's sessions went in one statement or none did, so asking again finds out which.
    async fn look_up(&self, rows: Vec<SessionId>) -> Result<Vec<(SessionId, ())>, StoreError> {
        self.write(rows).await
    }
}
