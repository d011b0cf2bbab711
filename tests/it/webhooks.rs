//! Webhooks: a receiver of its own for each test, which answers as it is told.

use crate::support::client::{Answer, Client, Request};
use crate::support::postgres::{ACME, ADA};
use crate::support::{PATIENCE, TestApp};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorcode_actors::directory::{NewAdminKey, Scope};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What came.
#[derive(Clone, Debug)]
struct Received {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Received {
    fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        self.event()["type"].as_str().unwrap().to_owned()
    }

    /// Whether one of its signatures is by this secret, as Standard Webhooks 1.0 says.
    fn is_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let (id, at) = (&self.headers["webhook-id"], &self.headers["webhook-timestamp"]);
        let signed = [format!("{id}.{at}.").as_bytes(), &self.body].concat();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
        let wanted = format!("v1,{}", STANDARD.encode(tag));
        self.headers["webhook-signature"].split(' ').any(|signature| signature == wanted)
    }
}

/// An HTTP server that notes what it is sent.
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    /// What it answers from now on; empty: nothing, it hangs.
    answer: Arc<Mutex<&'static str>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events?token=hunter2", listener.local_addr().unwrap());
        let (received, answer) = (Arc::default(), Arc::new(Mutex::new(answer)));
        let (noted, told) = (Arc::clone(&received), Arc::clone(&answer));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&noted), Arc::clone(&told)));
            }
        });
        Self { url, received, answer, serving }
    }

    fn says(&self, answer: &'static str) {
        *self.answer.lock().unwrap() = answer;
    }

    async fn wait_for(&self, count: usize) -> Vec<Received> {
        let waiting = async {
            loop {
                let received = self.received.lock().unwrap().clone();
                if received.len() >= count {
                    return received;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("events in time")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(stream: TcpStream, received: Arc<Mutex<Vec<Received>>>, answer: Arc<Mutex<&'static str>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut headers = BTreeMap::new();
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
            if let Some((name, value)) = line.split_once(": ") {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            line.clear();
        }
        let Some(length) = headers.get("content-length") else { return };
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        received.lock().unwrap().push(Received { headers, body });
        let answer = *answer.lock().unwrap();
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

const OK: &str = "204 No Content";

/// doorcode, and who holds a key of the admin API.
struct World {
    app: TestApp,
    key: String,
}

impl World {
    async fn new(allow_private: &str) -> Self {
        let app = TestApp::builder().set("webhooks.allow_private", allow_private).spawn().await;
        let key = key(&app, None).await;
        Self { app, key }
    }

    async fn call(&self, method: &'static str, path: &str, body: Value) -> Answer {
        call(&self.app, &self.key, method, path, body).await
    }

    /// A webhook, and its secret.
    async fn webhook(&self, url: &str, types: &[&str]) -> (String, String) {
        let body = json!({ "url": url, "tenant": ACME, "types": types });
        let made = self.call("POST", "webhooks", body).await;
        assert_eq!(made.status, 201, "{}", made.told());
        let text = |field: &str| made.json()[field].as_str().unwrap().to_owned();
        (text("webhook_id"), text("secret"))
    }

    async fn show(&self, id: &str) -> Value {
        self.call("GET", &format!("webhooks/{id}"), Value::Null).await.json()
    }

    async fn sql(&self, text: &str) {
        self.app.database.client().batch_execute(text).await.unwrap();
    }

    /// Waits until this is so of all webhooks.
    async fn until(&self, condition: &str) {
        let query = format!("SELECT coalesce(bool_and({condition}), false) FROM webhooks");
        self.app.database.until(&query).await;
    }

    /// Makes what happened so far older than 10 s, and not seen by any webhook.
    async fn backdate(&self) {
        self.sql(
            "UPDATE webhooks SET after_id = '00000000-0000-0000-0000-000000000000';
            UPDATE events e SET event_id = overlay(event_floor((extract(epoch FROM clock_timestamp()) * 1000000)::bigint
                - 60000000 + n * 1000)::text PLACING right(e.event_id::text, 23) FROM 14)::uuid
            FROM (SELECT event_id, row_number() OVER (ORDER BY event_id) AS n FROM events) o WHERE o.event_id = e.event_id",
        )
        .await;
    }

    /// One session.created and one session.revoked.
    async fn comes_and_goes(&self) {
        let tokens = self.app.logs_in(ADA).await;
        self.app.logs_out(&tokens.refresh).await;
    }
}

async fn key(app: &TestApp, tenant: Option<&str>) -> String {
    let scopes = vec![Scope::Read, Scope::Write];
    let new = NewAdminKey { name: "test".to_owned(), scopes, tenant: tenant.map(str::to_owned), life: None };
    app.directory.add_admin_key(&new).await.unwrap().1.to_string()
}

async fn call(app: &TestApp, key: &str, method: &'static str, path: &str, body: Value) -> Answer {
    let request = Request::with(method, &format!("/v1/admin/{path}"), &body);
    let request = request.header("Authorization", &format!("Bearer {key}"));
    Client::connect(app.ops()).await.send(&request).await
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_signed_and_in_order() {
    let world = World::new("true").await;
    let receiver = Receiver::start(OK).await;
    let (id, secret) = world.webhook(&receiver.url, &["session.*"]).await;
    world.comes_and_goes().await;
    world.backdate().await;
    let received = receiver.wait_for(2).await;
    let kinds: Vec<String> = received.iter().map(Received::kind).collect();
    assert_eq!(kinds, ["session.created", "session.revoked"], "and no admin.webhook_created");
    for one in &received {
        assert!(one.is_by(&secret), "{one:?}");
        assert_eq!(one.headers["webhook-id"], one.event()["id"].as_str().unwrap());
        assert_eq!(one.headers["content-type"], "application/json");
    }
    world.until("leased_us = 0 AND last_error IS NULL").await;

    let replaced = world.call("POST", &format!("webhooks/{id}/secret"), json!({})).await.json();
    let fresh = replaced["secret"].as_str().unwrap();
    assert_ne!(fresh, secret);
    let again = json!({ "event_id": received[1].headers["webhook-id"] });
    assert_eq!(world.call("POST", &format!("webhooks/{id}/replay"), again).await.status, 200);
    let received = receiver.wait_for(3).await;
    assert_eq!(received[2].headers["webhook-id"], received[1].headers["webhook-id"], "replayed");
    assert!(received[2].is_by(fresh) && received[2].is_by(&secret), "both are in use");
    world.sql("UPDATE webhooks SET former_until_us = 0").await;
    let again = json!({ "event_id": received[0].headers["webhook-id"] });
    world.call("POST", &format!("webhooks/{id}/replay"), again).await;
    let received = receiver.wait_for(5).await;
    assert_eq!(received[3].body, received[0].body);
    assert!(received[4].is_by(fresh) && !received[4].is_by(&secret), "a day later only the new one");
    assert_eq!(world.show(&id).await["secret"], Value::Null, "shown once");
    world.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_tried_again_and_one_that_is_gone_is_not() {
    let world = World::new("true").await;
    let receiver = Receiver::start("500 Broken").await;
    let (id, _) = world.webhook(&receiver.url, &["session.*"]).await;
    world.comes_and_goes().await;
    world.backdate().await;
    world.until("attempts = 1").await;
    let shown = world.show(&id).await;
    assert_eq!((&shown["last_error"], &shown["failed_tries"]), (&json!("HTTP 500"), &json!(1)));
    assert!(shown["failing_since"].is_string(), "{shown}");
    let wait = "SELECT (due_us - extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM webhooks";
    assert!((1..7_000_000).contains(&world.app.database.count(wait).await), "5 s, more or less");

    receiver.says("503 Busy\r\nRetry-After: 70");
    world.sql("UPDATE webhooks SET due_us = 0").await;
    world.until("attempts = 2").await;
    assert!((50_000_000..70_000_001).contains(&world.app.database.count(wait).await), "as it asked");

    receiver.says(OK);
    world.sql("UPDATE webhooks SET due_us = 0").await;
    let received = receiver.wait_for(4).await;
    assert_eq!(received[2].headers["webhook-id"], received[0].headers["webhook-id"]);
    assert_eq!(received[3].kind(), "session.revoked");
    world.until("attempts = 0 AND failing_us IS NULL").await;

    receiver.says("410 Gone");
    world.backdate().await;
    world.until("disabled = 'gone'").await;
    let noted = "SELECT count(*) FROM events WHERE type = 'admin.webhook_disabled' AND data = '{\"reason\": \"gone\"}'";
    assert_eq!(world.app.database.count(noted).await, 1);
    receiver.says(OK);
    let count = receiver.received.lock().unwrap().len();
    let enabled = world.call("PATCH", &format!("webhooks/{id}"), json!({ "disabled": false })).await.json();
    assert_eq!((&enabled["disabled"], &enabled["disabled_reason"]), (&json!(false), &Value::Null));
    assert_eq!(receiver.wait_for(count + 2).await[count].kind(), "session.created", "from where it was");
    world.app.finish().await;
}

/// What does not end by itself is bounded: an event that is refused, a receiver that is dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_is_left_out_and_a_dead_receiver_is_disabled() {
    let world = World::new("true").await;
    let receiver = Receiver::start("422 No").await;
    let (id, _) = world.webhook(&receiver.url, &["session.*"]).await;
    world.comes_and_goes().await;
    world.backdate().await;
    world.until("attempts = 1").await;
    world.sql("UPDATE webhooks SET due_us = 0, attempts = 19").await;
    world.until("attempts = 0 AND failing_us IS NOT NULL").await;
    receiver.says("503 Busy");
    world.sql("UPDATE webhooks SET due_us = 0, attempts = 30").await;
    world.until("attempts = 31").await;
    let kinds: Vec<String> = receiver.wait_for(3).await.iter().map(Received::kind).collect();
    assert_eq!(kinds, ["session.created", "session.created", "session.revoked"], "503 is no refusal");

    drop(receiver);
    world.sql("UPDATE webhooks SET due_us = 0, failing_us = failing_us - 3 * 86400000000").await;
    world.until("disabled = 'failing'").await;
    let shown = world.show(&id).await;
    assert!(shown["last_error"].as_str().unwrap().contains("refused"), "{shown}");
    world.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_nobody_else_and_replicas_share() {
    let world = World::new("true").await;
    let replica = world.app.replica().await;
    let (dead, alive) = (Receiver::start("").await, Receiver::start(OK).await);
    world.webhook(&dead.url, &[]).await;
    world.webhook(&alive.url, &["session.*"]).await;
    for _ in 0..5 {
        world.comes_and_goes().await;
    }
    world.backdate().await;
    dead.wait_for(1).await;
    let received = alive.wait_for(10).await;
    // longer than two rounds of both replicas
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!((alive.received.lock().unwrap().len(), dead.received.lock().unwrap().len()), (10, 1));
    let ids: Vec<&String> = received.iter().map(|one| &one.headers["webhook-id"]).collect();
    assert!(ids.is_sorted(), "in their order: {ids:?}");
    replica.end().await;
    world.app.finish().await;
}

/// A key of one tenant, which may be somebody else's, opens nothing in this network.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_leads_into_this_network_by_setting_only() {
    let world = World::new("false").await;
    for (url, code_) in [
        ("http://127.0.0.1:9000/", "invalid_url"),
        ("http://hooks.acme.com/", "invalid_url"),
        ("https://user:word@hooks.acme.com/", "invalid_url"),
        ("nonsense", "invalid_url"),
    ] {
        let refused = world.call("POST", "webhooks", json!({ "url": url })).await;
        assert_eq!(code(&refused), (422, code_.to_owned()), "{url}");
    }
    let receiver = Receiver::start(OK).await;
    for host in ["localhost", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254", "[fd00:ec2::254]"]
    {
        world.webhook(&receiver.url.replace("http://127.0.0.1", &format!("https://{host}")), &[]).await;
    }
    world.backdate().await;
    // the same as of a name that nobody has: which names are in this network is not told
    world.until("last_error LIKE 'the host has no address that may be called%'").await;
    assert!(receiver.received.lock().unwrap().is_empty());
    world.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_key_sees_its_own_webhooks() {
    let world = World::new("false").await;
    let hooks = "https://hooks.acme.com/";
    world.call("POST", "webhooks", json!({ "url": hooks })).await;
    let theirs = key(&world.app, Some("globex")).await;
    let (id, _) = world.webhook(hooks, &[]).await;
    let path = format!("webhooks/{id}");
    for (method, path, body) in [
        ("GET", path.clone(), Value::Null),
        ("PATCH", path.clone(), json!({ "disabled": true })),
        ("DELETE", path.clone(), Value::Null),
        ("POST", format!("{path}/secret"), json!({})),
        ("POST", format!("{path}/replay"), json!({ "event_id": id })),
    ] {
        let answer = call(&world.app, &theirs, method, &path, body).await;
        assert_eq!(code(&answer), (404, "webhook_not_found".to_owned()), "{method} {path}");
    }
    let foreign =
        call(&world.app, &theirs, "POST", "webhooks", json!({ "url": hooks, "tenant": ACME })).await;
    assert_eq!(code(&foreign), (404, "tenant_not_found".to_owned()));
    for n in 0..11 {
        let made = call(&world.app, &theirs, "POST", "webhooks", json!({ "url": hooks })).await;
        let wanted = if n < 10 { (201, String::new()) } else { (409, "too_many_webhooks".to_owned()) };
        assert_eq!(code(&made), wanted);
    }
    let own = call(&world.app, &theirs, "GET", "webhooks", Value::Null).await.json();
    assert!(own["items"].as_array().unwrap().iter().all(|one| one["tenant"] == "globex"));
    assert_eq!(own["items"].as_array().unwrap().len(), 10);
    let all = world.call("GET", "webhooks", Value::Null).await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 12);
    let types = world.call("PATCH", &path, json!({ "types": ["Session Created"] })).await;
    assert_eq!(code(&types), (422, "invalid_types".to_owned()));
    let changed =
        world.call("PATCH", &path, json!({ "types": ["customer.*"], "disabled": true })).await.json();
    assert_eq!(
        (&changed["types"], &changed["disabled_reason"]),
        (&json!(["customer.*"]), &json!("by_admin"))
    );
    assert_eq!(world.call("DELETE", &path, Value::Null).await.status, 204);
    let types = "SELECT count(DISTINCT type) FROM events WHERE type LIKE 'admin.webhook%' AND actor ->> 'type' = 'admin_key'";
    assert_eq!(world.app.database.count(types).await, 3, "created, updated, deleted");
    world.app.finish().await;
}
