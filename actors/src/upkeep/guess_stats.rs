//! How guesses go at each tenant: counted here, added up in Postgres every second, read back with the tenant.
//!
//! When failures of 24 hours outgrow 100 + 0.3 per success (somebody sprays one guess over many accounts, which no
//! account's budget sees), new codes for strangers of that tenant are base32.

use crate::store::Store;
use actor_runtime::{Actor, Admission, Context, Failure};
use doorcode_domain::{Clock, TenantId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

const EVERY: Duration = Duration::from_secs(1);

/// Failures and successes since the last guess_stats.
#[derive(Clone, Default)]
pub(crate) struct GuessCounts(Arc<Mutex<HashMap<TenantId, (i64, i64)>>>);

impl GuessCounts {
    /// Every rejected guess counts, also at addresses that do not exist.
    pub(crate) fn add(&self, tenant: TenantId, success: bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (failures, successes) = counts.entry(tenant).or_default();
        *(if success { successes } else { failures }) += 1;
    }

    fn take(&self) -> Vec<(TenantId, i64, i64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *counts).into_iter().map(|(tenant, (bad, good))| (tenant, bad, good)).collect()
    }

    fn give_back(&self, counted: Vec<(TenantId, i64, i64)>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, bad, good) in counted {
            let (failures, successes) = counts.entry(tenant).or_default();
            *failures += bad;
            *successes += good;
        }
    }
}

pub(crate) enum GuessStatsMessage {
    Add,
    Added,
}

/// Adds up.
pub(crate) struct GuessStats {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) counts: GuessCounts,
}

impl GuessStats {
    async fn add_up(store: &Store, clock: &Clock, counts: &GuessCounts) {
        let counted = counts.take();
        if counted.is_empty() {
            return;
        }
        if let Err(error) = store.add_guesses(clock.sql_now(), &counted).await {
            tracing::warn!(%error, "guesses cannot be added up; they are kept for the next time");
            if error.wrote_nothing() {
                counts.give_back(counted);
            }
        }
    }
}

impl Actor for GuessStats {
    type Message = GuessStatsMessage;
    type State = JoinSet<()>;

    async fn start(&self, context: &Context<Self::Message>) -> Result<Self::State, Failure> {
        context.send_after(EVERY, GuessStatsMessage::Add);
        Ok(JoinSet::new())
    }

    async fn handle(
        &self,
        context: &Context<Self::Message>,
        message: Self::Message,
        _: Option<Admission>,
        tasks: &mut Self::State,
    ) -> Result<(), Failure> {
        match message {
            GuessStatsMessage::Add => {
                let (store, clock, counts, context) =
                    (self.store.clone(), self.clock.clone(), self.counts.clone(), context.clone());
                tasks.spawn(async move {
                    GuessStats::add_up(&store, &clock, &counts).await;
                    context.send(GuessStatsMessage::Added);
                });
            }
            GuessStatsMessage::Added => {
                while tasks.try_join_next().is_some() {}
                context.send_after(EVERY, GuessStatsMessage::Add);
            }
        }
        Ok(())
    }

    async fn finish(&self, tasks: &mut Self::State) {
        while tasks.join_next().await.is_some() {}
        GuessStats::add_up(&self.store, &self.clock, &self.counts).await;
    }
}
