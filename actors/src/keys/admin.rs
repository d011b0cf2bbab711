//! The keys as an administrator sees and changes them. Never their material.

use super::schedule::KeyState;
use super::{KeyError, MasterKey, Vault, WrapError, label};
use crate::settings::{Algorithm, DatabaseSettings};
use crate::store::keys::{WrappedKey, WrappedSigningKey, purpose_key, signing_key};
use crate::store::{Store, StoreError, sql};
use crate::system::StartError;
use doorcode_domain::{Clock, Micros};
use std::time::Duration;

/// A key, without itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// `signing`, or the purpose.
    pub purpose: String,
    /// The `kid` of a signing key, the version of a purpose key.
    pub name: String,
    /// Of a signing key, as JOSE names it.
    pub algorithm: Option<String>,
    /// Where it stands.
    pub state: KeyState,
    /// When it was or will be in this state.
    pub since_us: Micros,
    /// When it will be in the next; `None`: when it has a successor.
    pub until_us: Option<Micros>,
}

/// What a rotation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The `kid` or version that follows.
    pub name: String,
    /// Of a signing key, as JOSE names it.
    pub algorithm: Option<String>,
    /// When it is used from.
    pub active_us: Micros,
    /// It was there already; nothing was made.
    pub waited: bool,
}

/// How many keys were wrapped anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// Purpose keys, all versions.
    pub purpose: usize,
    /// Signing keys.
    pub signing: usize,
}

/// What administrators do with the keys.
pub struct KeyAdmin {
    pub(super) vault: Vault,
}

impl KeyAdmin {
    /// Over a migrated database. The master key is checked where a verb needs it.
    pub fn open(database: &DatabaseSettings, master_key: &[u8]) -> Result<Self, StartError> {
        let master = MasterKey::new(master_key).map_err(KeyError::from)?;
        Ok(Self { vault: Vault::new(Store::new(database)?, master, Clock::Database) })
    }

    /// All keys. Needs no master key: only what wraps them is secret.
    pub async fn list(database: &DatabaseSettings) -> Result<Vec<KeyInfo>, StartError> {
        let store = Store::new(database)?;
        let signing = store.signing_keys(None).await.map_err(KeyError::from)?;
        let purposes = store.purpose_keys(None).await.map_err(KeyError::from)?;
        let successors = purposes.iter().map(|row| {
            let next = purposes.iter().find(|r| r.purpose == row.purpose && r.version == row.version + 1);
            purpose_info(row, next.map(|next| next.active_us))
        });
        Ok(signing.iter().map(signing_info).chain(successors).collect())
    }

    /// Publishes a signing key that signs after `lead`, at least `LEAD` (11 minutes); if one waits already that will by
    /// then, that one. One that waits for longer is passed over.
    pub async fn rotate_signing(&self, algorithm: Algorithm, lead: Duration) -> Result<Rotation, KeyError> {
        self.vault.rotate_signing(algorithm, lead.max(super::LEAD)).await.map(Rotation::from)
    }

    /// Makes a version of the refresh key that will follow the newest one; if one waits already, that one. `absolute`
    /// is the longest life of a session: for that long, tokens of the version before are good.
    pub async fn rotate_refresh(&self, absolute: Duration) -> Result<Rotation, KeyError> {
        self.vault.rotate_refresh(absolute).await.map(Rotation::from)
    }

    /// Wraps every key with another master key, all or none. Running replicas go on with what they have in memory.
    pub async fn rewrap(&self, new_master_key: &[u8]) -> Result<Rewrapped, KeyError> {
        let new = MasterKey::new(new_master_key)?;
        let mut client = self.vault.store.pool().get().await.map_err(StoreError::from)?;
        let transaction = client.transaction().await.map_err(StoreError::from)?;
        // nobody adds a key that would stay behind
        transaction.batch_execute(sql::LOCK_KEYS).await.map_err(StoreError::from)?;
        let now: Option<Micros> = None;
        let rows = transaction.query(sql::LIST_PURPOSE_KEYS, &[&now]).await.map_err(StoreError::from)?;
        let purposes: Vec<WrappedKey> = rows.iter().map(purpose_key).collect();
        let rows = transaction.query(sql::LIST_SIGNING_KEYS, &[&now]).await.map_err(StoreError::from)?;
        let signing: Vec<WrappedSigningKey> = rows.iter().map(signing_key).collect();

        let anew = purposes
            .iter()
            .map(|row| self.anew(&new, &label(&row.purpose, row.version), &row.wrapped))
            .collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&str> = purposes.iter().map(|row| row.purpose.as_str()).collect();
        let versions: Vec<i32> = purposes.iter().map(|row| row.version).collect();
        let purpose = transaction
            .execute(sql::REWRAP_PURPOSE_KEYS, &[&names, &versions, &anew])
            .await
            .map_err(StoreError::from)?;
        let anew = signing
            .iter()
            .map(|row| self.anew(&new, &label("signing", &row.kid), &row.wrapped))
            .collect::<Result<Vec<_>, _>>()?;
        let kids: Vec<&str> = signing.iter().map(|row| row.kid.as_str()).collect();
        let count =
            transaction.execute(sql::REWRAP_SIGNING_KEYS, &[&kids, &anew]).await.map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(Rewrapped { purpose: purpose as usize, signing: count as usize })
    }

    fn anew(&self, new: &MasterKey, label: &str, wrapped: &[u8]) -> Result<Vec<u8>, KeyError> {
        if new.unwrap(label, wrapped).is_ok() {
            return Err(KeyError::Rewrapped);
        }
        let material = self.vault.master.unwrap(label, wrapped)?;
        let wrapped = new.wrap(label, &material)?;
        // read back before the old form is gone for good
        match new.unwrap(label, &wrapped)? == material {
            true => Ok(wrapped),
            false => Err(WrapError::WrongKey.into()),
        }
    }
}

impl From<super::vault::Successor> for Rotation {
    fn from(successor: super::vault::Successor) -> Self {
        Self {
            name: successor.name,
            algorithm: successor.algorithm.map(|algorithm| algorithm.jose_name().to_owned()),
            active_us: successor.active_us,
            waited: successor.waited,
        }
    }
}

fn signing_info(row: &WrappedSigningKey) -> KeyInfo {
    info(
        ("signing", row.kid.clone(), Some(row.algorithm.clone())),
        row.now_us,
        // of another cell: retired from the first
        [
            Some(row.created_us),
            Some(row.active_us),
            row.retired_us.map(|us| us.max(row.created_us)),
            row.gone_us,
        ],
    )
}

fn purpose_info(row: &WrappedKey, successor_us: Option<Micros>) -> KeyInfo {
    info(
        (&row.purpose, row.version.to_string(), None),
        row.now_us,
        [Some(row.created_us), Some(row.active_us), successor_us, row.gone_us],
    )
}

/// `times`: of the four states, in their order.
fn info(
    (purpose, name, algorithm): (&str, String, Option<String>),
    now: Micros,
    times: [Option<Micros>; 4],
) -> KeyInfo {
    let [created, active, retired, gone] = times;
    let active = active.unwrap_or(now);
    let state = KeyState::at(now, active, retired, gone);
    let (since, until) = match state {
        KeyState::Next => (created, Some(active)),
        KeyState::Active => (Some(active), retired),
        KeyState::Retiring => (retired, gone),
        KeyState::Gone => (gone, None),
    };
    let since_us = since.unwrap_or(now);
    KeyInfo { purpose: purpose.to_owned(), name, algorithm, state, since_us, until_us: until }
}
