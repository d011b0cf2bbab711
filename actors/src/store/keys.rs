//! Wrapped keys.

use super::{Store, StoreError, micros, sql};
use doorcode_domain::Micros;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A purpose key as the database has it.
#[derive(Serialize, Deserialize)]
pub(crate) struct WrappedKey {
    pub(crate) purpose: String,
    pub(crate) version: i32,
    #[serde(with = "base64_text")]
    pub(crate) wrapped: Vec<u8>,
    pub(crate) created_us: Micros,
    pub(crate) active_us: Micros,
    pub(crate) gone_us: Option<Micros>,
    /// The database's time.
    #[serde(skip)]
    pub(crate) now_us: Micros,
}

/// A signing key as the database has it.
#[derive(Serialize, Deserialize)]
pub(crate) struct WrappedSigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    #[serde(with = "base64_text")]
    pub(crate) wrapped: Vec<u8>,
    pub(crate) created_us: Micros,
    pub(crate) active_us: Micros,
    pub(crate) retired_us: Option<Micros>,
    pub(crate) gone_us: Option<Micros>,
    /// The database's time.
    #[serde(skip)]
    pub(crate) now_us: Micros,
}

/// A signing key that is not in the database yet.
pub(crate) struct NewSigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: &'static str,
    pub(crate) wrapped: Vec<u8>,
}

/// How long a successor is known before it is used, and the one before after that.
pub(crate) struct Overlap {
    pub(crate) lead: Duration,
    pub(crate) kept: Duration,
}

impl Store {
    /// Every version of every purpose key, oldest first.
    pub(crate) async fn purpose_keys(&self, now: Option<Micros>) -> Result<Vec<WrappedKey>, StoreError> {
        Ok(self.query(sql::LIST_PURPOSE_KEYS, &[&now]).await?.iter().map(purpose_key).collect())
    }

    /// Adds first versions, all or none, unless others were first or the key of `witness` was wrapped anew.
    pub(crate) async fn add_purpose_keys(
        &self,
        now: Option<Micros>,
        keys: &[(&'static str, Vec<u8>)],
        witness: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let (purposes, wrapped): (Vec<_>, Vec<_>) = keys.iter().map(|(p, w)| (*p, w.as_slice())).unzip();
        self.query(sql::ADD_PURPOSE_KEYS, &[&now, &purposes, &wrapped, &witness]).await.map(drop)
    }

    /// Adds the version after `newest`; returns when it will be used, or nothing if somebody else was first.
    pub(crate) async fn succeed_purpose_key(
        &self,
        now: Option<Micros>,
        newest: &WrappedKey,
        wrapped: &[u8],
        overlap: &Overlap,
    ) -> Result<Option<Micros>, StoreError> {
        let (lead, kept, version) = (micros(overlap.lead), micros(overlap.kept), newest.version + 1);
        let rows = self
            .query(
                sql::SUCCEED_PURPOSE_KEY,
                &[&now, &newest.purpose, &newest.wrapped, &version, &wrapped, &lead, &kept],
            )
            .await?;
        Ok(rows.first().map(|row| row.get("active_us")))
    }

    /// All signing keys, in the order in which they sign.
    pub(crate) async fn signing_keys(
        &self,
        now: Option<Micros>,
    ) -> Result<Vec<WrappedSigningKey>, StoreError> {
        Ok(self.query(sql::LIST_SIGNING_KEYS, &[&now]).await?.iter().map(signing_key).collect())
    }

    /// Adds the first signing key, unless another was first.
    pub(crate) async fn add_first_signing_key(
        &self,
        now: Option<Micros>,
        key: &NewSigningKey,
        witness: &[u8],
    ) -> Result<(), StoreError> {
        self.query(sql::ADD_FIRST_SIGNING_KEY, &[&now, &key.kid, &key.algorithm, &key.wrapped, &witness])
            .await
            .map(drop)
    }

    /// Adds the key after `newest`; returns when it will sign, or nothing if somebody else was first or, with
    /// `period_us`, if it is not time.
    pub(crate) async fn succeed_signing_key(
        &self,
        now: Option<Micros>,
        newest: &WrappedSigningKey,
        key: &NewSigningKey,
        overlap: &Overlap,
        period_us: Option<i64>,
    ) -> Result<Option<Micros>, StoreError> {
        let (lead, kept) = (micros(overlap.lead), micros(overlap.kept));
        let rows = self
            .query(
                sql::SUCCEED_SIGNING_KEY,
                &[
                    &now,
                    &newest.kid,
                    &newest.wrapped,
                    &key.kid,
                    &key.algorithm,
                    &key.wrapped,
                    &lead,
                    &kept,
                    &period_us,
                ],
            )
            .await?;
        Ok(rows.first().map(|row| row.get("active_us")))
    }

    /// Deletes what is of no use any more; returns how many keys that were.
    pub(crate) async fn sweep_keys(&self, now: Option<Micros>) -> Result<usize, StoreError> {
        let signing = self.query(sql::SWEEP_SIGNING_KEYS, &[&now]).await?.len();
        Ok(signing + self.query(sql::SWEEP_PURPOSE_KEYS, &[&now]).await?.len())
    }
}

pub(crate) fn purpose_key(row: &tokio_postgres::Row) -> WrappedKey {
    WrappedKey {
        purpose: row.get("purpose"),
        version: row.get("version"),
        wrapped: row.get("wrapped"),
        created_us: row.get("created_us"),
        active_us: row.get("active_us"),
        gone_us: row.get("gone_us"),
        now_us: row.get("now_us"),
    }
}

pub(crate) fn signing_key(row: &tokio_postgres::Row) -> WrappedSigningKey {
    WrappedSigningKey {
        kid: row.get("kid"),
        algorithm: row.get("algorithm"),
        wrapped: row.get("wrapped"),
        created_us: row.get("created_us"),
        active_us: row.get("active_us"),
        retired_us: row.get("retired_us"),
        gone_us: row.get("gone_us"),
        now_us: row.get("now_us"),
    }
}

/// A wrapped key in a file.
mod base64_text {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
