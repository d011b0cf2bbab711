//! What each command does: finds its settings, does its one thing, writes to the handle it is given.

mod actors;
mod admin_key;
mod check_config;
mod connect;
mod customer;
mod error;
mod healthcheck;
mod import;
mod keys;
mod loadtest;
mod mail;
mod migrate;
mod moves;
mod ops_client;
mod recover;
mod run;
mod session;
mod table;
mod tenant;

pub use error::{CommandError, Exit};

use crate::cli::{Cli, Command};
use crate::config::{Config, Loaded};
use crate::telemetry;
use std::io::Write;

/// Does what the command line says.
pub async fn run(cli: Cli, out: &mut dyn Write) -> Result<(), CommandError> {
    if let Command::CheckConfig { serve, json } = cli.command {
        return check_config::run(cli.config.as_deref(), serve, json, out);
    }
    let loaded = match cli.command {
        Command::Serve { .. } => Config::load_for_serve(cli.config.as_deref(), environment())?,
        _ => Config::load(cli.config.as_deref(), environment())?,
    };
    telemetry::start(&loaded.config.log, matches!(cli.command, Command::Serve { .. }));
    if matches!(cli.command, Command::Serve { .. } | Command::Dev(_)) {
        warn(&loaded);
    }
    let data_dir = cli.data_dir.as_deref();
    let directory = || connect::directory(&loaded.config, data_dir);
    match cli.command {
        Command::CheckConfig { .. } => Ok(()),
        Command::Dev(args) => run::dev(loaded, &args, data_dir, out).await,
        Command::Serve { allow_faults } => run::serve(loaded, allow_faults, out).await,
        Command::Migrate { role_settings } => {
            migrate::run(&loaded.config, role_settings, data_dir, out).await
        }
        Command::Healthcheck { url } => healthcheck::run(url, &loaded.config, out).await,
        Command::Actors(args) => actors::run(args, &loaded.config, out).await,
        Command::Fault(args) => actors::fault(args, &loaded.config, out).await,
        Command::Tenant(command) => {
            let directory = directory().await?;
            let outcome = tenant::run(&directory, command, &loaded.config, data_dir, out).await;
            connect::meant(&directory, outcome).await
        }
        Command::Customer(command) => {
            let directory = directory().await?;
            let outcome = customer::run(&directory, command, out).await;
            connect::meant(&directory, outcome).await
        }
        Command::Session(command) => {
            let directory = directory().await?;
            let outcome = session::run(&directory, command, out).await;
            connect::meant(&directory, outcome).await
        }
        Command::AdminKey(command) => {
            let directory = directory().await?;
            let outcome = admin_key::run(&directory, command, out).await;
            connect::meant(&directory, outcome).await
        }
        Command::Keys(command) => keys::run(command, &loaded.config, data_dir, out).await,
        Command::Mail(command) => mail::run(command, &loaded.config, out).await,
        Command::Recover { restored_to } => recover::run(restored_to, &loaded.config, data_dir, out).await,
        Command::Loadtest(args) => loadtest::run(*args, &loaded.config, data_dir, out).await,
    }
}

/// The process's environment. Text that is not UTF-8 cannot be a setting of ours; it is read with marks in its place.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Says aloud what is allowed and dangerous, at every start of a service.
fn warn(loaded: &Loaded) {
    for warning in loaded.config.warnings() {
        tracing::warn!("{warning}");
    }
}
