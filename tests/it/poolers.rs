//! Behind PgBouncer: what it does not pass on is named at the start, never found by customers.

use crate::support::postgres::{ACME, ADA, Database};
use crate::support::process::{Scratch, Setup, Site};
use nix::unistd::Uid;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

struct PgBouncer {
    port: u16,
    process: Child,
    place: Scratch,
}

impl PgBouncer {
    async fn before(database: &Database, mode: &str) -> Self {
        let (_, query) = database.url.split_once('?').unwrap();
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let place = Scratch::new(&format!("bouncer-{mode}"));
        std::fs::create_dir_all(place.path()).unwrap();
        let settings = format!(
            "[databases]\n* = host={} user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 10\nserver_check_delay = 0\n",
            value("host="),
            value("user=")
        );
        let file = place.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let other = std::env::var("DOORCODE_TEST_PGBOUNCER").ok();
        let mut command = match (&other, Uid::effective().is_root()) {
            // whose user is its own affair
            (Some(other), _) => Command::new(other),
            (None, true) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer"]);
                command
            }
            (None, false) => Command::new("pgbouncer"),
        };
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("pgbouncer: install it");
        let up = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, up).await.expect("a pooler that listens");
        Self { port, process, place }
    }

    fn url(&self, database: &Database) -> String {
        let (place, query) = database.url.split_once('?').unwrap();
        let user = query.split('&').find_map(|pair| pair.strip_prefix("user=")).unwrap();
        let (_, name) = place.rsplit_once('/').unwrap();
        format!("postgres://{user}@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(self.place.path());
    }
}

/// `serve` must not start, and says why.
async fn refusal(site: &Site, url: &str) -> String {
    let output = Setup::serve(url, site.sink.port()).run().await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// Session mode passes prepared statements on and drops settings; they can be the role's.
#[tokio::test(flavor = "multi_thread")]
async fn settings_reach_sessions_by_the_role() {
    let site = Site::with_customers(0).await;
    {
        let bouncer = PgBouncer::before(&site.database, "session").await;
        let said = refusal(&site, &bouncer.url(&site.database)).await;
        assert!(
            said.contains("statement_timeout is 0") && said.contains("migrate --role-settings"),
            "{said}"
        );
        let url = bouncer.url(&site.database);
        let migrated = Setup::of(&["migrate", "--role-settings"]).set("DATABASE_URL", &url).run().await;
        assert_eq!(migrated.status.code(), Some(0), "{}", String::from_utf8_lossy(&migrated.stderr));
    }
    let bouncer = PgBouncer::before(&site.database, "session").await;
    let program = Setup::serve(&bouncer.url(&site.database), site.sink.port()).start().await;
    let mut wire = program.wire();
    assert_eq!(wire.login(ACME, ADA).await.unwrap().status, 200);
    let code = site.code(ADA).await;
    assert_eq!(wire.token(ACME, ADA, &code).await.unwrap().status, 200);
    program.stop().await;
}

/// Transaction mode of a PgBouncer that knows no prepared statements would fail some calls under load, none at rest. A newer
/// one (`DOORCODE_TEST_PGBOUNCER`, in the nightly) fails none.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_loses_prepared_statements_is_named() {
    let site = Site::with_customers(1_000).await;
    let set = Setup::of(&["migrate", "--role-settings"]).set("DATABASE_URL", &site.database.url).run().await;
    assert_eq!(set.status.code(), Some(0));
    let bouncer = PgBouncer::before(&site.database, "transaction").await;
    let pgbouncer = std::env::var("DOORCODE_TEST_PGBOUNCER").unwrap_or("pgbouncer".to_owned());
    let version = Command::new(pgbouncer).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let minor: u32 = version.split(['.', '\n']).nth(1).and_then(|minor| minor.parse().ok()).unwrap();
    if minor < 21 {
        let said = refusal(&site, &bouncer.url(&site.database)).await;
        assert!(said.contains("loses prepared statements") && said.contains("1.21"), "{said}");
        return;
    }
    let program = Arc::new(Setup::serve(&bouncer.url(&site.database), site.sink.port()).start().await);
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let program = program.clone();
        callers.spawn(async move {
            let mut wire = program.wire();
            for n in 0..100 {
                let email = format!("user{}@example.com", caller * 100 + n);
                let answer = wire.login(ACME, &email).await.unwrap();
                assert_eq!(answer.status, 200, "{answer:?}\n{}", program.story());
            }
        });
    }
    callers.join_all().await;
    site.sink.wait_for(800).await;
    println!("{}: 800 logins in transaction mode", version.lines().next().unwrap());
    Arc::into_inner(program).unwrap().stop().await;
}
