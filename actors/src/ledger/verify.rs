//! Guesses. Two for one address never share a write: each is one guess.

use super::Batch;
use crate::address_id::AddressId;
use crate::store::challenges::{GuessOutcome, Verdict, VerifyRow};
use crate::store::sessions::SessionId;
use crate::store::{Store, StoreError, micros};
use doorcode_domain::{Clock, TenantId};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

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
    type Key = AddressId;
    type Answer = Verdict;
    const LOOKS_UP: bool = true;

    fn key(row: &VerifyRow) -> AddressId {
        row.address
    }

    fn tenant(row: &VerifyRow) -> TenantId {
        row.address.tenant
    }

    fn is_known(row: &VerifyRow) -> bool {
        row.device_us > 0
    }

    fn same(_: &VerifyRow, _: &VerifyRow) -> bool {
        false
    }

    async fn write(
        &self,
        rows: Vec<VerifyRow>,
        until: &[Instant],
    ) -> Result<Vec<(AddressId, Verdict)>, StoreError> {
        let lives = (micros(self.idle), micros(self.absolute));
        self.store.verify(self.clock.sql_now(), &rows, until, lives, self.sessions).await
    }

    /// A code that was accepted is never eaten: its session was named beforehand, so it is found if it was begun.
    async fn look_up(
        &self,
        rows: Vec<VerifyRow>,
        _: &[Instant],
    ) -> Result<Vec<(AddressId, Verdict)>, StoreError> {
        let session = |row: &VerifyRow| SessionId { tenant: row.address.tenant, key: row.session };
        let addresses: HashMap<_, _> = rows.iter().map(|row| (session(row), row.address)).collect();
        let begun: Vec<_> = addresses.keys().copied().collect();
        let found = self.store.find_sessions(&begun).await?;
        let answer = |(session, customer, now_us, claims)| {
            let verdict = Verdict {
                guess: GuessOutcome::LoggedIn(customer),
                counted: true,
                tested: false,
                new_device: false,
                now_us,
                claims,
            };
            Some((*addresses.get(&session)?, verdict))
        };
        Ok(found.into_iter().filter_map(answer).collect())
    }
}
