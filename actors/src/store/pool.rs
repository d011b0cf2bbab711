//! The pooled connection: timeouts on everything, statements prepared at birth, a connection that timed out thrown away.

use super::connector::{Connector, Object, Pool};
use super::database_clock::DatabaseClock;
use super::error::StoreError;
use super::refusals::Refusals;
use super::sql;
use crate::database_url::DatabaseUrlError;
use crate::outside_faults::OutsideFaults;
use crate::settings::DatabaseSettings;
use deadpool::Runtime;
use deadpool::managed::{Hook, HookError, QueueMode, Timeouts};
use deadpool_postgres::ClientWrapper;
use doorcode_domain::{Clock, Micros};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Database connections of this replica, and what they were refused.
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
    /// Statements that the server refused for want of disk and the like, by reason.
    pub refused: [(&'static str, u64); 4],
    /// Why it refused one in the last 10 s.
    pub refuses: Option<&'static str>,
}

/// Connections of this replica.
#[derive(Clone)]
pub(crate) struct Store {
    pool: Pool,
    pub(super) database_clock: DatabaseClock,
    refusals: Arc<Refusals>,
    /// On demand only.
    pub(crate) faults: OutsideFaults,
    /// Longest wait for an answer: the server's own limit and a little for the way.
    answer_timeout: Duration,
}

impl Store {
    pub(crate) fn new(settings: &DatabaseSettings) -> Result<Self, DatabaseUrlError> {
        let database_clock = DatabaseClock::default();
        let noted = database_clock.clone();
        let pool = Pool::builder(Connector::new(settings)?)
            .max_size(settings.pool_size.get())
            .runtime(Runtime::Tokio1)
            // the one that came back last: its backend's plans are still in the processor's cache
            .queue_mode(QueueMode::Lifo)
            .timeouts(Timeouts {
                wait: Some(settings.wait_timeout),
                create: Some(settings.create_timeout),
                recycle: Some(settings.recycle_timeout),
            })
            .post_create(Hook::async_fn(move |client: &mut ClientWrapper, _| {
                let noted = noted.clone();
                Box::pin(async move {
                    let hot =
                        [sql::LOGIN, sql::VERIFY, sql::REFRESH, sql::RESOLVE_OUTBOX, sql::SETTLE_OUTBOX];
                    futures_util::future::try_join_all(hot.map(|text| client.prepare_cached(text)))
                        .await
                        .map_err(|error| HookError::Backend(error.into()))?;
                    let read = client.query("SELECT clock_timestamp() AS read_at", &[]).await;
                    noted.note(&read.map_err(|error| HookError::Backend(error.into()))?);
                    Ok(())
                })
            }))
            .build()
            .map_err(|e| DatabaseUrlError::Pool(e.to_string()))?;
        let answer_timeout = settings.statement_timeout + Duration::from_millis(500);
        let (refusals, faults) = (Arc::default(), OutsideFaults::default());
        Ok(Self { pool, database_clock, refusals, faults, answer_timeout })
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
                self.refusals.note(error.code());
                if client.is_closed() {
                    drop(Object::take(client));
                }
                Err(error.into())
            }
            // Its answer may still come: never give that connection to anybody else. The server ends a statement long
            // before this, so it or the way to it is frozen, and the idle connections are no better.
            Err(_) => {
                drop(Object::take(client));
                self.pool.retain(|_, _| false);
                Err(StoreError::Ambiguous("no answer in time".to_owned()))
            }
        }
    }

    /// Whether statements stay prepared. A pooler in transaction mode gives a statement to whatever server connection is
    /// free; PgBouncer before 1.21 does not prepare it there, and would fail every fifth call under load and none at rest.
    pub(crate) async fn check_prepared(&self) -> Result<(), StoreError> {
        let (mut one, mut other) = (self.pool.get().await?, self.pool.get().await?);
        // whichever server connection a pooler gives first, the one released last or first, it is the wrong one once
        for _ in 0..2 {
            let first = one.transaction().await?;
            let by_one = first.prepare("SELECT 1").await?;
            let second = other.transaction().await?;
            let by_other = second.prepare("SELECT 1").await?;
            second.commit().await?;
            first.commit().await?;
            other.query(&by_other, &[]).await?;
            one.query(&by_one, &[]).await?;
            std::mem::swap(&mut one, &mut other);
        }
        Ok(())
    }

    /// What time it is there, as well as this process knows.
    pub(crate) fn now_us(&self, clock: &Clock) -> Micros {
        clock.sql_now().unwrap_or_else(|| self.database_clock.now_us())
    }

    /// The pool as of now.
    pub(crate) fn status(&self) -> PoolSnapshot {
        let status = self.pool.status();
        let (connections, idle) = (status.size, status.available);
        let (max, waiting) = (status.max_size, status.waiting);
        let (refused, refuses) = (self.refusals.counts(), self.refusals.lately());
        PoolSnapshot { connections, idle, max, waiting, refused, refuses }
    }

    /// For administration.
    pub(crate) fn pool(&self) -> Pool {
        self.pool.clone()
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }
}
