//! The janitor: deletes what has ended, a page at a time, always. Rows ≤ live sessions and budgets, and one round's worth.

use crate::store::Store;
use crate::store::sweep::{Cursor, Sweep};
use actor_runtime::{Failure, PeriodicTask, unix_seconds};
use doorcode_domain::Clock;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// One page of five tables: five statements' longest time.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const TABLES: usize = 5;
pub(crate) const BEGINNING: Cursor = (Uuid::nil(), Uuid::nil());

/// What a table's sweeps came to.
#[derive(Default)]
pub(crate) struct TableSweeps {
    /// Rows deleted.
    rows: AtomicU64,
    /// When a sweep last came to the table's end, by this machine's clock.
    ended_s: AtomicU64,
}

/// By table.
#[derive(Default)]
pub(crate) struct SweepCounts {
    challenges: TableSweeps,
    sessions: TableSweeps,
    tenant_limits: TableSweeps,
    events: TableSweeps,
    event_contexts: TableSweeps,
}

/// One table's sweeps.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SweepSnapshot {
    /// Its name.
    pub table: &'static str,
    /// Rows deleted.
    pub rows: u64,
    /// When a sweep last came to the table's end, in seconds since 1970; 0 is never in this process.
    pub ended_s: u64,
}

impl SweepCounts {
    pub(crate) fn snapshot(&self) -> Vec<SweepSnapshot> {
        let tables = [
            ("challenges", &self.challenges),
            ("sessions", &self.sessions),
            ("tenant_limits", &self.tenant_limits),
            ("events", &self.events),
            ("event_contexts", &self.event_contexts),
        ];
        let seen = |(table, sweeps): (_, &TableSweeps)| SweepSnapshot {
            table,
            rows: sweeps.rows.load(Relaxed),
            ended_s: sweeps.ended_s.load(Relaxed),
        };
        tables.map(seen).to_vec()
    }
}

pub(crate) struct Janitor {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) page: i64,
    pub(crate) counts: Arc<SweepCounts>,
    /// How far each table's sweep has come.
    pub(crate) cursors: [Cursor; TABLES],
}

impl PeriodicTask for Janitor {
    /// One page of each table. While a table has not come to its end, the next page follows after as long as this one
    /// took: at most half of one connection's time.
    async fn run(&mut self) -> Result<Option<Duration>, Failure> {
        let (begun, now) = (Instant::now(), self.clock.sql_now());
        let tables = [
            (Sweep::Challenges, &self.counts.challenges),
            (Sweep::Sessions, &self.counts.sessions),
            (Sweep::TenantLimits, &self.counts.tenant_limits),
            (Sweep::Events, &self.counts.events),
            (Sweep::EventContexts, &self.counts.event_contexts),
        ];
        let mut failed = None;
        for (cursor, (table, count)) in self.cursors.iter_mut().zip(tables) {
            match self.store.sweep(table, *cursor, self.page, now).await {
                Ok(swept) => {
                    count.rows.fetch_add(swept.gone.unsigned_abs(), Relaxed);
                    if swept.next.is_none() {
                        count.ended_s.store(unix_seconds(), Relaxed);
                    }
                    *cursor = swept.next.unwrap_or(BEGINNING);
                }
                Err(error) => failed = Some(format!("a page of {table:?} cannot be swept: {error}")),
            }
        }
        match failed {
            Some(why) => Err(why.into()),
            None if self.cursors == [BEGINNING; TABLES] => Ok(None),
            None => Ok(Some(begun.elapsed())),
        }
    }
}
