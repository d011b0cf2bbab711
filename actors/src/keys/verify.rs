//! Reading access tokens of our own, for the few calls that take one. Everybody else reads the published key set.

use super::Keys;
use super::signing::SigningKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorcode_domain::{AccessClaims, TenantId};
use serde::Deserialize;
use thiserror::Error;

/// How far the clock of the one who signed and of the one who reads may differ, in seconds (D8: at most 60).
const SKEW_S: i64 = 30;
/// Ours have about 900 bytes; more is not worth decoding.
const LONGEST: usize = 4_096;

/// Why a text is no access token of ours. For logs: callers see one generic 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccessTokenError {
    /// Not three parts, or parts that are not what they should be.
    #[error("not an access token")]
    Form,
    /// A header we did not write: another key, algorithm or type, or any member that ours do not have.
    #[error("the access token's header is not one of ours")]
    Header,
    /// Made up or changed.
    #[error("the access token's signature is wrong")]
    Forged,
    /// Signed by us, for somebody else.
    #[error("the access token is for another issuer or tenant")]
    Audience,
    /// Past its `exp`.
    #[error("the access token has expired")]
    Expired,
    /// Before its `iat` or `nbf`.
    #[error("the access token is not valid yet")]
    Early,
}

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    claims: AccessClaims,
    /// We never set it; one that is there counts (D8).
    nbf: Option<i64>,
}

impl Keys {
    /// Reads a token that a published key signed for `issuer`, at `now_s` (seconds, the database's clock).
    ///
    /// With `tenant`, a token of another tenant is refused; without, the caller must see to it that what it does
    /// concerns the token's tenant only (D6).
    pub(crate) fn verify(
        &self,
        token: &str,
        issuer: &str,
        tenant: Option<TenantId>,
        now_s: i64,
    ) -> Result<AccessClaims, AccessTokenError> {
        verify(self.published(), token, issuer, tenant, now_s)
    }
}

pub(crate) fn verify<'k>(
    mut keys: impl Iterator<Item = &'k SigningKey>,
    token: &str,
    issuer: &str,
    tenant: Option<TenantId>,
    now_s: i64,
) -> Result<AccessClaims, AccessTokenError> {
    if token.len() > LONGEST {
        return Err(AccessTokenError::Form);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(AccessTokenError::Form)?;
    let (header, body) = signed.split_once('.').ok_or(AccessTokenError::Form)?;
    // The header is never parsed: it is one that we wrote, or it is none. So nothing in it can choose an algorithm,
    // name a key elsewhere (jku, x5u), bring its own (jwk, x5c) or ask for an extension (crit).
    let key = keys.find(|key| key.header() == header).ok_or(AccessTokenError::Header)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| AccessTokenError::Form)?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(AccessTokenError::Forged);
    }
    let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| AccessTokenError::Form)?;
    let Body { claims, nbf } = serde_json::from_slice(&body).map_err(|_| AccessTokenError::Form)?;
    let ours = claims.iss == issuer && claims.aud == format!("{issuer}/t/{}", claims.tenant_id.0);
    if !ours || tenant.is_some_and(|tenant| tenant != claims.tenant_id) {
        return Err(AccessTokenError::Audience);
    }
    if claims.exp.saturating_add(SKEW_S) <= now_s {
        return Err(AccessTokenError::Expired);
    }
    if nbf.unwrap_or(claims.iat).max(claims.iat) > now_s.saturating_add(SKEW_S) {
        return Err(AccessTokenError::Early);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests;
