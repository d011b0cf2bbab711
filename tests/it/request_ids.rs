//! One request's id in the log: from the line of HTTP through issuer, ledger and PostgreSQL to the mail's hand-over.

use crate::support::postgres::ACME;
use crate::support::process::{Program, Site};
use crate::support::smtp_sink::{Act, Point};
use serde_json::Value;

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
