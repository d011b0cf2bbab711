//! People who may log in at one tenant.

use super::{Directory, DirectoryError, Ended, ExternalId, Profile, sql};
use crate::store::Object;
use doorcode_domain::{AddressKey, CustomerId, Micros, TenantId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// A customer as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Visible in tokens.
    pub customer_id: CustomerId,
    /// Where mail goes.
    pub email: String,
    /// Gets no codes, logs in no more, refreshes no more.
    pub disabled: bool,
    /// Database time.
    pub created_us: Micros,
    /// Database time of the last change by an administrator.
    pub updated_us: Micros,
    /// What the tenant's own system said of it.
    pub profile: Profile,
}

/// Which customer of a tenant.
#[derive(Clone, Copy, Debug)]
pub enum Whom<'a> {
    /// The one who gets mail there.
    Email(&'a str),
    /// The one whom the tenant's own system calls so.
    ExternalId(&'a ExternalId),
}

impl<'a> From<&'a str> for Whom<'a> {
    fn from(email: &'a str) -> Self {
        Self::Email(email)
    }
}

impl<'a> From<&'a String> for Whom<'a> {
    fn from(email: &'a String) -> Self {
        Self::Email(email)
    }
}

impl Whom<'_> {
    fn unknown(self, slug: &str) -> DirectoryError {
        let customer = match self {
            Self::Email(email) => email.to_owned(),
            Self::ExternalId(id) => id.as_str().to_owned(),
        };
        DirectoryError::NoSuchCustomer { slug: slug.to_owned(), customer }
    }
}

/// What came of adding an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The customer, new or not.
    pub customer: Customer,
    /// Whether it is new.
    pub new: bool,
}

/// A part of a long list.
#[derive(Clone, Debug)]
pub struct CustomerPage {
    /// In the order of their ids.
    pub customers: Vec<Customer>,
    /// Where the next page begins, if there may be one.
    pub next: Option<CustomerId>,
}

impl Directory {
    /// Makes one customer of which only the address is known. See [`add_customer_as`](Self::add_customer_as).
    pub async fn add_customer(&self, slug: &str, email: &str) -> Result<Added, DirectoryError> {
        self.add_customer_as(slug, email, &Profile::default()).await
    }

    /// Makes one customer. An address that is one already stays as it is, its spelling and its profile too.
    pub async fn add_customer_as(
        &self,
        slug: &str,
        email: &str,
        profile: &Profile,
    ) -> Result<Added, DirectoryError> {
        let parsed = self.parse_email(email)?;
        let client = self.client().await?;
        let tenant = self.open_tenant_id(&client, slug).await?;
        let key = self.key_of(tenant, &parsed);
        let add = client.prepare_cached(sql::CUSTOMERS_ADD).await?;
        let (external_id, locale, claims) =
            (profile.external_id(), profile.locale(), profile.claims.to_sql());
        let id = Uuid::new_v4();
        let (actor, context) = self.author();
        let row = client
            .query_one(
                &add,
                &[&tenant.0, &id, &key.0, &parsed.as_str(), &external_id, &locale, &claims, &actor, &context],
            )
            .await?;
        let made: i64 = row.try_get(0)?;
        let find = client.prepare_cached(sql::CUSTOMERS_FIND).await?;
        match client.query_opt(&find, &[&tenant.0, &key.0]).await? {
            Some(row) => Ok(Added { customer: read(&row)?, new: made == 1 }),
            // Deleted by somebody else between the two statements.
            None => Err(Whom::Email(email).unknown(slug)),
        }
    }

    /// A page of at most `limit` customers after the given one.
    pub async fn customers(
        &self,
        slug: &str,
        after: Option<CustomerId>,
        limit: u32,
    ) -> Result<CustomerPage, DirectoryError> {
        let client = self.client().await?;
        let tenant = self.tenant_id(&client, slug).await?;
        let statement = client.prepare_cached(sql::CUSTOMERS_LIST).await?;
        let rows = client.query(&statement, &[&tenant.0, &after.map(|id| id.0), &i64::from(limit)]).await?;
        let customers: Vec<Customer> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let full = u32::try_from(customers.len()).is_ok_and(|length| length >= limit);
        let next = customers.last().map(|customer| customer.customer_id).filter(|_| full);
        Ok(CustomerPage { customers, next })
    }

    /// Disables a customer and ends its sessions.
    pub async fn disable_customer(
        &self,
        slug: &str,
        whom: impl Into<Whom<'_>>,
    ) -> Result<Ended, DirectoryError> {
        self.on_customer(sql::CUSTOMERS_END_SESSIONS, slug, whom.into(), &[&"disable"]).await
    }

    /// Lets a disabled customer in again. It logs in anew.
    pub async fn enable_customer(
        &self,
        slug: &str,
        whom: impl Into<Whom<'_>>,
    ) -> Result<Ended, DirectoryError> {
        self.on_customer(sql::CUSTOMERS_ENABLE, slug, whom.into(), &[]).await
    }

    /// Deletes a customer, its sessions and known devices. What its address has spent of its budgets stays spent.
    pub async fn delete_customer(
        &self,
        slug: &str,
        whom: impl Into<Whom<'_>>,
    ) -> Result<Ended, DirectoryError> {
        self.on_customer(sql::CUSTOMERS_END_SESSIONS, slug, whom.into(), &[&"delete"]).await
    }

    /// One customer.
    pub async fn customer(&self, slug: &str, whom: impl Into<Whom<'_>>) -> Result<Customer, DirectoryError> {
        let client = self.client().await?;
        let tenant = self.tenant_id(&client, slug).await?;
        self.find_customer(&client, slug, tenant, whom.into()).await
    }

    async fn find_customer(
        &self,
        client: &Object,
        slug: &str,
        tenant: TenantId,
        whom: Whom<'_>,
    ) -> Result<Customer, DirectoryError> {
        let row = match whom {
            Whom::Email(email) => {
                let key = self.key_of(tenant, &self.parse_email(email)?);
                let statement = client.prepare_cached(sql::CUSTOMERS_FIND).await?;
                client.query_opt(&statement, &[&tenant.0, &key.0]).await?
            }
            Whom::ExternalId(id) => {
                let statement = client.prepare_cached(sql::CUSTOMERS_FIND_EXTERNAL).await?;
                client.query_opt(&statement, &[&tenant.0, &id.as_str()]).await?
            }
        };
        read(&row.ok_or_else(|| whom.unknown(slug))?)
    }

    /// Runs a statement that does something to a customer and says whom it met and what it ended. `more` are its
    /// parameters beyond tenant, address key, actor and context.
    pub(super) async fn on_customer(
        &self,
        statement: &'static str,
        slug: &str,
        whom: Whom<'_>,
        more: &[&(dyn ToSql + Sync)],
    ) -> Result<Ended, DirectoryError> {
        let client = self.client().await?;
        let tenant = self.open_tenant_id(&client, slug).await?;
        let key: AddressKey = match whom {
            Whom::Email(email) => self.key_of(tenant, &self.parse_email(email)?),
            Whom::ExternalId(_) => {
                let email = self.find_customer(&client, slug, tenant, whom).await?.email;
                self.key_of(tenant, &self.parse_email(&email)?)
            }
        };
        let statement = client.prepare_cached(statement).await?;
        let (actor, context) = self.author();
        let first: [&(dyn ToSql + Sync); 4] = [&tenant.0, &key.0, &actor, &context];
        match client.query_opt(&statement, &[&first, more].concat()).await? {
            Some(row) => Ok(Ended { customer_id: CustomerId(row.try_get(0)?), sessions: row.try_get(1)? }),
            None => Err(whom.unknown(slug)),
        }
    }
}

pub(super) fn read(row: &Row) -> Result<Customer, DirectoryError> {
    Ok(Customer {
        customer_id: CustomerId(row.try_get(0)?),
        email: row.try_get(1)?,
        disabled: row.try_get(2)?,
        created_us: row.try_get(3)?,
        updated_us: row.try_get(7)?,
        profile: Profile::read(row, 4)?,
    })
}
