//! Webhooks: where events are sent, as administrators see and change them.

use super::{Directory, DirectoryError, sql};
use crate::keys::webhook_secret;
use crate::store::{Object, micros};
use doorcode_domain::{Micros, TenantId};
use standard_webhooks::Endpoint;
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Characters of a URL.
const URL_MAX: usize = 2_048;
/// Entries of a list of types, and characters of one.
const TYPES_MAX: usize = 50;
const TYPE_MAX: usize = 100;
/// For which the secret of before signs too.
const FORMER: Duration = Duration::from_secs(86_400);

/// A webhook as it stands in the database.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Random.
    pub webhook_id: Uuid,
    /// Slug of the tenant whose events it is sent; `None`: all, and the installation's.
    pub tenant: Option<String>,
    /// Where to.
    pub url: String,
    /// As [`EventQuery`](super::EventQuery) has them.
    pub types: Vec<String>,
    /// Database time.
    pub created_us: Micros,
    /// The last event that was sent, or left out.
    pub after: Uuid,
    /// Failed tries of the event behind it.
    pub attempts: i32,
    /// Since when no try succeeded; `None`: the last one did.
    pub failing_us: Option<Micros>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// Why nothing is sent: `by_admin`, `gone`, `failing`. `None`: it is.
    pub disabled: Option<String>,
    secret_version: i32,
}

/// What a webhook shall be.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// `None`: all, and the installation.
    pub tenant: Option<TenantId>,
    /// https.
    pub url: String,
    /// See [`Webhook`].
    pub types: Vec<String>,
}

/// What becomes of a webhook; `None`: as it is.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// https.
    pub url: Option<String>,
    /// See [`Webhook`].
    pub types: Option<Vec<String>>,
    /// Whether nothing is sent. What happens meanwhile is sent later.
    pub disabled: Option<bool>,
}

/// One statement, three verbs.
#[derive(Default)]
struct Change<'a> {
    to: WebhookChange,
    after: Option<Uuid>,
    new_secret: bool,
    noted_as: &'a str,
}

/// A webhook and its secret, `whsec_…`, which is shown when it is made only.
pub type WithSecret = (Webhook, Zeroizing<String>);

/// `owner`: a tenant that sees its own only.
impl Directory {
    /// Makes a webhook that begins with the events of now.
    pub async fn add_webhook(
        &self,
        new: &NewWebhook,
        allow_private: bool,
    ) -> Result<WithSecret, DirectoryError> {
        check_url(&new.url, allow_private)?;
        check_types(&new.types)?;
        let (client, tenant) = (self.client().await?, new.tenant.map(|id| id.0));
        check_open(&client, tenant, None).await?;
        let (id, (actor, context)) = (Uuid::new_v4(), self.author());
        let statement = client.prepare_cached(sql::WEBHOOKS_ADD).await?;
        let row =
            client.query_one(&statement, &[&id, &tenant, &new.url, &new.types, &actor, &context]).await?;
        if row.try_get::<_, i64>(0)? == 0 {
            return Err(DirectoryError::TooManyWebhooks);
        }
        drop(client);
        self.with_secret(id).await
    }

    /// All, by age.
    pub async fn webhooks(&self, owner: Option<TenantId>) -> Result<Vec<Webhook>, DirectoryError> {
        self.find_webhooks(owner, None).await
    }

    /// One.
    pub async fn webhook(&self, owner: Option<TenantId>, id: Uuid) -> Result<Webhook, DirectoryError> {
        let found = self.find_webhooks(owner, Some(id)).await?;
        found.into_iter().next().ok_or(DirectoryError::NoSuchWebhook { webhook: id })
    }

    /// Changes what is given; what waits after a failure is tried at once.
    pub async fn change_webhook(
        &self,
        owner: Option<TenantId>,
        id: Uuid,
        change: WebhookChange,
        allow_private: bool,
    ) -> Result<Webhook, DirectoryError> {
        if let Some(url) = &change.url {
            check_url(url, allow_private)?;
        }
        if let Some(types) = &change.types {
            check_types(types)?;
        }
        let change = Change { to: change, noted_as: "admin.webhook_updated", ..Change::default() };
        self.apply(owner, id, change).await?;
        self.webhook(owner, id).await
    }

    /// Makes another secret. For a day the one before signs too.
    pub async fn replace_webhook_secret(
        &self,
        owner: Option<TenantId>,
        id: Uuid,
    ) -> Result<WithSecret, DirectoryError> {
        let noted_as = "admin.webhook_secret_replaced";
        self.apply(owner, id, Change { new_secret: true, noted_as, ..Change::default() }).await?;
        self.with_secret(id).await
    }

    /// Sends an event and all later ones again.
    pub async fn replay_webhook(
        &self,
        owner: Option<TenantId>,
        id: Uuid,
        event: Uuid,
    ) -> Result<Webhook, DirectoryError> {
        let after = Some(Uuid::from_u128(event.as_u128().saturating_sub(1)));
        let noted_as = "admin.webhook_replayed";
        self.apply(owner, id, Change { after, noted_as, ..Change::default() }).await?;
        self.webhook(owner, id).await
    }

    /// Ends one.
    pub async fn delete_webhook(&self, owner: Option<TenantId>, id: Uuid) -> Result<(), DirectoryError> {
        let client = self.client().await?;
        check_open(&client, None, Some(id)).await?;
        let statement = client.prepare_cached(sql::WEBHOOKS_DELETE).await?;
        let (owner, (actor, context)) = (owner.map(|id| id.0), self.author());
        found(&client.query_one(&statement, &[&id, &owner, &actor, &context]).await?, id)
    }

    async fn apply(
        &self,
        owner: Option<TenantId>,
        id: Uuid,
        change: Change<'_>,
    ) -> Result<(), DirectoryError> {
        let Change { to: WebhookChange { url, types, disabled }, after, new_secret, noted_as } = change;
        let client = self.client().await?;
        check_open(&client, None, Some(id)).await?;
        let statement = client.prepare_cached(sql::WEBHOOKS_CHANGE).await?;
        let (owner, former_us, (actor, context)) = (owner.map(|id| id.0), micros(FORMER), self.author());
        let row = client
            .query_one(
                &statement,
                &[
                    &id,
                    &owner,
                    &url,
                    &types,
                    &disabled,
                    &after,
                    &new_secret,
                    &former_us,
                    &noted_as,
                    &actor,
                    &context,
                ],
            )
            .await?;
        found(&row, id)
    }

    async fn find_webhooks(
        &self,
        owner: Option<TenantId>,
        id: Option<Uuid>,
    ) -> Result<Vec<Webhook>, DirectoryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::WEBHOOKS_LIST).await?;
        client.query(&statement, &[&owner.map(|id| id.0), &id]).await?.iter().map(read).collect()
    }

    async fn with_secret(&self, id: Uuid) -> Result<WithSecret, DirectoryError> {
        let webhook = self.webhook(None, id).await?;
        let secret = webhook_secret(&self.keys.webhook_secret, id, webhook.secret_version);
        Ok((webhook, secret))
    }
}

/// Whether the tenant, or the one that the webhook belongs to, may be written to.
async fn check_open(
    client: &Object,
    tenant: Option<Uuid>,
    webhook: Option<Uuid>,
) -> Result<(), DirectoryError> {
    let statement = client.prepare_cached(sql::WEBHOOKS_FROZEN).await?;
    match client.query_opt(&statement, &[&tenant, &webhook]).await? {
        Some(row) => Err(DirectoryError::Frozen { slug: row.try_get(0)? }),
        None => Ok(()),
    }
}

fn found(row: &Row, id: Uuid) -> Result<(), DirectoryError> {
    match row.try_get::<_, i64>(0)? {
        0 => Err(DirectoryError::NoSuchWebhook { webhook: id }),
        _ => Ok(()),
    }
}

fn check_url(url: &str, allow_private: bool) -> Result<(), DirectoryError> {
    let bad = |reason: String| DirectoryError::BadWebhookUrl { reason };
    if url.len() > URL_MAX {
        return Err(bad(format!("it has more than {URL_MAX} characters")));
    }
    Endpoint::new(url, allow_private).map(drop).map_err(|error| bad(error.to_string()))
}

fn check_types(types: &[String]) -> Result<(), DirectoryError> {
    let is_type = |kind: &String| {
        let name = kind.strip_suffix('*').unwrap_or(kind);
        let plain = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.');
        !kind.is_empty() && kind.len() <= TYPE_MAX && name.chars().all(plain)
    };
    let fits = types.len() <= TYPES_MAX && types.iter().all(is_type);
    if fits { Ok(()) } else { Err(DirectoryError::BadEventTypes) }
}

fn read(row: &Row) -> Result<Webhook, DirectoryError> {
    Ok(Webhook {
        webhook_id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        url: row.try_get(2)?,
        types: row.try_get(3)?,
        created_us: row.try_get(4)?,
        secret_version: row.try_get(5)?,
        after: row.try_get(6)?,
        attempts: row.try_get(7)?,
        failing_us: row.try_get(8)?,
        last_error: row.try_get(9)?,
        disabled: row.try_get(10)?,
    })
}
