//! A tenant moves between two cells, each a doorcode and a PostgreSQL of its own, behind HAProxy: nobody is logged out, and nothing
//! that was spent comes back.

use crate::support::another_code;
use crate::support::haproxy::{HaProxy, free_address};
use crate::support::pair::Pair;
use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE, connect};
use crate::support::process::{Program, Scratch, Setup, Site};
use crate::support::wire::Wire;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_postgres::Client;

/// As docs/SCALING.md has it.
const PROXY: &str = "
global
    maxconn 400
    stats socket PLACE/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
frontend public
    bind ADDRESS
    use_backend %[req.hdr(host),lower,map(PLACE/cells.map,cell1)]
backend cell1
    server one CELL1
backend cell2
    server one CELL2
";
/// Every table with a tenant's rows, as they must be alike in both cells.
const TABLES: [&str; 9] = [
    "origins",
    "admin_keys",
    "webhooks",
    "customers",
    "challenges",
    "sessions",
    "test_codes",
    "suppressed_addresses",
    "tenants",
];

/// More for a measurement: `DOORCODE_MOVED=100000`.
fn customers() -> usize {
    std::env::var("DOORCODE_MOVED").ok().map_or(2_000, |text| text.parse().unwrap())
}

/// A command on a cell's database; it must succeed.
async fn command(url: &str, arguments: &[&str]) -> String {
    let output = tried(url, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn tried(url: &str, arguments: &[&str]) -> Output {
    let setup = Setup::of(arguments).set("DATABASE_URL", url).master_key();
    setup
        .set("DOORCODE__PUBLIC_URL", "https://login.doorcode.internal")
        .run_for(Duration::from_secs(600))
        .await
}

/// What a refused command says.
async fn refused(url: &str, arguments: &[&str]) -> String {
    let output = tried(url, arguments).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Keys of one cell are known in the other.
async fn share_keys(from: &str, to: &str, place: &Path) {
    let file = place.join("keys.json");
    std::fs::write(&file, command(from, &["keys", "export"]).await).unwrap();
    command(to, &["keys", "import", file.to_str().unwrap()]).await;
}

/// All that acme has, in one number a table.
async fn sums(client: &Client) -> Vec<(&'static str, Option<String>)> {
    let mut sums = Vec::new();
    for table in TABLES {
        let query = format!(
            "SELECT sum(hashtextextended((to_jsonb(x) - 'frozen_us')::text, 0))::text FROM {table} x
             WHERE tenant_id = (SELECT tenant_id FROM tenants WHERE slug = 'acme')"
        );
        sums.push((table, client.query_one(&query, &[]).await.unwrap().get(0)));
    }
    sums
}

/// Sends a tenant's calls to a cell, from the next call on.
async fn map(proxy: &HaProxy, verb: &str, host: &str, cell: &str) {
    let mut socket = UnixStream::connect(proxy.place().join("admin.sock")).await.unwrap();
    let line = format!("{verb} map {} {host} {cell}\n", proxy.place().join("cells.map").display());
    socket.write_all(line.as_bytes()).await.unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).await.unwrap();
    assert_eq!(said.trim(), "", "{line}");
}

fn acme(proxy: SocketAddr) -> Wire {
    Wire::to(proxy).with("host", "login.acme.example.com")
}

fn globex(proxy: SocketAddr) -> Wire {
    Wire::to(proxy).with("host", "login.globex.example.com")
}

/// A code of acme's, used: the refresh token.
async fn log_in(site: &Site, wire: &mut Wire, email: &str) -> String {
    assert_eq!(wire.login(ACME, email).await.unwrap().status, 200);
    let code = site.code(email).await;
    let answer = wire.token(ACME, email, &code).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text("refresh_token")
}

/// One customer of acme refreshes all the time, and takes a 503 for "later": how long that was, at the longest.
async fn refreshes(proxy: SocketAddr, mut token: String, over: Arc<AtomicBool>) -> (usize, Duration) {
    let (mut wire, mut count, mut longest, mut answered) = (acme(proxy), 0, Duration::ZERO, Instant::now());
    while !over.load(SeqCst) {
        let answer = wire.refresh(&token).await.unwrap();
        match answer.status {
            200 => {
                longest = longest.max(answered.elapsed());
                answered = Instant::now();
                token = answer.text("refresh_token");
                count += 1;
            }
            _ => answer.assert_unavailable(),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (count, longest)
}

/// Another tenant's customer, who must never notice: the longest answer.
async fn neighbour(proxy: SocketAddr, over: Arc<AtomicBool>) -> (usize, Duration) {
    let (mut wire, mut count, mut longest) = (globex(proxy), 0, Duration::ZERO);
    while !over.load(SeqCst) {
        let answer = wire.login(GLOBEX, ADA).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        longest = longest.max(answer.took);
        count += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (count, longest)
}

/// Logins at acme, of others than the test is about: answered, or put off.
async fn logins(proxy: SocketAddr, over: Arc<AtomicBool>) {
    let mut wire = acme(proxy);
    for n in (100..customers()).cycle() {
        if over.load(SeqCst) {
            return;
        }
        let answer = wire.login(ACME, &format!("user{n}@example.com")).await.unwrap();
        if answer.status != 200 {
            answer.assert_unavailable();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A session and a challenge for every customer, as a tenant has them that is used.
const USED: &str = "
    INSERT INTO challenges (tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us, touched_us, s_digit_tat,
        alphabet, s_guesses, k_guesses, known_asked, mail_now, known_tags, known_days, share_tags, share_tats)
    SELECT tenant_id, address_key, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 0, created_us, created_us,
        0, 5, 5, false, false, '{1}',
        ARRAY[(created_us / 86400000000)::int], '{3}', '{4,5}' FROM customers WHERE email LIKE 'user___%';
    INSERT INTO sessions (tenant_id, session_key, customer_id, created_us, rotated_us, idle_until_us, expires_us, browser)
    SELECT tenant_id, gen_random_uuid(), customer_id, created_us, created_us, created_us + 604800000000, created_us + 2592000000000,
        'Firefox on Windows' FROM customers WHERE email LIKE 'user%';
    UPDATE customers SET external_id = 'id-' || customer_id, locale = 'de', claims = '{\"plan\": \"pro\"}' WHERE email LIKE 'user1%';
    UPDATE tenants SET token_claims = '{claims.plan}', mail_providers = NULL, locale = 'de', colour = '#2450c8' WHERE slug = 'acme'";

struct Cells {
    site: Site,
    /// The second cell's PostgreSQL.
    _second: Pair,
    urls: [String; 2],
    programs: [Program; 2],
    proxy: HaProxy,
    place: Scratch,
}

impl Cells {
    async fn start(name: &str) -> Self {
        let site = Site::with_customers(customers()).await;
        site.database.client().batch_execute(USED).await.unwrap();
        let second = Pair::start(name).await;
        let urls = [site.database.url.clone(), second.url(true)];
        let place = Scratch::new(&format!("{name}-files"));
        std::fs::create_dir_all(place.path()).unwrap();
        command(&urls[1], &["migrate"]).await;
        share_keys(&urls[0], &urls[1], place.path()).await;
        // a cell's first signing key is there when it serves, and another's is read at the next start
        let serve = async |url: &str| {
            let program = Setup::serve(url, site.sink.port()).start().await;
            program.until_ready(200).await;
            program
        };
        let first = serve(&urls[0]).await;
        share_keys(&urls[0], &urls[1], place.path()).await;
        let second_program = serve(&urls[1]).await;
        share_keys(&urls[1], &urls[0], place.path()).await;
        first.stop().await;
        let programs = [serve(&urls[0]).await, second_program];
        let address = free_address();
        let settings = PROXY.replace("ADDRESS", &address.to_string());
        let settings = settings.replace("CELL1", &programs[0].api.to_string());
        let settings = settings.replace("CELL2", &programs[1].api.to_string());
        // somebody else may have listened at the address: what counts is its own socket
        let proxy = HaProxy::start(&format!("{name}-proxy"), address, &settings).await;
        let socket = proxy.place().join("admin.sock");
        tokio::time::timeout(crate::support::PATIENCE, async {
            while !socket.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the proxy's socket");
        map(&proxy, "add", "login.acme.example.com", "cell1").await;
        Self { site, _second: second, urls, programs, proxy, place }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_moves_to_another_cell_and_nobody_is_logged_out() {
    let cells = Cells::start("cells-move").await;
    let (site, proxy, [old, new]) = (&cells.site, cells.proxy.address, &cells.urls);
    let mut wire = acme(proxy);
    let refreshed = log_in(site, &mut wire, "user0@example.com").await;
    let kept = log_in(site, &mut wire, "user1@example.com").await;
    let ended = log_in(site, &mut wire, "user2@example.com").await;
    // asked before the move, typed after it
    assert_eq!(wire.login(ACME, "user3@example.com").await.unwrap().status, 200);
    let asked = site.code("user3@example.com").await;
    // three wrong guesses of five
    assert_eq!(wire.login(ACME, "user4@example.com").await.unwrap().status, 200);
    let guessed = site.code("user4@example.com").await;
    for _ in 0..3 {
        assert_eq!(wire.token(ACME, "user4@example.com", &another_code(&guessed)).await.unwrap().status, 401);
    }
    command(old, &["customer", "test-code", ACME, GRACE, "--days", "9"]).await;

    let over = Arc::new(AtomicBool::new(false));
    let load = (
        tokio::spawn(refreshes(proxy, refreshed, over.clone())),
        tokio::spawn(neighbour(proxy, over.clone())),
        tokio::spawn(logins(proxy, over.clone())),
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    let file = cells.place.path().join("acme.jsonl");
    let file = file.to_str().unwrap();
    command(old, &["tenant", "export", ACME, "--output", file]).await;
    let written = began.elapsed();
    // less the first and the last line
    let rows = std::fs::read_to_string(file).unwrap().lines().count() - 2;
    wire.refresh(&kept).await.unwrap().assert_unavailable();
    wire.logout(&ended).await.unwrap().assert_unavailable();
    wire.token(ACME, "user3@example.com", &asked).await.unwrap().assert_unavailable();
    wire.login(ACME, "user5@example.com").await.unwrap().assert_unavailable();
    let said = command(new, &["tenant", "import", file]).await;
    assert!(said.starts_with(&format!("imported tenant acme: {rows} rows; ")), "{said}");
    let (first, second) = (site.database.client(), connect(new).await);
    // what was written in the old cell after the file would be another row there
    assert_eq!(sums(first).await, sums(&second).await);
    map(&cells.proxy, "set", "login.acme.example.com", "cell2").await;
    let moved = began.elapsed();

    // the token of the old cell, and its theft: the one before it is worth nothing
    let answer = wire.refresh(&kept).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let access = answer.text("access_token");
    let bearer: &'static str = format!("Bearer {access}").leak();
    // each cell reads what the other one signed
    for program in &cells.programs {
        let session =
            program.wire().with("authorization", bearer).get("/v1/customer-auth/session").await.unwrap();
        assert_eq!(session.status, 200, "{session:?}");
    }
    assert_eq!(wire.token(ACME, "user3@example.com", &asked).await.unwrap().status, 200);
    // two of five are left, and each of the five has been charged
    for _ in 0..2 {
        assert_eq!(wire.token(ACME, "user4@example.com", &another_code(&guessed)).await.unwrap().status, 401);
    }
    assert_eq!(wire.token(ACME, "user4@example.com", &guessed).await.unwrap().status, 401);
    let query = "SELECT round((s_digit_tat - (extract(epoch FROM now()) * 1000000)::bigint) / 1209600000000.0)::bigint
        FROM challenges c JOIN customers k USING (tenant_id, address_key) WHERE k.email = 'user4@example.com'";
    assert_eq!(second.query_one(query, &[]).await.unwrap().get::<_, i64>(0), 5);
    assert_eq!(wire.logout(&ended).await.unwrap().status, 204);
    assert_eq!(wire.refresh(&ended).await.unwrap().status, 401);

    tokio::time::sleep(Duration::from_secs(1)).await;
    over.store(true, SeqCst);
    let (refreshes, pause) = load.0.await.unwrap();
    let (answers, slowest) = load.1.await.unwrap();
    load.2.await.unwrap();
    println!(
        "{rows} rows: written in {written:?}, moved in {moved:?}; of {refreshes} refreshes none failed, the longest pause {pause:?}; of \
         {answers} of the neighbour's the slowest took {slowest:?}"
    );
    assert!(refreshes > 20 && answers > 20);

    let said = command(new, &["tenant", "import", file]).await;
    assert_eq!(said, "tenant acme is here already; nothing was changed\n");
    assert!(refused(new, &["tenant", "delete", ACME]).await.contains("is not frozen"));
    command(old, &["tenant", "delete", ACME]).await;
    for table in ["customers", "sessions", "challenges", "tenants"] {
        let left = format!("SELECT count(*) FROM {table} WHERE tenant_id = '{}'", answer.text("tenant_id"));
        assert_eq!(site.database.count(&left).await, 0, "{table}");
    }
    assert_eq!(globex(proxy).login(GLOBEX, ADA).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let cells = Cells::start("cells-refused").await;
    let [old, new] = &cells.urls;
    let file = cells.place.path().join("acme.jsonl");
    let path = file.to_str().unwrap();
    assert!(refused(old, &["tenant", "delete", ACME]).await.contains("is not frozen"));
    command(old, &["tenant", "export", ACME, "--output", path]).await;
    assert!(refused(old, &["tenant", "export", ACME, "--output", path]).await.contains("cannot be made"));
    assert!(refused(old, &["customer", "add", ACME, "new@example.com"]).await.contains("is frozen"));
    assert!(refused(old, &["tenant", "set", ACME, "name=Other"]).await.contains("is frozen"));
    assert!(refused(old, &["tenant", "import", path]).await.contains("it was here before, frozen"));

    let whole = std::fs::read_to_string(&file).unwrap();
    let (head, rest) = whole.split_once('\n').unwrap();
    let other = |from: &str, to: &str| {
        assert!(head.contains(from), "{head}");
        format!("{}\n{rest}", head.replacen(from, to, 1))
    };
    let cut = &whole[..whole.trim_end().rfind('\n').unwrap() + 1];
    let cases = [
        (cut.to_owned(), "the file breaks off"),
        (
            cut[..cut.len() - 1].rsplit_once('\n').unwrap().0.to_owned() + "\n{\"rows\":1}\n",
            "its last line says 1",
        ),
        (rest.to_owned(), "does not begin as"),
        (other("\"schema\":", "\"schema\":9"), "has the schema of migration 9"),
        (other("login.doorcode.internal", "elsewhere.doorcode.internal"), "all cells have the same"),
        (other("\"refresh_mac\",1,", "\"refresh_mac\",7,"), "lacks the refresh_mac key, version 7"),
        (other("\"kids\":[\"", "\"kids\":[\"0"), "lacks the signing key 0"),
        (other("\"exported_us\":1", "\"exported_us\":2"), "clock is behind"),
        (whole.replacen("\"table\": \"origins\"", "\"table\": \"decoys\"", 1), "tables that are not known"),
        (whole.replacen("\"slug\": \"acme\"", "\"slug\": \"initech\"", 1), "no row of the tenant"),
    ];
    for (text, why) in cases {
        std::fs::write(&file, text).unwrap();
        let said = refused(new, &["tenant", "import", path]).await;
        assert!(said.contains(why), "{said} instead of {why}");
    }
    let second = connect(new).await;
    for table in ["tenants", "customers", "sessions"] {
        let left: i64 = second.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "{table}");
    }
    // the way back
    assert!(refused(old, &["tenant", "unfreeze", ACME]).await.contains("add --not-imported-elsewhere"));
    command(old, &["tenant", "unfreeze", ACME, "--not-imported-elsewhere"]).await;
    assert_eq!(cells.programs[0].wire().login(ACME, ADA).await.unwrap().status, 200);
    // a cell of its own has other keys
    let third = crate::support::postgres::Database::empty().await;
    command(&third.url, &["migrate"]).await;
    command(&third.url, &["tenant", "add", "other", "--name", "Other"]).await;
    let keys = cells.place.path().join("keys.json");
    let said = refused(&third.url, &["keys", "import", keys.to_str().unwrap()]).await;
    assert!(said.contains("is another one than here"), "{said}");
}
