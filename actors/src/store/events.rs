//! What happened, as administrators and webhooks read it.

use super::{Store, StoreError, sql};
use doorcode_domain::TenantId;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

/// Events that one look goes through, whoever of them are wanted.
pub(crate) const LOOK: i64 = 1_000;

/// One event: what `/v1/admin/events`, and its JSON lines show.
#[derive(Debug, Serialize)]
pub struct Event {
    /// UUIDv7: its order.
    pub id: Uuid,
    /// Such as `customer.created`.
    pub r#type: String,
    /// RFC 3339, to the millisecond.
    pub occurred_at: String,
    /// `None`: of the installation.
    pub tenant_id: Option<TenantId>,
    /// Who did it: `{"type", "id"}`.
    pub actor: Box<RawValue>,
    /// To what: `[{"type", "id", …}]`.
    pub targets: Box<RawValue>,
    /// From where; `None`: not known, or forgotten after 7 days.
    pub context: Option<Box<RawValue>>,
    /// What else is to be said.
    pub data: Box<RawValue>,
}

impl Event {
    /// Milliseconds since 1970.
    pub(crate) fn occurred_ms(&self) -> i64 {
        milliseconds(self.id)
    }
}

/// The first 48 bits of a UUIDv7.
fn milliseconds(id: Uuid) -> i64 {
    i64::try_from(id.as_u128() >> 80).unwrap_or_default()
}

/// Which events.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// Later ones only.
    pub after: Uuid,
    /// Of this tenant only.
    pub tenant: Option<TenantId>,
    /// Of these types only; none: all. `customer.*` is every type that begins so.
    pub types: Vec<String>,
    /// At most so many.
    pub limit: usize,
}

/// Some of them.
#[derive(Debug)]
pub struct EventPage {
    /// In the order of their ids.
    pub events: Vec<Event>,
    /// Where to go on.
    pub after: Uuid,
    /// Whether to go on at once; a page may be short and yet not the last.
    pub more: bool,
}

impl Store {
    /// The next events that are older than 10 s.
    pub(crate) async fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        Ok(page(&self.query(sql::READ_EVENTS, &[&query.after, &LOOK]).await?, query)?)
    }
}

/// What is wanted of the rows of `events/read.sql`.
pub(crate) fn page(rows: &[Row], query: &EventQuery) -> Result<EventPage, tokio_postgres::Error> {
    let mut page = EventPage { events: Vec::new(), after: query.after, more: false };
    for row in rows {
        if page.events.len() >= query.limit {
            page.more = true;
            return Ok(page);
        }
        page.after = row.try_get(0)?;
        let (kind, tenant): (&str, Option<Uuid>) = (row.try_get(1)?, row.try_get(2)?);
        let meant = query.tenant.is_none() || query.tenant == tenant.map(TenantId);
        if meant && wants(&query.types, kind) {
            page.events.push(read(row)?);
        }
    }
    page.more = i64::try_from(rows.len()).is_ok_and(|rows| rows == LOOK);
    Ok(page)
}

/// Whether a list of types names this one.
fn wants(types: &[String], kind: &str) -> bool {
    types.is_empty()
        || types.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(prefix) => kind.starts_with(prefix),
            None => wanted == kind,
        })
}

fn read(row: &Row) -> Result<Event, tokio_postgres::Error> {
    let id: Uuid = row.try_get(0)?;
    let raw = |text: String| RawValue::from_string(text).unwrap_or_default();
    Ok(Event {
        id,
        r#type: row.try_get(1)?,
        occurred_at: Timestamp::from_millisecond(milliseconds(id))
            .map(|time| format!("{time:.3}"))
            .unwrap_or_default(),
        tenant_id: row.try_get::<_, Option<Uuid>>(2)?.map(TenantId),
        actor: raw(row.try_get(3)?),
        targets: raw(row.try_get(4)?),
        context: row.try_get::<_, Option<String>>(5)?.map(raw),
        data: raw(row.try_get(6)?),
    })
}
