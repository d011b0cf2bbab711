//! What the log says of a request: what it came to (K1), and its id from the line of HTTP through issuer, ledger and
//! PostgreSQL to the mail's hand-over.

use crate::support::another_code;
use crate::support::postgres::ACME;
use crate::support::process::{Program, Site};
use serde_json::{Value, json};
use std::time::Duration;
use test_peers::smtp::{Act, Point};
use tokio::time::timeout;

const LEVEL: &str = "info,doorcode_actors=debug";

/// The lines of the log that name a request, in their order.
fn told(program: &Program, id: &str) -> Vec<String> {
    let log = program.log();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named = |event: &Value| {
        let one = event["request_id"] == id;
        one || event["request_ids"].as_str().is_some_and(|ids| ids.split(' ').any(|other| other == id))
    };
    let text = |event: Value| event["message"].as_str().unwrap_or("http").to_owned();
    events.filter(named).map(text).collect()
}

/// Issue, commit, a relay that says "later", `kill -9`, and the next process hands the mail over: all under one id.
#[tokio::test(flavor = "multi_thread")]
async fn a_requests_id_goes_with_it_until_its_mail_is_handed_over() {
    let site = Site::with_customers(1).await;
    let program = site.setup().set("DOORCODE__LOG__LEVEL", LEVEL).start().await;
    site.sink.at(Point::Rcpt, Act::Reply("451 4.3.0 later"));
    let answer = program.wire().login(ACME, "user0@example.com").await.unwrap();
    assert_eq!(answer.status, 200);
    let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    program.until("tried", |now| now.mails("retried") > 0).await;
    program.logged("mail not sent").await;
    let first = told(&program, &id);
    for line in ["a request is admitted", "a batch is written", "http", "mail not sent; trying later"] {
        assert!(first.iter().any(|told| told == line), "{line} not in {first:?}\n{}", program.story());
    }
    // whose mail that is, and no address
    let query = "SELECT customer_id::text FROM customers WHERE email = 'user0@example.com'";
    let customer: String = site.database.client().query_one(query, &[]).await.unwrap().get(0);
    let log = program.log();
    let later = log.lines().find(|line| line.contains("mail not sent")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(later).unwrap()["customer"], *customer, "{later}");
    assert!(!log.contains("user0@"), "{log}");
    program.kill().await;
    site.sink.heal();
    let next = site.setup().set("DOORCODE__LOG__LEVEL", LEVEL).start().await;
    site.code("user0@example.com").await;
    next.logged("a mail is handed over").await;
    assert_eq!(told(&next, &id), ["a mail is handed over"], "{}", next.story());
    // nobody's mail says so, under its own id
    let answer = next.wire().login(ACME, "nobody@example.com").await.unwrap();
    let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    next.logged("a mail does not leave").await;
    assert!(told(&next, &id).contains(&"a mail does not leave".to_owned()), "{}", next.story());
    next.stop().await;
}

/// K1: what each call came to is one line: when, at whose tenant, about which address, from which network; also when the
/// caller has gone before its answer.
#[tokio::test(flavor = "multi_thread")]
async fn k1_every_outcome_is_one_line_of_the_log() {
    let site = Site::with_customers(1).await;
    let program = site.setup().start().await;
    let (mut wire, email) = (program.wire(), "user0@example.com");
    let mut asked = vec![("accepted", wire.login(ACME, email).await.unwrap())];
    let code = site.code(email).await;
    asked.push(("wrong", wire.token(ACME, email, &another_code(&code)).await.unwrap()));
    let login = wire.token(ACME, email, &code).await.unwrap();
    let first = login.text("refresh_token");
    let about_address = asked.len() + 1;
    asked.push(("logged_in", login));
    let rotated = wire.refresh(&first).await.unwrap();
    let second = rotated.text("refresh_token");
    asked.push(("rotated", rotated));
    asked.push(("rotated", wire.refresh(&second).await.unwrap()));
    asked.push(("theft", wire.refresh(&first).await.unwrap()));
    asked.push(("gone", wire.refresh(&second).await.unwrap()));
    asked.push(("done", wire.logout(&second).await.unwrap()));
    asked.push(("forged", wire.refresh("dcr_nobody").await.unwrap()));
    asked.push(("accepted", wire.login("nobody", email).await.unwrap()));

    let keys = "SELECT tenant_id, address_key FROM customers WHERE email = $1";
    let row = site.database.client().query_one(keys, &[&email]).await.unwrap();
    let [tenant, subject]: [String; 2] = [0, 1].map(|at| row.get::<_, uuid::Uuid>(at).to_string());
    let lines = |program: &Program| -> Vec<Value> {
        let log = program.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["target"] == "doorcode::access").collect()
    };
    let mut session = None;
    for (at, (outcome, answer)) in asked.iter().enumerate() {
        let id = answer.headers["x-request-id"].to_str().unwrap();
        program.logged(id).await;
        let told = lines(&program).into_iter().filter(|line| line["request_id"] == id).collect::<Vec<_>>();
        let [line] = told.try_into().unwrap();
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert_eq!((&line["outcome"], &line["network"]), (&json!(outcome), &json!("127.0.0.x")), "{line}");
        assert_eq!(line["status"], answer.status, "{line}");
        let is_nobodys = at + 2 >= asked.len();
        assert_eq!(line["tenant"], if is_nobodys { Value::Null } else { json!(tenant) }, "{line}");
        if at < about_address {
            assert_eq!(line["subject"], json!(subject), "{line}");
        } else if !is_nobodys {
            assert_eq!(line["session"], session.clone().unwrap(), "{line}");
        }
        if *outcome == "logged_in" {
            session = Some(line["session"].clone());
        }
    }

    let gate = site.database.client();
    gate.batch_execute("BEGIN; SELECT FROM challenges FOR UPDATE").await.unwrap();
    let mut hasty = program.wire();
    let gone = timeout(Duration::from_millis(300), hasty.token(ACME, email, "000000")).await;
    assert!(gone.is_err(), "it waits for the lock: {gone:?}");
    drop(hasty);
    program.logged(r#""status":499"#).await;
    gate.batch_execute("COMMIT").await.unwrap();
    let line = lines(&program).into_iter().find(|line| line["status"] == 499).unwrap();
    assert_eq!((&line["route"], &line["subject"]), (&json!("token"), &json!(subject)), "{line}");
    program.stop().await;
    site.database.remove().await;
}
