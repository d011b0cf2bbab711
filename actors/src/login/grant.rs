//! From a session to its tokens: what is signed, by whom, and under which id.

use super::caller::Caller;
use super::service::{Login, LoginService};
use crate::error::Refusal;
use crate::keys::minter::MinterMessage;
use crate::keys::{Keys, SigningKeyError};
use actor_runtime::CallError;
use doorcode_domain::{
    ACCESS_LIFE_S, AccessClaims, CustomerClaims, CustomerId, Micros, RefreshToken, SessionKey, SessionSecret,
    TenantId, TokenPosition,
};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A session as its next tokens need it.
pub(super) struct Grant {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    pub(super) secret: SessionSecret,
    pub(super) session: SessionKey,
    pub(super) position: TokenPosition,
    pub(super) auth_us: Micros,
    pub(super) issued_us: Micros,
    pub(super) left: Duration,
    /// About the customer.
    pub(super) claims: CustomerClaims,
}

impl LoginService {
    /// Both tokens of a grant. The same grant gives the same refresh token and the same claims.
    pub(super) async fn mint(&self, caller: &Caller, grant: Grant) -> Result<Login, Refusal> {
        let keys = self.0.keys.load_full();
        let mut claims = AccessClaims::new(
            &self.0.issuer_url,
            grant.tenant,
            grant.customer,
            grant.session,
            token_id(&keys, grant.session, grant.position),
            grant.auth_us / 1_000_000,
            grant.issued_us / 1_000_000,
        );
        claims.customer = grant.claims;
        let access_token = self.sign(caller.deadline, claims).await?;
        let token = RefreshToken { tenant: grant.tenant, secret: grant.secret, position: grant.position };
        let refresh_key = keys.refresh(keys.refresh_version).ok_or(Refusal::Unavailable)?;
        Ok(Login {
            access_token,
            refresh_token: token.encode(keys.refresh_version, refresh_key),
            customer_id: grant.customer,
            tenant_id: grant.tenant,
            expires_in_s: ACCESS_LIFE_S,
            refresh_life_s: i64::try_from(grant.left.as_secs()).unwrap_or(i64::MAX),
            device_cookie: None,
        })
    }

    /// Asks the minters in turn; one between two lives is passed over until the deadline.
    async fn sign(&self, deadline: Instant, claims: AccessClaims) -> Result<String, Refusal> {
        let claims = Box::new(claims);
        for _ in 0..=self.0.minters.members.len() {
            let minter = self.0.minters.next();
            let asked = minter.call(deadline, |reply| MinterMessage::Sign(claims.clone(), reply)).await;
            match asked {
                Ok(Ok(token)) => return Ok(token),
                Ok(Err(error)) => return Err(cannot_sign(&error)),
                Err(CallError::Unavailable) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::Unavailable)
    }
}

fn cannot_sign(error: &SigningKeyError) -> Refusal {
    tracing::error!(%error, "an access token cannot be signed");
    Refusal::Unavailable
}

/// A token's `jti`: derived, so that a repeated refresh repeats it.
fn token_id(keys: &Keys, session: SessionKey, position: TokenPosition) -> Uuid {
    let bytes = keys.session_hash.mac128(&[
        b"jti",
        session.0.as_bytes(),
        &position.generation.to_be_bytes(),
        &position.branch.to_be_bytes(),
    ]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

pub(super) fn new_secret() -> Result<SessionSecret, Refusal> {
    let mut bytes = Zeroizing::new([0; 16]);
    aws_lc_rs::rand::fill(&mut bytes[..]).map_err(|_| {
        tracing::error!("no random numbers");
        Refusal::Unavailable
    })?;
    Ok(SessionSecret::from_random(bytes))
}
