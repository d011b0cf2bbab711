//! After the database was restored from a backup: what was ended since must not be alive again.

use super::{KeyAdmin, KeyError, REFRESH_MAC};
use crate::store::keys::{WrappedKey, purpose_key};
use crate::store::{StoreError, sql};
use doorcode_domain::Micros;
use tokio_postgres::Transaction;

/// What a recovery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Sessions: everybody logs in again.
    pub sessions: u64,
    /// Codes that would have been accepted.
    pub codes: u64,
    /// Mails that were due.
    pub mails: u64,
    /// The version of the refresh key from now on; the ones before are gone. `None`: there was none yet.
    pub refresh_version: Option<i32>,
}

impl KeyAdmin {
    /// Ends all sessions, live codes and due mails of a database that was restored to its state of `restored_to_us`,
    /// and makes every refresh token of before unreadable. All or nothing.
    pub async fn recover(&self, restored_to_us: Micros) -> Result<Recovered, KeyError> {
        let mut client = self.vault.store.pool().get().await.map_err(StoreError::from)?;
        let transaction = client.transaction().await.map_err(StoreError::from)?;
        // a million sessions take longer than a request may
        transaction
            .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'")
            .await
            .map_err(StoreError::from)?;
        transaction.batch_execute(sql::LOCK_FOR_RECOVERY).await.map_err(StoreError::from)?;
        let now: Option<Micros> = None;
        let rows = transaction.query(sql::LIST_PURPOSE_KEYS, &[&now]).await.map_err(StoreError::from)?;
        let refresh = rows.iter().map(purpose_key).rfind(|row| row.purpose == REFRESH_MAC);
        if refresh.as_ref().is_some_and(|row| row.now_us < restored_to_us) {
            return Err(KeyError::Future);
        }
        let refresh_version = match refresh {
            Some(newest) => Some(self.replace_refresh_key(&transaction, &newest).await?),
            None => None,
        };
        let mut counts = [0; 3];
        let statements = [sql::RECOVER_CODES, sql::RECOVER_MAILS, sql::RECOVER_SESSIONS];
        for (count, statement) in counts.iter_mut().zip(statements) {
            *count = transaction.execute(statement, &[]).await.map_err(StoreError::from)?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        let [codes, mails, sessions] = counts;
        Ok(Recovered { sessions, codes, mails, refresh_version })
    }

    /// No overlap: there is no session left that a token of before could belong to.
    async fn replace_refresh_key(
        &self,
        transaction: &Transaction<'_>,
        newest: &WrappedKey,
    ) -> Result<i32, KeyError> {
        let (now, none, version) = (None::<Micros>, 0i64, newest.version + 1);
        let wrapped = self.vault.wrap_successor(newest)?;
        transaction
            .execute(
                sql::SUCCEED_PURPOSE_KEY,
                &[&now, &newest.purpose, &newest.wrapped, &version, &wrapped, &none, &none],
            )
            .await
            .map_err(StoreError::from)?;
        transaction
            .execute(sql::FORGET_PURPOSE_KEYS_BEFORE, &[&newest.purpose, &version])
            .await
            .map_err(StoreError::from)?;
        Ok(version)
    }
}
