//! Logouts. Repeating one is harmless.

use super::Batch;
use crate::store::sessions::SessionId;
use crate::store::{Store, StoreError};
use doorcode_domain::TenantId;

pub(crate) struct LogoutBatch {
    pub(crate) store: Store,
}

impl Batch for LogoutBatch {
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
        self.store.logout(&rows).await?;
        Ok(rows.into_iter().map(|session| (session, ())).collect())
    }

    async fn look_up(&self, rows: Vec<SessionId>) -> Result<Vec<(SessionId, ())>, StoreError> {
        self.write(rows).await
    }
}
