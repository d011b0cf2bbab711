//! Logins and verifies, many in a statement.

use super::database_clock::last;
use super::outbox::{OutboxPart, OutboxRow};
use super::sessions::customer_claims;
use super::{Store, StoreError, micros, sql};
use crate::address_id::AddressId;
use crate::mail::note::Note;
use crate::mail::record;
use crate::settings::Settings;
use doorcode_domain::{
    ChallengeId, CodeMac, CustomerClaims, CustomerId, Email, Micros, SessionKey, TenantId,
};
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;
use tokio_postgres::Row;
use uuid::Uuid;

/// Rows that addresses at slugs which name no tenant share; far more than a statement has.
const UNKNOWN_ROWS: u128 = 65_536;
/// Rows of the decoy table.
const DECOYS: i32 = 16_384;

/// What `/login` proposes for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginRow {
    pub(crate) address: AddressId,
    pub(crate) challenge: ChallengeId,
    pub(crate) digit_mac: CodeMac,
    pub(crate) base32_mac: CodeMac,
    /// Issue time of a valid device cookie; 0 without one.
    pub(crate) device_us: Micros,
    /// Keyed tag of the caller's network prefix.
    pub(crate) client_tag: i64,
    /// The same of the coarse prefix, whose share of the strangers' lane is limited.
    pub(crate) network_tag: i64,
    /// See `challenges.step_up` in the schema.
    pub(crate) step_up: i16,
    /// What the mail says of the request.
    pub(crate) note: Note,
}

/// Budgets of a login statement, µs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoginPolicy {
    pub(crate) life_us: i64,
    pub(crate) cooldown_us: i64,
    pub(crate) mail_burst: i32,
    pub(crate) mail_period_us: i64,
}

impl LoginPolicy {
    pub(crate) fn of(settings: &Settings) -> Self {
        let mails = &settings.address_limits;
        let (burst, period_us, cooldown_us) = match mails.enabled {
            true => (
                i32::try_from(mails.burst.get()).unwrap_or(i32::MAX),
                micros(mails.refill),
                micros(mails.cooldown),
            ),
            false => (1, 0, 0),
        };
        Self {
            life_us: micros(settings.codes.life),
            cooldown_us,
            mail_burst: burst,
            mail_period_us: period_us,
        }
    }
}

/// What `/verify` asks of an address.
#[derive(Clone, Debug)]
pub(crate) struct VerifyRow {
    pub(crate) address: AddressId,
    /// The typed code read as digits and as base32; `None` where it cannot be read so.
    pub(crate) digit_mac: Option<CodeMac>,
    pub(crate) base32_mac: Option<CodeMac>,
    pub(crate) device_us: Micros,
    pub(crate) client_tag: i64,
    pub(crate) network_tag: i64,
    pub(crate) step_up: i16,
    /// Chosen beforehand, so that a lost answer can be looked up.
    pub(crate) session: SessionKey,
    /// The session to end if this one begins.
    pub(crate) ended: Option<SessionKey>,
    pub(crate) browser: Option<String>,
    /// The typed address, and the id of the customer that it may become.
    pub(crate) signup: Option<(Email, Uuid)>,
}

/// What a guess came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuessOutcome {
    /// The code was right, its session has begun.
    LoggedIn(CustomerId),
    /// It was compared with a live code, and charged.
    Wrong,
    /// There was no live code, no guess left, or nobody behind it.
    NotEvaluated,
}

/// See [`GuessOutcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) guess: GuessOutcome,
    /// Whether it counts toward the tenant-wide trip: not what a trip refuses.
    pub(crate) counted: bool,
    /// Whether it was a test code.
    pub(crate) tested: bool,
    /// Whether it was right, from a device that is new to an address that has others.
    pub(crate) new_device: bool,
    /// The statement's time.
    pub(crate) now_us: Micros,
    /// About the customer.
    pub(crate) claims: CustomerClaims,
}

impl Store {
    /// Commits logins and the mail that they promise; returns the rows of the outbox, and frozen tenants: of their rows nothing
    /// was written. Rows must be unique by address;
    /// `slots` says which part of the mail each belongs to, and its place there (`challenges/login.sql`).
    pub(crate) async fn login(
        &self,
        now: Option<Micros>,
        rows: &[LoginRow],
        policy: LoginPolicy,
        holder: Uuid,
        (slots, parts): (&[i32], &[OutboxPart]),
    ) -> Result<(Vec<OutboxRow>, HashSet<TenantId>), StoreError> {
        let tenants: Vec<Uuid> = rows.iter().map(|r| r.address.tenant.0).collect();
        let addresses = row_keys(rows.iter().map(|r| r.address));
        let challenges: Vec<Uuid> = rows.iter().map(|r| r.challenge.0).collect();
        let digit_macs: Vec<Uuid> = rows.iter().map(|r| r.digit_mac.0).collect();
        let base32_macs: Vec<Uuid> = rows.iter().map(|r| r.base32_mac.0).collect();
        let devices: Vec<i64> = rows.iter().map(|r| r.device_us).collect();
        let clients: Vec<i64> = rows.iter().map(|r| r.client_tag).collect();
        let networks: Vec<i64> = rows.iter().map(|r| r.network_tag).collect();
        let step_ups: Vec<i16> = rows.iter().map(|r| r.step_up).collect();
        let LoginPolicy { life_us, cooldown_us, mail_burst, mail_period_us } = policy;
        let ids: Vec<Uuid> = parts.iter().map(|p| p.id).collect();
        let lanes: Vec<i16> = parts.iter().map(|p| p.lane).collect();
        let leases: Vec<i64> = parts.iter().map(|p| micros(p.lease)).collect();
        let asked: Vec<&[u8]> = parts.iter().map(|p| &*p.asked).collect();
        let posted = self
            .query(
                sql::LOGIN,
                &[
                    &now,
                    &tenants,
                    &addresses,
                    &challenges,
                    &digit_macs,
                    &base32_macs,
                    &devices,
                    &clients,
                    &step_ups,
                    &slots,
                    &life_us,
                    &cooldown_us,
                    &mail_burst,
                    &mail_period_us,
                    &record::VERSION,
                    &holder,
                    &ids,
                    &lanes,
                    &leases,
                    &asked,
                    &networks,
                ],
            )
            .await?;
        let frozen =
            posted.iter().filter_map(|row| row.get::<_, Option<Uuid>>("frozen").map(TenantId)).collect();
        let posted = posted.iter().filter(|row| row.get::<_, Option<Uuid>>("frozen").is_none());
        let written = posted.map(|row| OutboxRow {
            id: row.get("batch_id"),
            asked_us: row.get("asked_us"),
            attempts: 0,
            asked: Vec::new(),
            due: row.get("due"),
            done: Vec::new(),
            expired: false,
        });
        Ok((written.collect(), frozen))
    }

    /// Evaluates guesses; rows must be unique by address. The answer is in no particular order, without the rows whose
    /// callers wait no longer (`until`) or whose tenant is frozen: they were not looked at.
    pub(crate) async fn verify(
        &self,
        now: Option<Micros>,
        rows: &[VerifyRow],
        until: &[Instant],
        (idle_us, absolute_us): (i64, i64),
        sessions_max: i64,
    ) -> Result<Vec<(AddressId, Verdict)>, StoreError> {
        let tenants: Vec<Uuid> = rows.iter().map(|r| r.address.tenant.0).collect();
        let addresses = row_keys(rows.iter().map(|r| r.address));
        let digit_macs: Vec<Option<Uuid>> = rows.iter().map(|r| r.digit_mac.map(|m| m.0)).collect();
        let base32_macs: Vec<Option<Uuid>> = rows.iter().map(|r| r.base32_mac.map(|m| m.0)).collect();
        let devices: Vec<i64> = rows.iter().map(|r| r.device_us).collect();
        let clients: Vec<i64> = rows.iter().map(|r| r.client_tag).collect();
        let networks: Vec<i64> = rows.iter().map(|r| r.network_tag).collect();
        let step_ups: Vec<i16> = rows.iter().map(|r| r.step_up).collect();
        let sessions: Vec<Uuid> = rows.iter().map(|r| r.session.0).collect();
        let ended: Vec<Option<Uuid>> = rows.iter().map(|r| r.ended.map(|k| k.0)).collect();
        let browsers: Vec<Option<&str>> = rows.iter().map(|r| r.browser.as_deref()).collect();
        let emails: Vec<Option<&str>> =
            rows.iter().map(|r| r.signup.as_ref().map(|(email, _)| email.as_str())).collect();
        let new_customers: Vec<Option<Uuid>> =
            rows.iter().map(|r| r.signup.as_ref().map(|(_, id)| *id)).collect();
        // beginning anywhere, so that two replicas seldom meet
        let first = rows.first().map_or(0, |r| (r.session.0.as_u128() % DECOYS as u128) as i32);
        let decoys: Vec<i32> = (first..).take(rows.len()).map(|slot| slot % DECOYS).collect();
        let deadlines = self.database_clock.times(until);
        let written = self
            .query_until(
                last(until),
                sql::VERIFY,
                &[
                    &now,
                    &tenants,
                    &addresses,
                    &digit_macs,
                    &base32_macs,
                    &devices,
                    &clients,
                    &sessions,
                    &ended,
                    &decoys,
                    &idle_us,
                    &absolute_us,
                    &sessions_max,
                    &deadlines,
                    &networks,
                    &step_ups,
                    &browsers,
                    &emails,
                    &new_customers,
                ],
            )
            .await?;
        self.database_clock.note(&written);
        let decided = written.iter().filter(|row| !row.get::<_, bool>("late"));
        let asked: HashMap<_, _> =
            addresses.iter().zip(rows).map(|(key, r)| ((r.address.tenant.0, *key), r.address)).collect();
        let address = |row: &Row| asked.get(&(row.get("tenant_id"), row.get("address_key"))).copied();
        Ok(decided.filter_map(|row| Some((address(row)?, verdict(row)))).collect())
    }
}

/// Which row an address has: its own; at slugs that name no tenant one of a fixed number, so that a flood of them makes no
/// more. Two addresses of one statement never get the same.
fn row_keys(addresses: impl Iterator<Item = AddressId>) -> Vec<Uuid> {
    let mut taken = HashSet::new();
    let row_key = |AddressId { tenant, key }| {
        if tenant != TenantId::UNKNOWN {
            return key.0;
        }
        let mut slot = key.0.as_u128() % UNKNOWN_ROWS;
        while !taken.insert(slot) {
            slot = (slot + 1) % UNKNOWN_ROWS;
        }
        Uuid::from_u128(slot)
    };
    addresses.map(row_key).collect()
}

fn verdict(row: &Row) -> Verdict {
    let guess = match row.get::<_, Option<Uuid>>("customer_id") {
        Some(customer) => GuessOutcome::LoggedIn(CustomerId(customer)),
        None if row.get("missed") => GuessOutcome::Wrong,
        None => GuessOutcome::NotEvaluated,
    };
    Verdict {
        guess,
        counted: row.get("counted"),
        tested: row.get("tested"),
        new_device: row.get("new_device"),
        now_us: row.get("now_us"),
        claims: customer_claims(row),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_domain::AddressKey;

    #[test]
    fn unknown_slugs_share_a_fixed_number_of_rows() {
        let at = |tenant, n| AddressId { tenant, key: AddressKey(Uuid::from_u128(n)) };
        let unknown = |n| at(TenantId::UNKNOWN, n);
        let same = [7, 7 + UNKNOWN_ROWS, 7 + 2 * UNKNOWN_ROWS, UNKNOWN_ROWS - 1, 2 * UNKNOWN_ROWS - 1];
        let keys = row_keys(same.map(unknown).into_iter());
        assert_eq!(keys, [7, 8, 9, UNKNOWN_ROWS - 1, 0].map(Uuid::from_u128), "never two the same");
        let known = at(TenantId(Uuid::from_u128(1)), 7 + UNKNOWN_ROWS);
        assert_eq!(row_keys([known].into_iter()), [known.key.0]);
        let many: HashSet<_> =
            (0..1_000_000).flat_map(|n| row_keys([unknown(n * 7_919)].into_iter())).collect();
        assert_eq!(many.len() as u128, UNKNOWN_ROWS);
    }
}
