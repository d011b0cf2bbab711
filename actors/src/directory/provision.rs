//! Customers as a tenant's own system makes and changes them: by its ids, as often as it likes.

use super::{Claims, Customer, Directory, DirectoryError, ExternalId, Locale, Profile, customers, sql};
use deadpool_postgres::GenericClient;
use doorcode_domain::{AddressKey, Email, TenantId};
use std::collections::HashSet;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// Tries when somebody else makes the same customer at the same time.
const TRIES: usize = 3;

/// All that a customer shall be.
#[derive(Clone, Debug)]
pub struct CustomerData {
    /// Its name in the tenant's system.
    pub external_id: ExternalId,
    /// Where mail goes.
    pub email: String,
    /// See [`Profile`].
    pub locale: Option<Locale>,
    /// See [`Profile`].
    pub claims: Claims,
    /// See [`Customer`].
    pub disabled: bool,
}

/// What of a customer shall be another; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct CustomerChange {
    /// See [`CustomerData`].
    pub email: Option<String>,
    /// `Some(None)` takes it away.
    pub locale: Option<Option<Locale>>,
    /// All of them anew.
    pub claims: Option<Claims>,
    /// See [`CustomerData`].
    pub disabled: Option<bool>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// As it is now.
    pub customer: Customer,
    /// Whether it is new.
    pub new: bool,
}

/// A customer that the statement can take.
struct Row<'a> {
    data: &'a CustomerData,
    email: Email,
    key: AddressKey,
}

impl Directory {
    /// Makes customers or changes them to what is given, each or nothing of it; an answer for each, in the same order.
    /// One who has the address and no external id yet is given it.
    pub async fn put_customers(
        &self,
        slug: &str,
        customers: &[CustomerData],
    ) -> Result<Vec<Result<Placed, DirectoryError>>, DirectoryError> {
        let client = self.client().await?;
        let tenant = self.open_tenant_id(&client, slug).await?;
        let (mut answers, mut rows, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for data in customers {
            let row = self.row(tenant, data).and_then(|row| {
                let new = seen.insert(row.data.external_id.as_str().to_owned())
                    && seen.insert(row.key.0.to_string());
                if new { Ok(row) } else { Err(DirectoryError::TwiceInBatch) }
            });
            match row {
                Ok(row) => {
                    places.push(answers.len());
                    rows.push(row);
                    answers.push(Err(DirectoryError::TwiceInBatch));
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        let mut tries = TRIES;
        let placed = loop {
            tries -= 1;
            match self.place(&**client, tenant, &rows).await {
                Err(error) if tries > 0 && is_race(&error) => {}
                placed => break placed?,
            }
        };
        for (place, answer) in places.into_iter().zip(placed) {
            answers[place] = answer;
        }
        Ok(answers)
    }

    /// One of them.
    pub async fn put_customer(&self, slug: &str, data: CustomerData) -> Result<Placed, DirectoryError> {
        self.put_customers(slug, &[data]).await?.pop().unwrap_or(Err(DirectoryError::TwiceInBatch))
    }

    /// Changes what is given of a customer and leaves the rest.
    pub async fn change_customer(
        &self,
        slug: &str,
        external_id: &ExternalId,
        change: CustomerChange,
    ) -> Result<Customer, DirectoryError> {
        let mut client = self.client().await?;
        let tenant = self.open_tenant_id(&client, slug).await?;
        let transaction = client.transaction().await?;
        let lock = transaction.prepare_cached(sql::CUSTOMERS_LOCK_EXTERNAL).await?;
        let unknown = || DirectoryError::NoSuchCustomer {
            slug: slug.to_owned(),
            customer: external_id.as_str().to_owned(),
        };
        let row =
            transaction.query_opt(&lock, &[&tenant.0, &external_id.as_str()]).await?.ok_or_else(unknown)?;
        let Customer { email, disabled, profile: Profile { locale, claims, .. }, .. } =
            customers::read(&row)?;
        let data = CustomerData {
            external_id: external_id.clone(),
            email: change.email.unwrap_or(email),
            locale: change.locale.unwrap_or(locale),
            claims: change.claims.unwrap_or(claims),
            disabled: change.disabled.unwrap_or(disabled),
        };
        let placed = self.place(&*transaction, tenant, &[self.row(tenant, &data)?]).await?;
        let placed = placed.into_iter().next().unwrap_or(Err(DirectoryError::TwiceInBatch))?;
        transaction.commit().await?;
        Ok(placed.customer)
    }

    fn row<'a>(&self, tenant: TenantId, data: &'a CustomerData) -> Result<Row<'a>, DirectoryError> {
        let email = self.parse_email(&data.email)?;
        let key = self.key_of(tenant, &email);
        Ok(Row { data, email, key })
    }

    async fn place<C: tokio_postgres::GenericClient>(
        &self,
        client: &C,
        tenant: TenantId,
        rows: &[Row<'_>],
    ) -> Result<Vec<Result<Placed, DirectoryError>>, DirectoryError> {
        let external_ids: Vec<&str> = rows.iter().map(|row| row.data.external_id.as_str()).collect();
        let keys: Vec<Uuid> = rows.iter().map(|row| row.key.0).collect();
        let emails: Vec<&str> = rows.iter().map(|row| row.email.as_str()).collect();
        let locales: Vec<Option<&str>> =
            rows.iter().map(|row| row.data.locale.as_ref().map(Locale::as_str)).collect();
        let claims: Vec<String> = rows.iter().map(|row| row.data.claims.to_sql()).collect();
        let disabled: Vec<bool> = rows.iter().map(|row| row.data.disabled).collect();
        let ids: Vec<Uuid> = rows.iter().map(|_| Uuid::new_v4()).collect();
        let (actor, context) = self.author();
        let answers = client
            .query(
                sql::CUSTOMERS_PUT,
                &[
                    &tenant.0,
                    &external_ids,
                    &keys,
                    &emails,
                    &locales,
                    &claims,
                    &disabled,
                    &ids,
                    &actor,
                    &context,
                ],
            )
            .await?;
        answers
            .iter()
            .map(|row| {
                Ok(match row.try_get::<_, i32>(8)? {
                    0 => Err(DirectoryError::EmailTaken),
                    verdict => Ok(Placed { customer: customers::read(row)?, new: verdict == 1 }),
                })
            })
            .collect()
    }
}

/// Another one made or changed the same customer between our look and our write: the next look sees it.
fn is_race(error: &DirectoryError) -> bool {
    let raced = [SqlState::UNIQUE_VIOLATION, SqlState::T_R_DEADLOCK_DETECTED];
    match error {
        DirectoryError::ExternalIdTaken => true,
        DirectoryError::Database(error) => error.code().is_some_and(|code| raced.contains(code)),
        _ => false,
    }
}
