//! The pooled connection: timeouts on everything, statements prepared at birth, a connection that timed out thrown away.

use super::database_clock::DatabaseClock;
use super::error::StoreError;
use super::{sql, tls};
use crate::outside_faults::OutsideFaults;
use crate::settings::DatabaseSettings;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use doorcode_domain::{Clock, Micros};
use serde::Serialize;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Row};

/// A connection older than this is replaced, so that a failover or a rotated password is noticed.
const MAX_AGE: Duration = Duration::from_secs(1_800);

/// Plans are made once, on tables that may be empty then and full a minute later. With this, and written as sql/README.md
/// says, each statement has one plan: joins in the order of the text, rows by their key. What has no index to go by costs
/// 10^10 without sequential scans, for which PostgreSQL would compile the statement each time (`jit`).
pub const PLANNER: &str = "-c plan_cache_mode=force_generic_plan -c join_collapse_limit=1 -c from_collapse_limit=1 \
    -c enable_seqscan=off -c enable_bitmapscan=off -c max_parallel_workers_per_gather=0 -c jit=off";

/// Why the database settings are unusable.
#[derive(Debug, Error)]
pub enum DatabaseUrlError {
    /// No URL.
    #[error("database.url is not set: expected where Postgres is, there or in DATABASE_URL")]
    Missing,
    /// The URL.
    #[error("the database URL cannot be read: {0}; expected postgres://user:password@host/database")]
    Url(String),
    /// The pool.
    #[error("the connection pool cannot be built: {0}")]
    Pool(String),
}

/// Parses a database URL and adds what every connection of ours has.
pub(crate) fn connection_config(settings: &DatabaseSettings) -> Result<Config, DatabaseUrlError> {
    let url = settings.url.as_ref().ok_or(DatabaseUrlError::Missing)?;
    let mut config: Config =
        url.reveal().parse().map_err(|e| DatabaseUrlError::Url(super::error::describe(&e)))?;
    // Set in the startup packet: no further round trip, and a recycled connection keeps them.
    let options = format!(
        "{} -c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout=5000 {PLANNER}",
        config.get_options().unwrap_or_default(),
        settings.statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
    );
    config.options(options.trim()).application_name("doorcode");
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(settings.create_timeout);
    }
    Ok(config)
}

/// Database connections of this replica.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PoolSnapshot {
    /// Open connections.
    pub connections: usize,
    /// Of them, not in use.
    pub idle: usize,
    /// How many there may be.
    pub max: usize,
    /// Statements that wait for one.
    pub waiting: usize,
}

/// Connections of this replica.
#[derive(Clone)]
pub(crate) struct Store {
    pool: Pool,
    pub(super) database_clock: DatabaseClock,
    /// On demand only.
    pub(crate) faults: OutsideFaults,
    /// Longest wait for an answer: the server's own limit and a little for the way.
    answer_timeout: Duration,
}

impl Store {
    pub(crate) fn new(settings: &DatabaseSettings) -> Result<Self, DatabaseUrlError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(connection_config(settings)?, tls::connector(), recycling);
        let database_clock = DatabaseClock::default();
        let noted = database_clock.clone();
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size.get())
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(settings.wait_timeout),
                create: Some(settings.create_timeout),
                recycle: Some(settings.recycle_timeout),
            })
            .pre_recycle(Hook::sync_fn(|_, metrics| {
                if metrics.age() > MAX_AGE { Err(HookError::message("too old")) } else { Ok(()) }
            }))
            .post_create(Hook::async_fn(move |client, _| {
                let noted = noted.clone();
                Box::pin(async move {
                    let hot =
                        [sql::LOGIN, sql::VERIFY, sql::REFRESH, sql::RESOLVE_OUTBOX, sql::SETTLE_OUTBOX];
                    futures_util::future::try_join_all(hot.map(|text| client.prepare_cached(text)))
                        .await
                        .map_err(HookError::Backend)?;
                    let read = client.query("SELECT clock_timestamp() AS read_at", &[]).await;
                    noted.note(&read.map_err(HookError::Backend)?);
                    Ok(())
                })
            }))
            .build()
            .map_err(|e| DatabaseUrlError::Pool(e.to_string()))?;
        let answer_timeout = settings.statement_timeout + Duration::from_millis(500);
        Ok(Self { pool, database_clock, faults: OutsideFaults::default(), answer_timeout })
    }

    /// Runs one statement of ours and returns its rows.
    pub(crate) async fn query(
        &self,
        text: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.connection().await?;
        self.query_on(client, text, parameters).await
    }

    /// The same, not later than somebody waits for it: a connection may be long in coming.
    pub(super) async fn query_until(
        &self,
        until: Instant,
        text: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.connection().await?;
        if until <= Instant::now() {
            return Err(StoreError::NoConnection("it came too late".to_owned()));
        }
        self.query_on(client, text, parameters).await
    }

    async fn connection(&self) -> Result<Object, StoreError> {
        if self.faults.is_link_down() {
            return Err(StoreError::NoConnection("the link was dropped: a fault on demand".to_owned()));
        }
        Ok(self.pool.get().await?)
    }

    async fn query_on(
        &self,
        client: Object,
        text: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let asking = tokio::time::timeout(self.answer_timeout, async {
            let statement = client.prepare_cached(text).await?;
            client.query(&statement, parameters).await
        });
        let answer = tokio::select! {
            answer = asking => answer,
            () = self.faults.link_broken() => {
                drop(Object::take(client));
                return Err(StoreError::Ambiguous("the link was dropped: a fault on demand".to_owned()));
            }
        };
        match answer {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                if client.is_closed() {
                    drop(Object::take(client));
                }
                Err(error.into())
            }
            // its answer may still come: never give that connection to anybody else
            Err(_) => {
                drop(Object::take(client));
                Err(StoreError::Ambiguous("no answer in time".to_owned()))
            }
        }
    }

    /// What time it is there, as well as this process knows.
    pub(crate) fn now_us(&self, clock: &Clock) -> Micros {
        clock.sql_now().unwrap_or_else(|| self.database_clock.now_us())
    }

    /// The pool as of now.
    pub(crate) fn status(&self) -> PoolSnapshot {
        let status = self.pool.status();
        let (connections, idle) = (status.size, status.available);
        PoolSnapshot { connections, idle, max: status.max_size, waiting: status.waiting }
    }

    /// For administration.
    pub(crate) fn pool(&self) -> Pool {
        self.pool.clone()
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }
}
