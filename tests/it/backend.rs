//! `docs/examples/backend.py`, run as docs/INTEGRATE.md has it: a SaaS company's backend over HTTP alone.

use crate::support::PATIENCE;
use crate::support::postgres::Database;
use crate::support::process::Setup;
use serde_json::Value;
use std::path::Path;
use tokio::process::Command;

const EXAMPLE: &str = "docs/examples/backend.py";

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_in_forty_lines() {
    let python = crate::support::python();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLE);
    assert!(std::fs::read_to_string(&example).unwrap().lines().count() <= 40);

    let database = Database::new().await;
    let program = Setup::dev_on(&database.url).start().await;
    let add = ["admin-key", "add", "backend", "--json", "--scope", "read", "--scope", "write", "--scope"];
    let key = Setup::of(&add).flag("codes:issue").set("DATABASE_URL", &database.url).master_key().run().await;
    let key: Value = serde_json::from_slice(&key.stdout).unwrap();
    let running = Command::new(&python)
        .arg(&example)
        .args([program.api, program.ops].map(|address| format!("http://{address}")))
        .env("DOORCODE_KEY", key["key"].as_str().unwrap())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(2 * PATIENCE, running).await.expect("an end").unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let wanted = "token   user_42 pro\nwebhook session.created True\nwebhook session.revoked True\n\
        audit   session.created customer\naudit   session.revoked admin_key\n";
    assert!(output.status.success() && said == wanted, "{said}\n{errors}");
    program.kill().await;
    database.remove().await;
}
