//! Every key that is not the master key: random, versioned, kept wrapped in Postgres, made on first use.
//!
//! [`Vault`] reads and changes them, [`Keys`] is what was read, [`KeyAdmin`] is what the command line does with them.

mod admin;
mod cells;
mod metadata;
pub(crate) mod minter;
mod recover;
mod schedule;
pub(crate) mod signing;
mod vault;
pub(crate) mod verify;
mod webhook_secret;
mod wrap;

use crate::store::StoreError;
use doorcode_domain::{MacKey, Micros};
use jsonwebtoken::jwk::JwkSet;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

pub use admin::{KeyAdmin, KeyInfo, Rewrapped, Rotation};
pub use cells::KeyFile;
pub(crate) use cells::KeyMarks;
pub use recover::Recovered;
pub use schedule::KeyState;
pub(crate) use schedule::LEAD;
pub(crate) use schedule::RELOAD;
pub(crate) use signing::SigningKey;
pub use signing::SigningKeyError;
pub(crate) use vault::DirectoryKeys;
pub(crate) use vault::{KeyPolicy, Vault};
pub use verify::AccessTokenError;
pub(crate) use webhook_secret::webhook_secret;
pub(crate) use wrap::MasterKey;
pub use wrap::WrapError;

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The master key.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The database.
    #[error("keys cannot be read: {0}")]
    Store(String),
    /// A signing key.
    #[error(transparent)]
    Signing(#[from] SigningKeyError),
    /// A key of the wrong length, or none where one must be.
    #[error("the {0} key is damaged: restore the purpose_keys and signing_keys tables from a backup")]
    Damaged(&'static str),
    /// Nothing to rewrap.
    #[error("the keys in this database are wrapped with the new master key already")]
    Rewrapped,
    /// Somebody else does the same.
    #[error("another rotation or rewrap was in between: look at `doorcode keys list`, then try again")]
    Raced,
    /// Another cell's keys do not fit here.
    #[error("the keys cannot be imported: {0}")]
    Foreign(String),
    /// A typing error, most likely.
    #[error("the time of the restored state lies in the future")]
    Future,
}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        KeyError::Store(error.to_string())
    }
}

/// What a key is for. Names are those of the database.
const ADDRESS: &str = "address";
const CODE_MAC: &str = "code_mac";
const CODE_DERIVATION: &str = "code_derivation";
const REFRESH_MAC: &str = "refresh_mac";
const SESSION_HASH: &str = "session_hash";
const DEVICE: &str = "device";
const CLIENT_TAG: &str = "client_tag";
const WEBHOOK_SECRET: &str = "webhook_secret";
const PURPOSES: [&str; 8] =
    [ADDRESS, CODE_MAC, CODE_DERIVATION, REFRESH_MAC, SESSION_HASH, DEVICE, CLIENT_TAG, WEBHOOK_SECRET];

/// A snapshot of all keys. Cheap to share; replaced as a whole.
pub(crate) struct Keys {
    /// Address → primary key of its budgets. Never rotates: a new one would forget them all.
    pub(crate) address: MacKey,
    pub(crate) code_mac: MacKey,
    pub(crate) code_derivation: MacKey,
    /// Secret → primary key of its session. Never rotates: a new one would forget them all.
    pub(crate) session_hash: MacKey,
    pub(crate) device: MacKey,
    pub(crate) client_tag: MacKey,
    /// Makes the secrets that receivers of webhooks know.
    pub(crate) webhook_secret: MacKey,
    /// Signs new refresh tokens.
    pub(crate) refresh_version: u16,
    refresh: BTreeMap<u16, MacKey>,
    /// Every published signing key, in the order in which they sign; never empty.
    signing: Vec<Scheduled>,
    /// The published set, as sent.
    pub(crate) jwks: Arc<str>,
}

/// A signing key and when it begins to sign.
struct Scheduled {
    key: SigningKey,
    active_us: Micros,
}

impl Keys {
    /// A version of the refresh key.
    pub(crate) fn refresh(&self, version: u16) -> Option<&MacKey> {
        self.refresh.get(&version)
    }

    /// The key that signs a token issued at `iat_s`, in seconds of the database's clock: on every replica the same,
    /// however long ago each of them read the keys, because a key is known long before it signs.
    pub(crate) fn signer_at(&self, iat_s: i64) -> Option<&SigningKey> {
        let us = iat_s.saturating_mul(1_000_000);
        // another cell's are published only
        let mut own = self.signing.iter().filter(|scheduled| scheduled.active_us > 0);
        let active = own.clone().rfind(|scheduled| scheduled.active_us <= us);
        // a token of the very second in which the first key was made, or a repeated one whose signer is gone
        active.or_else(|| own.next()).map(|scheduled| &scheduled.key)
    }

    /// The keys whose tokens are read.
    fn published(&self) -> impl Iterator<Item = &SigningKey> {
        self.signing.iter().map(|scheduled| &scheduled.key)
    }
}

fn key_set(signing: &[Scheduled]) -> Result<Arc<str>, SigningKeyError> {
    let set = JwkSet { keys: signing.iter().map(|scheduled| scheduled.key.jwk.clone()).collect() };
    serde_json::to_string(&set).map(Arc::from).map_err(|_| SigningKeyError::Library)
}

/// Names a row to the cipher.
fn label(purpose: &str, version: impl std::fmt::Display) -> String {
    format!("{purpose} {version}")
}

#[cfg(test)]
mod tests;
