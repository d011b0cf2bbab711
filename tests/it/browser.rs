//! Portals and the login form in a real Chromium: the scripts of `tests/browser` over a doorcode of their own. And that
//! `clients/` builds what is committed.
//!
//! Without Chromium, node or the clients' node_modules they are skipped, loudly; with `DOORCODE_TEST_BROWSER=1` (`./bin/test --browser`) they fail.

use crate::support::TestApp;
use crate::support::client::Request;
use crate::support::postgres::{ACME, Database, GLOBEX};
use crate::support::process::Setup;
use doorcode_actors::directory::TenantChange;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{interval, timeout};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// E6, F2, F3, F5, F6, F7, F10, F11, F12: see the script.
#[tokio::test]
async fn e6_f2_f10_f11_f12_topologies_in_chromium() {
    let Some(browser) = Browser::find() else { return };
    let app = TestApp::builder().without_mail_limits().spawn().await;
    portals(&app, ACME, &["https://portal.acme.test"]).await;
    portals(&app, GLOBEX, &["https://globex.acme.test", "https://portal.globex.test"]).await;
    browser.run("topologies.mjs", &[("DOORCODE", url(&app))]).await;
    app.finish().await;
}

/// H15 and what goes wrong: see the script.
#[tokio::test]
async fn h15_the_login_form_in_chromium() {
    let Some(browser) = Browser::find() else { return };
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let limited = TestApp::builder().with_client_limits().spawn().await;
    app.directory.add_customer(ACME, "linus@example.com").await.unwrap();
    browser.run("login.mjs", &[("DOORCODE", url(&app)), ("LIMITED", url(&limited))]).await;
    app.finish().await;
    limited.finish().await;
}

/// How the form looks, reads and fits in: see the script.
#[tokio::test]
async fn the_login_forms_looks_in_chromium() {
    let Some(browser) = Browser::find() else { return };
    let app = TestApp::builder().without_mail_limits().spawn().await;
    // Wrong codes spend an address's budget.
    for name in "en de fr es pt-br it nl pl ja zh-cn".split(' ') {
        app.directory.add_customer(ACME, &format!("{name}@example.com")).await.unwrap();
    }
    browser.run("looks.mjs", &[("DOORCODE", url(&app))]).await;
    app.finish().await;
}

/// The ops listener's page: the tree, what is told within two seconds, faults, looks: see the script.
#[tokio::test(flavor = "multi_thread")]
async fn the_live_page_in_chromium() {
    let Some(browser) = Browser::find() else { return };
    let database = Database::new().await;
    let program = Setup::dev_on(&database.url).start().await;
    let (api, ops) = (format!("http://{}", program.api), format!("http://{}", program.ops));
    browser.run("ops.mjs", &[("DOORCODE", api), ("OPS", ops)]).await;
    program.stop().await;
    database.remove().await;
}

/// The hosted page, and how its logins come back: see the script.
#[tokio::test]
async fn the_hosted_page_in_chromium() {
    let Some(browser) = Browser::find() else { return };
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let back = ["https://portal.acme.test/callback", "https://portal.globex.test/callback?from=login"];
    let change = TenantChange {
        name: Some("Acme & Söhne".to_owned()),
        return_urls: Some(back.iter().map(|url| url.parse().unwrap()).collect()),
        colour: Some(Some("#7a1fa2".parse().unwrap())),
        ..TenantChange::default()
    };
    app.directory.change_tenant(ACME, &change).await.unwrap();
    portals(&app, ACME, &["https://portal.acme.test"]).await;
    browser.run("hosted.mjs", &[("DOORCODE", url(&app))]).await;
    app.finish().await;
}

/// `examples/portal` by its one command, and the lines that docs/PORTALS.md begins with: see the script.
#[tokio::test]
async fn the_example_portal_in_chromium() {
    let Some(browser) = Browser::find() else { return };
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let (portal, page) = (free_port(), free_port());
    let change = TenantChange {
        return_urls: Some(vec![format!("http://localhost:{portal}/callback").parse().unwrap()]),
        ..TenantChange::default()
    };
    let tenant = app.directory.change_tenant(ACME, &change).await.unwrap();
    portals(&app, ACME, &[&format!("http://localhost:{page}")]).await;
    let environment = [
        // One site with the page.
        ("DOORCODE", url(&app).replace("127.0.0.1", "localhost")),
        ("ISSUER", "https://id.acme.io".to_owned()),
        ("TENANT", ACME.to_owned()),
        ("TENANT_ID", tenant.tenant_id.0.to_string()),
        ("PORT", portal.to_string()),
        ("PAGE_PORT", page.to_string()),
    ];
    browser.run("portal.mjs", &environment).await;
    app.finish().await;
}

/// What is committed below `clients/*/dist`, and so what the binary embeds, is what the sources give; and the client's
/// own tests pass.
#[tokio::test]
async fn the_clients_bundles_are_fresh() {
    let Some(modules) = or_skip(modules()) else { return };
    for script in ["check", "test"] {
        let mut npm = Command::new("npm");
        npm.args(["run", "--silent", script]).current_dir(modules.parent().unwrap());
        succeeds(npm).await;
    }
}

fn url(app: &TestApp) -> String {
    format!("http://{}", app.public())
}

/// Free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Gives a tenant origins, and waits until they count.
async fn portals(app: &TestApp, tenant: &str, origins: &[&str]) {
    let change = TenantChange {
        origins: Some(origins.iter().map(|origin| origin.parse().unwrap()).collect()),
        ..TenantChange::default()
    };
    app.directory.change_tenant(tenant, &change).await.unwrap();
    for origin in origins {
        until_allowed(app, origin).await;
    }
}

/// A Chromium, and what drives it.
struct Browser {
    chromium: PathBuf,
    modules: PathBuf,
}

impl Browser {
    fn find() -> Option<Self> {
        let told = std::env::var_os("CHROMIUM").map(PathBuf::from);
        let chromium = told.or_else(|| BROWSERS.into_iter().find_map(find)).ok_or("there is no chromium");
        or_skip(chromium.and_then(|chromium| Ok(Self { chromium, modules: modules()? })))
    }

    /// Runs a script of `tests/browser` with this environment.
    async fn run(&self, script: &str, environment: &[(&str, String)]) {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut node = Command::new("node");
        node.arg(here.join("tests/browser").join(script))
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .env("CHROMIUM", &self.chromium)
            .env("MODULES", &self.modules)
            .env("CERT", test_peers::CERTIFICATE_FILE)
            .env("KEY", test_peers::KEY_FILE);
        succeeds(node).await;
    }
}

#[expect(clippy::print_stdout, reason = "shown when the test fails")]
async fn succeeds(mut command: Command) {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(600), command.output()).await.expect("an end in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The clients' node_modules, where there is a node for them.
fn modules() -> Result<PathBuf, &'static str> {
    find("node").and(find("npm")).ok_or("there is no node or no npm")?;
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/node_modules");
    // The file that ./bin/test leaves when it is done.
    let whole = modules.join("doorcode-has").is_file();
    if whole { Ok(modules) } else { Err("clients/node_modules is missing (./bin/test makes it)") }
}

/// What is missing skips a test loudly, or fails it where it was demanded.
#[expect(clippy::explicit_write, reason = "what a test that passes prints by eprintln is not shown")]
fn or_skip<T>(found: Result<T, &str>) -> Option<T> {
    let why = match found {
        Ok(found) => return Some(found),
        Err(why) => why,
    };
    let demanded = std::env::var_os("DOORCODE_TEST_BROWSER").is_some_and(|demand| demand == "1");
    assert!(!demanded, "the tests of the clients were demanded, but {why}");
    let skipped = format!("*** SKIPPED: a test of the clients, for {why}; ./bin/test --browser runs it ***");
    writeln!(std::io::stderr(), "{skipped}").unwrap();
    None
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The command line's changes are seen within seconds.
async fn until_allowed(app: &TestApp, origin: &str) {
    let ask = Request::options("/v1/customer-auth/login")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST");
    let asking = async {
        let mut pause = interval(Duration::from_millis(50));
        while app.send(&ask).await.header("access-control-allow-origin") != Some(origin) {
            pause.tick().await;
        }
    };
    timeout(Duration::from_secs(5), asking).await.expect("the origin within 5 s");
}
