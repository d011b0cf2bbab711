//! All portals at once, for the edge's memory.

use super::{Store, StoreError, sql};
use doorcode_domain::TenantId;

/// An open tenant, as the edge knows it.
pub(crate) struct Portal {
    pub(crate) tenant: TenantId,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) colour: Option<String>,
    pub(crate) return_urls: Vec<String>,
    pub(crate) origins: Vec<String>,
}

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
            .map(|row| Portal {
                tenant: TenantId(row.get("tenant_id")),
                slug: row.get("slug"),
                name: row.get("name"),
                colour: row.get("colour"),
                return_urls: row.get("return_urls"),
                origins: row.get("origins"),
            })
            .collect())
    }
}
