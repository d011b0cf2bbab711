//! What an access token says: RFC 9068 in shape.

use crate::{CustomerId, SessionKey, TenantId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Life of an access token in seconds; the contract's `expires_in`.
pub const ACCESS_LIFE_S: i64 = 3_600;

/// Claims about a customer, by names that the tenant chose and that are none of [`AccessClaims::NAMES`].
pub type CustomerClaims = serde_json::Map<String, serde_json::Value>;

/// Claims (RFC 9068 section 2.2). No address, no name, unless the tenant lists it: a token is read by more parties than the
/// portal (D13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The configured `public_url`.
    pub iss: String,
    /// `iss` + `/t/` + tenant id: a token of one tenant is no token at another (D6).
    pub aud: String,
    /// The customer.
    pub sub: CustomerId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// Always `portal`.
    pub client_id: String,
    /// The session, as a keyed hash.
    pub sid: Uuid,
    /// Issued at, seconds.
    pub iat: i64,
    /// Expires at, seconds: `iat` + 3,600.
    pub exp: i64,
    /// The same for a retried refresh, so a retry cannot be told from its original.
    pub jti: Uuid,
    /// When the code was typed, seconds; refreshes do not move it (D3).
    pub auth_time: i64,
    /// `["otp"]`, and no claim of an assurance level (D3).
    pub amr: Vec<String>,
    /// What the tenant says of the customer.
    #[serde(flatten)]
    pub customer: CustomerClaims,
}

impl AccessClaims {
    /// The names of all that every token has.
    pub const NAMES: [&str; 11] =
        ["iss", "aud", "sub", "tenant_id", "client_id", "sid", "iat", "exp", "jti", "auth_time", "amr"];

    /// The claims of `session`, issued at `iat`; none about the customer.
    #[allow(clippy::too_many_arguments, reason = "one argument a claim; a builder would only rename them")]
    pub fn new(
        issuer: &str,
        tenant: TenantId,
        customer: CustomerId,
        session: SessionKey,
        jti: Uuid,
        auth_time: i64,
        iat: i64,
    ) -> Self {
        Self {
            iss: issuer.to_owned(),
            aud: format!("{issuer}/t/{}", tenant.0),
            sub: customer,
            tenant_id: tenant,
            client_id: "portal".to_owned(),
            sid: session.0,
            iat,
            exp: iat + ACCESS_LIFE_S,
            jti,
            auth_time,
            amr: vec!["otp".to_owned()],
            customer: CustomerClaims::new(),
        }
    }
}
