//! Why an administrator's verb did nothing.

use super::ProfileError;
use crate::store::{PoolError, describe};
use doorcode_domain::SlugError;
use thiserror::Error;

/// One enum for all verbs of the directory. Addresses in it are the ones that the administrator typed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The slug names nobody.
    #[error("there is no tenant `{slug}`")]
    NoSuchTenant {
        /// As typed.
        slug: String,
    },
    /// The slug is taken.
    #[error("there is a tenant `{slug}` already")]
    TenantExists {
        /// As typed.
        slug: String,
    },
    /// No slug for a new tenant.
    #[error("`{slug}` cannot be a tenant's slug: {reason}")]
    BadSlug {
        /// As typed.
        slug: String,
        /// The rule.
        reason: SlugError,
    },
    /// A tenant needs a name: it stands in every mail.
    #[error("a tenant's name has 1 to 100 visible characters on one line")]
    BadName,
    /// Origins tell whose cookies are meant, so one belongs to one tenant.
    #[error("the origin {origin} belongs to tenant `{owner}`")]
    OriginTaken {
        /// Normalised.
        origin: String,
        /// Its tenant's slug.
        owner: String,
    },
    /// Each is compared with at every hosted login.
    #[error("a tenant has at most 20 return URLs")]
    TooManyReturnUrls,
    /// Each is in the memory of every replica.
    #[error("a tenant has at most 100 origins")]
    TooManyOrigins,
    /// They travel with each of the tenant's mails.
    #[error("mail_providers are at most 20 names of at most 100 bytes")]
    BadMailProviders,
    /// No entry of a tenant's token claims.
    #[error("`{claim}` cannot enter a token: {reason}")]
    BadTokenClaim {
        /// As typed.
        claim: String,
        /// The rule.
        reason: &'static str,
    },
    /// A token is sent with every request.
    #[error("a tenant lists at most 10 token claims")]
    TooManyTokenClaims,
    /// Longer would be a password.
    #[error("a test code lives for 1 to 90 days")]
    BadTestCodeLife,
    /// Each is a way in without a mailbox.
    #[error("a tenant has at most 5 test codes: take one away, or wait until it ends")]
    TooManyTestCodes,
    /// It would open nothing.
    #[error("no code can be issued: the customer or its tenant is disabled")]
    Disabled,
    /// It would open nothing: a test code takes the place of every other.
    #[error("no code can be issued: the address has a test code; remove that first")]
    HasTestCode,
    /// No rule for first logins.
    #[error(
        "`{given}` does not say who may sign up: expected closed, open, or at most 50 domains separated by commas"
    )]
    BadSignup {
        /// As typed.
        given: String,
    },
    /// Not an address.
    #[error("`{email}` is not an address: {reason}")]
    BadEmail {
        /// As typed.
        email: String,
        /// The rule.
        reason: String,
    },
    /// The address is no customer of the tenant.
    #[error("tenant `{slug}` has no customer {customer}")]
    NoSuchCustomer {
        /// As typed.
        slug: String,
        /// Address or external id, as typed.
        customer: String,
    },
    /// An external id names one customer.
    #[error("the external id belongs to another customer of the tenant")]
    ExternalIdTaken,
    /// An address is one customer.
    #[error("the address belongs to another customer of the tenant")]
    EmailTaken,
    /// Two rows of a batch would be one customer.
    #[error("an earlier customer of this batch has the same external id or address")]
    TwiceInBatch,
    /// Each is looked at by people.
    #[error("there are 1,000 admin keys; revoke one first")]
    TooManyKeys,
    /// No admin key goes by this id.
    #[error("there is no admin key `{key_id}`")]
    NoSuchKey {
        /// As typed.
        key_id: String,
    },
    /// Each is sent every event.
    #[error("there are 10 webhooks for the same events, or 1,000 in all; delete one first")]
    TooManyWebhooks,
    /// No webhook goes by this id.
    #[error("there is no webhook {webhook}")]
    NoSuchWebhook {
        /// As typed.
        webhook: uuid::Uuid,
    },
    /// Not to be called.
    #[error("url cannot be called: {reason}")]
    BadWebhookUrl {
        /// The rule.
        reason: String,
    },
    /// It moves to another cell.
    #[error("tenant `{slug}` is frozen: it moves to another cell, or has")]
    Frozen {
        /// Its slug.
        slug: String,
    },
    /// Only what has moved away is deleted.
    #[error("tenant `{slug}` is not frozen")]
    NotFrozen {
        /// Its slug.
        slug: String,
    },
    /// What was exported elsewhere does not fit here, or at all.
    #[error("the tenant cannot be moved: {reason}")]
    BadMove {
        /// Why, and what to do.
        reason: String,
    },
    /// Not as events are called.
    #[error("types are at most 50 names of events, such as session.created or customer.*")]
    BadEventTypes,
    /// The system has none: nothing secret can be made.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// Not what a profile may hold.
    #[error(transparent)]
    BadProfile(#[from] ProfileError),
    /// No live session has the id.
    #[error("tenant `{slug}` has no session {session}")]
    NoSuchSession {
        /// As typed.
        slug: String,
        /// As typed.
        session: uuid::Uuid,
    },
    /// The tables are not there, or not all of them.
    #[error("the database has no doorcode schema, or an older one")]
    NotMigrated(#[source] tokio_postgres::Error),
    /// Postgres did not do it.
    #[error("the database failed: {}", describe(.0))]
    Database(#[source] tokio_postgres::Error),
    /// Postgres could not be reached.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
}

impl From<PoolError> for DirectoryError {
    fn from(error: PoolError) -> Self {
        Self::Unreachable(describe(&error))
    }
}

impl From<tokio_postgres::Error> for DirectoryError {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        match (error.code(), error.as_db_error().and_then(|error| error.constraint())) {
            (_, Some("customers_external_id")) => Self::ExternalIdTaken,
            (_, Some("customers_claims_form")) => Self::BadProfile(ProfileError::Claims),
            (Some(code), _) if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(code) => {
                Self::NotMigrated(error)
            }
            _ => Self::Database(error),
        }
    }
}
