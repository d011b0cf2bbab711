//! Refreshes. The same token shown twice at once is one write, and both get the one successor.

use super::Batch;
use crate::outcomes::Outcomes;
use crate::store::sessions::{RefreshVerdict, SessionId};
use crate::store::{Store, StoreError, micros};
use doorcode_domain::{Clock, TenantId, TokenPosition};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) struct RefreshBatch {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) idle: Duration,
    pub(crate) retry_window: Duration,
    pub(crate) outcomes: Arc<Outcomes>,
}

impl Batch for RefreshBatch {
    type Row = (SessionId, TokenPosition);
    type Key = SessionId;
    type Answer = RefreshVerdict;
    const LOOKS_UP: bool = true;

    fn key(row: &Self::Row) -> SessionId {
        row.0
    }

    fn tenant(row: &Self::Row) -> TenantId {
        row.0.tenant
    }

    fn same(waiting: &Self::Row, new: &Self::Row) -> bool {
        waiting.1 == new.1
    }

    async fn write(
        &self,
        rows: Vec<Self::Row>,
        until: &[Instant],
    ) -> Result<Vec<(SessionId, RefreshVerdict)>, StoreError> {
        let lives = (micros(self.idle), micros(self.retry_window));
        let verdicts = self.store.refresh(self.clock.sql_now(), &rows, until, lives).await?;
        let thefts = verdicts.iter().filter(|(_, verdict)| *verdict == RefreshVerdict::Theft);
        thefts.for_each(|(session, _)| self.report_theft(session));
        Ok(verdicts)
    }

    /// Repeating a refresh is safe by design: the same token gets the same successor, as long as somebody waits for it.
    async fn look_up(
        &self,
        rows: Vec<Self::Row>,
        until: &[Instant],
    ) -> Result<Vec<(SessionId, RefreshVerdict)>, StoreError> {
        self.write(rows, until).await
    }
}

impl RefreshBatch {
    /// Here, where the session ended, and not where the answer arrives: perhaps nobody is there to hear it.
    fn report_theft(&self, session: &SessionId) {
        self.outcomes.refresh_theft.add();
        tracing::warn!(
            event = "refresh_token_reuse",
            tenant = %session.tenant.0,
            session = %session.key.0,
            "a superseded refresh token was shown; its session was ended"
        );
    }
}
