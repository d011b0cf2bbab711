//! A login on doorcode's own page that a portal's server takes over, by a code in a URL (`/handover`, `/exchange`).
//!
//! No table of its own: the session is made at once, under a secret that nobody has been given yet. The exchange is its
//! first refresh, so that a lost answer may be asked for again, two exchanges get one successor, and a code that is used
//! once more after its successor ends the session (RFC 6749 section 4.1.2).

use super::caller::Caller;
use super::service::{Login, LoginService};
use crate::error::{RefreshError, Refusal, VerifyError};
use doorcode_domain::{
    Email, HANDOVER_LIFE_S, HandoverCode, PkceChallenge, RefreshToken, TenantId, TenantSlug, TokenPosition,
    TypedCode,
};

/// What a hosted page has after a login: no tokens.
pub struct HandedOver {
    /// For the portal's server, good for [`HANDOVER_LIFE_S`].
    pub code: String,
    /// Where.
    pub tenant_id: TenantId,
    /// The device cookie's new value.
    pub device_cookie: String,
}

impl LoginService {
    /// `/handover`: spends a login code as `/verify` does, for whoever holds the challenge's verifier.
    pub async fn hand_over(
        &self,
        caller: &Caller,
        slug: &TenantSlug,
        email: &Email,
        typed: &TypedCode,
        challenge: &PkceChallenge,
    ) -> Result<HandedOver, VerifyError> {
        let keys = self.0.keys.load_full();
        let key = keys.refresh(keys.refresh_version).ok_or(Refusal::Unavailable)?;
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Refusal::Unavailable)?;
        let secret = |tenant| Ok(HandoverCode::secret(tenant, &nonce, key, challenge));
        let (grant, device_cookie) = self.spend_code(caller, slug, email, typed, None, secret).await?;
        let end_s = grant.issued_us / 1_000_000 + HANDOVER_LIFE_S;
        let code = HandoverCode { tenant: grant.tenant, nonce, end_s };
        caller.came_to(&self.0.observability.outcomes.verify_handed_over);
        Ok(HandedOver {
            code: code.encode(keys.refresh_version, key, challenge),
            tenant_id: grant.tenant,
            device_cookie,
        })
    }

    /// `/exchange`: the tokens of a login that was handed over.
    pub async fn exchange(&self, caller: &Caller, code: &str, verifier: &str) -> Result<Login, RefreshError> {
        let Some((code, secret)) = self.read_handover(code, verifier) else {
            caller.came_to(&self.0.observability.outcomes.exchange_rejected);
            return Err(RefreshError::Rejected);
        };
        let session = secret.key(&self.0.keys.load().session_hash, code.tenant);
        let position = TokenPosition { generation: 0, branch: 0 };
        let login =
            self.advance(caller, RefreshToken { tenant: code.tenant, secret, position }, session).await?;
        self.0.observability.outcomes.exchange_done.add();
        Ok(login)
    }

    fn read_handover(
        &self,
        code: &str,
        verifier: &str,
    ) -> Option<(HandoverCode, doorcode_domain::SessionSecret)> {
        let keys = self.0.keys.load();
        let challenge = PkceChallenge::of_verifier(verifier)?;
        let read = HandoverCode::decode(code, &challenge, |version| keys.refresh(version))?;
        (self.now_s() < read.0.end_s).then_some(read)
    }
}
