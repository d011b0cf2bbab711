//! A customer's view of their own sessions: what each is, and the end of one.

use super::caller::Caller;
use super::service::LoginService;
use crate::error::Refusal;
use crate::store::StoreError;
use crate::store::sessions::{OwnSession, SessionId};
use doorcode_domain::{AccessClaims, SessionKey};
use tokio::time::timeout_at;

/// Statements of this kind at once: customers who look at their sessions leave the pool to those who log in.
pub(crate) const AT_ONCE: usize = 2;

impl LoginService {
    /// The live sessions of an access token's customer, the newest first. `None`: its own session has ended.
    pub async fn own_sessions(
        &self,
        caller: &Caller,
        claims: &AccessClaims,
    ) -> Result<Option<Vec<OwnSession>>, Refusal> {
        let _turn = self.turn(caller).await?;
        let now = self.0.clock.sql_now();
        let sessions =
            self.0.store.own_sessions(now, session_of(claims)).await.map_err(|error| unavailable(&error))?;
        // its own is among them, if it is live
        Ok((!sessions.is_empty()).then_some(sessions))
    }

    /// Ends a session of an access token's customer. `None`: the token's own session has ended; `false`: there is no such
    /// session, or it is somebody else's.
    pub async fn end_own_session(
        &self,
        caller: &Caller,
        claims: &AccessClaims,
        session: SessionKey,
    ) -> Result<Option<bool>, Refusal> {
        let _turn = self.turn(caller).await?;
        caller.trail.about_session(SessionId { tenant: claims.tenant_id, key: session });
        let ending = self.0.store.end_own_session(self.0.clock.sql_now(), session_of(claims), session);
        let ended = ending.await.map_err(|error| unavailable(&error))?;
        if ended == Some(true) {
            caller.came_to(&self.0.observability.outcomes.logout_done);
        }
        Ok(ended)
    }

    /// Those who wait are as many as have a connection to us; each waits until its deadline.
    async fn turn(&self, caller: &Caller) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        let turn = timeout_at(caller.deadline, self.0.own_turns.acquire()).await;
        turn.map_err(|_| Refusal::Late)?.map_err(|_| Refusal::Unavailable)
    }
}

fn session_of(claims: &AccessClaims) -> SessionId {
    SessionId { tenant: claims.tenant_id, key: SessionKey(claims.sid) }
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "a customer's own sessions cannot be read or ended");
    Refusal::Unavailable
}
