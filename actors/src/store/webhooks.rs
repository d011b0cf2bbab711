//! Webhooks as deliveries see them: leased, and noted how far they have come.

use super::{Store, StoreError, micros, sql};
use doorcode_domain::{Micros, TenantId};
use std::time::Duration;
use uuid::Uuid;

/// A webhook that has events behind it, for this replica alone until its lease ends.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedWebhook {
    pub(crate) id: Uuid,
    /// `None`: events of all tenants.
    pub(crate) tenant: Option<TenantId>,
    /// May hold a secret of the receiver's: in no log.
    pub(crate) url: String,
    pub(crate) types: Vec<String>,
    pub(crate) secret_version: i32,
    /// The version before signs too.
    pub(crate) former: bool,
    /// The last event that was sent or left out.
    pub(crate) after: Uuid,
    /// Failed tries of the one behind it.
    pub(crate) attempts: i32,
    leased_us: Micros,
}

/// How far one came.
#[derive(Clone, Debug)]
pub(crate) struct WebhookProgress {
    id: Uuid,
    leased_us: Micros,
    pub(crate) after: Uuid,
    pub(crate) attempts: i32,
    /// Until the next try.
    pub(crate) wait: Duration,
    /// Whether any event was.
    pub(crate) sent: bool,
    /// Why the last try failed; `None`: it did not.
    pub(crate) error: Option<String>,
    /// The receiver wants no more.
    pub(crate) gone: bool,
}

impl WebhookProgress {
    /// Nothing has happened yet.
    pub(crate) fn of(webhook: &ClaimedWebhook) -> Self {
        Self {
            id: webhook.id,
            leased_us: webhook.leased_us,
            after: webhook.after,
            attempts: webhook.attempts,
            wait: Duration::ZERO,
            sent: false,
            error: None,
            gone: false,
        }
    }
}

impl Store {
    /// Claims webhooks that are due and have events behind them.
    pub(crate) async fn claim_webhooks(
        &self,
        room: usize,
        lease: Duration,
    ) -> Result<Vec<ClaimedWebhook>, StoreError> {
        let (room, lease_us) = (i64::try_from(room).unwrap_or(i64::MAX), micros(lease));
        let rows = self.query(sql::CLAIM_WEBHOOKS, &[&room, &lease_us]).await?;
        let claimed = rows.iter().map(|row| ClaimedWebhook {
            id: row.get("webhook_id"),
            tenant: row.get::<_, Option<Uuid>>("tenant_id").map(TenantId),
            url: row.get("url"),
            types: row.get("types"),
            secret_version: row.get("secret_version"),
            former: row.get("former"),
            after: row.get("after_id"),
            attempts: row.get("attempts"),
            leased_us: row.get("leased_us"),
        });
        Ok(claimed.collect())
    }

    /// Notes how far they came, where the lease still holds; returns those that were disabled thereby, and why. One that
    /// failed for `patience` is.
    pub(crate) async fn settle_webhooks(
        &self,
        patience: Duration,
        all: &[WebhookProgress],
    ) -> Result<Vec<(Uuid, String)>, StoreError> {
        let ids: Vec<Uuid> = all.iter().map(|one| one.id).collect();
        let leases: Vec<Micros> = all.iter().map(|one| one.leased_us).collect();
        let after: Vec<Uuid> = all.iter().map(|one| one.after).collect();
        let attempts: Vec<i32> = all.iter().map(|one| one.attempts).collect();
        let waits: Vec<i64> = all.iter().map(|one| micros(one.wait)).collect();
        let sent: Vec<bool> = all.iter().map(|one| one.sent).collect();
        let errors: Vec<Option<&str>> = all.iter().map(|one| one.error.as_deref()).collect();
        let gone: Vec<bool> = all.iter().map(|one| one.gone).collect();
        let patience_us = micros(patience);
        let rows = self
            .query(
                sql::SETTLE_WEBHOOKS,
                &[&patience_us, &ids, &leases, &after, &attempts, &waits, &sent, &errors, &gone],
            )
            .await?;
        let disabled =
            |row: &tokio_postgres::Row| Some((row.get("webhook_id"), row.get::<_, Option<_>>("disabled")?));
        Ok(rows.iter().filter_map(disabled).collect())
    }
}
