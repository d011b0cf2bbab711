//! Tenants whose list of customers is open: the right code makes the customer.

use crate::support::postgres::{ACME, ADA, GLOBEX, MALLORY, connect};
use crate::support::{TestApp, Tokens, another_code};
use doorcode_actors::directory::{Signup, TenantChange};
use serde_json::json;

const NEW: &str = "Neo@new.example";

async fn signs_up(app: &TestApp, signup: &str) {
    let signup = Some(signup.parse::<Signup>().unwrap());
    app.directory.change_tenant(ACME, &TenantChange { signup, ..TenantChange::default() }).await.unwrap();
}

async fn customers(app: &TestApp) -> i64 {
    app.database
        .count("SELECT count(*) FROM customers k JOIN tenants t USING (tenant_id) WHERE t.slug = 'acme'")
        .await
}

/// A9, C1: an unknown address is mailed and becomes a customer by the right code, not by asking, and not by a wrong one.
#[tokio::test]
async fn c1_the_right_code_makes_a_customer() {
    let app = TestApp::spawn().await;
    signs_up(&app, "open").await;
    let token_claims = Some(vec!["email".parse().unwrap()]);
    app.directory
        .change_tenant(ACME, &TenantChange { token_claims, ..TenantChange::default() })
        .await
        .unwrap();
    let before = customers(&app).await;
    let (known, unknown) = (app.asks_for_code(ADA).await, app.asks_for_code(NEW).await);
    assert_eq!(known.told(), unknown.told());
    let code = app.mailed_code(NEW).await;
    assert_eq!(app.types_code(NEW, &another_code(&code)).await.status, 401);
    assert_eq!(app.types_code(MALLORY, &code).await.status, 401);
    assert_eq!(customers(&app).await, before);
    let tokens = Tokens::of(&app.types_code("neo@NEW.example", &code).await);
    assert_eq!(tokens.claims()["email"], json!("neo@new.example"), "as typed with the code");
    assert_eq!(customers(&app).await, before + 1);
    let next = Tokens::of(&app.refreshes(&tokens.refresh).await);
    assert_eq!(
        (&next.customer_id, &next.claims()["email"]),
        (&tokens.customer_id, &json!("neo@new.example"))
    );
    assert_eq!(app.types_code(NEW, &code).await.status, 401, "once");
    // from then on a customer as any other
    assert_eq!(app.logs_in(NEW).await.customer_id, tokens.customer_id);
    let code = {
        app.asks_for_code(NEW).await;
        app.mailed_code(NEW).await
    };
    app.directory.disable_customer(ACME, NEW).await.unwrap();
    assert_eq!(app.types_code(NEW, &code).await.status, 401, "a disabled one is not made anew");
    assert_eq!(customers(&app).await, before + 1);
    let told = "SELECT count(*) FROM events WHERE type = 'customer.created' AND actor->>'type' = 'customer'
        AND targets->0->>'id' = actor->>'id'";
    assert_eq!(app.database.count(told).await, 1);
    app.finish().await;
}

/// A4: 100 right guesses at once at two replicas make one customer with one session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a4_right_codes_at_once_make_one_customer() {
    let app = TestApp::spawn().await;
    let replica = app.replica().await;
    signs_up(&app, "open").await;
    let before = customers(&app).await;
    app.asks_for_code(NEW).await;
    let code = app.mailed_code(NEW).await;
    let guesses = vec![app.visitor().code_request("token", NEW, &code); 100];
    let answers = app.send_at_once_to(&[app.public(), replica.public()], &guesses).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(customers(&app).await, before + 1);
    assert_eq!(app.database.count("SELECT count(*) FROM sessions").await, 1);
    replica.end().await;
    app.finish().await;
}

/// Whom an administrator made meanwhile, or makes at this very moment, is logged in, not made once more.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_makes_the_customer_meanwhile() {
    let app = TestApp::spawn().await;
    signs_up(&app, "open").await;
    let before = customers(&app).await;
    app.asks_for_code(NEW).await;
    let code = app.mailed_code(NEW).await;
    let mut other = connect(&app.database.url).await;
    let making = other.transaction().await.unwrap();
    let make = "INSERT INTO customers (tenant_id, customer_id, address_key, email, disabled, created_us)
        SELECT tenant_id, gen_random_uuid(), address_key, 'neo@new.example', false, 0 FROM challenges RETURNING customer_id::text";
    let made: String = making.query_one(make, &[]).await.unwrap().get(0);
    let (answer, ()) = tokio::join!(app.types_code(NEW, &code), async {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
        app.database.until(waits).await;
        making.commit().await.unwrap();
    });
    assert_eq!(Tokens::of(&answer).customer_id, made);
    assert_eq!(customers(&app).await, before + 1);
    app.finish().await;
}

/// C1: domains are compared as a whole; other tenants, and this one once it is closed, mail nobody new.
#[tokio::test]
async fn c1_only_those_who_may_sign_up() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    signs_up(&app, "new.example,other.example").await;
    for (email, mails) in [
        ("a@new.example", 1),
        ("a@other.example", 1),
        ("a@sub.new.example", 0),
        ("a@xnew.example", 0),
        ("new.example@evil.example", 0),
    ] {
        app.asks_for_code(email).await;
        assert_eq!(app.mails_to(email).await, mails, "{email}");
    }
    app.at(GLOBEX).asks_for_code(NEW).await;
    assert_eq!(app.mails_to(NEW).await, 0);
    let code = app.mailed_code("a@new.example").await;
    signs_up(&app, "closed").await;
    assert_eq!(app.types_code("a@new.example", &code).await.status, 401, "closed meanwhile");
    app.finish().await;
}

/// L4: new addresses share a budget of mails, whoever asks, at whichever replica; customers are not in it.
#[tokio::test(flavor = "multi_thread")]
async fn l4_new_addresses_share_a_budget() {
    let app =
        TestApp::builder().set("limits.signup.burst", "3").set("limits.signup.per_hour", "60").spawn().await;
    let replica = app.replica().await;
    signs_up(&app, "open").await;
    let emails: Vec<String> = (0..8).map(|n| format!("n{n}@new.example")).collect();
    let asks: Vec<_> = emails.iter().map(|email| app.visitor().login_request(email)).collect();
    app.send_at_once_to(&[app.public(), replica.public()], &asks).await;
    let mut mails = 0;
    for email in &emails {
        mails += app.mails_to(email).await;
    }
    assert_eq!(mails, 3);
    app.asks_for_code(ADA).await;
    app.mailed_code(ADA).await;
    app.pass_s(60);
    app.asks_for_code("later@new.example").await;
    app.mailed_code("later@new.example").await;
    replica.end().await;
    app.finish().await;
}
