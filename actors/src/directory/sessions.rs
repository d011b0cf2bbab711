//! Who is logged in.

use super::{Directory, DirectoryError, Whom, sql};
use doorcode_domain::{CustomerId, Generation, Micros, SessionKey};
use tokio_postgres::Row;

/// A live session. Its key is the `sid` claim of its access tokens; it is no secret and opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// See above.
    pub session: SessionKey,
    /// Whose.
    pub customer_id: CustomerId,
    /// When the code was typed.
    pub created_us: Micros,
    /// When it was last refreshed.
    pub rotated_us: Micros,
    /// When it ends if nobody refreshes it.
    pub idle_until_us: Micros,
    /// When it ends in any case.
    pub expires_us: Micros,
    /// How often it was refreshed.
    pub generation: Generation,
}

/// What a verb met and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whose.
    pub customer_id: CustomerId,
    /// Sessions that are no more. Access tokens that are out live on for at most an hour.
    pub sessions: i64,
}

impl Directory {
    /// A customer's live sessions, the newest first.
    pub async fn sessions(
        &self,
        slug: &str,
        whom: impl Into<Whom<'_>>,
    ) -> Result<Vec<Session>, DirectoryError> {
        let customer = self.customer(slug, whom).await?.customer_id;
        let client = self.client().await?;
        let tenant = self.tenant_id(&client, slug).await?;
        let statement = client.prepare_cached(sql::SESSIONS_LIST).await?;
        client.query(&statement, &[&tenant.0, &customer.0]).await?.iter().map(read).collect()
    }

    /// Ends one session.
    pub async fn revoke_session(&self, slug: &str, session: SessionKey) -> Result<(), DirectoryError> {
        let client = self.client().await?;
        let tenant = self.open_tenant_id(&client, slug).await?;
        let statement = client.prepare_cached(sql::SESSIONS_REVOKE_ONE).await?;
        let (actor, context) = self.author();
        let row = client.query_one(&statement, &[&tenant.0, &session.0, &actor, &context]).await?;
        match row.try_get::<_, i64>(0)? {
            0 => Err(DirectoryError::NoSuchSession { slug: slug.to_owned(), session: session.0 }),
            _ => Ok(()),
        }
    }

    /// Ends all sessions of a customer and makes its devices and networks strangers (E14).
    pub async fn revoke_sessions(
        &self,
        slug: &str,
        whom: impl Into<Whom<'_>>,
    ) -> Result<Ended, DirectoryError> {
        self.on_customer(sql::CUSTOMERS_END_SESSIONS, slug, whom.into(), &[&"forget"]).await
    }
}

fn read(row: &Row) -> Result<Session, DirectoryError> {
    Ok(Session {
        session: SessionKey(row.try_get(0)?),
        customer_id: CustomerId(row.try_get(1)?),
        created_us: row.try_get(2)?,
        rotated_us: row.try_get(3)?,
        idle_until_us: row.try_get(4)?,
        expires_us: row.try_get(5)?,
        generation: row.try_get(6)?,
    })
}
