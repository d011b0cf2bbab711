//! Migrations: embedded, checksummed, one transaction each; any number of replicas may run them at once.

use super::{error::describe, pool::DatabaseUrlError, pool::connection_config, sql::MIGRATIONS, tls};
use crate::settings::DatabaseSettings;
use std::collections::BTreeMap;
use thiserror::Error;
use tokio_postgres::Client;

/// An advisory lock's name; released by the server if its holder dies.
const LOCK: i64 = 0x646f_6f72_636f_6465;

/// Why the schema is not as this binary needs it.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// No connection.
    #[error(
        "the database does not answer: {0}. Check database.url (or DATABASE_URL) and that PostgreSQL runs"
    )]
    Connect(String),
    /// The URL.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The database was migrated by a later version.
    #[error("the database is at migration {0}, newer than this binary: run the newer doorcode")]
    Newer(i32),
    /// An applied file was changed.
    #[error("migration {0} was edited after it was applied here: restore the file, or restore the database")]
    Edited(String),
    /// Not migrated, and not asked to.
    #[error("the database lacks {0} migration(s): run `doorcode migrate`")]
    Missing(usize),
    /// A statement failed.
    #[error("migration {0} failed: {1}")]
    Failed(String, String),
}

/// Connects outside the pool, for administration; statements may take as long as they take.
pub(crate) async fn connect(settings: &DatabaseSettings) -> Result<Client, MigrateError> {
    let mut config = connection_config(settings)?;
    config.options("").connect_timeout(std::time::Duration::from_secs(5));
    let (client, connection) =
        config.connect(tls::connector()).await.map_err(|e| MigrateError::Connect(describe(&e)))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = describe(&error), "administrative connection ended");
        }
    });
    Ok(client)
}

/// Applies what is missing; returns how many that were.
pub async fn migrate(settings: &DatabaseSettings) -> Result<usize, MigrateError> {
    let mut client = connect(settings).await?;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |e: tokio_postgres::Error| MigrateError::Failed(what, describe(&e))
    };
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(failed("lock"))?;
    client
        .batch_execute(include_str!("../../../sql/migrations/0000_bookkeeping.sql"))
        .await
        .map_err(failed("bookkeeping"))?;
    let applied = applied(&client).await?;
    let pending = pending(&applied)?;
    for (version, name, text) in &pending {
        let label = format!("{version:04}_{name}");
        let transaction = client.transaction().await.map_err(failed(&label))?;
        transaction.batch_execute(text).await.map_err(failed(&label))?;
        transaction
            .execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                &[version, name, &checksum(text)],
            )
            .await
            .map_err(failed(&label))?;
        transaction.commit().await.map_err(failed(&label))?;
        tracing::info!(migration = label, "applied");
    }
    Ok(pending.len())
}

/// Checks that nothing is missing, without changing anything.
pub async fn check_migrated(settings: &DatabaseSettings) -> Result<(), MigrateError> {
    let client = connect(settings).await?;
    let there = client
        .query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[])
        .await
        .map_err(|e| MigrateError::Failed("check".to_owned(), describe(&e)))?
        .get::<_, bool>(0);
    let applied = if there { applied(&client).await? } else { BTreeMap::new() };
    match pending(&applied)?.len() {
        0 => Ok(()),
        missing => Err(MigrateError::Missing(missing)),
    }
}

async fn applied(client: &Client) -> Result<BTreeMap<i32, Vec<u8>>, MigrateError> {
    let rows = client
        .query("SELECT version, checksum FROM schema_migrations", &[])
        .await
        .map_err(|e| MigrateError::Failed("list".to_owned(), describe(&e)))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

type Migration = (i32, &'static str, &'static str);

/// What is not applied yet; an error if what is applied is not ours.
fn pending(applied: &BTreeMap<i32, Vec<u8>>) -> Result<Vec<Migration>, MigrateError> {
    if let Some(newer) = applied.keys().find(|version| !MIGRATIONS.iter().any(|m| m.0 == **version)) {
        return Err(MigrateError::Newer(*newer));
    }
    let mut pending = Vec::new();
    for migration in MIGRATIONS {
        match applied.get(&migration.0) {
            None => pending.push(*migration),
            Some(sum) if *sum == checksum(migration.2) => {}
            Some(_) => return Err(MigrateError::Edited(format!("{:04}_{}", migration.0, migration.1))),
        }
    }
    Ok(pending)
}

fn checksum(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
