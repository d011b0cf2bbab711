//! Typed settings: one struct per section of `config.toml`, which is both their documentation and their defaults.
//!
//! [`Config::load`] lays a file and the environment over the compiled-in defaults, refuses what it does not know, and
//! says of every mistake where it stands and what was expected. What each setting is for, its unit and the reason for
//! its default are in `config.toml`; the fields here say only what the type does not.

mod check;
mod error;
mod layers;
mod master_key;
mod values;

pub use error::{ConfigError, Origin, Problem};
pub use layers::Setting;
pub use master_key::{MasterKey, MasterKeySource};
pub use values::{Cidr, DatabaseUrl, LogFilter, PublicUrl, Secret};

use layers::Layers;
use serde::Deserialize;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

/// The defaults, and the schema: a key that does not stand here is no key.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// All settings, checked one by one and against each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Issuer of access tokens, and the host in mails.
    pub public_url: PublicUrl,
    /// The public listener.
    pub http: Http,
    /// The ops listener.
    pub ops: Ops,
    /// Postgres.
    pub database: Database,
    /// The key that wraps all keys.
    pub master_key: MasterKeySource,
    /// Login codes.
    pub codes: Codes,
    /// Who may call how often.
    pub limits: Limits,
    /// Access and refresh tokens.
    pub tokens: Tokens,
    /// What may be in flight.
    pub admission: Admission,
    /// How codes reach people.
    pub mail: Mail,
    /// The sweep of what expired.
    pub janitor: Janitor,
    /// What is written to standard error.
    pub log: Log,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
    /// From connection to complete header.
    #[serde(deserialize_with = "values::duration")]
    pub header_timeout: Duration,
    /// From complete header to complete body.
    #[serde(deserialize_with = "values::duration")]
    pub body_timeout: Duration,
    /// Between two requests of one connection.
    #[serde(deserialize_with = "values::duration")]
    pub idle_timeout: Duration,
    /// Open connections at once.
    pub max_connections: NonZeroUsize,
    /// Peers whose word about the client counts.
    pub trusted_proxies: Vec<Cidr>,
    /// Travels with each request.
    #[serde(deserialize_with = "values::duration")]
    pub request_deadline: Duration,
    /// From SIGTERM to exit, for requests in flight.
    #[serde(deserialize_with = "values::duration")]
    pub drain_deadline: Duration,
}

/// `[ops]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    /// Where to listen.
    pub listen: SocketAddr,
    /// `Host` headers that are answered, without port.
    pub hosts: Vec<String>,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `None`: not set, and `dev` starts its own.
    #[serde(deserialize_with = "values::optional")]
    pub url: Option<DatabaseUrl>,
    /// Connections.
    pub pool_size: NonZeroUsize,
    /// On the server, per statement.
    #[serde(deserialize_with = "values::duration")]
    pub statement_timeout: Duration,
    /// For a new connection.
    #[serde(deserialize_with = "values::duration")]
    pub create_timeout: Duration,
    /// For a free connection.
    #[serde(deserialize_with = "values::duration")]
    pub wait_timeout: Duration,
    /// For a used connection to prove itself.
    #[serde(deserialize_with = "values::duration")]
    pub recycle_timeout: Duration,
    /// Flushes in flight.
    pub max_in_flight: NonZeroUsize,
    /// Entries in one flush.
    pub batch_max: NonZeroUsize,
}

/// `[codes]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codes {
    /// From the mail's writing to the code's end; never above 600 s.
    #[serde(deserialize_with = "values::duration")]
    pub life: Duration,
    /// For new tenants.
    pub step_up: StepUp,
}

/// What follows when a lane's digit budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepUp {
    /// Codes of six Crockford base32 characters.
    Base32,
    /// Nothing: wait for the refill.
    Digits,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Per caller.
    pub client: ClientLimits,
    /// Per tenant.
    pub tenant: TenantLimits,
    /// Mails per address.
    pub address: AddressLimits,
}

/// `[limits.client]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientLimits {
    /// Off for load runs only.
    pub enabled: bool,
    /// `/login`.
    pub login_per_minute: NonZeroU32,
    /// `/login`.
    pub login_per_hour: NonZeroU32,
    /// `/verify` and `/token`.
    pub verify_per_minute: NonZeroU32,
    /// `/refresh` and `/logout`.
    pub refresh_per_minute: NonZeroU32,
}

/// `[limits.tenant]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantLimits {
    /// Off for load runs only.
    pub enabled: bool,
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// `[limits.address]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressLimits {
    /// Off for load runs only.
    pub enabled: bool,
    /// Mails at once.
    pub burst: NonZeroU32,
    /// One more mail after each of these.
    #[serde(deserialize_with = "values::duration")]
    pub refill: Duration,
    /// Between two mails.
    #[serde(deserialize_with = "values::duration")]
    pub cooldown: Duration,
}

/// `[tokens]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Of new signing keys.
    pub algorithm: Algorithm,
    /// For how long a signing key signs.
    #[serde(deserialize_with = "values::duration")]
    pub key_rotation: Duration,
    /// Life without a refresh.
    #[serde(deserialize_with = "values::duration")]
    pub refresh_idle: Duration,
    /// Life in all.
    #[serde(deserialize_with = "values::duration")]
    pub refresh_absolute: Duration,
    /// In which a repeated refresh gets the same successor.
    #[serde(deserialize_with = "values::duration")]
    pub retry_window: Duration,
    /// The oldest ends beyond.
    pub sessions_per_customer: NonZeroU32,
}

/// How access tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSA, 3072 bits.
    #[serde(rename = "RS256")]
    Rs256,
}

/// `[admission]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// Per tenant.
    pub issuer_permits: NonZeroUsize,
    /// In all.
    pub ledger_permits: NonZeroUsize,
    /// Tenants in memory.
    pub max_issuers: NonZeroUsize,
    /// Until one is retired.
    #[serde(deserialize_with = "values::duration")]
    pub issuer_idle: Duration,
}

/// `[mail]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The sender's address.
    #[serde(deserialize_with = "values::optional")]
    pub from: Option<String>,
    /// Mailers, one connection each, at the start and in quiet times.
    pub workers: NonZeroUsize,
    /// Mailers at most.
    pub workers_max: NonZeroUsize,
    /// Mails in memory at most.
    pub queue: NonZeroUsize,
    /// After which a dead mailer's mail is due again.
    #[serde(deserialize_with = "values::duration")]
    pub lease: Duration,
    /// For handing one mail over; below `lease`.
    #[serde(deserialize_with = "values::duration")]
    pub deadline: Duration,
    /// The relay.
    pub smtp: Smtp,
}

/// `[mail.smtp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// `None`: no relay, and `serve` does not start.
    #[serde(deserialize_with = "values::optional")]
    pub host: Option<String>,
    /// TCP port.
    pub port: u16,
    /// Whether and when TLS begins.
    pub tls: SmtpTls,
    /// `None`: no login at the relay.
    #[serde(deserialize_with = "values::optional")]
    pub username: Option<String>,
    /// Goes with `username`.
    #[serde(deserialize_with = "values::optional")]
    pub password: Option<Secret>,
}

/// When TLS begins on the way to the relay. Never optional: what is set happens, or no mail goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// After `STARTTLS`.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
}

/// `[janitor]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Janitor {
    /// Between two sweeps.
    #[serde(deserialize_with = "values::duration")]
    pub interval: Duration,
    /// Rows per statement.
    pub batch: NonZeroU32,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What is written.
    pub level: LogFilter,
    /// How.
    pub format: LogFormat,
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// JSON for `serve`, human for everything else.
    Auto,
    /// One JSON object a line.
    Json,
    /// One line for eyes.
    Human,
}

/// Settings together with where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    layers: Layers,
}

impl Config {
    /// Defaults, then `file`, then `environment`. All mistakes that can be found together are reported together.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let layers = Layers::read(file, environment)?;
        let mut config: Config = layers.build()?;
        let mut problems = config.contradictions();
        if let Err(problem) = config.master_key.resolve() {
            problems.push(problem);
        }
        if problems.is_empty() { Ok(Loaded { config, layers }) } else { Err(layers.locate(problems)) }
    }
}

impl Loaded {
    /// Refuses what would be a mistake in production: no database, no relay, no master key, the example's URL.
    pub fn check_for_serve(&self) -> Result<(), ConfigError> {
        let problems = self.config.missing_for_serve();
        if problems.is_empty() { Ok(()) } else { Err(self.layers.locate(problems)) }
    }

    /// Every setting, its value in force (secrets redacted) and its origin, in the order of `config.toml`.
    pub fn settings(&self) -> Vec<Setting> {
        self.layers.settings()
    }
}

#[cfg(test)]
mod tests;
