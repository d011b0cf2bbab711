//! All that HTTP ever sees of the actors: five verbs, the published keys, and health.

use crate::error::{RefreshError, Refusal, VerifyError};
use crate::observe::TreeSnapshot;
use doorcode_domain::email::Email;
use doorcode_domain::{CustomerId, TenantId, TenantSlug, TypedCode};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// What travels with a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// When the answer stops being of use; expired work is dropped before it is written.
    pub deadline: Instant,
    /// The caller's address: socket peer or right-most untrusted hop, IPv4-mapped unwrapped.
    pub client: IpAddr,
    /// Values of `__Host-portal_device_*` cookies, as sent. Judged by the service, never trusted here.
    pub device_cookies: Vec<String>,
}

/// What a successful login or refresh returns.
pub struct Login {
    /// JWT.
    pub access_token: String,
    /// `dcr_…`.
    pub refresh_token: Zeroizing<String>,
    /// Who.
    pub customer_id: CustomerId,
    /// Where.
    pub tenant_id: TenantId,
    /// Life of the access token in seconds.
    pub expires_in_s: i64,
    /// Seconds until the session ends at the latest if nobody refreshes it: the cookie's `Max-Age`.
    pub refresh_life_s: i64,
    /// A device cookie's new value, if this login made or renewed one.
    pub device_cookie: Option<String>,
}

/// The actors' one door. Cheap to clone.
#[derive(Clone)]
pub struct LoginService {}

impl LoginService {
    /// `/login`. `Ok` means committed: the mail, if one is due, survives a crash. Says nothing of the account.
    pub async fn request_code(&self, _: &Caller, _: &TenantSlug, _: &Email) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }

    /// `/verify` and `/token`: one budget, one rule. `presented` is the refresh token of the portal's cookie, if
    /// one came along: its session ends when this one begins, if both are of one tenant (E8).
    pub async fn verify(
        &self,
        _: &Caller,
        _: &TenantSlug,
        _: &Email,
        _: &TypedCode,
        _presented: Option<&str>,
    ) -> Result<Login, VerifyError> {
        Err(Refusal::Unavailable.into())
    }

    /// `/refresh`.
    pub async fn refresh(&self, _: &Caller, _token: &str) -> Result<Login, RefreshError> {
        Err(Refusal::Unavailable.into())
    }

    /// `/logout`: ends the token's session, whatever generation it is of. Unknown and garbage tokens are `Ok` too.
    pub async fn logout(&self, _: &Caller, _token: &str) -> Result<(), Refusal> {
        Err(Refusal::Unavailable)
    }

    /// The published keys: a JSON Web Key Set, ready to send.
    pub fn jwks(&self) -> Arc<str> {
        Arc::from("{\"keys\":[]}")
    }

    /// Asks the actors, one by one, whether they answer: `/readyz`.
    pub async fn ready(&self) -> Result<(), Vec<String>> {
        Err(vec!["nothing runs yet".to_owned()])
    }

    /// The supervision tree with its counters: `/actors`, `/metrics`, the live page.
    pub fn snapshot(&self) -> TreeSnapshot {
        TreeSnapshot::default()
    }
}
