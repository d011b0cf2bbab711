//! `doorcode dev` in a directory of its own, and the commands that work beside it.

use crate::support::process::{Program, Scratch, Setup};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// A command beside the running `dev`; standard output, if it ends as it must.
async fn beside(home: &Path, command: &str, exit_code: i32) -> String {
    let mut words: Vec<&str> = command.split(' ').collect();
    let home = home.display().to_string();
    words.extend(["--data-dir", &home]);
    let output = Setup::of(&words).run().await;
    assert_eq!(output.status.code(), Some(exit_code), "{command}: {}", said(&output));
    assert_eq!(output.stderr.is_empty(), exit_code == 0, "{command}: {}", said(&output));
    said(&output) + std::str::from_utf8(&output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

async fn log_in(program: &Program, slug: &str, email: &str) -> String {
    let mut wire = program.wire();
    assert_eq!(wire.login(slug, email).await.unwrap().status, 200);
    let code = program.mailed(email).await;
    wire.token(slug, email, &code).await.unwrap().text("refresh_token")
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_beside_dev() {
    let scratch = Scratch::new("dev");
    let home = scratch.path();
    let program = Setup::dev_in(home)
        .set("DOORCODE__LIMITS__CLIENT__ENABLED", "true")
        .set("DOORCODE__LIMITS__CLIENT__LOGIN_PER_MINUTE", "60")
        .set("DOORCODE__LIMITS__CLIENT__LOGIN_PER_HOUR", "5000")
        .start()
        .await;

    let second = Setup::dev_in(home).run().await;
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    let in_use = format!("in use by another process (pid {})", program.pid());
    assert!(said(&second).contains(&in_use), "{}", said(&second));

    beside(home, "tenant add acme --name Acme --origin https://portal.acme.com", 0).await;
    assert!(beside(home, "tenant add acme --name Again", 1).await.contains("acme"));
    assert!(beside(home, "customer list acmee", 1).await.contains("did you mean `acme`?"));
    assert!(beside(home, "customer list globex", 1).await.contains("doorcode tenant list"));
    assert!(beside(home, "custmer list acme", 2).await.contains("'customer'"), "a command that is meant");
    beside(home, "customer add acme ann@example.com bob@example.com", 0).await;
    beside(home, r#"customer add acme cat@example.com --external-id 42 --claims {"plan":"pro"}"#, 0).await;
    assert!(
        beside(home, "customer add acme x@example.com --external-id 42", 1).await.contains("external id")
    );
    let acme = json(&beside(home, "customer list acme --json", 0).await);
    let cat = acme.as_array().unwrap().iter().find(|one| one["external_id"] == "42").unwrap();
    assert_eq!((&cat["email"], &cat["claims"]["plan"]), (&"cat@example.com".into(), &"pro".into()));
    let list = home.join("customers.csv");
    let lines: String = (0..30).map(|n| format!("user{n}@example.com\n")).collect();
    std::fs::write(&list, format!("email\n{lines}not an address\n")).unwrap();
    let refused = beside(home, &format!("customer import demo {}", list.display()), 1).await;
    assert!(refused.contains("32"), "the line is named: {refused}");
    std::fs::write(&list, "email;customer_id\nann@example.com;7\n").unwrap();
    let refused = beside(home, &format!("customer import demo {}", list.display()), 1).await;
    assert!(refused.contains("line 1: cells are separated by ';'"), "{refused}");
    let customers = json(&beside(home, "customer list demo --json", 0).await);
    assert_eq!(customers.as_array().unwrap().len(), 32);

    sessions_are_listed_and_revoked(&program, home).await;
    assert!(beside(home, "healthcheck --url http://127.0.0.1:1/readyz", 1).await.contains("refused"));
    let ready = beside(home, &format!("healthcheck --url http://{}/readyz", program.ops), 0).await;
    assert_eq!(ready, "ready\n");
    load_runs(&program, home).await;
    program.stop().await;
    assert!(beside(home, "tenant list", 1).await.contains("--data-dir"));
}

/// E14.
async fn sessions_are_listed_and_revoked(program: &Program, home: &Path) {
    let token = log_in(program, "acme", "ann@example.com").await;
    let sessions = json(&beside(home, "session list acme ann@example.com --json", 0).await);
    let id = sessions[0]["session_id"].as_str().unwrap().to_owned();
    beside(home, &format!("session revoke acme {id}"), 0).await;
    assert_eq!(program.wire().refresh(&token).await.unwrap().status, 401);
    beside(home, &format!("session revoke acme {id}"), 1).await;

    let token = log_in(program, "acme", "bob@example.com").await;
    beside(home, "session revoke acme bob@example.com", 0).await;
    assert_eq!(program.wire().refresh(&token).await.unwrap().status, 401);
    assert_eq!(
        json(&beside(home, "session list acme bob@example.com --json", 0).await),
        Value::Array(vec![])
    );
}

/// Short runs, judged by their exit codes.
async fn load_runs(program: &Program, home: &Path) {
    let page = home.join("report.html");
    let journey =
        format!("journey --count 8 --connections 2 --warm-up 1ms --create --html {}", page.display());
    let runs = [
        (journey.as_str(), 0),
        // this caller may ask 60 times and no more
        ("login --duration 4s --connections 4 --warm-up 1ms --count 200", 1),
        // who asks from many addresses may
        ("login --connections 4 --warm-up 1ms --count 120 --clients 4 --fail-if login.failed>0", 0),
    ];
    for (run, exit_code) in runs {
        let (target, metrics) = (format!("http://{}", program.api), format!("http://{}", program.ops));
        let home = home.display().to_string();
        let mut words = vec!["loadtest"];
        words.extend(run.split(' '));
        words.extend(["--target", &target, "--metrics", &metrics, "--data-dir", &home]);
        let output = Setup::of(&words).run().await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(exit_code), "{run}: {text}\n{}", said(&output));
    }
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Batch size") && page.contains("Actor depth"), "the metrics are shown");
}
