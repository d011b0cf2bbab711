//! Who may log in where: tenants, customers, sessions, as an administrator sees and changes them.
//!
//! For the command line and the admin API; no login passes here. Every verb is one statement or one transaction, takes
//! the words an administrator types (a slug, an address) and answers with plain rows or one [`DirectoryError`].

mod admin_keys;
mod author;
mod customers;
mod error;
mod events;
mod hosted;
mod import;
mod moves;
mod origin;
mod profile;
mod provision;
mod sessions;
mod signup;
mod sql;
mod suppression;
mod tenants;
mod test_codes;
mod token_claims;
mod webhooks;

pub use crate::step_up::StepUp;
pub use crate::store::events::{Event, EventPage, EventQuery};
pub use admin_keys::{AdminKeyEntry, KeyHolder, NewAdminKey, Scope};
pub use author::Author;
pub use customers::{Added, Customer, CustomerPage, Whom};
pub use error::DirectoryError;

pub use hosted::{Colour, HostedError, RETURN_URLS_MAX, ReturnUrl};
pub use import::{ImportReport, ImportRow, RefusedLine};
pub use moves::Cell;
pub use origin::{Origin, OriginError, PortalHost};
pub use profile::{Claims, ExternalId, Locale, Profile, ProfileError};
pub use provision::{CustomerChange, CustomerData, Placed};
pub use sessions::{Ended, Session};
pub use signup::Signup;
pub use suppression::{Reason, Suppression, SuppressionPage};
pub use tenants::{Figures, NewTenant, Tenant, TenantChange};
pub use test_codes::{ShownCode, TEST_CODE_DAYS_MAX};
pub use token_claims::TokenClaim;
pub use webhooks::{NewWebhook, Webhook, WebhookChange, WithSecret};

use crate::keys::{DirectoryKeys, KeyError, MasterKey, Vault};
use crate::settings::DatabaseSettings;
use crate::store::{Object, Pool, Store};
use crate::system::StartError;
use doorcode_domain::{AddressKey, Clock, Email, SpecialUse, TenantId, TenantSlug};
use std::sync::Arc;
use tokio_postgres::Client;

/// What administrators may do in the database. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    pool: Pool,
    keys: Arc<DirectoryKeys>,
    author: Arc<Author>,
    special_use: SpecialUse,
}

impl Directory {
    /// Over a pool of a migrated database and its keys.
    pub(crate) fn new(pool: Pool, keys: Arc<DirectoryKeys>) -> Self {
        Self { pool, keys, author: Arc::new(Author::command_line()), special_use: SpecialUse::default() }
    }

    /// Connects; makes the keys of a database that has none yet.
    pub async fn open(database: &DatabaseSettings, master_key: &[u8]) -> Result<Self, StartError> {
        let store = Store::new(database)?;
        let master = MasterKey::new(master_key).map_err(KeyError::from)?;
        let keys = Vault::new(store.clone(), master, Clock::Database).directory_keys().await?;
        Ok(Self::new(store.pool(), Arc::new(keys)))
    }

    /// Takes addresses of these special-use domains too.
    pub fn taking(self, special_use: SpecialUse) -> Self {
        Self { special_use, ..self }
    }

    async fn client(&self) -> Result<Object, DirectoryError> {
        Ok(self.pool.get().await?)
    }

    async fn tenant_id(&self, client: &Client, slug: &str) -> Result<TenantId, DirectoryError> {
        Ok(tenants::find(client, slug).await?.tenant_id)
    }

    /// The same, of which something is to be written.
    async fn open_tenant_id(&self, client: &Client, slug: &str) -> Result<TenantId, DirectoryError> {
        Ok(tenants::find_open(client, slug).await?.tenant_id)
    }

    /// Actor and context of an event, as the statements take them.
    fn author(&self) -> (&str, Option<&str>) {
        (&self.author.actor, self.author.context.as_deref())
    }

    /// What an address is called in the tables of one tenant.
    fn key_of(&self, tenant: TenantId, email: &Email) -> AddressKey {
        AddressKey::of(&self.keys.address, tenant, email.key())
    }

    fn parse_email(&self, text: &str) -> Result<Email, DirectoryError> {
        Email::parse_with(text, self.special_use)
            .map_err(|error| DirectoryError::BadEmail { email: text.to_owned(), reason: error.to_string() })
    }

    /// A slug as typed, if any tenant could have it: nothing else is worth a question.
    fn parse_slug(text: &str) -> Result<TenantSlug, DirectoryError> {
        TenantSlug::parse_new(text).map_err(|_| DirectoryError::NoSuchTenant { slug: text.to_owned() })
    }
}

#[cfg(test)]
mod tests;
