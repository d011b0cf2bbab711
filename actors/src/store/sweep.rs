//! Deleting what has ended, a page at a time along the primary key.

use super::{Store, StoreError, sql};
use doorcode_domain::Micros;
use uuid::Uuid;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweep {
    Challenges,
    Sessions,
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
        let (text, last) = match table {
            Sweep::Challenges => (sql::SWEEP_CHALLENGES, "last_address"),
            Sweep::Sessions => (sql::SWEEP_SESSIONS, "last_session"),
        };
        let rows = self.query(text, &[&after.0, &after.1, &page, &now]).await?;
        let Some(row) = rows.first() else { return Ok(Swept { gone: 0, next: None }) };
        let full = row.get::<_, i64>("seen") >= page;
        let key = row.get::<_, Option<Uuid>>("last_tenant").zip(row.get::<_, Option<Uuid>>(last));
        Ok(Swept { gone: row.get("gone"), next: key.filter(|_| full) })
    }
}
