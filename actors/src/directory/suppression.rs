//! Addresses that get no mail for a time: a provider reported a bounce or a complaint.

use super::{Author, Directory, DirectoryError, Ended, Whom, sql, tenants};
use doorcode_domain::{AddressKey, CustomerId, Email, Micros, TenantId};
use serde::Deserialize;
use std::time::Duration;
use uuid::Uuid;

/// What a provider reports of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It cannot be reached, and will not be soon.
    Bounce,
    /// Its owner called a mail spam.
    Complaint,
}

impl Reason {
    /// `"bounce"`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
        }
    }
}

/// A customer whose address gets no mail.
#[derive(Clone, Debug)]
pub struct Suppression {
    /// Who.
    pub customer_id: CustomerId,
    /// Who, in the tenant's own system.
    pub external_id: Option<String>,
    /// Where mail does not go.
    pub email: String,
    /// Why: `bounce` or `complaint`.
    pub reason: String,
    /// The first report; database time.
    pub since_us: Micros,
    /// The end; database time.
    pub until_us: Micros,
}

/// A part of a long list.
#[derive(Clone, Debug)]
pub struct SuppressionPage {
    /// In the order of their address keys.
    pub suppressions: Vec<Suppression>,
    /// Where the next page begins, if there may be one.
    pub next: Option<AddressKey>,
}

impl Directory {
    /// Notes what a provider reports of an address: at one tenant, or at all where it is a customer's. Returns at how many.
    pub async fn suppress(
        &self,
        provider: &str,
        slug: Option<&str>,
        email: &Email,
        reason: Reason,
        time: Duration,
    ) -> Result<usize, DirectoryError> {
        let tenants: Vec<TenantId> = match slug {
            Some(slug) => vec![tenants::find_open(&**self.client().await?, slug).await?.tenant_id],
            // what is frozen is suppressed at the next report, in its new cell
            None => self
                .tenants()
                .await?
                .iter()
                .filter(|tenant| tenant.frozen_us.is_none())
                .map(|tenant| tenant.tenant_id)
                .collect(),
        };
        let keys: Vec<Uuid> = tenants.iter().map(|tenant| self.key_of(*tenant, email).0).collect();
        let tenants: Vec<Uuid> = tenants.iter().map(|tenant| tenant.0).collect();
        let client = self.client().await?;
        let sweep = client.prepare_cached(sql::SUPPRESSED_SWEEP).await?;
        let add = client.prepare_cached(sql::SUPPRESSED_ADD).await?;
        let time_us = i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4);
        let actor = Author::mail_provider(provider).actor;
        let found = client.query(&add, &[&time_us, &tenants, &keys, &reason.as_str(), &actor]).await?;
        for row in &found {
            client.execute(&sweep, &[&row.try_get::<_, Uuid>(0)?]).await?;
        }
        Ok(found.len())
    }

    /// A page of at most `limit` suppressed addresses after the given one.
    pub async fn suppressions(
        &self,
        slug: &str,
        after: Option<AddressKey>,
        limit: u32,
    ) -> Result<SuppressionPage, DirectoryError> {
        let client = self.client().await?;
        let tenant = self.tenant_id(&client, slug).await?;
        let statement = client.prepare_cached(sql::SUPPRESSED_LIST).await?;
        let after = after.map_or(Uuid::nil(), |key| key.0);
        let rows = client.query(&statement, &[&tenant.0, &after, &i64::from(limit)]).await?;
        let full = u32::try_from(rows.len()).is_ok_and(|length| length >= limit);
        let next = rows.last().filter(|_| full).map(|row| row.try_get(0).map(AddressKey)).transpose()?;
        let suppressions = rows
            .iter()
            .map(|row| {
                Ok(Suppression {
                    customer_id: CustomerId(row.try_get(1)?),
                    external_id: row.try_get(2)?,
                    email: row.try_get(3)?,
                    reason: row.try_get(4)?,
                    since_us: row.try_get(5)?,
                    until_us: row.try_get(6)?,
                })
            })
            .collect::<Result<_, DirectoryError>>()?;
        Ok(SuppressionPage { suppressions, next })
    }

    /// Lets mail to a customer out again; whether it was held back.
    pub async fn lift_suppression(
        &self,
        slug: &str,
        whom: impl Into<Whom<'_>>,
    ) -> Result<bool, DirectoryError> {
        let Ended { sessions: lifted, .. } =
            self.on_customer(sql::SUPPRESSED_LIFT, slug, whom.into(), &[]).await?;
        Ok(lifted > 0)
    }
}
