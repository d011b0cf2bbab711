//! What is remembered, and how: the only place that names SQL or a connection.

pub(crate) mod challenges;
mod connector;
mod database_clock;
mod error;
pub(crate) mod events;
pub(crate) mod keys;
mod migrate;
pub(crate) mod notices;
pub(crate) mod outbox;
#[cfg(test)]
mod plans_tests;
mod pool;
pub(crate) mod portals;
mod refusals;
pub(crate) mod sessions;
pub(crate) mod sql;
pub(crate) mod sweep;
pub(crate) mod tenants;
pub(crate) mod tls;
pub(crate) mod webhooks;

#[cfg(test)]
pub(crate) use connector::Connector;
pub use connector::{ConnectError, PLANNER};
pub(crate) use connector::{Object, Pool, PoolError};
pub(crate) use error::{StoreError, describe};
#[cfg(test)]
pub(crate) use migrate::connect;
pub use migrate::{MigrateError, check_migrated, migrate, set_role_settings};
pub use pool::PoolSnapshot;
pub(crate) use pool::Store;

/// A duration as the statements want it.
pub(crate) fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
