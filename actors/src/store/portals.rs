//! All portals at once, for the edge's memory.

use super::{Store, StoreError, sql};
use doorcode_domain::TenantId;

/// An open tenant: its slug and its origins.
pub(crate) type Portal = (TenantId, String, Vec<String>);

impl Store {
    /// One number for all portals; it changes when they do. Transfers nothing else.
    pub(crate) async fn portals_fingerprint(&self) -> Result<String, StoreError> {
        let rows = self.query(sql::FINGERPRINT_PORTALS, &[]).await?;
        Ok(rows.first().map(|row| row.get("fingerprint")).unwrap_or_default())
    }

    pub(crate) async fn portals(&self) -> Result<Vec<Portal>, StoreError> {
        let rows = self.query(sql::LIST_PORTALS, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| (TenantId(row.get("tenant_id")), row.get("slug"), row.get("origins")))
            .collect())
    }
}
