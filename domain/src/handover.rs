//! The code that a hosted login page hands over: a login on its way to the portal's server, in a URL.
//!
//! `dch_` + base64url(version, key id, tenant id, nonce, end, MAC). The MAC covers the PKCE challenge (RFC 7636, S256),
//! which is not in the code: only who knows the verifier can use it. The session's secret is derived from nonce and
//! challenge, and is not in the code either: a leaked URL is worth nothing.

use crate::{MacKey, SessionSecret, TenantId};
use aws_lc_rs::{constant_time, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

const PREFIX: &str = "dch_";
const VERSION: u8 = 1;
const BODY: usize = 1 + 2 + 16 + 16 + 8;
const BYTES: usize = BODY + 16;

/// How long a code may be on its way, in seconds: one redirect.
pub const HANDOVER_LIFE_S: i64 = 60;

/// SHA-256 of a secret that only the portal's server knows (RFC 7636 section 4.2, S256).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PkceChallenge([u8; 32]);

impl PkceChallenge {
    /// `code_challenge` as it is sent: 43 characters of base64url.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Some(Self(bytes)),
            _ => None,
        }
    }

    /// Of a `code_verifier`: 43 to 128 unreserved characters (section 4.1), or `None`.
    pub fn of_verifier(text: &str) -> Option<Self> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !(43..=128).contains(&text.len()) || !text.bytes().all(unreserved) {
            return None;
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        Some(Self(bytes))
    }
}

/// A handover in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoverCode {
    /// Whose session.
    pub tenant: TenantId,
    /// Random: what tells two handovers apart.
    pub nonce: [u8; 16],
    /// Seconds since 1970; refused from then on.
    pub end_s: i64,
}

impl HandoverCode {
    /// The secret of the session that is handed over.
    pub fn secret(
        tenant: TenantId,
        nonce: &[u8; 16],
        key: &MacKey,
        challenge: &PkceChallenge,
    ) -> SessionSecret {
        let parts: [&[u8]; 4] = [b"handover session", tenant.0.as_bytes(), nonce, &challenge.0];
        SessionSecret::from_random(Zeroizing::new(key.mac128(&parts)))
    }

    /// Writes the code, for the holder of the challenge's verifier; `key_id` is the version of the refresh key `key`.
    pub fn encode(&self, key_id: u16, key: &MacKey, challenge: &PkceChallenge) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend(key_id.to_be_bytes());
        bytes.extend(self.tenant.0.as_bytes());
        bytes.extend(self.nonce);
        bytes.extend(self.end_s.to_be_bytes());
        let mac = key.mac128(&[b"handover", &bytes, &challenge.0]);
        bytes.extend(mac);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a code of ours whose challenge this is, with the secret of its session. `None` says no more than "no".
    pub fn decode<'k>(
        text: &str,
        challenge: &PkceChallenge,
        keys: impl FnOnce(u16) -> Option<&'k MacKey>,
    ) -> Option<(Self, SessionSecret)> {
        let mut bytes = [0u8; BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(PREFIX)?, &mut bytes) {
            Ok(BYTES) if bytes[0] == VERSION => {}
            _ => return None,
        }
        let (body, mac) = bytes.split_at(BODY);
        let key = keys(u16::from_be_bytes(body[1..3].try_into().ok()?))?;
        constant_time::verify_slices_are_equal(&key.mac128(&[b"handover", body, &challenge.0]), mac).ok()?;
        let code = Self {
            tenant: TenantId(Uuid::from_bytes(body[3..19].try_into().ok()?)),
            nonce: body[19..35].try_into().ok()?,
            end_s: i64::from_be_bytes(body[35..43].try_into().ok()?),
        };
        let secret = Self::secret(code.tenant, &code.nonce, key, challenge);
        Some((code, secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::test_key;
    use crate::{RefreshToken, RefreshTokenError};

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn code() -> HandoverCode {
        HandoverCode { tenant: TenantId(Uuid::from_u128(7)), nonce: [9; 16], end_s: 1_795_399_200 }
    }

    /// RFC 7636 appendix B.
    #[test]
    fn the_rfcs_example() {
        let challenge = PkceChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        assert_eq!(PkceChallenge::of_verifier(VERIFIER), Some(challenge));
        for odd in ["", "short", &"a".repeat(42), &"a".repeat(129), &format!("{VERIFIER}="), &"ä".repeat(30)]
        {
            assert_eq!(PkceChallenge::of_verifier(odd), None, "{odd}");
        }
        for odd in
            ["", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"]
        {
            assert_eq!(PkceChallenge::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_the_verifiers_holder_can_read_it() {
        let (key, challenge) = (test_key(1), PkceChallenge::of_verifier(VERIFIER).unwrap());
        let text = code().encode(3, &key, &challenge);
        let (read, secret) = HandoverCode::decode(&text, &challenge, |id| (id == 3).then_some(&key)).unwrap();
        assert_eq!(read, code());
        assert!(secret == HandoverCode::secret(code().tenant, &code().nonce, &key, &challenge));
        let key2 = test_key(2);
        let other = PkceChallenge::of_verifier(&"a".repeat(43)).unwrap();
        assert!(HandoverCode::decode(&text, &other, |_| Some(&key)).is_none());
        assert!(HandoverCode::decode(&text, &challenge, |_| Some(&key2)).is_none());
        assert!(HandoverCode::decode(&text, &challenge, |_| None).is_none());
        for at in 4..text.len() {
            let mut changed = text.clone();
            let with = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            changed.replace_range(at..=at, with);
            assert!(HandoverCode::decode(&changed, &challenge, |_| Some(&key)).is_none(), "{at}");
        }
    }

    /// D7 by analogy: neither is accepted for the other.
    #[test]
    fn it_is_no_refresh_token() {
        let (key, challenge) = (test_key(1), PkceChallenge::of_verifier(VERIFIER).unwrap());
        let text = code().encode(3, &key, &challenge);
        assert_eq!(RefreshToken::decode(&text, |_| Some(&key)), Err(RefreshTokenError::Form));
        let renamed = text.replace(PREFIX, "dcr_");
        assert_eq!(RefreshToken::decode(&renamed, |_| Some(&key)), Err(RefreshTokenError::Forged));
    }
}
