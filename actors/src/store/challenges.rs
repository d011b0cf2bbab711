//! Logins and verifies, many in a statement.

use super::database_clock::last;
use super::outbox::{OutboxPart, OutboxRow};
use super::{Store, StoreError, micros, sql};
use crate::address_id::AddressId;
use crate::mail::record;
use crate::settings::Settings;
use doorcode_domain::{AddressKey, ChallengeId, CodeMac, CustomerId, Micros, SessionKey, TenantId};
use tokio::time::Instant;
use uuid::Uuid;

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
    /// See `challenges.step_up` in the schema.
    pub(crate) step_up: i16,
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
    /// Chosen beforehand, so that a lost answer can be looked up.
    pub(crate) session: SessionKey,
    /// The session to end if this one begins.
    pub(crate) ended: Option<SessionKey>,
    /// Which decoy is written where the address has no row.
    pub(crate) decoy: i32,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) guess: GuessOutcome,
    /// The statement's time.
    pub(crate) now_us: Micros,
}

impl Store {
    /// Commits logins and the mail that they promise; returns the rows of the outbox. Rows must be unique by address;
    /// `slots` says which part of the mail each belongs to, and its place there (`challenges/login.sql`).
    pub(crate) async fn login(
        &self,
        now: Option<Micros>,
        rows: &[LoginRow],
        policy: LoginPolicy,
        holder: Uuid,
        (slots, parts): (&[i32], &[OutboxPart]),
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let tenants: Vec<Uuid> = rows.iter().map(|r| r.address.tenant.0).collect();
        let addresses: Vec<Uuid> = rows.iter().map(|r| r.address.key.0).collect();
        let challenges: Vec<Uuid> = rows.iter().map(|r| r.challenge.0).collect();
        let digit_macs: Vec<Uuid> = rows.iter().map(|r| r.digit_mac.0).collect();
        let base32_macs: Vec<Uuid> = rows.iter().map(|r| r.base32_mac.0).collect();
        let devices: Vec<i64> = rows.iter().map(|r| r.device_us).collect();
        let clients: Vec<i64> = rows.iter().map(|r| r.client_tag).collect();
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
                ],
            )
            .await?;
        let written = posted.iter().map(|row| OutboxRow {
            id: row.get("batch_id"),
            asked_us: row.get("asked_us"),
            attempts: 0,
            asked: Vec::new(),
            due: row.get("due"),
            done: Vec::new(),
            expired: false,
        });
        Ok(written.collect())
    }

    /// Evaluates guesses; rows must be unique by address. The answer is in no particular order, without the rows whose
    /// callers wait no longer (`until`): they were not looked at.
    pub(crate) async fn verify(
        &self,
        now: Option<Micros>,
        rows: &[VerifyRow],
        until: &[Instant],
        (idle_us, absolute_us): (i64, i64),
        sessions_max: i64,
    ) -> Result<Vec<(AddressId, Verdict)>, StoreError> {
        let tenants: Vec<Uuid> = rows.iter().map(|r| r.address.tenant.0).collect();
        let addresses: Vec<Uuid> = rows.iter().map(|r| r.address.key.0).collect();
        let digit_macs: Vec<Option<Uuid>> = rows.iter().map(|r| r.digit_mac.map(|m| m.0)).collect();
        let base32_macs: Vec<Option<Uuid>> = rows.iter().map(|r| r.base32_mac.map(|m| m.0)).collect();
        let devices: Vec<i64> = rows.iter().map(|r| r.device_us).collect();
        let clients: Vec<i64> = rows.iter().map(|r| r.client_tag).collect();
        let sessions: Vec<Uuid> = rows.iter().map(|r| r.session.0).collect();
        let ended: Vec<Option<Uuid>> = rows.iter().map(|r| r.ended.map(|k| k.0)).collect();
        let decoys: Vec<i32> = rows.iter().map(|r| r.decoy).collect();
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
                ],
            )
            .await?;
        self.database_clock.note(&written);
        let decided = written.iter().filter(|row| !row.get::<_, bool>("late"));
        Ok(decided.map(|row| (address(row), verdict(row))).collect())
    }
}

pub(super) fn address(row: &tokio_postgres::Row) -> AddressId {
    AddressId { tenant: TenantId(row.get("tenant_id")), key: AddressKey(row.get("address_key")) }
}

fn verdict(row: &tokio_postgres::Row) -> Verdict {
    let guess = match row.get::<_, Option<Uuid>>("customer_id") {
        Some(customer) => GuessOutcome::LoggedIn(CustomerId(customer)),
        None if row.get("missed") => GuessOutcome::Wrong,
        None => GuessOutcome::NotEvaluated,
    };
    Verdict { guess, now_us: row.get("now_us") }
}
