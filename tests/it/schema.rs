//! The schema and every statement, against a real server.

use crate::support::postgres::{Database, connect};
use doorcode_actors::{check_migrated, migrate};
use std::fs;
use std::path::{Path, PathBuf};

fn sql(folder: &str) -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else {
                assert!(path.extension().is_some_and(|extension| extension == "sql"), "{}", path.display());
                files.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Every file of `sql/queries` begins with what it promises and is one statement that the migrated schema knows.
#[tokio::test]
async fn every_statement_can_be_prepared() {
    let database = Database::new().await;
    let client = database.client();
    let stage =
        sql("queries/customers").into_iter().find(|(path, _)| path.ends_with("import_stage.sql")).unwrap();
    // The table of an import lives as long as its transaction.
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(&stage.1).await.unwrap();
    for (path, text) in sql("queries") {
        let first = text.lines().next().unwrap_or_default();
        let promise = first.strip_prefix("-- ").unwrap_or_default();
        assert!(promise.ends_with(['.', ':']) && promise.len() > 10, "{}: {first}", path.display());
        let executed_as_text =
            text.contains("CREATE TEMP") || text.contains("SET LOCAL") || text.contains("COPY ");
        if !executed_as_text {
            let prepared = client.prepare(&text).await;
            assert!(prepared.is_ok(), "{}: {prepared:?}", path.display());
        }
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    database.remove().await;
}

/// Every migration begins with what it is about.
#[test]
fn every_migration_says_what_it_is_about() {
    for (path, text) in sql("migrations") {
        assert!(text.starts_with("-- "), "{}", path.display());
    }
}

/// I1: what belongs to a tenant is unique within the tenant, so that nothing can be looked up across tenants by accident.
/// Across tenants on purpose: slugs, origins, keys of the admin API by the id in them, webhooks (each statement takes the tenant too), and the log of events (ADR 18).
#[tokio::test]
async fn i1_keys_of_tenants_begin_with_the_tenant() {
    let database = Database::new().await;
    let query = "
        SELECT i.indrelid::regclass::text || ': ' || i.indexrelid::regclass::text
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute tenant ON tenant.attrelid = i.indrelid AND tenant.attname = 'tenant_id'
        WHERE n.nspname = 'public' AND i.indisunique AND i.indkey[0] <> tenant.attnum
          AND i.indrelid::regclass::text NOT IN ('tenants', 'origins', 'admin_keys', 'webhooks', 'events')";
    let wrong: Vec<String> = names(&database, query).await;
    assert!(wrong.is_empty(), "{wrong:?}");
    let tenanted = "SELECT table_name::text FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name = 'tenant_id' ORDER BY 1";
    let all = names(&database, tenanted).await;
    assert_eq!(
        all,
        [
            "admin_keys",
            "challenges",
            "customers",
            "events",
            "notices",
            "origins",
            "sessions",
            "suppressed_addresses",
            "tenant_hours",
            "tenants",
            "test_codes",
            "webhooks"
        ]
    );
    database.remove().await;
}

/// Nothing happens behind the statements' backs, and no time is kept without its zone.
#[tokio::test]
async fn there_are_no_triggers_rules_or_zoneless_times() {
    let database = Database::new().await;
    let triggers = "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT rulename::text FROM pg_rules WHERE schemaname = 'public'
        UNION ALL SELECT column_name::text FROM information_schema.columns
            WHERE table_schema = 'public' AND data_type IN ('timestamp without time zone', 'character varying', 'real', 'double precision')";
    assert_eq!(names(&database, triggers).await, Vec::<String>::new());
    database.remove().await;
}

async fn names(database: &Database, query: &str) -> Vec<String> {
    database.client().query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Any number of replicas may start at once on an empty database: each migration is applied once.
#[tokio::test]
async fn migrations_run_once_however_many_run_them() {
    let database = Database::empty().await;
    let settings = database.settings();
    assert!(check_migrated(&settings).await.unwrap_err().to_string().contains("doorcode migrate"));
    let (one, two, three) = tokio::join!(migrate(&settings), migrate(&settings), migrate(&settings));
    let applied = one.unwrap() + two.unwrap() + three.unwrap();
    let files = sql("migrations").len() - 1; // 0000 makes the table that counts them
    assert_eq!(applied, files);
    assert_eq!(database.count("SELECT count(*) FROM schema_migrations").await, files as i64);
    check_migrated(&settings).await.unwrap();
    database.remove().await;
}

/// A lock that nobody lets go of is told of, and a lock of a transaction ends with it.
#[tokio::test]
async fn a_held_lock_does_not_hang_migrations_silently() {
    let database = Database::new().await;
    let other = connect(&database.url).await;
    let taken = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())";
    migrate(&database.settings()).await.unwrap();
    assert_eq!(database.count(taken).await, 0, "nothing is left held");
    // 0x646f6f72636f6465, as migrations name it
    other.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(7237125663292875877)").await.unwrap();
    let settings = database.settings();
    let waiting = tokio::spawn(async move { migrate(&settings).await });
    database.until("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)").await;
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
    drop(other);
    database.remove().await;
}

/// A table that a statement holds for longer than a migration waits is had at the next try, without anybody's help.
#[tokio::test]
async fn a_migration_that_does_not_get_its_table_is_tried_again() {
    let database = Database::new().await;
    let again =
        "ALTER TABLE tenants DROP COLUMN mail_providers; DELETE FROM schema_migrations WHERE version = 20";
    database.client().batch_execute(again).await.unwrap();
    let holder = connect(&database.url).await;
    holder.batch_execute("BEGIN; LOCK TABLE tenants IN ACCESS SHARE MODE").await.unwrap();
    let settings = database.settings();
    let migrating = tokio::spawn(async move { migrate(&settings).await });
    // longer than one wait
    tokio::time::sleep(std::time::Duration::from_millis(2_600)).await;
    assert!(!migrating.is_finished());
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap(), 1);
    database.remove().await;
}

/// A database that is not as this binary left it is refused.
#[tokio::test]
async fn foreign_migrations_are_refused() {
    let database = Database::new().await;
    let other = connect(&database.url).await;
    other.batch_execute("UPDATE schema_migrations SET checksum = '\\x00' WHERE version = 3").await.unwrap();
    let edited = migrate(&database.settings()).await.unwrap_err().to_string();
    assert!(edited.contains("0003_challenges") && edited.contains("edited"), "{edited}");
    let newer = "INSERT INTO schema_migrations (version, name, checksum, min_binary) VALUES (9999, 'later', '\\x00', 9999)";
    other.batch_execute(newer).await.unwrap();
    let newer = check_migrated(&database.settings()).await.unwrap_err().to_string();
    assert!(newer.contains("9999") && newer.contains("newer"), "{newer}");
    drop(other);
    database.remove().await;
}
