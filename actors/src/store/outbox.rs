//! Mail that was promised: claimed, looked at, settled. A row holds a flush's mails (`mail/record.rs`).

use super::{Store, StoreError, micros, sql};
use crate::address_id::AddressId;
use crate::mail::{TenantLook, record};
use doorcode_domain::{ChallengeId, Language, Micros};
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

/// Lanes of the table: 0 for mail that was leased at birth, the others by the tenant's hash.
pub(crate) const LANES: i16 = 17;
/// Rows of a lane that one claim looks at.
const PER_LANE: i64 = 8;

/// Part of a flush's mail, as it is to be written.
#[derive(Debug)]
pub(crate) struct OutboxPart {
    pub(crate) id: Uuid,
    pub(crate) lane: i16,
    /// Zero: free for whoever claims it.
    pub(crate) lease: Duration,
    pub(crate) asked: Vec<u8>,
}

/// A row that is leased to this replica.
#[derive(Debug)]
pub(crate) struct OutboxRow {
    pub(crate) id: Uuid,
    pub(crate) asked_us: Micros,
    pub(crate) attempts: i16,
    pub(crate) asked: Vec<u8>,
    pub(crate) due: Vec<u8>,
    /// Bits of the mails that have left.
    pub(crate) done: Vec<u8>,
    /// Every code in it is outlived.
    pub(crate) expired: bool,
}

/// What has become of a row's mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settlement {
    pub(crate) id: Uuid,
    /// Bits of the mails that have left or were put off; `None`: all, the row goes.
    pub(crate) done: Option<Vec<u8>>,
    /// Mails to be tried again later.
    pub(crate) late: Option<LateMails>,
}

/// A row of mails that were put off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LateMails {
    pub(crate) id: Uuid,
    pub(crate) wait: Duration,
    pub(crate) mails: i32,
    pub(crate) asked: Vec<u8>,
    pub(crate) due: Vec<u8>,
}

/// One look at a mail's address.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) address: AddressId,
    pub(crate) challenge: ChallengeId,
    pub(crate) known: bool,
    /// The address that was typed, where the tenant signs up.
    pub(crate) typed: Option<String>,
}

/// What a look found: `None`, the code is of no use any more.
pub(crate) type Seen = Option<LiveCode>;

/// A code that can still be used.
#[derive(Clone, Debug)]
pub(crate) struct LiveCode {
    pub(crate) left: Duration,
    /// `None`: nobody's, or a disabled customer's or tenant's.
    pub(crate) recipient: Option<Recipient>,
}

/// Where a mail goes.
#[derive(Clone, Debug)]
pub(crate) struct Recipient {
    pub(crate) email: String,
    /// `None`: no customer yet.
    pub(crate) customer_id: Option<Uuid>,
    /// Names of the tenant's own, in order.
    pub(crate) providers: Vec<String>,
    /// The customer's own.
    pub(crate) language: Option<Language>,
    pub(crate) tenant: TenantLook,
    pub(crate) tenant_language: Option<Language>,
    /// No customer yet: the tenant's budget for such mails decides.
    pub(crate) is_new: bool,
}

/// Of a row with the columns of customer and tenant.
pub(super) fn recipient(row: &Row) -> Option<Recipient> {
    let slug: Option<String> = row.get("slug");
    let language = |column: &str| Language::of_tag(row.get::<_, Option<&str>>(column)?);
    slug.map(|slug| Recipient {
        email: row.get("email"),
        customer_id: row.get("customer_id"),
        providers: row.get::<_, Option<_>>("mail_providers").unwrap_or_default(),
        language: language("locale"),
        tenant: TenantLook {
            name: row.get("name"),
            slug,
            portal_host: row.get("portal_host"),
            colour: row.get("colour"),
            reply_to: row.get("reply_to"),
        },
        tenant_language: language("tenant_locale"),
        is_new: row.get("is_new"),
    })
}

impl Store {
    /// Looks at the addresses of mails that are about to leave; answers in the order of the question.
    pub(crate) async fn look_at_mails(
        &self,
        now: Option<Micros>,
        looks: &[Look],
    ) -> Result<Vec<Seen>, StoreError> {
        let places: Vec<i32> = (0..).take(looks.len()).collect();
        let tenants: Vec<Uuid> = looks.iter().map(|l| l.address.tenant.0).collect();
        let addresses: Vec<Uuid> = looks.iter().map(|l| l.address.key.0).collect();
        let challenges: Vec<Uuid> = looks.iter().map(|l| l.challenge.0).collect();
        let known: Vec<bool> = looks.iter().map(|l| l.known).collect();
        let typed: Vec<Option<&str>> = looks.iter().map(|l| l.typed.as_deref()).collect();
        let rows = self
            .query(sql::RESOLVE_OUTBOX, &[&now, &places, &tenants, &addresses, &challenges, &known, &typed])
            .await?;
        let mut seen = vec![None; looks.len()];
        for row in &rows {
            let recipient = recipient(row);
            let left = Duration::from_micros(row.get::<_, i64>("left_us").unsigned_abs());
            if let Some(place) = seen.get_mut(row.get::<_, i32>("place") as usize) {
                *place = Some(LiveCode { left, recipient });
            }
        }
        Ok(seen)
    }

    /// Notes that a relay denies an address's mailbox, as a provider's report of a bounce is noted.
    pub(crate) async fn suppress(
        &self,
        address: AddressId,
        time: Duration,
        provider: &str,
    ) -> Result<(), StoreError> {
        let (tenants, keys) = ([address.tenant.0], [address.key.0]);
        let (tenants, keys) = (tenants.as_slice(), keys.as_slice());
        let actor = serde_json::json!({ "type": "mail_provider", "id": provider }).to_string();
        self.query(sql::ADD_SUPPRESSED, &[&micros(time), &tenants, &keys, &"bounce", &actor]).await?;
        self.query(sql::SWEEP_SUPPRESSED, &[&address.tenant.0]).await?;
        Ok(())
    }

    /// Claims rows whose lease has passed, with at most so many mails.
    pub(crate) async fn claim_mails(
        &self,
        now: Option<Micros>,
        holder: Uuid,
        lease: Duration,
        room: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let (lease_us, lanes) = (micros(lease), i32::from(LANES));
        let rows = self
            .query(sql::CLAIM_OUTBOX, &[&now, &holder, &lease_us, &record::VERSION, &lanes, &PER_LANE, &room])
            .await?;
        let claimed = rows.iter().map(|row| OutboxRow {
            id: row.get("batch_id"),
            asked_us: row.get("asked_us"),
            attempts: row.get("attempts"),
            asked: row.get("asked"),
            due: row.get("due"),
            done: row.get::<_, Option<_>>("done").unwrap_or_default(),
            expired: row.get::<_, i64>("expires_us") <= row.get::<_, i64>("now_us"),
        });
        Ok(claimed.collect())
    }

    /// Notes what has become of mails and extends the rows' leases; returns the rows that still were the holder's.
    pub(crate) async fn settle_mails(
        &self,
        now: Option<Micros>,
        holder: Uuid,
        lease: Duration,
        rows: &[Settlement],
    ) -> Result<Vec<Uuid>, StoreError> {
        let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
        let done: Vec<Option<&[u8]>> = rows.iter().map(|r| r.done.as_deref()).collect();
        let leases = vec![micros(lease); rows.len()];
        let late = || rows.iter().map(|r| r.late.as_ref());
        let late_ids: Vec<Option<Uuid>> = late().map(|l| l.map(|l| l.id)).collect();
        let waits: Vec<Option<i64>> = late().map(|l| l.map(|l| micros(l.wait))).collect();
        let mails: Vec<Option<i32>> = late().map(|l| l.map(|l| l.mails)).collect();
        let asked: Vec<Option<&[u8]>> = late().map(|l| l.map(|l| &*l.asked)).collect();
        let due: Vec<Option<&[u8]>> = late().map(|l| l.map(|l| &*l.due)).collect();
        let held = self
            .query(
                sql::SETTLE_OUTBOX,
                &[&now, &holder, &ids, &done, &leases, &late_ids, &waits, &mails, &asked, &due],
            )
            .await?;
        Ok(held.iter().map(|row| row.get("batch_id")).collect())
    }
}

#[cfg(test)]
mod tests;
