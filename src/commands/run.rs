//! `doorcode serve` and `doorcode dev`: until a signal says stop.

use super::CommandError;
use crate::app::{App, AppError, Ended, Mode};
use crate::cli::DevArgs;
use crate::config::{Config, Loaded};
use crate::dev;
use crate::service_manager::ServiceManager;
use doorcode_actors::{Directory, MigrateError, StartError, check_migrated, migrate};
use private_postgres::{Options, PrivatePgError, PrivatePostgres};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and Ctrl-C. Taken before anything is started, so that none arrives in between.
struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    fn listen() -> Result<Self, CommandError> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

pub(super) async fn serve(
    loaded: Loaded,
    allow_faults: bool,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut stop = Stop::listen()?;
    let config = &loaded.config;
    check_migrated(&config.database).await?;
    if allow_faults {
        tracing::warn!("--allow-faults: whoever reaches the ops listener can break this replica on demand");
    }
    let mode = Mode { faults: allow_faults, ..Mode::production() };
    let app = App::start(config, mode).await?;
    announce(&app, out, "serve")?;
    let manager = ServiceManager::from_environment();
    manager.tell("READY=1");
    let asked = async {
        stop.asked().await;
        manager.tell("STOPPING=1");
    };
    tokio::select! {
        ended = app.run(asked) => how(ended),
        never = manager.keep_alive() => match never {},
    }
}

pub(super) async fn dev(
    loaded: Loaded,
    args: &DevArgs,
    data_dir: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut stop = Stop::listen()?;
    let mut config = loaded.config;
    config.http.listen = args.listen.unwrap_or(config.http.listen);
    config.ops.listen = args.ops_listen.unwrap_or(config.ops.listen);
    config.webhooks.allow_private = true;
    refuse_exposure(&config, args.expose_codes)?;
    let home = dev::data_dir(data_dir)?;
    let mut postgres = match &config.database.url {
        Some(_) => None,
        None => Some(tokio::select! {
            started = PrivatePostgres::start(Options::new(dev::NAME, &home)) => started?,
            () = stop.asked() => return Ok(()),
        }),
    };
    if let Some(postgres) = &postgres {
        config.database.url = Some(dev::database_url(&postgres.url())?);
    }
    if config.master_key.key.is_none() {
        // after PostgreSQL's, which as root must let another user pass through this directory
        config.master_key.key = Some(dev::master_key(&home)?);
    }
    let served = serve_dev(&config, postgres.as_mut(), &mut stop, out).await;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    served
}

async fn serve_dev(
    config: &Config,
    postgres: Option<&mut PrivatePostgres>,
    stop: &mut Stop,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let key = config.master_key.key.as_ref().ok_or(AppError::Missing("master_key"))?;
    migrate(&config.database).await?;
    dev::make_demo(&Directory::open(&config.database, key.reveal()).await?).await?;
    let app = App::start(config, Mode::development()).await?;
    announce(&app, out, "dev")?;
    let Some(postgres) = postgres else { return how(app.run(stop.asked()).await) };
    let mut dead: Option<PrivatePgError> = None;
    let ended = app
        .run(async {
            tokio::select! {
                () = stop.asked() => {}
                error = postgres.supervise() => dead = Some(error),
            }
        })
        .await;
    match dead {
        Some(error) => Err(error.into()),
        None => how(ended),
    }
}

/// Whoever reaches `/dev/mailbox` reads every code.
fn refuse_exposure(config: &Config, expose_codes: bool) -> Result<(), CommandError> {
    let open = [("--listen", config.http.listen), ("--ops-listen", config.ops.listen)]
        .into_iter()
        .find(|(_, address)| !address.ip().is_loopback());
    match open {
        Some((flag, address)) if !expose_codes => Err(CommandError::failed(
            format!("{flag} {address} is not loopback: everybody who reaches it could read every login code"),
            "use 127.0.0.1, or say --expose-codes if that is what you want",
        )),
        _ => Ok(()),
    }
}

/// One line that a person reads and a script waits for.
fn announce(app: &App, out: &mut dyn Write, mode: &str) -> Result<(), CommandError> {
    let (public, ops) = (local(app.public_addr()?), local(app.ops_addr()?));
    let mailbox =
        if mode == "dev" { format!("  mailbox http://{public}/dev/mailbox") } else { String::new() };
    let admin = app.admin_addr()?.map(|at| format!("  admin http://{}/", local(at))).unwrap_or_default();
    writeln!(out, "ready: api http://{public}{mailbox}  ops http://{ops}/{admin}")?;
    Ok(out.flush()?)
}

/// A listener on all addresses is reached on loopback.
fn local(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    }
}

fn how(ended: Ended) -> Result<(), CommandError> {
    match ended {
        Ended::Drained => Ok(()),
        Ended::GaveUp => Err(CommandError::GaveUp("its actors crashed too often; see the log".to_owned())),
    }
}

impl From<AppError> for CommandError {
    fn from(error: AppError) -> Self {
        let hint = match &error {
            AppError::Listen { .. } => {
                "is another doorcode running? --listen and --ops-listen choose other addresses"
            }
            AppError::Start(StartError::Keys(_)) => {
                "master_key must be the one this database was first started with"
            }
            _ => "",
        };
        CommandError::failed(error.to_string(), hint)
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        AppError::from(error).into()
    }
}

impl From<MigrateError> for CommandError {
    fn from(error: MigrateError) -> Self {
        CommandError::failed(error.to_string(), "")
    }
}

impl From<PrivatePgError> for CommandError {
    fn from(error: PrivatePgError) -> Self {
        CommandError::failed(error.to_string(), "")
    }
}
