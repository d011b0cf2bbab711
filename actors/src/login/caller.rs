//! Who calls, and what the access log says of the call beyond HTTP.

use crate::address_id::AddressId;
use crate::mail::note::Network;
use crate::outcomes::Outcome;
use crate::store::sessions::SessionId;
use doorcode_domain::{Language, TenantId};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;
use uuid::Uuid;

/// What travels with a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// When the answer stops being of use; expired work is dropped before it is written.
    pub deadline: Instant,
    /// The caller's address: socket peer or right-most untrusted hop, IPv4-mapped unwrapped.
    pub client: IpAddr,
    /// What the caller's browser asks for: for the mail.
    pub language: Option<Language>,
    /// `__Host-portal_device_*` cookies as sent: whose by its name (tag of a tenant), value. Judged by the service, never
    /// trusted here.
    pub device_cookies: Vec<(String, String)>,
    /// Browser and system, coarse ("Firefox on Windows"), at most 64 bytes; a session that begins keeps it.
    pub browser: Option<String>,
    /// Written by the service, read by whoever logs the call.
    pub trail: Trail,
}

impl Caller {
    /// Counts what the call came to, and leaves it for the log; the first outcome of a call counts there.
    pub(super) fn came_to(&self, outcome: &Outcome) {
        outcome.add();
        self.trail.came_to(outcome);
    }
}

/// Whom a call was about and what it came to, for the log (K1): pseudonyms and words of ours, nothing that a caller wrote.
#[derive(Clone, Debug, Default)]
pub struct Trail(Arc<Facts>);

#[derive(Debug, Default)]
struct Facts {
    address: OnceLock<AddressId>,
    session: OnceLock<SessionId>,
    outcome: OnceLock<&'static str>,
}

impl Trail {
    pub(super) fn about_address(&self, address: AddressId) {
        let _ = self.0.address.set(address);
    }

    pub(super) fn about_session(&self, session: SessionId) {
        let _ = self.0.session.set(session);
    }

    pub(super) fn came_to(&self, outcome: &Outcome) {
        let _ = self.0.outcome.set(outcome.name());
    }

    /// The tenant; none if the slug names nobody.
    pub fn tenant(&self) -> Option<Uuid> {
        let of_address = self.0.address.get().map(|address| address.tenant);
        let tenant = of_address.or_else(|| self.0.session.get().map(|session| session.tenant))?;
        (tenant != TenantId::UNKNOWN).then_some(tenant.0)
    }

    /// The keyed hash of tenant and address by which tables know an address (`customers.address_key`).
    pub fn subject(&self) -> Option<Uuid> {
        self.0.address.get().map(|address| address.key.0)
    }

    /// The keyed hash of a session's secret (`sessions.session_key`, `sid` in access tokens).
    pub fn session(&self) -> Option<Uuid> {
        self.0.session.get().map(|session| session.key.0)
    }

    /// As `outcome` of `doorcode_outcomes_total` in the metrics.
    pub fn outcome(&self) -> Option<&'static str> {
        self.0.outcome.get().copied()
    }
}

/// Roughly where a caller is, as a mail says it: `203.0.113.x`, `2001:db8:7::x`.
pub fn network_of(client: IpAddr) -> impl fmt::Display {
    Network::of(client)
}
