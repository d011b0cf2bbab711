//! Keys that cells share: a tenant's rows are of use only where the purpose keys are the same, and its tokens only where the key
//! that signed them is published. What leaves a cell is wrapped by the master key, which all cells have.

use super::schedule::{KeyState, PURPOSE_LEAD};
use super::{KeyAdmin, KeyError, REFRESH_MAC, label};
use crate::store::keys::{WrappedKey, WrappedSigningKey, purpose_key};
use crate::store::{StoreError, micros, sql};
use doorcode_domain::{MacKey, Micros};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// How long another cell's signing key is published here that has no successor yet: as often, at the least, keys are exchanged.
const FOREIGN_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// A cell's keys, wrapped.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The form of this file: 1.
    doorcode_keys: u32,
    purpose_keys: Vec<WrappedKey>,
    signing_keys: Vec<WrappedSigningKey>,
}

/// Which keys a cell has, without themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMarks {
    /// Purpose, version, and a MAC under the key that says whether two are the same.
    purposes: Vec<(String, i32, Uuid)>,
    kids: Vec<String>,
}

impl KeyMarks {
    /// What of `theirs` is not here.
    pub fn lacks(&self, theirs: &Self) -> Option<String> {
        let purpose = theirs.purposes.iter().find(|mark| !self.purposes.contains(mark));
        let kid = || theirs.kids.iter().find(|kid| !self.kids.contains(kid));
        purpose
            .map(|(purpose, version, _)| format!("the {purpose} key, version {version}"))
            .or_else(|| kid().map(|kid| format!("the signing key {kid}")))
    }
}

impl KeyAdmin {
    /// Which keys there are.
    pub async fn marks(&self) -> Result<KeyMarks, KeyError> {
        let keys = self.export().await?;
        let good = |row: &&WrappedKey| row.gone_us.is_none_or(|gone| gone > row.now_us);
        let purposes =
            keys.purpose_keys.iter().filter(good).map(|row| self.mark(row)).collect::<Result<_, _>>()?;
        Ok(KeyMarks { purposes, kids: keys.signing_keys.into_iter().map(|row| row.kid).collect() })
    }

    /// All keys, wrapped as they are.
    pub async fn export(&self) -> Result<KeyFile, KeyError> {
        let mut signing_keys = self.vault.store.signing_keys(None).await?;
        signing_keys.retain(|row| row.state() != KeyState::Gone);
        let purpose_keys = self.vault.store.purpose_keys(None).await?;
        Ok(KeyFile { doorcode_keys: 1, purpose_keys, signing_keys })
    }

    /// Takes over another cell's purpose keys, unless there are others here, and publishes its signing keys. All or nothing;
    /// returns how many purpose keys and signing keys there are in the file.
    pub async fn import(&self, file: &KeyFile) -> Result<(usize, usize), KeyError> {
        let (purpose, signing) = (&file.purpose_keys, &file.signing_keys);
        if file.doorcode_keys != 1 || !purpose.iter().any(|key| key.purpose == REFRESH_MAC) {
            return Err(KeyError::Foreign("the file is of a form that is not known here".to_owned()));
        }
        for key in signing {
            self.vault.master.unwrap(&label("signing", &key.kid), &key.wrapped)?;
        }
        let mut client = self.vault.store.pool().get().await.map_err(StoreError::from)?;
        let transaction = client.transaction().await.map_err(StoreError::from)?;
        transaction.batch_execute(sql::LOCK_KEYS).await.map_err(StoreError::from)?;
        let now: Option<Micros> = None;
        let rows = transaction.query(sql::LIST_PURPOSE_KEYS, &[&now]).await.map_err(StoreError::from)?;
        let here: Vec<WrappedKey> = rows.iter().map(purpose_key).collect();
        self.check_same(purpose, &here)?;

        let purposes: Vec<&str> = purpose.iter().map(|key| &*key.purpose).collect();
        let versions: Vec<i32> = purpose.iter().map(|key| key.version).collect();
        let wrapped: Vec<&[u8]> = purpose.iter().map(|key| &*key.wrapped).collect();
        let active: Vec<Micros> = purpose.iter().map(|key| key.active_us).collect();
        let gone: Vec<Option<Micros>> = purpose.iter().map(|key| key.gone_us).collect();
        let lead = if here.is_empty() { 0 } else { micros(PURPOSE_LEAD) };
        transaction
            .execute(sql::ADOPT_PURPOSE_KEYS, &[&purposes, &versions, &wrapped, &active, &gone, &lead])
            .await
            .map_err(StoreError::from)?;

        let kids: Vec<&str> = signing.iter().map(|key| &*key.kid).collect();
        let algorithms: Vec<&str> = signing.iter().map(|key| &*key.algorithm).collect();
        let wrapped: Vec<&[u8]> = signing.iter().map(|key| &*key.wrapped).collect();
        let gone: Vec<Option<Micros>> = signing.iter().map(|key| key.gone_us).collect();
        transaction
            .execute(sql::ADOPT_SIGNING_KEYS, &[&kids, &algorithms, &wrapped, &gone, &micros(FOREIGN_KEPT)])
            .await
            .map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok((purpose.len(), signing.len()))
    }

    /// Keys of one name are one key, in both cells.
    fn check_same(&self, theirs: &[WrappedKey], here: &[WrappedKey]) -> Result<(), KeyError> {
        for key in theirs {
            let mark = self.mark(key)?;
            let own = here.iter().find(|row| (&row.purpose, row.version) == (&key.purpose, key.version));
            if own.map(|row| self.mark(row)).transpose()?.is_some_and(|own| own != mark) {
                return Err(KeyError::Foreign(format!(
                    "its {} key, version {}, is another one than here: a new cell takes keys before its first `serve`, into an empty database",
                    key.purpose, key.version
                )));
            }
        }
        Ok(())
    }

    fn mark(&self, row: &WrappedKey) -> Result<(String, i32, Uuid), KeyError> {
        let material = self.vault.master.unwrap(&label(&row.purpose, row.version), &row.wrapped)?;
        let key = MacKey::new(&material).map_err(|_| KeyError::Damaged("purpose"))?;
        Ok((row.purpose.clone(), row.version, Uuid::from_bytes(key.mac128(&[b"which key this is"]))))
    }
}
