//! Deleting what has ended, a page at a time along the primary key.

use super::{Store, StoreError, sql};
use doorcode_domain::Micros;
use uuid::Uuid;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweep {
    Challenges,
    Sessions,
    TenantLimits,
    Events,
    EventContexts,
}

/// How far a sweep has come: a primary key; from the beginning after the end.
pub(crate) type Cursor = (Uuid, Uuid);

/// What a page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) gone: i64,
    /// `None`: that was the end of the table.
    pub(crate) next: Option<Cursor>,
}

impl Store {
    pub(crate) async fn sweep(
        &self,
        table: Sweep,
        after: Cursor,
        page: i64,
        now: Option<Micros>,
    ) -> Result<Swept, StoreError> {
        let rows = match table {
            Sweep::Challenges => {
                self.query(sql::SWEEP_CHALLENGES, &[&after.0, &after.1, &page, &now]).await?
            }
            Sweep::Sessions => self.query(sql::SWEEP_SESSIONS, &[&after.0, &after.1, &page, &now]).await?,
            Sweep::TenantLimits => self.query(sql::SWEEP_LIMITS, &[&after.0, &page, &now]).await?,
            Sweep::Events => self.query(sql::SWEEP_EVENTS, &[&page, &now]).await?,
            Sweep::EventContexts => self.query(sql::SWEEP_EVENT_CONTEXTS, &[&page, &now]).await?,
        };
        let Some(row) = rows.first() else { return Ok(Swept { gone: 0, next: None }) };
        let full = row.get::<_, i64>("seen") >= page;
        let last = |column| row.get::<_, Option<Uuid>>(column);
        let key = match table {
            Sweep::Challenges => last("last_tenant").zip(last("last_address")),
            Sweep::Sessions => last("last_tenant").zip(last("last_session")),
            Sweep::TenantLimits => last("last_hash").map(|hash| (hash, Uuid::nil())),
            // what is over is what comes first, so the next page begins where this one did
            Sweep::Events | Sweep::EventContexts => Some((Uuid::nil(), Uuid::max())),
        };
        Ok(Swept { gone: row.get("gone"), next: key.filter(|_| full) })
    }
}
