//! Migrations: embedded, checksummed, one transaction each; any number of replicas may run them at once.

use super::connector::{ConnectError, Connector, session_settings};
use super::{error::describe, sql::MIGRATIONS};
use crate::database_url::DatabaseUrlError;
use crate::settings::DatabaseSettings;
use deadpool_postgres::ClientWrapper;
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, Row};

/// How long to wait for another migration.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How long to wait for a table: whoever comes after waits behind, so not longer than a request may take.
const TABLE_WAIT: Duration = Duration::from_secs(2);
/// A migration that did not get its tables is tried again so often, after this pause: a statement of `serve` held one too long, or
/// had them in another order (a deadlock).
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// An advisory lock's name; released with its transaction, or by the server if its holder dies.
const LOCK: i64 = 0x646f_6f72_636f_6465;

/// Why the schema is not as this binary needs it.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// No connection.
    #[error(
        "the database cannot be used: {0}. Check database.url (or DATABASE_URL) and that PostgreSQL runs"
    )]
    Connect(String),
    /// The URL.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The database was migrated by a later version, and older ones cannot serve it any more.
    #[error(
        "the database has migration {version}, newer than this binary (which knows {own}), and serves only those that know \
         migration {needed}: run the newer doorcode"
    )]
    Newer {
        /// The first one that is not known.
        version: i32,
        /// The oldest binary's last migration.
        needed: i32,
        /// This binary's last migration.
        own: i32,
    },
    /// Somebody else holds the lock.
    #[error(
        "another migration has been running for a minute: wait for it, or look in pg_locks for who holds the advisory lock"
    )]
    Busy,
    /// An applied file was changed.
    #[error("migration {0} was edited after it was applied here: restore the file, or restore the database")]
    Edited(String),
    /// Not migrated, and not asked to.
    #[error("the database lacks {0} migration(s): run `doorcode migrate`")]
    Missing(usize),
    /// Others use its tables. Nothing was changed.
    #[error(
        "migration {0} did not get its tables in {TRIES} tries, and changed nothing: {1}. Run it when there is less load"
    )]
    InUse(String, String),
    /// A statement failed.
    #[error("migration {0} failed: {1}")]
    Failed(String, String),
}

/// Longest wait for a connection of administration.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Connects outside the pool, for administration; statements may take as long as they take.
pub(crate) async fn connect(settings: &DatabaseSettings) -> Result<ClientWrapper, MigrateError> {
    let connector = Connector::for_administration(settings)?;
    match timeout(CONNECT_WITHIN, connector.connect()).await {
        Ok(outcome) => outcome.map_err(|e: ConnectError| MigrateError::Connect(describe(&e))),
        Err(_) => Err(MigrateError::Connect(format!("no connection within {CONNECT_WITHIN:?}"))),
    }
}

/// Applies what is missing; returns how many that were.
pub async fn migrate(settings: &DatabaseSettings) -> Result<usize, MigrateError> {
    let mut client = connect(settings).await?;
    let (mut done, mut tries) = (0, 0);
    loop {
        tries += 1;
        match apply_next(&mut client).await {
            Ok(true) => (done, tries) = (done + 1, 0),
            Ok(false) => return Ok(done),
            Err(MigrateError::InUse(migration, why)) if tries < TRIES => {
                tracing::info!(migration, why, "its tables are in use; trying again");
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// One migration in one transaction, which also holds the lock: a pooler may give the next one another connection.
async fn apply_next(client: &mut ClientWrapper) -> Result<bool, MigrateError> {
    let transaction = client.transaction().await.map_err(failed("transaction"))?;
    let patience =
        format!("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {}", LOCK_WAIT.as_millis());
    transaction.batch_execute(&patience).await.map_err(failed("patience"))?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(busy)?;
    let patience = format!("SET LOCAL lock_timeout = {}", TABLE_WAIT.as_millis());
    transaction.batch_execute(&patience).await.map_err(failed("patience"))?;
    transaction
        .batch_execute(include_str!("../../../sql/migrations/0000_bookkeeping.sql"))
        .await
        .map_err(failed("bookkeeping"))?;
    let applied = applied(&*transaction).await?;
    let Some((version, name, text)) = pending(&applied)?.first().copied() else {
        transaction.commit().await.map_err(failed("bookkeeping"))?;
        return Ok(false);
    };
    let label = format!("{version:04}_{name}");
    transaction.batch_execute(text).await.map_err(in_use(&label))?;
    let row = "INSERT INTO schema_migrations (version, name, checksum, min_binary) VALUES ($1, $2, $3, $4)";
    transaction
        .execute(row, &[&version, &name, &checksum(text), &min_binary(text)])
        .await
        .map_err(failed(&label))?;
    transaction.commit().await.map_err(failed(&label))?;
    tracing::info!(migration = label, "applied");
    Ok(true)
}

fn failed(what: &str) -> impl FnOnce(tokio_postgres::Error) -> MigrateError + use<> {
    let what = what.to_owned();
    move |error| MigrateError::Failed(what, describe(&error))
}

fn in_use(migration: &str) -> impl FnOnce(tokio_postgres::Error) -> MigrateError + use<> {
    let migration = migration.to_owned();
    move |error| match error.code() {
        Some(code) if [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) => {
            MigrateError::InUse(migration, describe(&error))
        }
        _ => failed(&migration)(error),
    }
}

fn busy(error: tokio_postgres::Error) -> MigrateError {
    match error.code() {
        Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => MigrateError::Busy,
        _ => failed("lock")(error),
    }
}

/// Gives this role, in this database, what every connection of `serve` must have, for poolers that pass nothing on.
pub async fn set_role_settings(settings: &DatabaseSettings) -> Result<(), MigrateError> {
    let client = connect(settings).await?;
    let all = session_settings(settings);
    let (names, values): (Vec<&str>, Vec<&str>) =
        all.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    let rows = client
        .query(
            "SELECT format('ALTER ROLE %I IN DATABASE %I SET %I = %L', current_user, current_database(), name, value)
             FROM unnest($1::text[], $2::text[]) wanted (name, value)",
            &[&names, &values],
        )
        .await
        .map_err(failed("role settings"))?;
    let statements: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    client.batch_execute(&statements.join(";")).await.map_err(failed("role settings"))
}

/// Checks that this binary can serve the schema, without changing anything: nothing is missing, and what a newer binary
/// added still serves this one.
pub async fn check_migrated(settings: &DatabaseSettings) -> Result<(), MigrateError> {
    let client = connect(settings).await?;
    let there = client
        .query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[])
        .await
        .map_err(failed("check"))?
        .get::<_, bool>(0);
    let applied = if there { applied(&*client).await? } else { BTreeMap::new() };
    match pending(&applied)?.len() {
        0 => Ok(()),
        missing => Err(MigrateError::Missing(missing)),
    }
}

struct Applied {
    checksum: Vec<u8>,
    /// Only binaries that know this migration may serve the schema.
    min_binary: i32,
}

async fn applied(client: &impl GenericClient) -> Result<BTreeMap<i32, Applied>, MigrateError> {
    // the column is younger than the table
    let query =
        "SELECT version, checksum, coalesce((to_jsonb(m) ->> 'min_binary')::int, 0) FROM schema_migrations m";
    let rows = client.query(query, &[]).await.map_err(failed("list"))?;
    let row = |row: &Row| (row.get(0), Applied { checksum: row.get(1), min_binary: row.get(2) });
    Ok(rows.iter().map(row).collect())
}

type Migration = (i32, &'static str, &'static str);

/// What is not applied yet; an error if what is applied does not serve this binary.
fn pending(applied: &BTreeMap<i32, Applied>) -> Result<Vec<Migration>, MigrateError> {
    let own = MIGRATIONS.last().map_or(0, |migration| migration.0);
    let foreign = applied.keys().find(|version| !MIGRATIONS.iter().any(|known| known.0 == **version));
    if let Some(version) = foreign {
        let needed = applied.values().map(|one| one.min_binary).max().unwrap_or_default();
        if *version < own || needed > own {
            return Err(MigrateError::Newer { version: *version, needed, own });
        }
        tracing::info!(version, own, "the schema is newer than this binary, and still serves it");
    }
    let mut pending = Vec::new();
    for migration in MIGRATIONS {
        match applied.get(&migration.0) {
            None => pending.push(*migration),
            Some(one) if one.checksum == checksum(migration.2) => {}
            Some(_) => return Err(MigrateError::Edited(format!("{:04}_{}", migration.0, migration.1))),
        }
    }
    Ok(pending)
}

/// A migration that takes away what older binaries use says so in a line of its own: `-- min_binary: 11`.
fn min_binary(text: &str) -> i32 {
    let line = text.lines().find_map(|line| line.strip_prefix("-- min_binary:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

fn checksum(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
