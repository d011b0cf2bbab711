//! New connections: to the first host that takes writes, each asked within a bounded time, with the settings that the
//! statements rely on. They travel in the startup packet; behind a pooler that takes none of them they are the role's
//! (`doorcode migrate --role-settings`). Either way they are read back: a statement without its plan, or one without an
//! end, is found before it is run.

use super::error::describe;
use super::tls;
use crate::database_url::DatabaseUrlError;
use crate::settings::DatabaseSettings;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(crate) type Pool = managed::Pool<Connector>;
pub(crate) type Object = managed::Object<Connector>;
pub(crate) type PoolError = managed::PoolError<ConnectError>;

/// Plans are made once, on tables that may be empty then and full a minute later. With this, and written as sql/README.md
/// says, each statement has one plan: joins in the order of the text, rows by their key. What has no index to go by costs
/// 10^10 without sequential scans, for which PostgreSQL would compile the statement each time (`jit`).
pub const PLANNER: [(&str, &str); 7] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("join_collapse_limit", "1"),
    ("from_collapse_limit", "1"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
];
/// A connection older than this is replaced, so that a failover or a rotated password is noticed.
const MAX_AGE: Duration = Duration::from_secs(1_800);
/// One of several hosts must have finished its handshake by then: a frozen one holds nobody up.
const HOST_PATIENCE: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// No host would do; for each, why.
    #[error("{0}")]
    Unreachable(String),
    /// A statement at the connection's birth.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// It is a standby, or a primary that is told to take no writes.
    #[error("it takes no writes (transaction_read_only is on)")]
    ReadOnly,
    /// A pooler does not pass on what the statements rely on.
    #[error(
        "{name} is {found} there instead of {wanted}: a pooler drops the settings of this connection. Run `doorcode migrate \
         --role-settings` with this URL and let the pooler reconnect, or connect to PostgreSQL directly"
    )]
    Dropped {
        /// The setting.
        name: &'static str,
        /// What it must be.
        wanted: String,
        /// What it is.
        found: String,
    },
}

/// Settings by name, in PostgreSQL's base units.
pub(crate) type SessionSettings = Vec<(&'static str, String)>;

/// What every pooled connection must have.
pub(crate) fn session_settings(settings: &DatabaseSettings) -> SessionSettings {
    let millis = |time: Duration| time.as_millis().to_string();
    let mut all = vec![
        ("statement_timeout", millis(settings.statement_timeout)),
        ("lock_timeout", millis(settings.lock_timeout)),
        ("idle_in_transaction_session_timeout", "5000".to_owned()),
    ];
    all.extend(PLANNER.map(|(name, value)| (name, value.to_owned())));
    all
}

/// Makes connections.
pub(crate) struct Connector {
    hosts: Vec<Config>,
    tls: MakeRustlsConnect,
    in_order: bool,
    wanted: SessionSettings,
    /// A pooler refused settings in the startup packet.
    is_refused: AtomicBool,
    /// The host that answered last is asked first.
    last: AtomicUsize,
}

impl Connector {
    /// For the pool.
    pub(crate) fn new(settings: &DatabaseSettings) -> Result<Self, DatabaseUrlError> {
        Self::with(settings, session_settings(settings))
    }

    /// For what may take as long as it takes.
    pub(crate) fn for_administration(settings: &DatabaseSettings) -> Result<Self, DatabaseUrlError> {
        Self::with(settings, Vec::new())
    }

    fn with(settings: &DatabaseSettings, wanted: SessionSettings) -> Result<Self, DatabaseUrlError> {
        let mut targets = settings.url.as_ref().ok_or(DatabaseUrlError::Missing)?.targets()?;
        let tls = tls::connector(&targets)?;
        for host in &mut targets.hosts {
            if host.get_application_name().is_none() {
                host.application_name("doorcode");
            }
            if host.get_connect_timeout().is_none() {
                host.connect_timeout(settings.create_timeout);
            }
        }
        let (is_refused, last) = (AtomicBool::new(false), AtomicUsize::new(usize::MAX));
        Ok(Self { hosts: targets.hosts, tls, in_order: targets.in_order, wanted, is_refused, last })
    }

    /// To the first host that takes writes.
    pub(crate) async fn connect(&self) -> Result<ClientWrapper, ConnectError> {
        let mut failures = Vec::new();
        for index in self.order() {
            let Some(host) = self.hosts.get(index) else { continue };
            let opened = match self.hosts.len() {
                1 => self.open(host).await,
                _ => timeout(HOST_PATIENCE, self.open(host)).await.unwrap_or_else(|_| {
                    Err(ConnectError::Unreachable(format!("no answer within {HOST_PATIENCE:?}")))
                }),
            };
            match opened {
                Ok(client) => {
                    self.last.store(index, Relaxed);
                    return Ok(client);
                }
                // the same at every host, and something to be done by hand
                Err(error @ ConnectError::Dropped { .. }) => return Err(error),
                Err(error) => {
                    let _ = self.last.compare_exchange(index, usize::MAX, Relaxed, Relaxed);
                    failures.push(format!("{}: {}", name_of(host), describe(&error)));
                }
            }
        }
        Err(ConnectError::Unreachable(failures.join("; ")))
    }

    /// The host that answered last, then the others at random: a frozen one comes last by no order of the URL.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.hosts.len()).collect();
        if !self.in_order {
            order.sort_by_cached_key(|_| uuid::Uuid::new_v4());
            let last = self.last.load(Relaxed);
            order.sort_by_key(|index| *index != last);
        }
        order
    }

    async fn open(&self, host: &Config) -> Result<ClientWrapper, ConnectError> {
        let first = self.handshake(host).await;
        let client = match first {
            // as libpq: whoever prefers TLS takes a connection without it too
            Err(_) if host.get_ssl_mode() == SslMode::Prefer && has_network(host) => {
                let mut plain = host.clone();
                plain.ssl_mode(SslMode::Disable);
                self.handshake(&plain).await.or(first)?
            }
            outcome => outcome?,
        };
        self.check(&client).await?;
        Ok(client)
    }

    async fn handshake(&self, host: &Config) -> Result<ClientWrapper, tokio_postgres::Error> {
        if !self.wanted.is_empty() && !self.is_refused.load(Relaxed) {
            let mut config = host.clone();
            let own = host.get_options().unwrap_or_default().to_owned();
            let options = self.wanted.iter().map(|(name, value)| format!("-c {name}={value}"));
            let options: Vec<String> = [own].into_iter().chain(options).collect();
            config.options(options.join(" ").trim());
            match self.dial(&config).await {
                Err(error) if refuses_settings(&error) => self.is_refused.store(true, Relaxed),
                outcome => return outcome,
            }
        }
        self.dial(host).await
    }

    async fn dial(&self, config: &Config) -> Result<ClientWrapper, tokio_postgres::Error> {
        let (client, connection) = config.connect(self.tls.clone()).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = describe(&error), "a database connection ended");
            }
        });
        Ok(ClientWrapper::new(client, task))
    }

    /// One round trip: whether it takes writes, and what is in force.
    async fn check(&self, client: &ClientWrapper) -> Result<(), ConnectError> {
        let names: Vec<String> = self.wanted.iter().map(|(name, _)| format!("'{name}'")).collect();
        let names = [&["'transaction_read_only'".to_owned()], &names[..]].concat().join(",");
        let query = format!("SELECT name, setting FROM pg_settings WHERE name IN ({names})");
        let answer = client.simple_query(&query).await?;
        let found = |wanted: &str| {
            answer.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) if row.get(0) == Some(wanted) => row.get(1),
                _ => None,
            })
        };
        if found("transaction_read_only") == Some("on") {
            return Err(ConnectError::ReadOnly);
        }
        for (name, wanted) in &self.wanted {
            let found = found(name).unwrap_or("unknown");
            if found != wanted {
                return Err(ConnectError::Dropped { name, wanted: wanted.clone(), found: found.to_owned() });
            }
        }
        Ok(())
    }
}

impl managed::Manager for Connector {
    type Type = ClientWrapper;
    type Error = ConnectError;

    async fn create(&self) -> Result<ClientWrapper, ConnectError> {
        self.connect().await
    }

    async fn recycle(&self, client: &mut ClientWrapper, metrics: &Metrics) -> RecycleResult<ConnectError> {
        match () {
            () if client.is_closed() => Err(RecycleError::message("closed")),
            () if metrics.age() > MAX_AGE => Err(RecycleError::message("too old")),
            () => Ok(()),
        }
    }
}

/// PgBouncer: "unsupported startup parameter: options", or the name of one in them.
fn refuses_settings(error: &tokio_postgres::Error) -> bool {
    let refused = error.as_db_error().filter(|refused| *refused.code() == SqlState::PROTOCOL_VIOLATION);
    refused.is_some_and(|refused| refused.message().contains("startup parameter"))
}

fn has_network(host: &Config) -> bool {
    host.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)))
}

fn name_of(host: &Config) -> String {
    let port = host.get_ports().first().copied().unwrap_or(5432);
    match host.get_hosts().first() {
        Some(Host::Tcp(name)) => format!("{name}:{port}"),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "no host".to_owned(),
    }
}

#[cfg(test)]
mod tests;
