//! A new version beside an old one, and the way back: what one release adds does not disturb the other.

use crate::support::PATIENCE;
use crate::support::postgres::{ACME, Database};
use crate::support::process::{Program, Scratch, Setup, Site};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use test_peers::smtp::SmtpSink;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;

/// What the next release might bring: a table, columns in tables that are in use, an index.
const ADDITIVE: &str = "BEGIN;
    CREATE TABLE later (id int PRIMARY KEY);
    ALTER TABLE challenges ADD COLUMN later int NOT NULL DEFAULT 7;
    ALTER TABLE sessions ADD COLUMN later int;
    ALTER TABLE customers ADD COLUMN later text NOT NULL DEFAULT '';
    ALTER TABLE outbox ADD COLUMN later int;
    CREATE INDEX ON customers (later);
    INSERT INTO schema_migrations (version, name, checksum, min_binary) VALUES (9998, 'later', '\\x00', 0);
    COMMIT";
const CONTRACT: &str = "INSERT INTO schema_migrations (version, name, checksum, min_binary) VALUES (9999, 'contract', '\\x00', 9998)";

/// Logins and first refreshes at one replica until told to stop; how many.
fn load(
    program: &Arc<Program>,
    site: &Arc<Site>,
    next: &Arc<AtomicUsize>,
) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let (program, site, next, over) =
        (program.clone(), site.clone(), next.clone(), Arc::new(AtomicBool::new(false)));
    let told = over.clone();
    let caller = tokio::spawn(async move {
        let (mut wire, mut count) = (program.wire(), 0);
        while !told.load(SeqCst) {
            let email = format!("user{}@example.com", next.fetch_add(1, SeqCst));
            let asked = wire.login(ACME, &email).await.unwrap();
            assert_eq!(asked.status, 200, "{asked:?}\n{}", program.story());
            let typed = wire.token(ACME, &email, &site.code(&email).await).await.unwrap();
            assert_eq!(typed.status, 200, "{typed:?}\n{}", program.story());
            let refreshed = wire.refresh(&typed.text("refresh_token")).await.unwrap();
            assert_eq!(refreshed.status, 200, "{refreshed:?}\n{}", program.story());
            count += 1;
        }
        count
    });
    (over, caller)
}

/// Old under load, the schema goes ahead, new comes beside, old goes; then the way back. No answer is other than 200, and
/// every mail came, since its code was typed. Between two steps go `much` logins.
#[expect(clippy::print_stdout, reason = "the figures of a run")]
async fn there_and_back(site: &Arc<Site>, old: impl Fn() -> Setup, ahead: impl AsyncFnOnce(), much: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let progress = async || {
        let from = next.load(SeqCst);
        let waiting = async {
            while next.load(SeqCst) < from + much {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("load that goes on");
    };
    let first = Arc::new(old().start().await);
    let (first_over, first_load) = load(&first, site, &next);
    progress().await;
    ahead().await;
    progress().await;
    let new = Arc::new(site.setup().start().await);
    let (new_over, new_load) = load(&new, site, &next);
    progress().await;
    first_over.store(true, SeqCst);
    let by_first = first_load.await.unwrap();
    Arc::into_inner(first).unwrap().stop().await;
    progress().await;
    // the way back: the older binary starts again on the schema of the newer one
    let back = Arc::new(old().start().await);
    back.logged("newer than this binary, and still serves it").await;
    let (back_over, back_load) = load(&back, site, &next);
    progress().await;
    new_over.store(true, SeqCst);
    let by_new = new_load.await.unwrap();
    Arc::into_inner(new).unwrap().stop().await;
    progress().await;
    back_over.store(true, SeqCst);
    let by_back = back_load.await.unwrap();
    println!("old {by_first}, new {by_new}, back {by_back}");
    assert!(by_first > 0 && by_new > 0 && by_back > 0);
    Arc::into_inner(back).unwrap().stop().await;
}

/// The release before, with the settings that it knows.
fn before(setup: Setup) -> Setup {
    let program = std::env::var("DOORCODE_TEST_PREVIOUS")
        .expect("the binary of the release before, as .ci/nightly builds it");
    setup.by(&program, "DOORCODE__MAIL__SMTP__TIMEOUT")
}

/// On its own schema at first, which this binary's migrations change under its load.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before"]
async fn nightly_the_release_before_and_this_one_beside_each_other() {
    let site = Arc::new(Site { database: Database::empty().await, sink: SmtpSink::start().await });
    let command =
        |arguments: &[&str]| Setup::of(arguments).set("DATABASE_URL", &site.database.url).master_key();
    let customers = Scratch::new("upgrade");
    std::fs::create_dir_all(customers.path()).unwrap();
    let file = customers.path().join("customers.csv");
    let emails: String = (0..20_000).map(|n| format!("user{n}@example.com\n")).collect();
    std::fs::write(&file, format!("email\n{emails}")).unwrap();
    let file = file.display().to_string();
    for arguments in
        [&["migrate"][..], &["tenant", "add", ACME, "--name", "Acme"], &["customer", "import", ACME, &file]]
    {
        let done = before(command(arguments)).run().await;
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let migrations = "SELECT count(*) FROM schema_migrations";
    let had = site.database.count(migrations).await;
    let migrate = async || {
        let done = command(&["migrate"]).run().await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        println!("{had} migrations, and {} more", site.database.count(migrations).await - had);
    };
    there_and_back(&site, || before(site.setup()), migrate, 150).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_serves_this_binary_under_load() {
    let site = Arc::new(Site::with_customers(5_000).await);
    let ahead = async || {
        // as `migrate` does it: whose statement wants the tables in another order is a matter of luck
        while let Err(error) = site.database.client().batch_execute(ADDITIVE).await {
            assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{error}");
            site.database.client().batch_execute("ROLLBACK").await.unwrap();
        }
    };
    there_and_back(&site, || site.setup(), ahead, 20).await;

    site.database.client().batch_execute(CONTRACT).await.unwrap();
    let refused = site.setup().run().await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("migration 9998") && said.contains("run the newer doorcode"), "{said}");
    let migrated = Setup::of(&["migrate"]).set("DATABASE_URL", &site.database.url).run().await;
    assert_eq!(migrated.status.code(), Some(1), "nor does it migrate");
}
