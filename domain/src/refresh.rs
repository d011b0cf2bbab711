//! The refresh token: opaque to callers, self-checking to us.
//!
//! `dcr_` + base64url(version, key id, tenant id, session secret, generation, branch, MAC). A token whose MAC fails
//! never reaches Postgres. The database holds the session under a keyed hash of the secret: a reader of the database
//! can neither present a token nor recognise one.

use crate::{MacKey, TenantId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Never change it: secret scanners know tokens by their prefix.
const PREFIX: &str = "dcr_";
const VERSION: u8 = 1;
const BODY: usize = 1 + 2 + 16 + 16 + 4 + 4;
const BYTES: usize = BODY + 16;

/// How often a session has been refreshed.
pub type Generation = i32;
/// Which try at delivering a generation: a lost answer costs a branch, not the session.
pub type Branch = i32;

/// Where a token stands in its session's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenPosition {
    /// Counts refreshes from 0.
    pub generation: Generation,
    /// Counts undelivered siblings from 0.
    pub branch: Branch,
}

/// 128 random bits that identify a session to its owner only.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionSecret(Zeroizing<[u8; 16]>);

impl SessionSecret {
    /// Takes 16 bytes from a cryptographic generator.
    pub fn from_random(bytes: Zeroizing<[u8; 16]>) -> Self {
        Self(bytes)
    }

    /// The form the database holds.
    pub fn key(&self, hash: &MacKey, tenant: TenantId) -> SessionKey {
        SessionKey(Uuid::from_bytes(hash.mac128(&[b"session", tenant.0.as_bytes(), &self.0[..]])))
    }
}

impl std::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecret(redacted)")
    }
}

/// A session's name in the database and, shortened no further, the `sid` claim: a keyed hash of its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub Uuid);

/// A refresh token in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Whose session.
    pub tenant: TenantId,
    /// Which session.
    pub secret: SessionSecret,
    /// Where in its line.
    pub position: TokenPosition,
}

/// Why a text is no token of ours. Callers see one generic 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RefreshTokenError {
    /// Wrong prefix, alphabet, length or version.
    #[error("not a refresh token")]
    Form,
    /// Signed with a key that is not, or no longer, here.
    #[error("the refresh token names an unknown key")]
    UnknownKey,
    /// Made up or cut.
    #[error("the refresh token's MAC is wrong")]
    Forged,
}

impl RefreshToken {
    /// Writes the token, signed with `key`, version `key_id` of the refresh key.
    pub fn encode(&self, key_id: u16, key: &MacKey) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        bytes.push(VERSION);
        bytes.extend(key_id.to_be_bytes());
        bytes.extend(self.tenant.0.as_bytes());
        bytes.extend(&self.secret.0[..]);
        bytes.extend(self.position.generation.to_be_bytes());
        bytes.extend(self.position.branch.to_be_bytes());
        let mac = key.mac128(&[b"refresh", &bytes]);
        bytes.extend(mac);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + BYTES.div_ceil(3) * 4));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&bytes[..], &mut text);
        text
    }

    /// Whose session a text that has a token's form says it is of: not proven, its MAC is not looked at.
    pub fn claimed_tenant(text: &str) -> Option<TenantId> {
        Some(TenantId(Uuid::from_bytes(array(&bytes_of(text)?[..], TENANT_AT))))
    }

    /// Reads and checks a token. `keys` finds a version of the refresh key.
    pub fn decode<'k>(
        text: &str,
        keys: impl FnOnce(u16) -> Option<&'k MacKey>,
    ) -> Result<Self, RefreshTokenError> {
        let bytes = bytes_of(text).ok_or(RefreshTokenError::Form)?;
        let (body, mac) = bytes.split_at(BODY);
        let key = keys(u16::from_be_bytes(array(body, 1))).ok_or(RefreshTokenError::UnknownKey)?;
        let expected = key.mac128(&[b"refresh", body]);
        if aws_lc_rs::constant_time::verify_slices_are_equal(&expected, mac).is_err() {
            return Err(RefreshTokenError::Forged);
        }
        Ok(Self {
            tenant: TenantId(Uuid::from_bytes(array(body, TENANT_AT))),
            secret: SessionSecret(Zeroizing::new(array(body, 19))),
            position: TokenPosition {
                generation: Generation::from_be_bytes(array(body, 35)),
                branch: Branch::from_be_bytes(array(body, 39)),
            },
        })
    }
}

/// Where the tenant's id is: behind the version and the key's.
const TENANT_AT: usize = 3;

/// What a token's text spells.
fn bytes_of(text: &str) -> Option<Zeroizing<[u8; BYTES]>> {
    let mut bytes = Zeroizing::new([0u8; BYTES]);
    let length = URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(PREFIX)?, &mut bytes[..]).ok()?;
    (length == BYTES && bytes[0] == VERSION).then_some(bytes)
}

/// `N` bytes from `at`; every caller's range lies inside the fixed layout.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::test_key;
    use proptest::prelude::*;

    fn token(seed: u64, generation: i32, branch: i32) -> RefreshToken {
        RefreshToken {
            tenant: TenantId(Uuid::from_u128(u128::from(seed) << 7)),
            secret: SessionSecret::from_random(Zeroizing::new(u128::from(seed).to_be_bytes())),
            position: TokenPosition { generation, branch },
        }
    }

    #[test]
    fn junk_is_refused_by_form() {
        let key = test_key(1);
        for junk in ["", "dcr_", "abc", "dcr_AAAA", &format!("dcr_{}", "A".repeat(79)), &"x".repeat(8000)] {
            assert_eq!(RefreshToken::decode(junk, |_| Some(&key)), Err(RefreshTokenError::Form), "{junk:?}");
        }
    }

    /// E1: at least 128 bits, and the kept form is not the shown one.
    #[test]
    fn the_session_key_is_not_the_secret() {
        let token = token(1, 0, 0);
        let key = token.secret.key(&test_key(2), token.tenant);
        assert_ne!(key.0.as_bytes(), &*token.secret.0);
        assert_ne!(key, token.secret.key(&test_key(3), token.tenant));
        assert!(!format!("{token:?}").contains(&format!("{:?}", token.secret.0)));
    }

    proptest! {
        #[test]
        fn round_trip(seed in any::<u64>(), generation in 0..i32::MAX, branch in 0..i32::MAX, key_id in any::<u16>()) {
            let (token, key, other) = (token(seed, generation, branch), test_key(1), test_key(9));
            let text = token.encode(key_id, &key);
            prop_assert_eq!(RefreshToken::decode(&text, |id| (id == key_id).then_some(&key)), Ok(token));
            prop_assert_eq!(RefreshToken::decode(&text, |_| None), Err(RefreshTokenError::UnknownKey));
            prop_assert_eq!(RefreshToken::decode(&text, |_| Some(&other)).err(), Some(RefreshTokenError::Forged));
        }

        #[test]
        fn one_changed_character_never_passes(seed in any::<u64>(), at in 4usize..80, with in "[A-Za-z0-9_-]") {
            let key = test_key(1);
            let mut text = token(seed, 3, 1).encode(1, &key).to_string();
            let at = at % text.len();
            prop_assume!(text[at..=at] != with);
            text.replace_range(at..=at, &with);
            prop_assert!(RefreshToken::decode(&text, |_| Some(&key)).is_err());
        }

        #[test]
        fn decoding_never_panics(text in any::<String>()) {
            let _ = RefreshToken::decode(&text, |_| None);
        }
    }
}
