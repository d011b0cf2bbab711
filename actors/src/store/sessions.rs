//! Refreshes and logouts, many in a statement.

use super::database_clock::last;
use super::{Store, StoreError, sql};
use doorcode_domain::{CustomerClaims, CustomerId, Micros, SessionKey, TenantId, TokenPosition};
use std::collections::HashSet;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Whose session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId {
    pub(crate) tenant: TenantId,
    pub(crate) key: SessionKey,
}

/// Claims about a customer in bytes of JSON, at most: with the rest of a token, in the largest signature, they fit into
/// a cookie (4,096 bytes with its name).
const CLAIMS_MAX: usize = 1_536;

/// What a refresh came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefreshVerdict {
    /// Unknown, expired, or of a disabled customer or tenant.
    Gone,
    /// A superseded token: the session was ended.
    Theft,
    /// The successor.
    Moved(Successor),
}

/// Where the session stands after a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Successor {
    pub(crate) customer: CustomerId,
    pub(crate) position: TokenPosition,
    /// When the code was typed.
    pub(crate) created_us: Micros,
    /// When this generation was first handed out.
    pub(crate) rotated_us: Micros,
    /// Until the session ends by itself.
    pub(crate) left_us: i64,
    pub(crate) how: Moved,
    /// About the customer.
    pub(crate) claims: CustomerClaims,
}

/// A live session, as its owner is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSession {
    /// The `sid` of its access tokens.
    pub session: SessionKey,
    /// When the code was typed.
    pub created_us: Micros,
    /// When it was refreshed last.
    pub rotated_us: Micros,
    /// "Firefox on Windows", as of the login; `None`: unknown.
    pub browser: Option<String>,
}

/// How a session moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// The current token was shown.
    Rotated,
    /// The one before, soon after: the same successor again.
    Repeated,
    /// The one before, later: a new branch, the undelivered one is dead.
    Branched,
    /// The token is ahead of the row: the database lost a write.
    Ahead,
}

impl Store {
    /// Advances sessions; rows must be unique by session. The answer is in no particular order, without the rows whose
    /// callers wait no longer (`until`) or whose tenant is frozen: of them nothing was decided.
    pub(crate) async fn refresh(
        &self,
        now: Option<Micros>,
        rows: &[(SessionId, TokenPosition)],
        until: &[Instant],
        (idle_us, retry_us): (i64, i64),
    ) -> Result<Vec<(SessionId, RefreshVerdict)>, StoreError> {
        let tenants: Vec<Uuid> = rows.iter().map(|r| r.0.tenant.0).collect();
        let sessions: Vec<Uuid> = rows.iter().map(|r| r.0.key.0).collect();
        let generations: Vec<i32> = rows.iter().map(|r| r.1.generation).collect();
        let branches: Vec<i32> = rows.iter().map(|r| r.1.branch).collect();
        let deadlines = self.database_clock.times(until);
        let moved = self
            .query_until(
                last(until),
                sql::REFRESH,
                &[&now, &tenants, &sessions, &generations, &branches, &idle_us, &retry_us, &deadlines],
            )
            .await?;
        self.database_clock.note(&moved);
        let decided = moved.iter().filter(|row| row.get::<_, i32>("verdict") >= 0);
        Ok(decided.map(|row| (session_id(row), verdict(row))).collect())
    }

    /// Ends sessions, but for those of frozen tenants, which it returns.
    pub(crate) async fn logout(&self, sessions: &[SessionId]) -> Result<HashSet<SessionId>, StoreError> {
        let (tenants, keys) = columns(sessions);
        Ok(self.query(sql::LOGOUT, &[&tenants, &keys]).await?.iter().map(session_id).collect())
    }

    /// Ends all sessions of the customers whose live sessions these are, but for those of frozen tenants, which it returns.
    pub(crate) async fn end_all(
        &self,
        now: Option<Micros>,
        sessions: &[SessionId],
    ) -> Result<HashSet<SessionId>, StoreError> {
        let (tenants, keys) = columns(sessions);
        Ok(self
            .query(sql::END_ALL_SESSIONS, &[&now, &tenants, &keys])
            .await?
            .iter()
            .map(session_id)
            .collect())
    }

    /// The live sessions of whose this one is, the newest first; none if it has ended.
    pub(crate) async fn own_sessions(
        &self,
        now: Option<Micros>,
        presented: SessionId,
    ) -> Result<Vec<OwnSession>, StoreError> {
        let found =
            self.query(sql::LIST_OWN_SESSIONS, &[&now, &presented.tenant.0, &presented.key.0]).await?;
        let own = found.iter().map(|row| OwnSession {
            session: SessionKey(row.get("session_key")),
            created_us: row.get("created_us"),
            rotated_us: row.get("rotated_us"),
            browser: row.get("browser"),
        });
        Ok(own.collect())
    }

    /// Ends a session of whose the presented one is; whether there was one. `None`: the presented one has ended.
    pub(crate) async fn end_own_session(
        &self,
        now: Option<Micros>,
        presented: SessionId,
        session: SessionKey,
    ) -> Result<Option<bool>, StoreError> {
        let parameters: [&(dyn ToSql + Sync); 4] = [&now, &presented.tenant.0, &presented.key.0, &session.0];
        let rows = self.query(sql::END_OWN_SESSION, &parameters).await?;
        let row = rows.first().ok_or_else(|| StoreError::Refused("the tenant is frozen".to_owned()))?;
        Ok(Some(row).filter(|row| row.get("live")).map(|row| row.get("ended")))
    }

    /// Which of these sessions exist, with customer, time of login, and claims.
    pub(crate) async fn find_sessions(
        &self,
        sessions: &[SessionId],
    ) -> Result<Vec<(SessionId, CustomerId, Micros, CustomerClaims)>, StoreError> {
        let (tenants, keys) = columns(sessions);
        let found = self.query(sql::FIND_SESSIONS, &[&tenants, &keys]).await?;
        Ok(found
            .iter()
            .map(|row| {
                let customer = CustomerId(row.get("customer_id"));
                (session_id(row), customer, row.get("created_us"), customer_claims(row))
            })
            .collect())
    }
}

fn columns(sessions: &[SessionId]) -> (Vec<Uuid>, Vec<Uuid>) {
    sessions.iter().map(|session| (session.tenant.0, session.key.0)).unzip()
}

fn session_id(row: &tokio_postgres::Row) -> SessionId {
    SessionId { tenant: TenantId(row.get("tenant_id")), key: SessionKey(row.get("session_key")) }
}

/// What a statement's row says of the customer: all of it, or nothing if it is too much for a token.
pub(super) fn customer_claims(row: &tokio_postgres::Row) -> CustomerClaims {
    let Some(text) = row.get::<_, Option<&str>>("claims") else { return CustomerClaims::new() };
    if text.len() > CLAIMS_MAX {
        let (tenant, bytes) = (row.get::<_, Uuid>("tenant_id"), text.len());
        tracing::warn!(%tenant, bytes, "claims of more than {CLAIMS_MAX} bytes stay out of a token");
        return CustomerClaims::new();
    }
    serde_json::from_str(text).unwrap_or_default()
}

fn verdict(row: &tokio_postgres::Row) -> RefreshVerdict {
    let how = match row.get::<_, i32>("verdict") {
        1 => Moved::Rotated,
        2 => Moved::Repeated,
        3 => Moved::Branched,
        5 => Moved::Ahead,
        4 => return RefreshVerdict::Theft,
        _ => return RefreshVerdict::Gone,
    };
    RefreshVerdict::Moved(Successor {
        customer: CustomerId(row.get("customer_id")),
        position: TokenPosition { generation: row.get("generation"), branch: row.get("branch") },
        created_us: row.get("created_us"),
        rotated_us: row.get("rotated_us"),
        left_us: row.get("left_us"),
        how,
        claims: customer_claims(row),
    })
}
