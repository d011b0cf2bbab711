//! The admin API: a tenant's backend makes customers, sees and ends their sessions, and reads what happened.

use crate::support::TestApp;
use crate::support::client::{Answer, Client, Request};
use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE};
use doorcode_actors::directory::{NewAdminKey, Scope};
use serde_json::{Value, json};

/// Who holds a key.
struct Backend<'a> {
    app: &'a TestApp,
    key: String,
}

impl<'a> Backend<'a> {
    async fn new(app: &'a TestApp, scopes: &[Scope], tenant: Option<&str>) -> Self {
        let tenant = tenant.map(str::to_owned);
        let new = NewAdminKey { name: "test".to_owned(), scopes: scopes.to_vec(), tenant, life: None };
        let (_, key) = app.directory.add_admin_key(&new).await.unwrap();
        Self { app, key: key.to_string() }
    }

    async fn send(&self, request: Request) -> Answer {
        let request = request.header("Authorization", &format!("Bearer {}", self.key));
        Client::connect(self.app.ops()).await.send(&request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(&format!("/v1/admin/{path}"))).await
    }

    async fn call(&self, method: &'static str, path: &str, body: Value) -> Answer {
        self.send(Request::with(method, &format!("/v1/admin/{path}"), &body)).await
    }
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_provisions_its_customers() {
    let app = TestApp::spawn().await;
    let backend = Backend::new(&app, &[Scope::Read, Scope::Write], Some(ACME)).await;
    let body = json!({ "email": "zoe@example.com", "locale": "de", "claims": { "plan": "pro" } });
    let made = backend.call("PUT", "tenants/acme/customers/user%7C42", body.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["external_id"], "user|42");
    let again = backend.call("PUT", "tenants/acme/customers/user%7C42", body).await;
    assert_eq!((again.status, again.json()), (200, made.json()), "idempotent");
    let taken = backend.call("PUT", "tenants/acme/customers/43", json!({ "email": "ZOE@example.com" })).await;
    assert_eq!(code(&taken), (409, "email_taken".to_owned()));
    assert!(!taken.told().contains("example.com"), "no address in an answer that is no success");

    let tokens = app.logs_in("zoe@example.com").await;
    let sessions = backend.get("tenants/acme/customers/user%7C42/sessions").await.json();
    let session = sessions["items"][0]["session_id"].as_str().unwrap().to_owned();
    assert_eq!(session, tokens.claims()["sid"]);
    let export = backend.get("tenants/acme/customers/user%7C42/export").await.json();
    assert_eq!(
        (&export["customer"]["claims"]["plan"], &export["sessions"][0]["session_id"]),
        (&json!("pro"), &json!(session))
    );
    let path = format!("tenants/acme/sessions/{session}");
    assert_eq!(backend.call("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(
        code(&backend.call("DELETE", &path, Value::Null).await),
        (404, "session_not_found".to_owned())
    );
    assert_eq!(app.refreshes(&tokens.refresh).await.status, 401);

    let tokens = app.logs_in("zoe@example.com").await;
    let disabled =
        backend.call("PATCH", "tenants/acme/customers/user%7C42", json!({ "disabled": true })).await;
    assert_eq!((disabled.status, &disabled.json()["locale"]), (200, &json!("de")), "the rest stays");
    assert_eq!(app.refreshes(&tokens.refresh).await.status, 401, "E7");
    assert_eq!(backend.call("DELETE", "tenants/acme/customers/user%7C42", Value::Null).await.status, 204);
    assert_eq!(
        code(&backend.get("tenants/acme/customers/user%7C42").await),
        (404, "customer_not_found".to_owned())
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_each_and_lists_are_paged() {
    let app = TestApp::spawn().await;
    let backend = Backend::new(&app, &[Scope::Read, Scope::Write], None).await;
    let mut rows: Vec<Value> = (0..1_000)
        .map(|n| json!({ "external_id": n.to_string(), "email": format!("n{n}@example.com") }))
        .collect();
    rows[7]["email"] = json!("nonsense");
    rows[8]["locale"] = json!("not a tag");
    rows[9]["email"] = json!("n10@EXAMPLE.com");
    rows[11] = json!({ "external_id": "11", "email": GRACE, "claims": { "plan": "free" } });
    rows[12]["plan"] = json!("pro");
    let answer = backend.call("POST", "tenants/acme/customers:batch", json!({ "customers": rows })).await;
    assert_eq!(answer.status, 200, "{}", answer.told());
    let items = answer.json()["items"].as_array().unwrap().clone();
    let codes: Vec<&Value> = [7, 8, 10, 12].iter().map(|&n| &items[n as usize]["error"]["code"]).collect();
    assert_eq!(codes, ["invalid_email", "invalid_locale", "twice_in_batch", "invalid_body"]);
    let status = |n: usize| items[n]["status"].as_u64().unwrap();
    assert_eq!((status(0), status(9), status(11)), (201, 201, 200), "Grace was there and is given her id");
    assert_eq!(items.iter().filter(|item| item["status"] == 201).count(), 995);
    rows.push(json!({}));
    let large = backend.call("POST", "tenants/acme/customers:batch", json!({ "customers": rows })).await;
    assert_eq!(code(&large), (422, "batch_too_large".to_owned()));

    let (mut token, mut seen) = (String::new(), 0);
    loop {
        let page = backend.get(&format!("tenants/acme/customers?page_size=300{token}")).await.json();
        seen += page["items"].as_array().unwrap().len();
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 998, "995, and Ada, Grace and Dora");
    let found = backend.get(&format!("tenants/acme/customers?email={ADA}")).await.json();
    assert_eq!(found["items"][0]["external_id"], Value::Null);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_do_what_its_scopes_say() {
    let app = TestApp::builder().set("admin.requests_per_second", "20").spawn().await;
    let anybody = Backend { app: &app, key: "dca_0123456789abcdef_00".to_owned() };
    assert_eq!(code(&anybody.get("tenants").await), (401, "invalid_key".to_owned()));
    let naked = Client::connect(app.ops()).await.send(&Request::get("/v1/admin/tenants")).await;
    assert_eq!((naked.status, naked.header("www-authenticate")), (401, Some("Bearer")));
    let reader = Backend::new(&app, &[Scope::Read], Some(ACME)).await;
    let refused = reader.call("PUT", "tenants/acme/customers/1", json!({ "email": "a@example.com" })).await;
    assert_eq!(code(&refused), (403, "missing_scope".to_owned()));
    assert_eq!(code(&reader.get("tenants/globex").await), (404, "tenant_not_found".to_owned()));
    assert_eq!(reader.get("tenants").await.json()["items"].as_array().unwrap().len(), 1, "its own only");
    let globex = Backend::new(&app, &[Scope::Read], Some(GLOBEX)).await;
    let alone = globex.get("tenants?page_size=1").await.json();
    assert_eq!((&alone["items"][0]["slug"], &alone["next_page_token"]), (&json!(GLOBEX), &Value::Null), "I1");
    assert_eq!(globex.get("tenants?page_token=globex").await.json()["items"], json!([]));
    assert_eq!(reader.get("keys").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(code(&reader.get("nothing").await), (404, "not_found".to_owned()));
    let method = reader.call("POST", "keys", json!({})).await;
    assert_eq!(
        (code(&method), method.header("allow")),
        ((405, "method_not_allowed".to_owned()), Some("GET"))
    );

    let owner = Backend::new(&app, &[Scope::Read, Scope::Write], None).await;
    let new = json!({ "slug": "initech", "name": "Initech", "origins": ["https://initech.example"] });
    let made = owner.call("POST", "tenants", new.clone()).await;
    assert_eq!((made.status, &made.json()["origins"][0]), (201, &json!("https://initech.example")));
    assert_eq!(code(&owner.call("POST", "tenants", new).await), (409, "tenant_exists".to_owned()));
    let writer = Backend::new(&app, &[Scope::Write], Some(ACME)).await;
    let taken = writer.call("PATCH", "tenants/acme", json!({ "origins": ["https://initech.example"] })).await;
    assert_eq!(code(&taken), (409, "origin_taken".to_owned()));
    assert!(!taken.told().contains("`initech`"), "I1: whose it is");
    let change = json!({ "name": "Initrode", "colour": "#7a1fa2", "disabled": true });
    let changed = owner.call("PATCH", "tenants/initech", change).await.json();
    assert_eq!((&changed["name"], &changed["disabled"]), (&json!("Initrode"), &json!(true)));
    let typo = owner.call("PATCH", "tenants/initech", json!({ "nmae": "x" })).await;
    assert!(typo.status == 422 && typo.told().contains("nmae"), "{typo:?}");
    assert_eq!(owner.get(&format!("tenants/{GLOBEX}")).await.status, 200);
    let mut limited = 0;
    for _ in 0..40 {
        limited += usize::from(owner.get("keys").await.status == 429);
    }
    assert!(limited > 0, "each key has its limit");
    app.finish().await;
}

/// What happened is one log: by whom, to whom, and without an address.
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_an_event() {
    let app = TestApp::spawn().await;
    let backend = Backend::new(&app, &[Scope::Read, Scope::Write], Some(ACME)).await;
    app.database.client().batch_execute("DELETE FROM events").await.unwrap();
    let tokens = app.logs_in(ADA).await;
    app.logs_out(&tokens.refresh).await;
    backend.call("PUT", "tenants/acme/customers/1", json!({ "email": ADA })).await;
    assert_eq!(
        backend.get("events?types=session.created").await.json()["items"],
        json!([]),
        "younger than 10 s"
    );
    let earlier = "UPDATE events SET event_id = overlay(event_floor((extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        - 60000000)::text PLACING right(event_id::text, 23) FROM 14)::uuid";
    app.database.client().batch_execute(earlier).await.unwrap();
    let page = backend.get("events?types=session.*,customer.updated").await.json();
    let mut types: Vec<&str> =
        page["items"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    types.sort_unstable();
    assert_eq!(types, ["customer.updated", "session.created", "session.revoked"]);
    assert_eq!(page["more"], false);
    assert!(!page.to_string().contains('@'), "{page}");
    let lines =
        backend.send(Request::get("/v1/admin/events?limit=2").header("Accept", "application/x-ndjson")).await;
    assert_eq!(lines.header("doorcode-more"), Some("true"));
    assert_eq!(lines.told().matches("\"occurred_at\"").count(), 2);
    app.finish().await;
}

/// A3, A6: a fresh code for a key that may issue codes, nobody mailed, once; no budget is refilled by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_issued_without_a_mail() {
    let app = TestApp::spawn().await;
    let backend = Backend::new(&app, &[Scope::Write, Scope::IssueCodes], Some(ACME)).await;
    backend.call("PUT", "tenants/acme/customers/7", json!({ "email": ADA })).await;
    let issue = async || backend.call("POST", "tenants/acme/customers/7/codes", json!({})).await;
    let issued = issue().await;
    assert_eq!(issued.status, 201, "{issued:?}");
    let issued = issued.json()["code"].as_str().unwrap().to_owned();
    assert_eq!(app.types_code(GRACE, &issued).await.status, 401);
    assert_eq!(app.types_code(ADA, &issued).await.status, 200);
    assert_eq!(app.types_code(ADA, &issued).await.status, 401, "once");
    assert_eq!(app.mails_to(ADA).await, 0);
    let event = "SELECT count(*) FROM events e JOIN customers k ON e.targets->0->>'id' = k.customer_id::text
        WHERE e.type = 'admin.code_issued' AND e.actor->>'type' = 'admin_key' AND k.external_id = '7'";
    assert_eq!(app.database.count(event).await, 1);
    for _ in 0..10 {
        issue().await;
        for _ in 0..5 {
            assert_eq!(app.from("192.0.2.1").types_code(ADA, "ZZZZZZ").await.status, 401);
        }
    }
    let last = issue().await.json()["code"].as_str().unwrap().to_owned();
    assert_eq!(app.from("192.0.2.1").types_code(ADA, &last).await.status, 401, "50 guesses are spent");
    assert_eq!(app.types_code(ADA, &last).await.status, 200, "a known client is not a stranger");
    let without = Backend::new(&app, &[Scope::Read, Scope::Write], None).await;
    let refused = without.call("POST", "tenants/acme/customers/7/codes", json!({})).await;
    assert_eq!(code(&refused), (403, "missing_scope".to_owned()));
    let nobody = backend.call("POST", "tenants/acme/customers/8/codes", json!({})).await;
    assert_eq!(code(&nobody), (404, "customer_not_found".to_owned()));
    app.finish().await;
}

/// A code that would open nothing is not issued.
#[tokio::test(flavor = "multi_thread")]
async fn a_useless_code_is_not_issued() {
    let app = TestApp::spawn().await;
    let backend = Backend::new(&app, &[Scope::Write, Scope::IssueCodes], None).await;
    backend.call("PUT", "tenants/acme/customers/7", json!({ "email": ADA })).await;
    let issue = async || backend.call("POST", "tenants/acme/customers/7/codes", json!({})).await;
    app.directory.make_test_code(ACME, ADA, 1).await.unwrap();
    assert_eq!(code(&issue().await), (409, "has_test_code".to_owned()));
    app.directory.remove_test_code(ACME, ADA).await.unwrap();
    app.directory.disable_customer(ACME, ADA).await.unwrap();
    assert_eq!(code(&issue().await), (409, "disabled".to_owned()));
    app.directory.enable_customer(ACME, ADA).await.unwrap();
    app.directory.disable_tenant(ACME, true).await.unwrap();
    assert_eq!(code(&issue().await), (409, "disabled".to_owned()));
    app.finish().await;
}

/// A provider's report holds mail back, an administrator lets it out again; `/login` answers alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_bounced_address_gets_no_mail_until_it_is_let_out() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let app = TestApp::builder()
        .without_mail_limits()
        .set("mail.smtp.host", "localhost")
        .set("mail.smtp.report_secret", SECRET)
        .spawn()
        .await;
    let report = async |provider: &str, secret: &str, body: Value| {
        let request = Request::with("POST", &format!("/hooks/mail/{provider}"), &body);
        let request = request.header("Authorization", &format!("Bearer {secret}"));
        Client::connect(app.public()).await.send(&request).await.status
    };
    let bounce = json!({ "type": "bounce", "email": "Ada@Example.com" });
    assert_eq!(report("smtp", "wrong", bounce.clone()).await, 401);
    assert_eq!(report("hook", SECRET, bounce.clone()).await, 401, "each provider has a secret of its own");
    assert_eq!(report("smtp", SECRET, json!({ "type": "open", "email": ADA })).await, 422);
    let elsewhere = json!({ "type": "bounce", "email": ADA, "tenant_slug": "nobody" });
    assert_eq!(report("smtp", SECRET, elsewhere).await, 422);
    assert_eq!(
        report("smtp", SECRET, json!({ "type": "bounce", "email": "x@example.com" })).await,
        204,
        "nobody's"
    );
    assert_eq!(report("smtp", SECRET, bounce).await, 204);

    let backend = Backend::new(&app, &[Scope::Read, Scope::Write], Some(ACME)).await;
    let listed = backend.get("tenants/acme/suppressions").await.json();
    assert_eq!(
        (&listed["items"][0]["email"], &listed["items"][0]["reason"]),
        (&json!(ADA), &json!("bounce"))
    );
    let asked = app.asks_for_code(ADA).await;
    assert_eq!((asked.status, asked.json()), (200, json!({})));
    app.asks_for_code(GRACE).await;
    app.next_mail(GRACE).await;
    app.no_further_mail(ADA).await;

    let path = format!("tenants/acme/suppressions/{ADA}");
    assert_eq!(backend.call("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(backend.get("tenants/acme/suppressions").await.json()["items"], json!([]));
    app.logs_in(ADA).await;
    app.finish().await;
}
