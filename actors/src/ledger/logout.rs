//! Logouts: of one session, or of all sessions of its customer. Repeating one is harmless.

use super::Batch;
use crate::store::sessions::SessionId;
use crate::store::{Store, StoreError};
use doorcode_domain::{Clock, TenantId};
use tokio::time::Instant;

/// What ends.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    /// The session.
    One,
    /// All sessions of the customer whose session it is.
    All,
}

pub(crate) struct LogoutBatch {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) reach: Reach,
}

impl Batch for LogoutBatch {
    type Row = SessionId;
    type Key = SessionId;
    type Answer = ();
    const LOOKS_UP: bool = true;

    fn key(row: &SessionId) -> SessionId {
        *row
    }

    fn tenant(row: &SessionId) -> TenantId {
        row.tenant
    }

    fn same(_: &SessionId, _: &SessionId) -> bool {
        true
    }

    async fn write(&self, rows: Vec<SessionId>, _: &[Instant]) -> Result<Vec<(SessionId, ())>, StoreError> {
        let frozen = match self.reach {
            Reach::One => self.store.logout(&rows).await?,
            Reach::All => self.store.end_all(self.clock.sql_now(), &rows).await?,
        };
        Ok(rows.into_iter().filter(|row| !frozen.contains(row)).map(|session| (session, ())).collect())
    }

    /// A statement ends all that it should or nothing, so asking again finds out which.
    async fn look_up(
        &self,
        rows: Vec<SessionId>,
        until: &[Instant],
    ) -> Result<Vec<(SessionId, ())>, StoreError> {
        self.write(rows, until).await
    }
}
