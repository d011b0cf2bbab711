//! Wrapped keys.

use super::{Store, StoreError, sql};
use doorcode_domain::Micros;

/// A purpose key as the database has it.
pub(crate) struct WrappedKey {
    pub(crate) purpose: String,
    pub(crate) version: i32,
    pub(crate) wrapped: Vec<u8>,
}

/// A signing key as the database has it.
pub(crate) struct WrappedSigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) active_us: Micros,
    pub(crate) retired_us: Option<Micros>,
    /// The database's time.
    pub(crate) now_us: Micros,
}

impl Store {
    pub(crate) async fn purpose_keys(&self) -> Result<Vec<WrappedKey>, StoreError> {
        let rows = self.query(sql::LIST_PURPOSE_KEYS, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| WrappedKey {
                purpose: row.get("purpose"),
                version: row.get("version"),
                wrapped: row.get("wrapped"),
            })
            .collect())
    }

    pub(crate) async fn add_purpose_key(
        &self,
        purpose: &str,
        version: i32,
        wrapped: &[u8],
    ) -> Result<(), StoreError> {
        self.query(sql::ADD_PURPOSE_KEY, &[&purpose, &version, &wrapped]).await.map(drop)
    }

    pub(crate) async fn signing_keys(&self) -> Result<Vec<WrappedSigningKey>, StoreError> {
        let rows = self.query(sql::LIST_SIGNING_KEYS, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| WrappedSigningKey {
                kid: row.get("kid"),
                algorithm: row.get("algorithm"),
                wrapped: row.get("wrapped"),
                active_us: row.get("active_us"),
                retired_us: row.get("retired_us"),
                now_us: row.get("now_us"),
            })
            .collect())
    }

    pub(crate) async fn add_first_signing_key(
        &self,
        kid: &str,
        algorithm: &str,
        wrapped: &[u8],
    ) -> Result<(), StoreError> {
        self.query(sql::ADD_FIRST_SIGNING_KEY, &[&kid, &algorithm, &wrapped]).await.map(drop)
    }
}
