//! Tenants by slug.

use super::{Store, StoreError, sql};
use doorcode_domain::{TenantId, TenantSlug};

/// What an issuer needs to know of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    /// Addresses under attack get base32 codes.
    pub(crate) steps_up: bool,
}

impl Store {
    /// The enabled tenant of that slug.
    pub(crate) async fn find_tenant(&self, slug: &TenantSlug) -> Result<Option<Tenant>, StoreError> {
        let rows = self.query(sql::RESOLVE_TENANT, &[&slug.as_str()]).await?;
        Ok(rows.first().filter(|row| !row.get::<_, bool>("disabled")).map(|row| Tenant {
            id: TenantId(row.get("tenant_id")),
            steps_up: row.get::<_, i16>("step_up") != 0,
        }))
    }
}
