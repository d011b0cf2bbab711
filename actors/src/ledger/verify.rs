//! Guesses. Two for one address never share a write: each is one guess.

use super::Batch;
use crate::store::challenges::{Address, Verdict, VerifyRow};
use crate::store::{Store, StoreError, micros};
use doorcode_domain::{Alphabet, Clock, TenantId};
use std::collections::HashMap;
use std::time::Duration;

pub(crate) struct VerifyBatch {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    /// Sessions that one customer may have.
    pub(crate) sessions: i64,
}

impl Batch for VerifyBatch {
    type Row = VerifyRow;
    type Key = Address;
    type Answer = Verdict;

    fn key(row: &VerifyRow) -> Address {
        row.address
    }

    fn tenant(row: &VerifyRow) -> TenantId {
        row.address.0
    }

    fn same(_: &VerifyRow, _: &VerifyRow) -> bool {
        false
    }

    async fn write(&self, rows: Vec<VerifyRow>) -> Result<Vec<(Address, Verdict)>, StoreError> {
        let lives = (micros(self.idle), micros(self.absolute));
        self.store.verify(self.clock.sql_now(), &rows, lives, self.sessions).await
    }

    /// A code that was accepted is never eaten: its session was named beforehand, so it is found if it was begun.
    async fn look_up(&self, rows: Vec<VerifyRow>) -> Result<Vec<(Address, Verdict)>, StoreError> {
        let begun: Vec<_> = rows.iter().map(|row| (row.address.0, row.session)).collect();
        let found = self.store.find_sessions(&begun).await?;
        let addresses: HashMap<_, _> =
            rows.iter().map(|row| ((row.address.0, row.session), (row.address, row.device_us > 0))).collect();
        let answer = |(session, customer, now_us)| {
            let (address, known) = *addresses.get(&session)?;
            let verdict = Verdict {
                customer: Some(customer),
                evaluated: true,
                missed: false,
                known,
                alphabet: Alphabet::Digits,
                now_us,
            };
            Some((address, verdict))
        };
        Ok(found.into_iter().filter_map(answer).collect())
    }
}
