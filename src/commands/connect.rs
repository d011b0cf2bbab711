//! The way from the settings to the database, for commands that administer it.

use super::CommandError;
use crate::config::{Config, MasterKey, nearest};
use crate::dev;
use doorcode_actors::directory::DirectoryError;
use doorcode_actors::{DatabaseSettings, Directory, KeyAdmin, check_migrated};
use private_postgres::PrivatePostgres;
use std::fs::File;
use std::io;
use std::path::Path;

/// A database and the key that opens its keys.
pub(super) struct Target {
    pub(super) database: DatabaseSettings,
    pub(super) master_key: MasterKey,
}

/// The configured database, or else the one that `dev` runs in `data_dir`.
pub(super) fn target(config: &Config, data_dir: Option<&Path>) -> Result<Target, CommandError> {
    let (database, in_dev) = database(config, data_dir)?;
    let master_key = match (&config.master_key.key, in_dev) {
        (Some(key), _) => key.clone(),
        (None, Some(home)) => dev::master_key(&home)?,
        // a `dev` on a database of its own
        (None, None) if data_dir.is_some_and(|home| home.join("master.key").is_file()) => {
            dev::master_key(&dev::data_dir(data_dir)?)?
        }
        (None, None) => {
            return Err(CommandError::failed(
                "there is no master key",
                "give the one that `serve` runs with: DOORCODE__MASTER_KEY__VALUE_FILE=... or master_key.file; or the folder of \
                 a `doorcode dev` that runs on this database: --data-dir",
            ));
        }
    };
    Ok(Target { database, master_key })
}

/// The database alone, and the data directory if it is `dev`'s.
pub(super) fn database(
    config: &Config,
    data_dir: Option<&Path>,
) -> Result<(DatabaseSettings, Option<std::path::PathBuf>), CommandError> {
    let home = dev::data_dir(data_dir)?;
    let mut database = config.database.clone();
    if database.url.is_some() {
        return Ok((database, None));
    }
    let Some(url) = PrivatePostgres::running_url(dev::NAME, &home)? else {
        return Err(CommandError::failed(
            format!(
                "there is no database: database.url is not set, and no PostgreSQL of `doorcode dev` runs in {}",
                home.display()
            ),
            "set DATABASE_URL (to the same as `doorcode dev`, if it was started with one), start `doorcode dev`, or point at its \
             directory with --data-dir",
        ));
    };
    database.url = Some(dev::database_url(&url)?);
    Ok((database, Some(home)))
}

/// Opens the directory of the database.
pub(super) async fn directory(config: &Config, data_dir: Option<&Path>) -> Result<Directory, CommandError> {
    let Target { database, master_key } = target(config, data_dir)?;
    migrated(&database).await?;
    let opened = Directory::open(&database, master_key.reveal()).await;
    let directory = opened.map_err(|error| {
        CommandError::failed(error.to_string(), "is this the master key that `serve` runs with?")
    })?;
    Ok(directory.taking(config.mail.special_use_domains))
}

/// Opens the keys of the database.
pub(super) async fn keys(config: &Config, data_dir: Option<&Path>) -> Result<KeyAdmin, CommandError> {
    let Target { database, master_key } = target(config, data_dir)?;
    migrated(&database).await?;
    KeyAdmin::open(&database, master_key.reveal())
        .map_err(|error| CommandError::failed(error.to_string(), ""))
}

/// A file to read; `-` is standard input.
pub(super) fn source(file: &Path) -> Result<Box<dyn io::Read + Send>, CommandError> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let open = File::open(file).map_err(|error| {
        CommandError::failed(
            format!("{} cannot be opened: {error}", file.display()),
            "give a file, or - for standard input",
        )
    })?;
    Ok(Box::new(open))
}

/// Adds to "there is no such tenant" the one whose slug is nearest.
pub(super) async fn meant(
    directory: &Directory,
    outcome: Result<(), CommandError>,
) -> Result<(), CommandError> {
    let Err(CommandError::Directory(DirectoryError::NoSuchTenant { slug })) = outcome else { return outcome };
    let near = directory.slugs_near(&slug).await.unwrap_or_default();
    match nearest(&slug, slug.len() / 3, near.iter().map(String::as_str)) {
        Some(meant) => Err(CommandError::failed(
            format!("there is no tenant `{slug}`"),
            format!("did you mean `{meant}`?"),
        )),
        None => Err(DirectoryError::NoSuchTenant { slug }.into()),
    }
}

/// Refuses a database that this program does not know.
pub(super) async fn migrated(database: &DatabaseSettings) -> Result<(), CommandError> {
    check_migrated(database).await.map_err(|error| CommandError::failed(error.to_string(), ""))
}
