//! Typed settings: one struct per section of `config.toml`, which is both their documentation and their defaults. A
//! section's struct stands where it is used: the actors' in `doorcode_actors`, those of the edge in `http` and here.
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
pub(crate) use layers::nearest;
pub use master_key::{MasterKey, MasterKeySource};
pub use values::{LogFilter, PublicUrl};

use crate::http::ClientLimitSettings;
use doorcode_actors::{
    AddressLimitSettings, AdmissionSettings, CodeSettings, DatabaseSettings, JanitorSettings, MailSettings,
    SignupLimitSettings, TenantLimitSettings, TokenSettings, WebhookSettings,
};
use ipnet::IpNet;
use layers::Layers;
use serde::Deserialize;
use setting_values::{duration, duration_or_zero, optional};
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
    /// The admin API.
    pub admin: Admin,
    /// Postgres.
    pub database: DatabaseSettings,
    /// The key that wraps all keys.
    pub master_key: MasterKeySource,
    /// Login codes.
    pub codes: CodeSettings,
    /// Who may call how often.
    pub limits: Limits,
    /// Access and refresh tokens.
    pub tokens: TokenSettings,
    /// What may be in flight.
    pub admission: AdmissionSettings,
    /// How codes reach people.
    pub mail: MailSettings,
    /// The sweep of what expired.
    pub janitor: JanitorSettings,
    /// Events sent by HTTP.
    pub webhooks: WebhookSettings,
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
    #[serde(deserialize_with = "duration")]
    pub header_timeout: Duration,
    /// From complete header to complete body.
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    /// Between two requests of one connection.
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    /// Open connections at once.
    pub max_connections: NonZeroUsize,
    /// Peers whose word about the client counts.
    #[serde(deserialize_with = "values::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Travels with each request.
    #[serde(deserialize_with = "duration")]
    pub request_deadline: Duration,
    /// `200` answers of `/login` leave at its multiples after the request's arrival; zero: at once.
    #[serde(deserialize_with = "duration_or_zero")]
    pub login_grid: Duration,
    /// From SIGTERM to the listener's end, while `/readyz` says 503.
    #[serde(deserialize_with = "duration_or_zero")]
    pub drain_notice: Duration,
    /// From there to exit, for requests in flight.
    #[serde(deserialize_with = "duration")]
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
    /// Tenants shown one by one in `/metrics`. 0: none.
    pub tenant_metrics: usize,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Where to listen; `None`: with ops.
    #[serde(deserialize_with = "optional")]
    pub listen: Option<SocketAddr>,
    /// Of one key.
    pub requests_per_second: NonZeroU32,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Per caller.
    pub client: ClientLimitSettings,
    /// Per tenant.
    pub tenant: TenantLimitSettings,
    /// Mails per address.
    pub address: AddressLimitSettings,
    /// Mails to addresses that are no customers yet, per tenant.
    pub signup: SignupLimitSettings,
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
    /// Defaults, then `file`, then `environment`. All mistakes are reported together, but for those that only a text
    /// which is no TOML hides.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        Self::load_and(file, environment, |_| Vec::new())
    }

    /// As [`load`](Self::load); refuses also what would be a mistake in production: no database, no relay, no master
    /// key or a weak one, the example's URL.
    pub fn load_for_serve(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        Self::load_and(file, environment, Self::unfit_for_serve)
    }

    fn load_and(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        more: impl FnOnce(&Self) -> Vec<Problem>,
    ) -> Result<Loaded, ConfigError> {
        let (layers, faults) = Layers::read(file, environment)?;
        let (mut config, mut problems) = layers.build()?;
        problems.extend(config.master_key.resolve().err());
        // Where a refused value had a part, the default would be judged in its place.
        let refused: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
        let found = config.contradictions().into_iter().chain(more(&config));
        problems.extend(found.filter(|problem| !refused.iter().any(|key| problem.is_about(key))));
        match faults.is_empty() && problems.is_empty() {
            true => Ok(Loaded { config, layers }),
            false => Err(layers.report(faults, problems)),
        }
    }
}

impl Loaded {
    /// What `serve` would refuse, told by a command that is not `serve`.
    pub fn unfit_for_serve(&self) -> Vec<String> {
        self.config.unfit_for_serve().into_iter().map(|problem| problem.key).collect()
    }

    /// Every setting, its value in force (secrets redacted) and its origin, in the order of `config.toml`.
    pub fn settings(&self) -> Vec<Setting> {
        self.layers.settings()
    }
}

#[cfg(test)]
mod tests;
