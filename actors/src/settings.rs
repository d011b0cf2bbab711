//! What the actors are told at start. Plain values; where they come from (file, environment, tests) is the edge's matter.

use crate::mail::{Mailbox, Transport};
use doorcode_domain::Clock;
use std::time::Duration;
use zeroize::Zeroizing;

/// Everything.
#[derive(Clone, Default)]
pub struct Settings {
    /// `iss` of access tokens.
    pub public_url: String,
    /// Where the data is.
    pub database: DatabaseSettings,
    /// 32 bytes that wrap every other key.
    pub master_key: Zeroizing<Vec<u8>>,
    /// Codes.
    pub codes: CodeSettings,
    /// Limits that may be turned off; guess budgets may not.
    pub limits: LimitSettings,
    /// Sessions and tokens.
    pub tokens: TokenSettings,
    /// How much may be in flight.
    pub admission: AdmissionSettings,
    /// Mail.
    pub mail: MailSettings,
    /// Cleaning.
    pub janitor: JanitorSettings,
    /// Whose clock counts.
    pub clock: Clock,
}

/// Postgres.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `postgres://…` or `key=value` form; a secret.
    pub url: Zeroizing<String>,
    /// Connections of this replica. Default 16.
    pub pool_size: usize,
    /// Longest statement on the server. Default 2 s.
    pub statement_timeout: Duration,
    /// Longest wait for a row another replica holds. Default 1 s.
    pub lock_timeout: Duration,
    /// Longest connect, handshake included. Default 1 s.
    pub create_timeout: Duration,
    /// Longest wait for a free connection. Default 1 s.
    pub wait_timeout: Duration,
    /// Longest look at a used connection before it is used again. Default 1 s.
    pub recycle_timeout: Duration,
    /// Flushes of one ledger in flight. Default 4: more makes batches smaller, fewer leaves the disk idle.
    pub max_in_flight: usize,
    /// Tests only: accept a server that may forget (`fsync` or `synchronous_commit` off).
    pub allow_unsafe: bool,
    /// Rows in a statement at most. Default 512.
    pub batch_max: usize,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: Zeroizing::default(),
            pool_size: 16,
            statement_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(1),
            create_timeout: Duration::from_secs(1),
            wait_timeout: Duration::from_secs(1),
            recycle_timeout: Duration::from_secs(1),
            max_in_flight: 4,
            allow_unsafe: false,
            batch_max: 512,
        }
    }
}

/// Codes.
#[derive(Clone, Copy, Debug)]
pub struct CodeSettings {
    /// Life of a code; at most 600 s (NIST SP 800-63B-4 section 3.1.3.2). Default 600 s.
    pub life: Duration,
}

impl Default for CodeSettings {
    fn default() -> Self {
        Self { life: Duration::from_secs(600) }
    }
}

/// Limits.
#[derive(Clone, Copy, Debug)]
pub struct LimitSettings {
    /// Requests a second and burst per tenant slug; `None`: off. Default 1,000 and 10,000.
    pub tenant: Option<(u32, u32)>,
    /// Mails per address and lane: burst, period and cool-down; `None`: off. Default 5, 4.8 h, 60 s.
    pub mails: Option<(u32, Duration, Duration)>,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let mails = (5, Duration::from_secs(17_280), Duration::from_secs(60));
        Self { tenant: Some((1_000, 10_000)), mails: Some(mails) }
    }
}

/// Sessions and tokens.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `ES256`, `EdDSA` or `RS256`.
    pub algorithm: Algorithm,
    /// For how long a signing key signs. Default 30 days.
    pub rotation: Duration,
    /// A session not refreshed for that long ends. Default 7 days.
    pub idle: Duration,
    /// A session ends after that, refreshed or not. Default 30 days.
    pub absolute: Duration,
    /// A repeated refresh within that gets the first answer again. Default 30 s.
    pub retry_window: Duration,
    /// Sessions that one customer may have; one more ends the oldest. Default 20.
    pub sessions_per_customer: u32,
}

impl Default for TokenSettings {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            algorithm: Algorithm::Es256,
            rotation: 30 * day,
            idle: 7 * day,
            absolute: 30 * day,
            retry_window: Duration::from_secs(30),
            sessions_per_customer: 20,
        }
    }
}

/// How access tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256: the default, understood everywhere.
    Es256,
    /// Ed25519: smallest and fastest.
    EdDsa,
    /// RSA 3072 with PKCS#1 v1.5: for verifiers that know nothing else.
    Rs256,
}

/// How much may be in flight. What does not fit is refused at once with 503.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionSettings {
    /// Logins and verifies over all tenants. Default 4,096.
    pub issuers: usize,
    /// Refreshes and logouts. Default 4,096.
    pub sessions: usize,
    /// Tenants with a live issuer at most. Default 10,000.
    pub max_issuers: usize,
    /// An issuer without work for that long retires. Default 60 s.
    pub issuer_idle: Duration,
    /// Minters. Default: one per core.
    pub minters: usize,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            issuers: 4_096,
            sessions: 4_096,
            max_issuers: 10_000,
            issuer_idle: Duration::from_secs(60),
            minters: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

/// Mail.
#[derive(Clone)]
pub struct MailSettings {
    /// How mail leaves.
    pub transport: Transport,
    /// `Name <address>` it comes from.
    pub from: String,
    /// Mailers, each with one connection, at the start and in quiet times. Default 4.
    pub workers: usize,
    /// Mailers at most: they grow with the backlog. Default 64.
    pub workers_max: usize,
    /// Mails in memory at most. Default 20,000; the rest waits in Postgres.
    pub queue: usize,
    /// How long a replica may take to send what it claimed. Default 20 s.
    pub lease: Duration,
    /// Longest try at one mail; shorter than the lease. Default 10 s.
    pub deadline: Duration,
    /// How often to look for mail whose lease has passed. Default 1 s.
    pub sweep: Duration,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            transport: Transport::Memory(Mailbox::default()),
            from: "doorcode <login@doorcode.example>".to_owned(),
            workers: 4,
            workers_max: 64,
            queue: 20_000,
            lease: Duration::from_secs(20),
            deadline: Duration::from_secs(10),
            sweep: Duration::from_secs(1),
        }
    }
}

/// Cleaning.
#[derive(Clone, Copy, Debug)]
pub struct JanitorSettings {
    /// Pause between two pages. Default 1 s.
    pub interval: Duration,
    /// Rows looked at per page. Default 1,000.
    pub page: i64,
}

impl Default for JanitorSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), page: 1_000 }
    }
}
