//! Many customers at once: one COPY into a table of the transaction, one INSERT out of it.

use super::{Directory, DirectoryError, Profile, ProfileError, sql};
use deadpool_postgres::Transaction;
use doorcode_domain::Email;
use doorcode_domain::{AddressKey, TenantId};
use std::collections::HashMap;
use std::pin::pin;
use std::str::FromStr;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A line of the list to import.
#[derive(Clone, Debug, Default)]
pub struct ImportRow {
    /// From 1, for the report.
    pub line: u64,
    /// As it stands there.
    pub email: String,
    /// An id the customer has elsewhere already; `None` draws one.
    pub customer_id: Option<String>,
    /// See [`Profile`]; an empty text is none, here and below.
    pub external_id: Option<String>,
    /// See [`Profile`].
    pub locale: Option<String>,
    /// See [`Profile`]: a JSON object.
    pub claims: Option<String>,
}

/// A line that made no customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// From 1.
    pub line: u64,
    /// The rule it broke; never its content.
    pub reason: String,
}

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// New customers.
    pub added: u64,
    /// Addresses that were customers already; nothing of them changed.
    pub existing: u64,
    /// By line.
    pub refused: Vec<RefusedLine>,
}

impl Directory {
    /// Makes customers of all rows that can be, in one transaction; the others are in the report.
    ///
    /// Rows that could not even be read are passed through into the report. Memory: about 50 bytes a row.
    pub async fn import_customers(
        &self,
        slug: &str,
        rows: impl Iterator<Item = Result<ImportRow, RefusedLine>> + Send,
    ) -> Result<ImportReport, DirectoryError> {
        let mut client = self.client().await?;
        let tenant = self.open_tenant_id(&client, slug).await?;
        let transaction = client.transaction().await?;
        // Not cached: the table of these statements is another one each time.
        transaction.batch_execute(sql::IMPORT_PATIENCE).await?;
        transaction.batch_execute(sql::IMPORT_STAGE).await?;
        let mut report = ImportReport::default();
        let staged = self.copy(&transaction, tenant, rows, &mut report).await?;
        // it may have been frozen meanwhile
        super::tenants::find_open(&*transaction, slug).await?;
        report.added = transaction.execute(sql::IMPORT_INSERT, &[&tenant.0]).await?;
        let (actor, context) = self.author();
        let added = i64::try_from(report.added).unwrap_or(i64::MAX);
        transaction.query(sql::IMPORT_NOTE, &[&tenant.0, &added, &actor, &context]).await?;
        let unplaced = transaction.query(sql::IMPORT_UNPLACED, &[&tenant.0]).await?;
        transaction.batch_execute(sql::IMPORT_ANALYSE).await?;
        transaction.commit().await?;
        for row in &unplaced {
            let line = row.try_get::<_, i64>(0)?.unsigned_abs();
            report.refused.push(RefusedLine {
                line,
                reason: "another customer has this customer_id or external_id".to_owned(),
            });
        }
        report.existing = staged.saturating_sub(report.added).saturating_sub(unplaced.len() as u64);
        report.refused.sort_by_key(|refused| refused.line);
        Ok(report)
    }

    /// Sends what can be sent, and says how much that was.
    async fn copy(
        &self,
        transaction: &Transaction<'_>,
        tenant: TenantId,
        rows: impl Iterator<Item = Result<ImportRow, RefusedLine>> + Send,
        report: &mut ImportReport,
    ) -> Result<u64, DirectoryError> {
        let sink = transaction.copy_in(sql::IMPORT_COPY).await?;
        const INT8: Type = Type::INT8;
        const UUID: Type = Type::UUID;
        const TEXT: Type = Type::TEXT;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &[INT8, UUID, UUID, TEXT, TEXT, TEXT, TEXT]));
        let mut seen = HashMap::new();
        for row in rows {
            match row.and_then(|row| self.check(tenant, row, &mut seen)) {
                Ok((line, id, key, email, profile)) => {
                    // More than i64::MAX lines are not a file.
                    let line = i64::try_from(line).unwrap_or(i64::MAX);
                    let (external_id, locale) = (profile.external_id(), profile.locale());
                    let claims = profile.claims.to_sql();
                    writer
                        .as_mut()
                        .write(&[&line, &id, &key.0, &email.as_str(), &external_id, &locale, &claims])
                        .await?;
                }
                Err(refused) => report.refused.push(refused),
            }
        }
        Ok(writer.finish().await?)
    }

    fn check(
        &self,
        tenant: TenantId,
        row: ImportRow,
        seen: &mut HashMap<Uuid, u64>,
    ) -> Result<(u64, Uuid, AddressKey, Email, Profile), RefusedLine> {
        let line = row.line;
        let refuse = |reason: String| RefusedLine { line, reason };
        let email =
            Email::parse_with(&row.email, self.special_use).map_err(|error| refuse(error.to_string()))?;
        let id = match row.customer_id.as_deref().map(str::trim) {
            None | Some("") => Uuid::new_v4(),
            Some(text) => {
                Uuid::try_parse(text).map_err(|_| refuse("the customer_id is not a UUID".to_owned()))?
            }
        };
        let profile = profile(&row).map_err(|error| refuse(error.to_string()))?;
        let key = self.key_of(tenant, &email);
        match seen.insert(key.0, line) {
            None => Ok((line, id, key, email, profile)),
            Some(first) => {
                seen.insert(key.0, first);
                Err(refuse(format!("the same address as in line {first}")))
            }
        }
    }
}

fn profile(row: &ImportRow) -> Result<Profile, ProfileError> {
    fn given<T: FromStr<Err = ProfileError>>(cell: Option<&String>) -> Result<Option<T>, ProfileError> {
        cell.map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).map(str::parse).transpose()
    }
    Ok(Profile {
        external_id: given(row.external_id.as_ref())?,
        locale: given(row.locale.as_ref())?,
        claims: given(row.claims.as_ref())?.unwrap_or_default(),
    })
}
