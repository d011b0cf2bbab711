//! Tenants by slug, and what is counted of them.

use super::{Store, StoreError, sql};
use doorcode_domain::{Micros, TenantId, TenantSlug};
use std::time::Duration;
use uuid::Uuid;

/// What an issuer needs to know of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    /// Addresses under attack get base32 codes.
    pub(crate) steps_up: bool,
    /// Failures outgrew successes: strangers get base32 codes at once.
    pub(crate) tripped: bool,
    /// The right code may make a customer.
    pub(crate) signs_up: bool,
}

impl Store {
    /// The enabled tenant of that slug.
    pub(crate) async fn find_tenant(
        &self,
        slug: &TenantSlug,
        now: Option<Micros>,
    ) -> Result<Option<Tenant>, StoreError> {
        let rows = self.query(sql::RESOLVE_TENANT, &[&slug.as_str(), &now]).await?;
        Ok(rows.first().filter(|row| !row.get::<_, bool>("disabled")).map(|row| Tenant {
            id: TenantId(row.get("tenant_id")),
            steps_up: row.get::<_, i16>("step_up") != 0,
            tripped: row.get("tripped"),
            signs_up: row.get("signs_up"),
        }))
    }

    /// Adds (tenant, failures, successes) to this hour's.
    pub(crate) async fn add_guesses(
        &self,
        now: Option<Micros>,
        counted: &[(TenantId, i64, i64)],
    ) -> Result<(), StoreError> {
        let tenants: Vec<Uuid> = counted.iter().map(|c| c.0.0).collect();
        let failures: Vec<i64> = counted.iter().map(|c| c.1).collect();
        let successes: Vec<i64> = counted.iter().map(|c| c.2).collect();
        self.query(sql::ADD_GUESSES, &[&now, &tenants, &failures, &successes]).await.map(drop)
    }

    /// Leases requests of a slug's limit: how many, and how long until there are more.
    pub(crate) async fn lease_limit(
        &self,
        now: Option<Micros>,
        slug_hash: Uuid,
        wanted: i64,
        burst: i64,
        period_us: i64,
    ) -> Result<(i64, Duration), StoreError> {
        let rows = self.query(sql::LEASE_LIMIT, &[&now, &slug_hash, &wanted, &burst, &period_us]).await?;
        let Some(row) = rows.first() else { return Ok((0, Duration::from_secs(1))) };
        Ok((row.get("granted"), Duration::from_micros(row.get::<_, i64>("wait_us").max(0).unsigned_abs())))
    }
}
