//! Mails from outside: the language they are in, and what they say of the request.

use crate::support::app::TestApp;
use crate::support::client::{Client, Request};
use crate::support::postgres::{ACME, ADA, GRACE, connect};
use crate::support::{PATIENCE, tells_of_guesses};
use doorcode_actors::directory::TenantChange;
use doorcode_domain::Language;

/// The caller's browser, else the tenant, else English; the network comes from the request, the rest from the tenant.
#[tokio::test(flavor = "multi_thread")]
async fn h16_a_mail_is_in_the_callers_language() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let text = async |asked: Option<&str>| {
        let visitor = app.from("203.0.113.7");
        let visitor = match asked {
            Some(asked) => visitor.with("accept-language", asked),
            None => visitor,
        };
        assert_eq!(visitor.asks_for_code(ADA).await.status, 200);
        app.next_mail(ADA).await.text.clone()
    };
    let german = text(Some("de-AT,de;q=0.9,en;q=0.8")).await;
    assert!(
        german.contains("ist Ihr Code für die Anmeldung") && german.contains("von 203.0.113.x."),
        "{german}"
    );
    assert!(text(Some("sv")).await.contains("is your code to log in"), "a language that is not there");
    assert!(text(None).await.contains("is your code to log in"));
    let locale = Some(Language::of_tag("ja"));
    app.directory.change_tenant(ACME, &TenantChange { locale, ..TenantChange::default() }).await.unwrap();
    assert!(text(None).await.contains("ログインするためのコード"), "the tenant's");
    assert!(text(Some("pl")).await.contains("Twój kod logowania"), "the caller's goes first");
    let german = "UPDATE customers SET locale = 'de-CH'";
    connect(&app.database.url).await.execute(german, &[]).await.unwrap();
    assert!(text(Some("pl")).await.contains("ist Ihr Code"), "the customer's goes before all");
    app.finish().await;
}

/// L5: ten wrong codes at a customer's address are told, once a day whatever the process has forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn l5_failed_guesses_are_told_once_a_day() {
    let mut app = TestApp::builder().without_mail_limits().spawn().await;
    guesses_wrong(&app, ADA).await;
    until_told(&app, ADA).await;
    app.restart().await;
    guesses_wrong(&app, ADA).await;
    guesses_wrong(&app, GRACE).await;
    until_told(&app, GRACE).await;
    assert_eq!(told(&app, ADA).await, 1);
    app.finish().await;
}

async fn guesses_wrong(app: &TestApp, email: &str) {
    let before = app.missed_guesses().await;
    while app.missed_guesses().await < before + 10 {
        app.asks_for_code(email).await;
        for wrong in ["000000", "000001"] {
            app.types_code(email, wrong).await;
        }
    }
}

async fn told(app: &TestApp, email: &str) -> usize {
    let request = Request::get(&format!("/dev/mailbox.json?to={email}"));
    let mails = Client::connect(app.public()).await.send(&request).await.json();
    let subjects = mails.as_array().unwrap().iter().filter_map(|mail| mail["subject"].as_str());
    subjects.filter(|subject| tells_of_guesses(subject)).count()
}

async fn until_told(app: &TestApp, email: &str) {
    let waiting = async {
        while told(app, email).await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("a notice in time");
}

/// A device that is new to a customer who has others is told where the tenant wants it; the first one never.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_from_a_new_device_is_told_where_the_tenant_wants_it() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let wants = TenantChange { new_device_notice: Some(true), ..TenantChange::default() };
    app.directory.change_tenant(ACME, &wants).await.unwrap();
    app.from("203.0.113.7").logs_in(ADA).await;
    app.from("203.0.113.7").logs_in(ADA).await;
    app.from("198.51.100.9").logs_in(ADA).await;
    let mail = app.next_mail(ADA).await;
    assert!(mail.subject.contains("new device") && mail.text.contains("from 198.51.100.x"), "{}", mail.text);
    app.no_further_mail(ADA).await;
    app.finish().await;
}
