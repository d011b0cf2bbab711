//! How guesses go at each tenant: counted here, added up in Postgres every second, read back with the tenant.
//!
//! When failures of 24 hours outgrow 100 + 0.3 per success (somebody sprays one guess over many accounts, which no
//! account's budget sees), new codes for strangers of that tenant are base32.

use crate::store::Store;
use actor_runtime::{Failure, PeriodicTask, Rhythm};
use doorcode_domain::{Clock, TenantId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) const RHYTHM: Rhythm = Rhythm { interval: Duration::from_secs(1), limit: Duration::from_secs(30) };

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

/// Adds up.
pub(crate) struct GuessStats {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) counts: GuessCounts,
}

impl PeriodicTask for GuessStats {
    /// What could not be written for certain is kept for the next round.
    async fn run(&mut self) -> Result<Option<Duration>, Failure> {
        let counted = self.counts.take();
        if !counted.is_empty()
            && let Err(error) = self.store.add_guesses(self.clock.sql_now(), &counted).await
        {
            if error.wrote_nothing() {
                self.counts.give_back(counted);
            }
            return Err(error.into());
        }
        Ok(None)
    }

    async fn finish(&mut self) {
        if let Err(error) = self.run().await {
            tracing::warn!(%error, "the last guesses cannot be added up");
        }
    }
}
