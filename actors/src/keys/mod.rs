//! Every key that is not the master key: random, versioned, kept wrapped in Postgres, made on first use.

mod signing;
mod verify;
mod wrap;

use crate::settings::Algorithm;
use crate::store::keys::WrappedSigningKey;
use crate::store::{Store, StoreError};
use doorcode_domain::MacKey;
use jsonwebtoken::jwk::JwkSet;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use thiserror::Error;
use zeroize::Zeroizing;

pub(crate) use signing::SigningKey;
pub use signing::SigningKeyError;
pub use verify::AccessTokenError;
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
    #[error("the {0} key is damaged: restore the purpose_keys table from a backup")]
    Damaged(&'static str),
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
const PURPOSES: [&str; 7] =
    [ADDRESS, CODE_MAC, CODE_DERIVATION, REFRESH_MAC, SESSION_HASH, DEVICE, CLIENT_TAG];

/// A snapshot of all keys. Cheap to share; replaced as a whole.
pub(crate) struct Keys {
    /// Address → primary key of its budgets. Never rotates by itself: a new one would forget them all.
    pub(crate) address: MacKey,
    pub(crate) code_mac: MacKey,
    pub(crate) code_derivation: MacKey,
    pub(crate) session_hash: MacKey,
    pub(crate) device: MacKey,
    pub(crate) client_tag: MacKey,
    /// Signs new refresh tokens.
    pub(crate) refresh_version: u16,
    refresh: BTreeMap<u16, MacKey>,
    /// Signs access tokens now.
    pub(crate) signer: Arc<SigningKey>,
    /// All whose tokens may be valid.
    published: Vec<Arc<SigningKey>>,
    /// The published set, as sent.
    pub(crate) jwks: Arc<str>,
}

impl Keys {
    /// The address key alone, for administration.
    pub(crate) async fn address(store: &Store, master: &MasterKey) -> Result<MacKey, KeyError> {
        let mut purposes = load_purposes(store, master).await?;
        let versions = purposes.remove(ADDRESS).ok_or(KeyError::Damaged(ADDRESS))?;
        versions.into_values().next_back().ok_or(KeyError::Damaged(ADDRESS))
    }

    /// A version of the refresh key.
    pub(crate) fn refresh(&self, version: u16) -> Option<&MacKey> {
        self.refresh.get(&version)
    }

    /// Reads the keys, making those that do not exist yet. Of several replicas that do so at once, one wins.
    pub(crate) async fn load(
        store: &Store,
        master: &MasterKey,
        algorithm: Algorithm,
    ) -> Result<Self, KeyError> {
        let purposes = load_purposes(store, master).await?;
        let signing = load_signing(store, master, algorithm).await?;
        let newest = |purpose: &'static str| -> Result<MacKey, KeyError> {
            let versions = purposes.get(purpose).ok_or(KeyError::Damaged(purpose))?;
            versions.values().next_back().cloned().ok_or(KeyError::Damaged(purpose))
        };
        let refresh = purposes.get(REFRESH_MAC).cloned().ok_or(KeyError::Damaged(REFRESH_MAC))?;
        let refresh_version = *refresh.keys().next_back().ok_or(KeyError::Damaged(REFRESH_MAC))?;
        let Signing { signer, published, jwks } = signing;
        Ok(Self {
            address: newest(ADDRESS)?,
            code_mac: newest(CODE_MAC)?,
            code_derivation: newest(CODE_DERIVATION)?,
            session_hash: newest(SESSION_HASH)?,
            device: newest(DEVICE)?,
            client_tag: newest(CLIENT_TAG)?,
            refresh_version,
            refresh,
            signer,
            published,
            jwks,
        })
    }
}

struct Signing {
    signer: Arc<SigningKey>,
    published: Vec<Arc<SigningKey>>,
    jwks: Arc<str>,
}

type Purposes = HashMap<&'static str, BTreeMap<u16, MacKey>>;

async fn load_purposes(store: &Store, master: &MasterKey) -> Result<Purposes, KeyError> {
    let read = read_purposes(store, master).await?;
    let missing: Vec<_> = PURPOSES.into_iter().filter(|purpose| !read.contains_key(purpose)).collect();
    if missing.is_empty() {
        return Ok(read);
    }
    for purpose in missing {
        let mut material = Zeroizing::new(vec![0; MacKey::BYTES]);
        aws_lc_rs::rand::fill(&mut material).map_err(|_| SigningKeyError::Library)?;
        store.add_purpose_key(purpose, 1, &master.wrap(&label(purpose, 1), &material)?).await?;
    }
    // read again: another replica may have been first
    read_purposes(store, master).await
}

async fn read_purposes(store: &Store, master: &MasterKey) -> Result<Purposes, KeyError> {
    let mut purposes = Purposes::new();
    for row in store.purpose_keys().await? {
        // a purpose of a later version is none of ours
        let Some(purpose) = PURPOSES.into_iter().find(|name| *name == row.purpose) else { continue };
        let version = u16::try_from(row.version).map_err(|_| KeyError::Damaged(purpose))?;
        let material = master.unwrap(&label(purpose, row.version), &row.wrapped)?;
        let key = MacKey::new(&material).map_err(|_| KeyError::Damaged(purpose))?;
        purposes.entry(purpose).or_default().insert(version, key);
    }
    Ok(purposes)
}

async fn load_signing(store: &Store, master: &MasterKey, algorithm: Algorithm) -> Result<Signing, KeyError> {
    let mut rows = store.signing_keys().await?;
    if !rows.iter().any(|row| signs_now(row, algorithm)) {
        let der = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm))
            .await
            .map_err(|_| SigningKeyError::Library)??;
        let key = SigningKey::from_pkcs8(algorithm, &der)?;
        let wrapped = master.wrap(&label("signing", key.kid.as_str()), &der)?;
        store.add_first_signing_key(&key.kid, algorithm.jose_name(), &wrapped).await?;
        rows = store.signing_keys().await?;
    }
    let (mut published, mut signer) = (Vec::new(), None);
    for row in &rows {
        let der = master.unwrap(&label("signing", row.kid.as_str()), &row.wrapped)?;
        let key = Arc::new(SigningKey::from_pkcs8(Algorithm::from_jose_name(&row.algorithm)?, &der)?);
        published.push(key.clone());
        // rows are in order of activation: the newest that is active signs, on every replica the same
        if signs_now(row, algorithm) {
            signer = Some(key);
        }
    }
    let set = JwkSet { keys: published.iter().map(|key| key.jwk.clone()).collect() };
    let jwks = Arc::from(serde_json::to_string(&set).map_err(|_| SigningKeyError::Library)?);
    Ok(Signing { signer: signer.ok_or(KeyError::Damaged("signing"))?, published, jwks })
}

fn signs_now(row: &WrappedSigningKey, algorithm: Algorithm) -> bool {
    row.algorithm == algorithm.jose_name()
        && row.active_us <= row.now_us
        && row.retired_us.is_none_or(|retired| retired > row.now_us)
}

/// Names a row to the cipher.
fn label(purpose: &str, version: impl std::fmt::Display) -> String {
    format!("{purpose} {version}")
}
