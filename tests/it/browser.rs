//! The three topologies in a real Chromium: `tests/browser/topologies.mjs` over a doorcode of its own.
//!
//! Without Chromium, node or npm it is skipped, loudly; with `DOORCODE_TEST_BROWSER=1` (`./bin/test --browser`) it fails.

use crate::support::TestApp;
use crate::support::client::Request;
use crate::support::postgres::{ACME, GLOBEX};
use doorcode_actors::directory::TenantChange;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{interval, timeout};

/// Drives the Chromium that is there; brings none along.
const PLAYWRIGHT: &str = "playwright-core@1.65.1";
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// E6, F2, F3, F5, F6, F7, F10, F11, F12, H15: see the script.
#[tokio::test]
async fn e6_f2_f10_f11_f12_h15_topologies_in_chromium() {
    let (chromium, playwright) = match prepare().await {
        Ok(found) => found,
        Err(why) if std::env::var_os("DOORCODE_TEST_BROWSER").is_some_and(|demand| demand == "1") => {
            panic!("the browser test was demanded, but {why}")
        }
        Err(why) => {
            // Not eprintln: what a test that passes prints is not shown.
            let skipped =
                format!("*** SKIPPED: the test in Chromium, for {why}; ./bin/test --browser runs it ***");
            writeln!(std::io::stderr(), "{skipped}").unwrap();
            return;
        }
    };
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let origins = |origins: &[&str]| TenantChange {
        origins: Some(origins.iter().map(|origin| origin.parse().unwrap()).collect()),
        ..TenantChange::default()
    };
    let globex = ["https://globex.acme.test", "https://portal.globex.test"];
    app.directory.change_tenant(ACME, &origins(&["https://portal.acme.test"])).await.unwrap();
    app.directory.change_tenant(GLOBEX, &origins(&globex)).await.unwrap();
    until_allowed(&app, globex[1]).await;

    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node");
    node.arg(here.join("tests/browser/topologies.mjs"))
        .env("DOORCODE", format!("http://{}", app.public()))
        .env("CHROMIUM", chromium)
        .env("PLAYWRIGHT", playwright)
        .env("WEB", here.join("web"))
        .env("CERT", here.join("tests/it/support/tls/leaf.pem"))
        .env("KEY", here.join("tests/it/support/tls/leaf.key"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(240), node.output()).await.expect("an end in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    app.finish().await;
}

/// Chromium, and a folder's playwright-core.
async fn prepare() -> Result<(PathBuf, PathBuf), String> {
    let told = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let chromium =
        told.or_else(|| BROWSERS.into_iter().find_map(find)).ok_or("there is no chromium".to_owned())?;
    find("node").ok_or("there is no node")?;
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    let playwright = home.join("node_modules/playwright-core");
    let version = PLAYWRIGHT.rsplit('@').next().unwrap();
    let installed = std::fs::read_to_string(playwright.join("package.json")).unwrap_or_default();
    if !installed.contains(&format!("\"version\": \"{version}\"")) {
        let npm = find("npm").ok_or("there is no npm")?;
        std::fs::create_dir_all(&home).unwrap();
        let mut install = Command::new(npm);
        install.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", PLAYWRIGHT]);
        let install = install.current_dir(&home).stdin(Stdio::null()).kill_on_drop(true).output();
        let done = timeout(Duration::from_secs(120), install).await;
        let done = done.map_err(|_| "npm did not end in time")?.map_err(|error| error.to_string())?;
        if !done.status.success() {
            return Err(format!(
                "npm could not install {PLAYWRIGHT}: {}",
                String::from_utf8_lossy(&done.stderr)
            ));
        }
    }
    Ok((chromium, playwright))
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
