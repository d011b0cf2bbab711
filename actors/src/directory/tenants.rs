//! Portals.

use super::signup::Signup;
use super::token_claims::{TOKEN_CLAIMS_MAX, TokenClaim};
use super::{Colour, Directory, DirectoryError, Origin, PortalHost, RETURN_URLS_MAX, ReturnUrl, StepUp, sql};
use deadpool_postgres::Transaction;
use doorcode_domain::{Email, Language, Micros, TenantId, TenantSlug};
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

/// Every replica has all tenants' in memory.
const ORIGINS_MAX: usize = 100;
/// They are read with each of the tenant's mails, and so is each name; in bytes.
const MAIL_PROVIDERS_MAX: usize = 20;
const PROVIDER_NAME_MAX: usize = 100;

/// A tenant as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Visible in tokens.
    pub tenant_id: TenantId,
    /// What portals send.
    pub slug: String,
    /// What mails say.
    pub name: String,
    /// The host in a mail's last line, if the portal wants codes filled in by the browser.
    pub portal_host: Option<String>,
    /// What follows when a digit budget is spent.
    pub step_up: StepUp,
    /// Nobody logs in, nobody refreshes.
    pub disabled: bool,
    /// Database time.
    pub created_us: Micros,
    /// Whose cookies and CORS requests are its own.
    pub origins: Vec<String>,
    /// Where the hosted login page may send people back to; none: it has no such page.
    pub return_urls: Vec<String>,
    /// The accent of hosted page and mails, `#rrggbb`.
    pub colour: Option<String>,
    /// What of a customer enters its access tokens.
    pub token_claims: Vec<String>,
    /// The language of its mails where nothing better is known.
    pub locale: Option<String>,
    /// Where answers to its mails go.
    pub reply_to: Option<String>,
    /// Who may become a customer by a first login.
    pub signup: Signup,
    /// Whether a login from a new device is told by mail.
    pub new_device_notice: bool,
    /// The mail providers that its mails try, in order; empty: as everybody's.
    pub mail_providers: Vec<String>,
    /// It moves to another cell, or has: since then nothing of it is written here.
    pub frozen_us: Option<Micros>,
}

/// What a tenant is made of.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// `[a-z0-9-]`, 1 to 100.
    pub slug: String,
    /// 1 to 100 characters on one line.
    pub name: String,
    /// See [`Tenant`].
    pub portal_host: Option<PortalHost>,
    /// See [`Tenant`].
    pub step_up: StepUp,
    /// See [`Tenant`].
    pub origins: Vec<Origin>,
}

/// What of a tenant shall be another; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    /// See [`NewTenant`].
    pub name: Option<String>,
    /// `Some(None)` takes it away.
    pub portal_host: Option<Option<PortalHost>>,
    /// See [`Tenant`].
    pub step_up: Option<StepUp>,
    /// All of them anew.
    pub origins: Option<Vec<Origin>>,
    /// All of them anew.
    pub return_urls: Option<Vec<ReturnUrl>>,
    /// `Some(None)` takes it away.
    pub colour: Option<Option<Colour>>,
    /// All of them anew.
    pub token_claims: Option<Vec<TokenClaim>>,
    /// `Some(None)` takes it away.
    pub locale: Option<Option<Language>>,
    /// `Some(None)` takes it away.
    pub reply_to: Option<Option<Email>>,
    /// See [`Tenant`].
    pub signup: Option<Signup>,
    /// See [`Tenant::new_device_notice`].
    pub new_device_notice: Option<bool>,
    /// Names in the settings of every replica; empty takes them away.
    pub mail_providers: Option<Vec<String>>,
}

/// How large a tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// All.
    pub customers: i64,
    /// Of these.
    pub disabled_customers: i64,
    /// Neither idle nor expired.
    pub live_sessions: i64,
}

impl Directory {
    /// Makes a tenant and gives it its origins, or does nothing at all.
    pub async fn add_tenant(&self, new: &NewTenant) -> Result<Tenant, DirectoryError> {
        self.add_tenant_as(TenantId(Uuid::new_v4()), new).await
    }

    /// The same under an id that is known beforehand.
    pub async fn add_tenant_as(&self, id: TenantId, new: &NewTenant) -> Result<Tenant, DirectoryError> {
        let slug = TenantSlug::parse_new(&new.slug)
            .map_err(|reason| DirectoryError::BadSlug { slug: new.slug.clone(), reason })?;
        check_name(&new.name)?;
        let host = new.portal_host.as_ref().map(PortalHost::as_str);
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let statement = transaction.prepare_cached(sql::TENANTS_ADD).await?;
        let (actor, context) = self.author();
        let step_up = new.step_up.to_sql();
        let row = transaction
            .query_one(&statement, &[&id.0, &slug.as_str(), &new.name, &host, &step_up, &actor, &context])
            .await?;
        if row.try_get::<_, i64>(0)? == 0 {
            return Err(DirectoryError::TenantExists { slug: new.slug.clone() });
        }
        give_origins(&transaction, id, &new.origins).await?;
        let tenant = find(&*transaction, &new.slug).await?;
        transaction.commit().await?;
        Ok(tenant)
    }

    /// Every tenant, by slug.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, DirectoryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::TENANTS_LIST).await?;
        client.query(&statement, &[]).await?.iter().map(read).collect()
    }

    /// At most `limit` tenants whose slugs come after the given one.
    pub async fn tenants_after(&self, slug: &str, limit: u32) -> Result<Vec<Tenant>, DirectoryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::TENANTS_PAGE).await?;
        client.query(&statement, &[&slug, &i64::from(limit)]).await?.iter().map(read).collect()
    }

    /// One tenant.
    pub async fn tenant(&self, slug: &str) -> Result<Tenant, DirectoryError> {
        find(&**self.client().await?, slug).await
    }

    /// The slugs beside one that no tenant has, at most 40: one of them may be meant.
    pub async fn slugs_near(&self, slug: &str) -> Result<Vec<String>, DirectoryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::TENANTS_NEAR).await?;
        Ok(client.query(&statement, &[&slug]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// One tenant in numbers. Counts rows: not for every minute.
    pub async fn tenant_figures(&self, id: TenantId) -> Result<Figures, DirectoryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::TENANTS_FIGURES).await?;
        let row = client.query_one(&statement, &[&id.0]).await?;
        Ok(Figures {
            customers: row.try_get(0)?,
            disabled_customers: row.try_get(1)?,
            live_sessions: row.try_get(2)?,
        })
    }

    /// Changes a tenant, all of it or nothing.
    pub async fn change_tenant(&self, slug: &str, change: &TenantChange) -> Result<Tenant, DirectoryError> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        let providers = change.mail_providers.as_deref().unwrap_or_default();
        if providers.len() > MAIL_PROVIDERS_MAX || providers.iter().any(|name| name.len() > PROVIDER_NAME_MAX)
        {
            return Err(DirectoryError::BadMailProviders);
        }
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let id = find_open(&*transaction, slug).await?.tenant_id;
        let host = change.portal_host.as_ref().map(|host| host.as_ref().map(PortalHost::as_str));
        let return_urls =
            change.return_urls.as_ref().map(|urls| urls.iter().map(ReturnUrl::as_str).collect::<Vec<_>>());
        if return_urls.as_ref().is_some_and(|urls| urls.len() > RETURN_URLS_MAX) {
            return Err(DirectoryError::TooManyReturnUrls);
        }
        let token_claims = change.token_claims.as_ref();
        let token_claims =
            token_claims.map(|claims| claims.iter().map(TokenClaim::as_str).collect::<Vec<_>>());
        if token_claims.as_ref().is_some_and(|claims| claims.len() > TOKEN_CLAIMS_MAX) {
            return Err(DirectoryError::TooManyTokenClaims);
        }
        let colour = change.colour.as_ref().map(|colour| colour.as_ref().map(Colour::as_str));
        let locale = change.locale.map(|locale| locale.map(Language::tag));
        let reply_to = change.reply_to.as_ref().map(|email| email.as_ref().map(Email::as_str));
        let statement = transaction.prepare_cached(sql::TENANTS_CHANGE).await?;
        let step_up = change.step_up.map(StepUp::to_sql);
        let (actor, context) = self.author();
        transaction
            .execute(
                &statement,
                &[
                    &id.0,
                    &change.name,
                    &host.is_some(),
                    &host.flatten(),
                    &step_up,
                    &return_urls,
                    &colour.is_some(),
                    &colour.flatten(),
                    &token_claims,
                    &actor,
                    &context,
                    &locale.is_some(),
                    &locale.flatten(),
                    &reply_to.is_some(),
                    &reply_to.flatten(),
                    &change.signup.is_some(),
                    &change.signup.as_ref().and_then(Signup::to_sql),
                    &change.mail_providers,
                    &change.new_device_notice,
                ],
            )
            .await?;
        if let Some(origins) = &change.origins {
            let statement = transaction.prepare_cached(sql::ORIGINS_CLEAR).await?;
            transaction.execute(&statement, &[&id.0]).await?;
            give_origins(&transaction, id, origins).await?;
        }
        let tenant = find(&*transaction, slug).await?;
        transaction.commit().await?;
        Ok(tenant)
    }

    /// Closes (`true`) or opens a tenant. Its sessions stay, refused while it is closed.
    pub async fn disable_tenant(&self, slug: &str, disabled: bool) -> Result<(), DirectoryError> {
        let client = self.client().await?;
        find_open(&**client, slug).await?;
        let statement = client.prepare_cached(sql::TENANTS_SET_DISABLED).await?;
        let (actor, context) = self.author();
        let slug_sql = Self::parse_slug(slug)?;
        let row = client.query_one(&statement, &[&slug_sql.as_str(), &disabled, &actor, &context]).await?;
        match row.try_get::<_, i64>(0)? {
            0 => Err(DirectoryError::NoSuchTenant { slug: slug.to_owned() }),
            _ => Ok(()),
        }
    }
}

pub(super) async fn find(client: &impl GenericClient, slug: &str) -> Result<Tenant, DirectoryError> {
    let parsed = Directory::parse_slug(slug)?;
    match client.query_typed(sql::TENANTS_FIND, &[(&parsed.as_str(), Type::TEXT)]).await?.first() {
        Some(row) => read(row),
        None => Err(DirectoryError::NoSuchTenant { slug: slug.to_owned() }),
    }
}

/// The same, of which something is to be written.
pub(super) async fn find_open(client: &impl GenericClient, slug: &str) -> Result<Tenant, DirectoryError> {
    let tenant = find(client, slug).await?;
    if tenant.frozen_us.is_some() { Err(DirectoryError::Frozen { slug: tenant.slug }) } else { Ok(tenant) }
}

async fn give_origins(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    origins: &[Origin],
) -> Result<(), DirectoryError> {
    if origins.len() > ORIGINS_MAX {
        return Err(DirectoryError::TooManyOrigins);
    }
    let add = transaction.prepare_cached(sql::ORIGINS_ADD).await?;
    for origin in origins {
        if transaction.execute(&add, &[&origin.as_str(), &tenant.0]).await? == 1 {
            continue;
        }
        let owner = transaction.prepare_cached(sql::ORIGINS_OWNER).await?;
        let row = transaction.query_one(&owner, &[&origin.as_str()]).await?;
        // Given twice in one command: no harm.
        if row.try_get::<_, Uuid>(0)? != tenant.0 {
            return Err(DirectoryError::OriginTaken { origin: origin.to_string(), owner: row.try_get(1)? });
        }
    }
    Ok(())
}

/// The name stands in mail headers, so it is one line.
pub(super) fn check_name(name: &str) -> Result<(), DirectoryError> {
    // lines end, directions turn and letters hide by these; scripts need the joiners U+200C and U+200D
    let misleads = |c: char| {
        c.is_control()
            || matches!(c, '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
    };
    let fits = (1..=100).contains(&name.chars().count()) && !name.trim().is_empty();
    if fits && !name.chars().any(misleads) { Ok(()) } else { Err(DirectoryError::BadName) }
}

fn read(row: &Row) -> Result<Tenant, DirectoryError> {
    Ok(Tenant {
        tenant_id: TenantId(row.try_get(0)?),
        slug: row.try_get(1)?,
        name: row.try_get(2)?,
        portal_host: row.try_get(3)?,
        step_up: StepUp::from_sql(row.try_get(4)?),
        disabled: row.try_get(5)?,
        created_us: row.try_get(6)?,
        origins: row.try_get(7)?,
        return_urls: row.try_get(8)?,
        colour: row.try_get(9)?,
        token_claims: row.try_get(10)?,
        locale: row.try_get(11)?,
        reply_to: row.try_get(12)?,
        signup: Signup::from_sql(row.try_get(13)?),
        mail_providers: row.try_get::<_, Option<_>>(14)?.unwrap_or_default(),
        new_device_notice: row.try_get(15)?,
        frozen_us: row.try_get(16)?,
    })
}
