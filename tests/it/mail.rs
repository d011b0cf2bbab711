//! Mails from outside: the language they are in, and what they say of the request.

use crate::support::app::TestApp;
use crate::support::postgres::{ACME, ADA, connect};
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
