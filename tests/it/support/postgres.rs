//! One throw-away PostgreSQL for the whole run, and in it one database for each test: a copy of a template that is
//! migrated already and has the people in it that the tests are about.

use super::PATIENCE;
use doorcode::config::Config;
use doorcode_actors::directory::{ImportRow, NewTenant, StepUp};
use doorcode_actors::{DatabaseSettings, Directory, PLANNER, migrate};
use private_postgres::{Options, PrivatePostgres};
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

/// Wraps the keys of every test's database.
pub(crate) const MASTER_KEY: [u8; 32] = [
    0x9f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65, 0x9a, 0x2f, 0xea, 0xa0, 0xc5, 0x5a, 0xd0, 0x15, 0xa3,
    0xbf, 0x4f, 0x1b, 0x2b, 0x0b, 0x82, 0x2c, 0xd1, 0x5d, 0x6c, 0x15, 0xb0, 0xf0, 0x0a, 0x08,
];

/// [`MASTER_KEY`] as the settings have it.
pub(crate) fn master_key() -> String {
    MASTER_KEY.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where everybody of the template is a customer.
pub(crate) const ACME: &str = "acme";
/// Has Ada too.
pub(crate) const GLOBEX: &str = "globex";
/// Has Ada too, and is disabled.
pub(crate) const CLOSED: &str = "closed";
/// No tenant.
pub(crate) const NOWHERE: &str = "nowhere";

/// Of all three tenants.
pub(crate) const ADA: &str = "ada@example.com";
/// Of acme.
pub(crate) const GRACE: &str = "grace@example.com";
/// Of acme, disabled.
pub(crate) const DORA: &str = "dora@example.com";
/// Of none.
pub(crate) const MALLORY: &str = "mallory@example.com";

const TEMPLATE: &str = "tmpl";

/// Waits until this process is gone and PostgreSQL with it, then removes the directory: a test program ends by
/// `exit`, so nothing of ours is dropped.
const SWEEPER: &str = r#"
read -r _
tries=0
while [ -e "$1/data/postmaster.pid" ] && [ "$tries" -lt 200 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$1"
"#;

struct Cluster {
    url: String,
    has_statements: bool,
}

/// The cluster, started by whoever needs it first.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let (tell, told) = mpsc::channel();
        // A runtime of its own: a test's ends with the test, and what it drives with it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.unwrap().block_on(async {
                let (postgres, has_statements) = start().await;
                let _sweeper = sweep_after_us(postgres.home());
                make_template(&postgres.url()).await;
                tell.send(Cluster { url: postgres.url(), has_statements }).unwrap();
                std::future::pending::<()>().await;
            });
        });
        told.recv().expect("PostgreSQL, see above")
    })
}

async fn start() -> (PrivatePostgres, bool) {
    let options = |settings: &[&str]| {
        let mut options = Options::throwaway("doorcode").unwrap();
        options.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        options
    };
    let many = "max_connections=400";
    // `serve` refuses a server that forgets; in memory it costs nothing to remember.
    let durable = ["fsync=on", "synchronous_commit=on"];
    // Not every distribution installs contrib along.
    let preload = "shared_preload_libraries=pg_stat_statements";
    match PrivatePostgres::start(options(&[
        many,
        durable[0],
        durable[1],
        preload,
        "pg_stat_statements.track=all",
    ]))
    .await
    {
        Ok(postgres) => (postgres, true),
        Err(_) => (PrivatePostgres::start(options(&[many, durable[0], durable[1]])).await.unwrap(), false),
    }
}

fn sweep_after_us(home: &Path) -> ChildStdin {
    let mut sweeper = Command::new("/bin/sh");
    sweeper.args(["-c", SWEEPER, "doorcode-sweeper"]).arg(home);
    sweeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Its own group: the terminal's Ctrl-C is not for it.
    sweeper.process_group(0).spawn().unwrap().stdin.take().unwrap()
}

async fn make_template(admin_url: &str) {
    let admin = connect(admin_url).await;
    admin.batch_execute(&format!("CREATE DATABASE {TEMPLATE}")).await.unwrap();
    fill(&url_of(admin_url, TEMPLATE)).await;
}

/// Makes a schema and the people in it.
async fn fill(url: &str) {
    let settings = settings(url);
    migrate(&settings).await.unwrap();
    let directory = Directory::open(&settings, &MASTER_KEY).await.unwrap();
    for slug in [ACME, GLOBEX, CLOSED] {
        let new = NewTenant {
            slug: slug.to_owned(),
            name: format!("The {slug} company"),
            portal_host: Some(format!("{slug}.example.com").parse().unwrap()),
            step_up: StepUp::Base32,
            origins: vec![format!("https://{slug}.example.com").parse().unwrap()],
        };
        directory.add_tenant(&new).await.unwrap();
        directory.add_customer(slug, ADA).await.unwrap();
    }
    directory.add_customer(ACME, GRACE).await.unwrap();
    directory.add_customer(ACME, DORA).await.unwrap();
    directory.disable_customer(ACME, DORA).await.unwrap();
    directory.disable_tenant(CLOSED, true).await.unwrap();
    // PostgreSQL copies no database while somebody is connected to it.
    drop(directory);
}

/// A test's own database.
pub(crate) struct Database {
    name: String,
    pub url: String,
    client: Client,
}

impl Database {
    /// A copy of the template.
    pub(crate) async fn new() -> Self {
        Self::of(&format!("TEMPLATE {TEMPLATE} STRATEGY file_copy")).await
    }

    /// In a server of the test's own, with the same people.
    pub(crate) async fn on(postgres: &PrivatePostgres) -> Self {
        fill(&postgres.url()).await;
        Self { name: String::new(), url: postgres.url(), client: connect(&postgres.url()).await }
    }

    /// Nothing in it, not even a schema.
    pub(crate) async fn empty() -> Self {
        Self::of("").await
    }

    async fn of(how: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("t_{}", NEXT.fetch_add(1, Relaxed));
        let cluster = tokio::task::spawn_blocking(cluster).await.unwrap();
        let admin = connect(&cluster.url).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} {how}")).await.unwrap();
        let url = url_of(&cluster.url, &name);
        let client = connect(&url).await;
        Self { name, url, client }
    }

    /// For looking inside.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn settings(&self) -> DatabaseSettings {
        settings(&self.url)
    }

    /// Makes customers `user0@example.com` … of acme.
    pub(crate) async fn import(&self, count: usize) {
        let directory = Directory::open(&self.settings(), &MASTER_KEY).await.unwrap();
        let rows = (0..count).map(|n| {
            let email = format!("user{n}@example.com");
            Ok(ImportRow { line: n as u64 + 1, email, ..ImportRow::default() })
        });
        let report = directory.import_customers(ACME, rows).await.unwrap();
        assert_eq!(report.added, count as u64);
    }

    /// One number.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Waits until a query gives true.
    pub(crate) async fn until(&self, query: &str) {
        let waiting = async {
            let mut pause = tokio::time::interval(Duration::from_millis(5));
            while !self.client.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
                pause.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never true: {query}"));
    }

    /// Counts statements in this database from now on.
    pub(crate) async fn count_statements(&self) {
        let cluster = tokio::task::spawn_blocking(cluster).await.unwrap();
        assert!(
            cluster.has_statements,
            "pg_stat_statements cannot be loaded: install PostgreSQL's contrib package"
        );
        self.client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    }

    /// Removes it; one whose test fails goes with the cluster.
    pub(crate) async fn remove(self) {
        let Self { name, client, .. } = self;
        drop(client);
        let cluster = tokio::task::spawn_blocking(cluster).await.unwrap();
        let admin = connect(&cluster.url).await;
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    }
}

/// A connection of the test's own, outside doorcode's pool.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The same, and it plans as doorcode's pool does: each statement otherwise is compiled anew, for a third of a second.
pub(crate) async fn connect_as_the_pool(url: &str) -> Client {
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    let options: Vec<String> = PLANNER.iter().map(|(name, value)| format!("-c {name}={value}")).collect();
    let (client, connection) = config.options(options.join(" ")).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The same server, another database.
fn url_of(url: &str, database: &str) -> String {
    let (server, query) = url.split_once('?').unwrap();
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/{database}?{query}")
}

pub(crate) fn settings(url: &str) -> DatabaseSettings {
    let config = Config::load(None, [("DATABASE_URL".to_owned(), url.to_owned())]).unwrap().config;
    DatabaseSettings { pool_size: NonZeroUsize::new(2).unwrap(), ..config.database }
}
