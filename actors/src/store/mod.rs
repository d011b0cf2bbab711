//! What is remembered, and how: the only place that names SQL or a connection.

pub(crate) mod challenges;
mod database_clock;
mod error;
pub(crate) mod keys;
mod migrate;
pub(crate) mod outbox;
#[cfg(test)]
mod plans_tests;
mod pool;
pub(crate) mod portals;
pub(crate) mod sessions;
pub(crate) mod sql;
pub(crate) mod sweep;
pub(crate) mod tenants;
mod tls;

pub(crate) use error::StoreError;
#[cfg(test)]
pub(crate) use migrate::connect;
pub use migrate::{MigrateError, check_migrated, migrate};
pub(crate) use pool::Store;
pub use pool::{DatabaseUrlError, PLANNER, PoolSnapshot};

/// A duration as the statements want it.
pub(crate) fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
