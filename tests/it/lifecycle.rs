//! Starting, draining and giving up: what supervisors of processes see.

use crate::support::postgres::{ACME, ADA, Database};
use crate::support::process::{Scratch, Setup, Site};
use crate::support::{PATIENCE, wire::Wire};
use serde_json::json;
use std::process::Output;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Not the one that the test databases were made with.
const ANOTHER_KEY: &str = "kMhUFNiOAsmJfxN0z8nTzZpNqyvSQeJmKUuHFDbGWZg=";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// SIGTERM: who waits for an answer gets it, nobody new is taken, exit code 0.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_what_was_admitted() {
    const WAITING: usize = 20;
    let site = Site::with_customers(0).await;
    let mut program = site.setup().start().await;
    let log_in_all = || {
        let mut waiting = JoinSet::new();
        for n in 0..WAITING {
            let mut wire = program.wire();
            waiting.spawn(async move { wire.login(ACME, &format!("u{n}@example.com")).await });
        }
        waiting
    };
    log_in_all().join_all().await;
    // Nobody can write to these rows while this transaction is open.
    let gate = site.database.client();
    gate.batch_execute("BEGIN; SELECT FROM challenges FOR UPDATE").await.unwrap();
    let mut waiting = log_in_all();
    program.until("all wait", |actors| actors.number("ledger.login", "depth") == WAITING as u64).await;

    program.terminate();
    program.logged("draining").await;
    let refused = timeout(PATIENCE, async {
        while TcpStream::connect(program.api).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    refused.await.expect("nobody new is taken");
    gate.batch_execute("COMMIT").await.unwrap();
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap().expect("an answer");
        assert_eq!((answer.status, answer.json()), (200, json!({})));
    }
    assert_eq!(program.exit_code().await, Some(0), "{}", program.story());
    assert_eq!(site.database.count("SELECT count(*) FROM challenges").await, WAITING as i64);
}

/// `Type=notify` with a watchdog: systemd hears when we serve, that we live, and that we stop; a load balancer hears of the
/// end before a connection is refused.
#[tokio::test]
async fn the_service_manager_and_the_load_balancer_are_told() {
    let site = Site::with_customers(0).await;
    let scratch = Scratch::new("notify");
    std::fs::create_dir_all(scratch.path()).unwrap();
    let path = scratch.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut text = [0; 64];
        let length = timeout(PATIENCE, socket.recv(&mut text)).await.expect("a state").unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let setup = site.setup().set("NOTIFY_SOCKET", path.to_str().unwrap()).set("WATCHDOG_USEC", "200000");
    let mut program = setup.set("DOORCODE__HTTP__DRAIN_NOTICE", "2s").start().await;
    assert_eq!(told().await, "READY=1");
    for _ in 0..3 {
        assert_eq!(told().await, "WATCHDOG=1");
    }
    program.terminate();
    while told().await != "STOPPING=1" {}
    let ready = program.until_ready(503).await;
    assert!(String::from_utf8_lossy(&ready.body).contains("draining"));
    assert_eq!(program.wire().login(ACME, ADA).await.unwrap().status, 200, "still served");
    assert_eq!(program.exit_code().await, Some(0));
}

/// A relay that is not there is told of at the start, not at the first login.
#[tokio::test]
async fn a_relay_that_does_not_answer_is_told_of() {
    let database = Database::new().await;
    let program = Setup::serve(&database.url, 1).start().await;
    program.logged("the mail relay does not take us").await;
    program.stop().await;
}

/// A request whose head had arrived is finished too, although its body comes later.
#[tokio::test]
async fn sigterm_waits_for_a_body_on_its_way() {
    let site = Site::with_customers(0).await;
    let mut program = site.setup().start().await;
    let body = json!({"email": ADA, "tenant_slug": ACME}).to_string();
    let mut stream = TcpStream::connect(program.api).await.unwrap();
    let head = format!(
        "POST /v1/customer-auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: it has read the head.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    program.terminate();
    program.logged("draining").await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(program.exit_code().await, Some(0), "{}", program.story());
    site.database.until("SELECT count(*) = 1 FROM challenges").await;
}

/// Mail that is due when the process ends is sent by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn due_mail_waits_for_the_next_start() {
    use test_peers::smtp::{Act, Point};
    let site = Site::with_customers(0).await;
    site.sink.at(Point::Mail, Act::Reply("451 4.3.0 later"));
    let program = site.setup().start().await;
    assert_eq!(program.wire().login(ACME, ADA).await.unwrap().status, 200);
    program.until("a try", |actors| actors.mails("retried") > 0).await;
    program.stop().await;
    assert_eq!(site.database.count("SELECT coalesce(sum(mails), 0)::bigint FROM outbox").await, 1);
    site.sink.heal();
    let program = site.setup().start().await;
    let code = site.code(ADA).await;
    assert_eq!(program.wire().token(ACME, ADA, &code).await.unwrap().status, 200);
    site.database.until("SELECT count(*) = 0 FROM outbox").await;
    program.stop().await;
    assert_eq!(site.sink.count(), 1);
}

#[tokio::test]
async fn serve_says_what_keeps_it_from_starting() {
    // A port that was free a moment ago: nothing listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let nowhere = Setup::serve(&format!("postgres://x@127.0.0.1:{closed}/x"), 25).run().await;
    assert_eq!(nowhere.status.code(), Some(1), "{}", said(&nowhere));
    assert!(said(&nowhere).contains("DATABASE_URL"), "{}", said(&nowhere));

    let empty = Database::empty().await;
    let unmigrated = Setup::serve(&empty.url, 25).run().await;
    assert_eq!(unmigrated.status.code(), Some(1), "{}", said(&unmigrated));
    assert!(said(&unmigrated).contains("doorcode migrate"), "{}", said(&unmigrated));

    let database = Database::new().await;
    let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let taken = Setup::serve(&database.url, 25).set("DOORCODE__HTTP__LISTEN", &address).run().await;
    assert_eq!(taken.status.code(), Some(1), "{}", said(&taken));
    assert!(said(&taken).contains(&address), "{}", said(&taken));

    let other_key =
        Setup::serve(&database.url, 25).set("DOORCODE__MASTER_KEY__VALUE", ANOTHER_KEY).run().await;
    assert_eq!(other_key.status.code(), Some(1), "{}", said(&other_key));
    assert!(said(&other_key).contains("master_key must be the one"), "{}", said(&other_key));
    database.remove().await;
    empty.remove().await;
}

/// A database that may forget what it said it keeps.
#[tokio::test]
async fn serve_refuses_a_database_that_forgets() {
    let database = Database::new().await;
    let forget = "ALTER DATABASE %I SET synchronous_commit = off";
    let statement = format!("SELECT format('{forget}', current_database())");
    let statement: String = database.client().query_one(&statement, &[]).await.unwrap().get(0);
    database.client().batch_execute(&statement).await.unwrap();
    let output = Setup::serve(&database.url, 25).run().await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("synchronous_commit"), "{}", said(&output));
    database.remove().await;
}

#[tokio::test]
async fn bad_settings_are_named_with_file_and_line() {
    let scratch = crate::support::process::Scratch::new("config");
    std::fs::create_dir_all(scratch.path()).unwrap();
    let file = scratch.path().join("doorcode.toml");
    std::fs::write(
        &file,
        "[http]\nlisten = \"127.0.0.1:0\"\n\n[codes]\nlife = \"11m\"\n\n[mail]\nworkers = \"many\"\n",
    )
    .unwrap();
    let path = file.display().to_string();
    let output = Setup::of(&["serve", "--config", &path]).run().await;
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    for place in [format!("{path}:8"), "mail.workers".to_owned()] {
        assert!(said(&output).contains(&place), "{place} in {}", said(&output));
    }
    std::fs::write(&file, "[codes]\nlife = \"11m\"\n").unwrap();
    let output = Setup::of(&["serve", "--config", &path]).run().await;
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    for place in [format!("{path}:2"), "codes.life".to_owned()] {
        assert!(said(&output).contains(&place), "{place} in {}", said(&output));
    }
}

/// Crash after crash: the process gives up in good order and says so by its exit code.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_crashes_end_the_process() {
    let database = Database::new().await;
    let mut program = Setup::dev_on(&database.url).start().await;
    let ops = program.ops;
    let mut crashing = JoinSet::new();
    for kind in [
        "keyring",
        "ledger.login",
        "ledger.verify",
        "ledger.refresh",
        "ledger.logout",
        "minter",
        "tenants",
        "janitor",
    ] {
        crashing.spawn(async move {
            let body = json!({"actor": kind, "fault": "panic"});
            let mut wire = Wire::to(ops).with("sec-fetch-site", "same-origin");
            // until nobody listens any more; an actor between two lives answers 409
            while wire.post("/v1/admin/faults", &body).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
    }
    assert_eq!(program.exit_code().await, Some(70), "{}", program.story());
    program.logged("restart intensity exceeded").await;
    program.logged("gave up").await;
    crashing.join_all().await;
    database.remove().await;
}
