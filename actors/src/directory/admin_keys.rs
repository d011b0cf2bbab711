//! Keys of the admin API: who holds one may do over HTTP what the command line does.

use super::{Directory, DirectoryError, sql};
use crate::store::micros;
use doorcode_domain::{AdminKey, Micros, TenantId};
use std::str::FromStr;
use std::time::Duration;
use zeroize::Zeroizing;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Look.
    Read,
    /// Change.
    Write,
    /// Make login codes that are not mailed: log in as any customer.
    IssueCodes,
}

impl Scope {
    /// As keys are listed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::IssueCodes => "codes:issue",
        }
    }
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Read, Self::Write, Self::IssueCodes]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or("expected read, write or codes:issue")
    }
}

/// A key as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKeyEntry {
    /// Stands in the key's text; no secret.
    pub key_id: String,
    /// What people call it.
    pub name: String,
    /// See [`Scope`].
    pub scopes: Vec<String>,
    /// Slug of the one tenant that it is for; `None`: all, and tenants themselves.
    pub tenant: Option<String>,
    /// Database time.
    pub created_us: Micros,
    /// `None`: never.
    pub expires_us: Option<Micros>,
    /// To the minute; `None`: not yet.
    pub last_used_us: Option<Micros>,
}

/// What a key shall be.
#[derive(Clone, Debug)]
pub struct NewAdminKey {
    /// 1 to 100 characters on one line.
    pub name: String,
    /// At least one.
    pub scopes: Vec<Scope>,
    /// See [`AdminKeyEntry`].
    pub tenant: Option<String>,
    /// `None`: it does not expire.
    pub life: Option<Duration>,
}

/// Who presented a key that is good.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The key's.
    pub key_id: String,
    /// See [`Scope`].
    pub scopes: Vec<Scope>,
    /// See [`AdminKeyEntry`].
    pub tenant: Option<TenantId>,
}

impl Directory {
    /// Makes a key. Its text is returned here and nowhere else.
    pub async fn add_admin_key(
        &self,
        new: &NewAdminKey,
    ) -> Result<(AdminKeyEntry, Zeroizing<String>), DirectoryError> {
        super::tenants::check_name(&new.name)?;
        let mut random = Zeroizing::new([0; AdminKey::RANDOM_BYTES]);
        getrandom::fill(&mut random[..]).map_err(|_| DirectoryError::NoRandomness)?;
        let (key, text) = AdminKey::generate(&random);
        let client = self.client().await?;
        let tenant = match &new.tenant {
            Some(slug) => Some(self.open_tenant_id(&client, slug).await?.0),
            None => None,
        };
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
        let life = new.life.map(micros);
        let statement = client.prepare_cached(sql::ADMIN_KEYS_ADD).await?;
        let (actor, context) = self.author();
        let hash = &key.hash()[..];
        let row = client
            .query_opt(&statement, &[&key.id(), &new.name, &hash, &scopes, &tenant, &life, &actor, &context])
            .await?
            .ok_or(DirectoryError::TooManyKeys)?;
        let entry = AdminKeyEntry {
            key_id: key.id().to_owned(),
            name: new.name.clone(),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            tenant: new.tenant.clone(),
            created_us: row.try_get(0)?,
            expires_us: row.try_get(1)?,
            last_used_us: None,
        };
        Ok((entry, text))
    }

    /// All keys, or those of one tenant, by age.
    pub async fn admin_keys(&self, tenant: Option<TenantId>) -> Result<Vec<AdminKeyEntry>, DirectoryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::ADMIN_KEYS_LIST).await?;
        let rows = client.query(&statement, &[&tenant.map(|id| id.0)]).await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(AdminKeyEntry {
                key_id: row.try_get(0)?,
                name: row.try_get(1)?,
                scopes: row.try_get(2)?,
                tenant: row.try_get(3)?,
                created_us: row.try_get(4)?,
                expires_us: row.try_get(5)?,
                last_used_us: Some(row.try_get(6)?).filter(|us| *us > 0),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Ends a key.
    pub async fn revoke_admin_key(&self, key_id: &str) -> Result<(), DirectoryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::ADMIN_KEYS_REVOKE).await?;
        let (actor, context) = self.author();
        match client.query_one(&statement, &[&key_id, &actor, &context]).await?.try_get::<_, i64>(0)? {
            0 => Err(DirectoryError::NoSuchKey { key_id: key_id.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Whose key this is, if it is one that is good. A text that is none costs no question.
    pub async fn key_holder(&self, text: &str) -> Result<Option<KeyHolder>, DirectoryError> {
        let Some(key) = AdminKey::parse(text) else { return Ok(None) };
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::ADMIN_KEYS_USE).await?;
        let Some(row) = client.query_opt(&statement, &[&key.id(), &&key.hash()[..]]).await? else {
            return Ok(None);
        };
        let scopes: Vec<String> = row.try_get(0)?;
        Ok(Some(KeyHolder {
            key_id: key.id().to_owned(),
            scopes: scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            tenant: row.try_get::<_, Option<_>>(1)?.map(TenantId),
        }))
    }
}
