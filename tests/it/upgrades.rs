//! A new version beside an old one, and the way back: what one release adds does not disturb the other.

use crate::support::postgres::ACME;
use crate::support::process::{Program, Setup, Site};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
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
/// every mail came, since its code was typed.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_serves_this_binary_under_load() {
    let site = Arc::new(Site::with_customers(5_000).await);
    let next = Arc::new(AtomicUsize::new(0));
    let progress = async |much: usize| {
        let from = next.load(SeqCst);
        let waiting = async {
            while next.load(SeqCst) < from + much {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, waiting).await.expect("load that goes on");
    };
    let old = Arc::new(site.setup().start().await);
    let (old_over, old_load) = load(&old, &site, &next);
    progress(20).await;
    // as `migrate` does it: whose statement wants the tables in another order is a matter of luck
    while let Err(error) = site.database.client().batch_execute(ADDITIVE).await {
        assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{error}");
        site.database.client().batch_execute("ROLLBACK").await.unwrap();
    }
    progress(20).await;
    let new = Arc::new(site.setup().start().await);
    new.logged("newer than this binary, and still serves it").await;
    let (new_over, new_load) = load(&new, &site, &next);
    progress(40).await;
    old_over.store(true, SeqCst);
    let by_old = old_load.await.unwrap();
    Arc::into_inner(old).unwrap().stop().await;
    progress(20).await;
    // the way back: the older binary starts again on the schema of the newer one
    let back = Arc::new(site.setup().start().await);
    let (back_over, back_load) = load(&back, &site, &next);
    progress(40).await;
    new_over.store(true, SeqCst);
    back_over.store(true, SeqCst);
    let (by_new, by_back) = (new_load.await.unwrap(), back_load.await.unwrap());
    println!("old {by_old}, new {by_new}, back {by_back}");
    assert!(by_old > 0 && by_new > 0 && by_back > 0);
    for program in [new, back] {
        Arc::into_inner(program).unwrap().stop().await;
    }

    site.database.client().batch_execute(CONTRACT).await.unwrap();
    let refused = site.setup().run().await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("migration 9998") && said.contains("run the newer doorcode"), "{said}");
    let migrated = Setup::of(&["migrate"]).set("DATABASE_URL", &site.database.url).run().await;
    assert_eq!(migrated.status.code(), Some(1), "nor does it migrate");
}
