//! The process: actors below, two listeners in front, started in order and drained in reverse.

use crate::admin::Admin;
use crate::config::Config;
use crate::http::{
    BodyLimits, ClientLimits, HostAllowlist, LimitClock, MailReports, PUBLIC_BODY_MAX, PreviewMailbox,
    Public, ServerLimits, TrustedProxies,
};
use crate::ops::{Faults, Ops};
use crate::{descriptors, http, ops};
use doorcode_actors::{
    DatabaseSettings, Directory, Mailbox, Settings, SetupError, StartError, System, SystemDeps, Transport,
};
use doorcode_domain::Clock;
use prometheus_client::metrics::counter::Counter;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use zeroize::Zeroizing;

/// The sender of mails that nobody sends.
const MAILBOX_SENDER: &str = "doorcode <login@doorcode.example>";
/// Connections to the ops listener; descriptors are kept for them, whatever the public listener's callers do.
const OPS_CONNECTIONS: usize = 256;

/// Connections to the database for the admin API and providers' reports: they take none from logins.
const ADMIN_POOL: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// What is not configuration: how `dev` and the tests differ from `serve`.
#[derive(Clone)]
pub struct Mode {
    /// Keep mails in memory and show them on the public listener.
    pub mailbox: Option<Mailbox>,
    /// Take faults by `POST /v1/admin/faults` on the ops listener; `serve` only with `--allow-faults`.
    pub faults: bool,
    /// Whose clock counts in Postgres.
    pub clock: Clock,
    /// Whose clock counts in the client limits.
    pub limit_clock: LimitClock,
    /// Accept a database that may forget. Tests only.
    pub allow_unsafe: bool,
}

impl Mode {
    /// `serve`: real mail, no faults, the database's clock.
    pub fn production() -> Self {
        Self {
            mailbox: None,
            faults: false,
            clock: Clock::Database,
            limit_clock: LimitClock::real(),
            allow_unsafe: false,
        }
    }

    /// `dev`: mails in memory, faults on demand.
    pub fn development() -> Self {
        Self { mailbox: Some(Mailbox::default()), faults: true, ..Self::production() }
    }
}

/// Why nothing was started.
#[derive(Debug, Error)]
pub enum AppError {
    /// The actors.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A mail provider's settings.
    #[error("mail provider {0}: {1}")]
    Mail(String, SetupError),
    /// A listener's address.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The configuration lacks what this mode needs; `serve` and `dev` have seen to it before.
    #[error("{0} is not set")]
    Missing(&'static str),
}

/// Everything, started and bound.
pub struct App {
    system: System,
    public: TcpListener,
    ops: TcpListener,
    /// If the admin API has an address of its own.
    admin: Option<(TcpListener, BoxedFilter<(Response,)>)>,
    routes: Public,
    ops_routes: Ops,
    limits: ServerLimits,
    metrics_limits: Arc<ClientLimits>,
    drain_notice: Duration,
}

/// How an app ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it was told.
    Drained,
    /// Its actors crashed too often.
    GaveUp,
}

impl App {
    /// Starts the actors and binds both listeners; nobody is answered before [`run`](Self::run).
    pub async fn start(config: &Config, mode: Mode) -> Result<Self, AppError> {
        // bound first: an address in use is found before anything is written
        let public = bind(config.http.listen).await?;
        let ops_listener = bind(config.ops.listen).await?;
        let admin_listener = match config.admin.listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let deps = deps(config, &mode)?;
        tell_of_relay(deps.transport.clone());
        let system = System::start(settings(config, &mode, &public), deps).await?;
        let directory = directory(config).await?;
        let reports = mail_reports(config, directory.clone());
        let admin = admin(config, directory);
        let (admin, on_ops) = match admin_listener {
            Some(listener) => (Some((listener, admin)), None),
            None => (None, Some(admin)),
        };
        let hosts = HostAllowlist::new(config.ops.hosts.clone());
        let routes = public_routes(config, &mode, &system, reports, hosts.clone());
        let ops_routes = Ops {
            hosts,
            admin: on_ops,
            faults: mode.faults.then(|| Faults::new(system.fault_injector())),
            ..Ops::new(system.service(), routes.metrics.clone(), routes.limits.clone())
        };
        Ok(Self {
            system,
            public,
            ops: ops_listener,
            admin,
            limits: server_limits(config, &routes),
            metrics_limits: routes.limits.clone(),
            routes,
            ops_routes,
            drain_notice: if mode.mailbox.is_some() { Duration::ZERO } else { config.http.drain_notice },
        })
    }

    /// Where the public listener is.
    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where the ops listener is.
    pub fn ops_addr(&self) -> std::io::Result<SocketAddr> {
        self.ops.local_addr()
    }

    /// Where the admin API is, if not on the ops listener.
    pub fn admin_addr(&self) -> std::io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(|(listener, _)| listener.local_addr()).transpose()
    }

    /// Serves until `shutdown` completes or the actors give up. Then: no new connection, what was admitted is
    /// finished, ledgers flush, mail that is due waits for the next start.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Ended {
        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            // a dropped sender is a stop as well
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let ops_limits = ServerLimits {
            max_connections: OPS_CONNECTIONS,
            max_per_client: usize::MAX,
            refused: Counter::default(),
            turn_waits: http::metrics::histogram(),
            drain: Duration::from_secs(1),
            ..self.limits.clone()
        };
        let Ops { history, service, http, faults, .. } = &self.ops_routes;
        let recording = history.clone().record(service.clone(), http.clone(), faults.is_some());
        let draining = self.ops_routes.draining.clone();
        let public = tokio::spawn(http::serve(
            self.public,
            http::service(self.routes),
            self.limits,
            until(stopped.clone()),
        ));
        let admin = self.admin.map(|(listener, admin)| {
            let service = ops::admin_service(admin, &self.ops_routes.hosts, self.ops_routes.http.clone());
            tokio::spawn(http::serve(listener, service, ops_limits.clone(), until(stopped.clone())))
        });
        let ops =
            tokio::spawn(http::serve(self.ops, ops::service(self.ops_routes), ops_limits, until(stopped)));
        let housekeeping = tokio::spawn(async move { self.metrics_limits.housekeeping().await });
        let recording = tokio::spawn(recording);
        tokio::select! {
            () = shutdown => {
                tracing::info!("draining");
                draining.store(true, Relaxed);
                tokio::time::sleep(self.drain_notice).await;
            }
            () = self.system.ended() => tracing::error!("the actors gave up"),
        }
        stop.send_replace(true);
        // pages that listen would hold the drain up
        recording.abort();
        let admin = admin.map(|listener| ("admin", listener));
        for (name, listener) in [("public", public), ("ops", ops)].into_iter().chain(admin) {
            if let Err(error) = listener.await {
                tracing::error!(%error, name, "a listener ended badly");
            }
        }
        housekeeping.abort();
        if self.system.stop().await { Ended::Drained } else { Ended::GaveUp }
    }
}

/// With a pool of its own: what administrators and providers do takes no connection from logins.
async fn directory(config: &Config) -> Result<Directory, AppError> {
    let key = config.master_key.key.as_ref().ok_or(AppError::Missing("master_key"))?;
    let database = DatabaseSettings { pool_size: ADMIN_POOL, ..config.database.clone() };
    Ok(Directory::open(&database, key.reveal()).await?.taking(config.mail.special_use_domains))
}

fn admin(config: &Config, directory: Directory) -> BoxedFilter<(Response,)> {
    let (per_second, step_up) = (config.admin.requests_per_second, config.codes.step_up);
    let (body_timeout, allow_private) = (config.http.body_timeout, config.webhooks.allow_private);
    Admin::new(directory, per_second, body_timeout, step_up, config.codes.life, allow_private).filter()
}

/// A wrong relay shows at the first start, not at the first login.
fn tell_of_relay(transport: Transport) {
    tokio::spawn(async move {
        for (provider, error) in transport.check().await {
            tracing::warn!(%error, provider, "the mail relay does not take us; logins are answered and their mails wait. See mail.smtp");
        }
    });
}

/// The public connections that there are descriptors for.
fn connections(config: &Config) -> usize {
    let limit = descriptors::raise_limit();
    let wanted = config.http.max_connections.get();
    let admin = config.admin.listen.map_or(0, |_| OPS_CONNECTIONS) + ADMIN_POOL.get();
    let mail = config.mail.workers_max.get() * config.mail.configured().len().max(1);
    let reserved = admin + OPS_CONNECTIONS + config.database.pool_size.get() + mail;
    let connections = descriptors::fitting(limit, reserved, wanted);
    if connections < wanted {
        tracing::warn!(
            limit,
            connections,
            "http.max_connections is {wanted}, and this process may open {limit} files: at most {connections} connections \
             fit. Raise the hard limit (systemd: LimitNOFILE=, Docker: --ulimit nofile=)"
        );
    } else {
        tracing::info!(limit, connections, "open files and connections");
    }
    connections
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|error| AppError::Listen { address, error })
}

fn preview(mailbox: Mailbox, hosts: HostAllowlist) -> PreviewMailbox {
    let list = move |to: Option<&str>| {
        let mails = mailbox.list(to, 200);
        mails.iter().filter_map(|mail| serde_json::to_value(&**mail).ok()).collect()
    };
    PreviewMailbox::new(list, hosts)
}

fn public_routes(
    config: &Config,
    mode: &Mode,
    system: &System,
    reports: MailReports,
    hosts: HostAllowlist,
) -> Public {
    Public {
        service: Arc::new(system.service()),
        limits: Arc::new(ClientLimits::new(config.limits.client, &mode.limit_clock)),
        proxies: TrustedProxies::new(config.http.trusted_proxies.clone()),
        body: BodyLimits { max_bytes: PUBLIC_BODY_MAX, timeout: config.http.body_timeout },
        special_use: config.mail.special_use_domains,
        deadline: config.http.request_deadline,
        login_grid: config.http.login_grid,
        hsts: config.public_url.as_str().starts_with("https://") && mode.mailbox.is_none(),
        preview: mode.mailbox.clone().map(|mailbox| preview(mailbox, hosts)),
        portals: Arc::new(system.service()),
        mail_reports: Some(reports),
        metrics: Arc::default(),
    }
}

/// Those of the public listener.
fn server_limits(config: &Config, routes: &Public) -> ServerLimits {
    ServerLimits {
        max_connections: connections(config),
        max_per_client: match config.limits.client.enabled {
            true => config.limits.client.connections.get(),
            false => usize::MAX,
        },
        proxies: routes.proxies.clone(),
        refused: routes.metrics.connections_refused.clone(),
        turn_waits: routes.metrics.turn_waits.clone(),
        header_timeout: config.http.header_timeout,
        idle_timeout: config.http.idle_timeout,
        drain: config.http.drain_deadline,
    }
}

fn mail_reports(config: &Config, directory: Directory) -> MailReports {
    let providers = config.mail.configured();
    let secrets = providers
        .iter()
        .filter_map(|(name, settings)| Some((name.clone(), settings.report_secret()?.reveal())));
    MailReports::new(directory, config.mail.suppression, secrets)
}

/// `public` is the listener's socket: in `dev`, tokens name the place where their keys are to be had.
fn settings(config: &Config, mode: &Mode, public: &TcpListener) -> Settings {
    let mut settings = Settings {
        public_url: config.public_url.as_str().to_owned(),
        database: config.database.clone(),
        codes: config.codes.clone(),
        tenant_limits: config.limits.tenant,
        address_limits: config.limits.address,
        signup_limits: config.limits.signup,
        tokens: config.tokens.clone(),
        admission: config.admission,
        mail: config.mail.clone(),
        janitor: config.janitor,
        webhooks: config.webhooks,
        tenant_metrics: config.ops.tenant_metrics,
    };
    if mode.mailbox.is_some() {
        settings.mail.from.get_or_insert_with(|| MAILBOX_SENDER.to_owned());
        if config.public_url.is_example()
            && let Ok(address) = public.local_addr()
        {
            settings.public_url = format!("http://{address}");
        }
    }
    settings
}

fn deps(config: &Config, mode: &Mode) -> Result<SystemDeps, AppError> {
    let key = config.master_key.key.as_ref().ok_or(AppError::Missing("master_key"))?;
    Ok(SystemDeps {
        clock: mode.clock.clone(),
        transport: match &mode.mailbox {
            Some(mailbox) => Transport::memory(mailbox.clone()),
            None => Transport::new(&config.mail, config.public_url.host())
                .map_err(|(name, error)| AppError::Mail(name, error))?,
        },
        master_key: Zeroizing::new(key.reveal().to_vec()),
        allow_unsafe: mode.allow_unsafe,
    })
}
