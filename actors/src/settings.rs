//! What the actors are told at start: the sections of `config.toml` that are theirs, field by field under the same name.
//! What a setting is for, its unit and its default are there and nowhere else; the fields here say only what the type
//! does not.

use crate::database_url::DatabaseUrl;
use crate::step_up::StepUp;
use doorcode_domain::SpecialUse;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use setting_values::{Secret, duration, optional};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// Everything. Clock, keys and the way mail leaves are no settings: see [`SystemDeps`](crate::SystemDeps).
#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss` of access tokens.
    pub public_url: String,
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[codes]`
    pub codes: CodeSettings,
    /// `[limits.tenant]`
    pub tenant_limits: TenantLimitSettings,
    /// `[limits.address]`
    pub address_limits: AddressLimitSettings,
    /// `[limits.signup]`
    pub signup_limits: SignupLimitSettings,
    /// `[tokens]`
    pub tokens: TokenSettings,
    /// `[admission]`
    pub admission: AdmissionSettings,
    /// `[mail]`
    pub mail: MailSettings,
    /// `[janitor]`
    pub janitor: JanitorSettings,
    /// `[webhooks]`
    pub webhooks: WebhookSettings,
    /// `ops.tenant_metrics`: tenants counted one by one. 0: none.
    pub tenant_metrics: usize,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `None`: not set, and nothing can be reached.
    #[serde(deserialize_with = "optional")]
    pub url: Option<DatabaseUrl>,
    /// Connections of this replica.
    pub pool_size: NonZeroUsize,
    /// On the server, per statement.
    #[serde(deserialize_with = "duration")]
    pub statement_timeout: Duration,
    /// On the server, for a row that another replica holds.
    #[serde(deserialize_with = "duration")]
    pub lock_timeout: Duration,
    /// For a new connection, handshake included.
    #[serde(deserialize_with = "duration")]
    pub create_timeout: Duration,
    /// For a free connection.
    #[serde(deserialize_with = "duration")]
    pub wait_timeout: Duration,
    /// For a used connection to prove itself.
    #[serde(deserialize_with = "duration")]
    pub recycle_timeout: Duration,
    /// Flushes of one ledger in flight.
    pub max_in_flight: NonZeroUsize,
    /// Entries in one flush.
    pub batch_max: NonZeroUsize,
}

/// `[codes]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeSettings {
    /// From the mail's writing to the code's end; never above 600 s (NIST SP 800-63B-4 section 3.1.3.2).
    #[serde(deserialize_with = "duration")]
    pub life: Duration,
    /// For new tenants.
    pub step_up: StepUp,
}

/// `[limits.tenant]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantLimitSettings {
    /// Off for load runs only.
    pub enabled: bool,
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// `[limits.address]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressLimitSettings {
    /// Off for load runs only.
    pub enabled: bool,
    /// Mails at once, per lane.
    pub burst: NonZeroU32,
    /// One more mail after each of these.
    #[serde(deserialize_with = "duration")]
    pub refill: Duration,
    /// Between two mails.
    #[serde(deserialize_with = "duration")]
    pub cooldown: Duration,
}

/// `[limits.signup]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignupLimitSettings {
    /// In the long run.
    pub per_hour: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

impl SignupLimitSettings {
    pub(crate) fn burst(self) -> i64 {
        self.burst.get().into()
    }

    pub(crate) fn period_us(self) -> i64 {
        (3_600_000_000 / i64::from(self.per_hour.get())).max(1)
    }
}

/// `[tokens]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// Of new signing keys.
    pub algorithm: Algorithm,
    /// For how long a signing key signs.
    #[serde(deserialize_with = "duration")]
    pub key_rotation: Duration,
    /// For how long it is published before.
    #[serde(deserialize_with = "duration")]
    pub publish_ahead: Duration,
    /// A session's life without a refresh.
    #[serde(deserialize_with = "duration")]
    pub refresh_idle: Duration,
    /// A session's life in all.
    #[serde(deserialize_with = "duration")]
    pub refresh_absolute: Duration,
    /// In which a repeated refresh gets the same successor.
    #[serde(deserialize_with = "duration")]
    pub retry_window: Duration,
    /// The oldest ends beyond.
    pub sessions_per_customer: NonZeroU32,
}

/// How access tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256: understood everywhere.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519: smallest and fastest.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSA 3072 with PKCS#1 v1.5: for verifiers that know nothing else.
    #[serde(rename = "RS256")]
    Rs256,
}

/// `[admission]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionSettings {
    /// Logins and verifies in flight, over all tenants.
    pub issuer_permits: NonZeroUsize,
    /// Refreshes in flight, and as many logouts.
    pub ledger_permits: NonZeroUsize,
    /// Tenants with a live issuer.
    pub max_issuers: NonZeroUsize,
    /// Without work, until an issuer is retired.
    #[serde(deserialize_with = "duration")]
    pub issuer_idle: Duration,
}

/// `[mail]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailSettings {
    /// The sender: `address` or `Name <address>`. `None`: not set, and no mail can be written.
    #[serde(deserialize_with = "optional")]
    pub from: Option<String>,
    /// An operator's own templates. `None`: ours.
    #[serde(deserialize_with = "optional")]
    pub templates: Option<PathBuf>,
    /// Mailers, one connection each, at the start and in quiet times.
    pub workers: NonZeroUsize,
    /// Mailers at most.
    pub workers_max: NonZeroUsize,
    /// Mails in memory at most.
    pub queue: NonZeroUsize,
    /// After which a dead mailer's mail is due again.
    #[serde(deserialize_with = "duration")]
    pub lease: Duration,
    /// For handing one mail over; below `lease`.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,
    /// Between two looks for mail whose lease has passed.
    #[serde(deserialize_with = "duration")]
    pub sweep: Duration,
    /// Whose addresses are taken although no public mail goes there.
    #[serde(deserialize_with = "special_use")]
    pub special_use_domains: SpecialUse,
    /// For how long an address gets no mail after a bounce or a complaint.
    #[serde(deserialize_with = "duration")]
    pub suppression: Duration,
    /// The same after a relay said that there is no such mailbox. 0: not at all.
    #[serde(deserialize_with = "duration")]
    pub suppression_refused: Duration,
    /// Names of providers, in which order a mail tries them.
    pub order: Vec<String>,
    /// The provider `smtp`.
    pub smtp: SmtpSettings,
    /// The provider `hook`.
    pub hook: HookSettings,
    /// Others, by name.
    pub providers: BTreeMap<String, ProviderSettings>,
}

impl MailSettings {
    /// The providers that are set up, by name.
    pub fn configured(&self) -> Vec<(String, ProviderSettings)> {
        let smtp =
            self.smtp.host.is_some().then(|| ("smtp".to_owned(), ProviderSettings::Smtp(self.smtp.clone())));
        let hook =
            self.hook.url.is_some().then(|| ("hook".to_owned(), ProviderSettings::Hook(self.hook.clone())));
        let others = self.providers.iter().map(|(name, provider)| (name.clone(), provider.clone()));
        smtp.into_iter().chain(hook).chain(others).collect()
    }
}

/// `[mail.providers.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ProviderSettings {
    /// A relay.
    Smtp(SmtpSettings),
    /// A program of the operator's.
    Hook(HookSettings),
}

impl ProviderSettings {
    /// See [`SmtpSettings::report_secret`].
    pub fn report_secret(&self) -> Option<&Secret> {
        match self {
            Self::Smtp(smtp) => smtp.report_secret.as_ref(),
            Self::Hook(hook) => hook.report_secret.as_ref(),
        }
    }
}

/// `[mail.hook]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSettings {
    /// What its reports of bounces are told by. `None`: it makes none.
    #[serde(deserialize_with = "optional")]
    pub report_secret: Option<Secret>,
    /// `None`: there is none.
    #[serde(deserialize_with = "optional")]
    pub url: Option<String>,
    /// Each signs.
    #[serde(deserialize_with = "secrets")]
    pub secrets: Vec<Secret>,
    /// Addresses that the internet does not reach may be called.
    pub allow_private: bool,
    /// For one try, connecting included.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Tries at once, of this replica.
    pub connections: NonZeroUsize,
    /// Mails, of this replica. 0: as many as it takes.
    pub per_second: u32,
}

fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    Ok(Vec::<String>::deserialize(deserializer)?.into_iter().map(Secret::from).collect())
}

fn special_use<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SpecialUse, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    SpecialUse::of(names.iter().map(String::as_str)).map_err(D::Error::custom)
}

/// `[janitor]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JanitorSettings {
    /// Between two sweeps.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// Rows per statement.
    pub batch: NonZeroU32,
}

/// `[webhooks]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Whether URLs may lead to addresses that the internet does not reach.
    pub allow_private: bool,
}

/// When TLS begins on the way to the relay. Never optional: what is set happens, or no mail goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Not at all: for a relay on the same machine or in a private network.
    None,
    /// STARTTLS, required: without it nothing is sent. Port 587.
    StartTls,
    /// TLS from the first byte. Port 465.
    Implicit,
}

/// `[mail.smtp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// Host name or address; under TLS also the name that its certificate must show. `None`: there is no relay.
    #[serde(deserialize_with = "optional")]
    pub host: Option<String>,
    /// TCP port.
    pub port: u16,
    /// Protection of the connection.
    pub tls: TlsMode,
    /// `None`: no login at the relay.
    #[serde(deserialize_with = "optional")]
    pub username: Option<String>,
    /// Goes with `username`.
    #[serde(deserialize_with = "optional")]
    pub password: Option<Secret>,
    /// PEM file of the authorities that vouch for the relay; `None`: the system's.
    #[serde(deserialize_with = "optional")]
    pub ca_file: Option<PathBuf>,
    /// Under which name the key that signs (DKIM) is in the DNS. `None`: nothing is signed here.
    #[serde(deserialize_with = "optional")]
    pub dkim_selector: Option<String>,
    /// PEM file with that key: RSA or Ed25519.
    #[serde(deserialize_with = "optional")]
    pub dkim_key_file: Option<PathBuf>,
    /// What its reports of bounces are told by. `None`: it makes none.
    #[serde(deserialize_with = "optional")]
    pub report_secret: Option<Secret>,
    /// After this long unused, a connection is opened anew rather than tried: servers close idle ones.
    #[serde(deserialize_with = "duration")]
    pub max_idle: Duration,
    /// For one try, connecting included.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// At once, of this replica.
    pub connections: NonZeroUsize,
    /// Mails, of this replica. 0: as many as it takes.
    pub per_second: u32,
}

impl SmtpSettings {
    /// Whether what is said to the relay stays on this machine.
    pub fn is_local(&self) -> bool {
        let host = self.host.as_deref().unwrap_or("localhost");
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}
