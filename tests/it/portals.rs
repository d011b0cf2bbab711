//! Portals as the command line changes them, seen by a running doorcode.

use crate::support::TestApp;
use crate::support::client::{Answer, Request};
use crate::support::postgres::{ACME, ADA, GLOBEX};
use doorcode_actors::directory::TenantChange;
use serde_json::json;
use std::time::Duration;
use tokio::time::{interval, timeout};

const MOVING: &str = "https://moving.example.com";

async fn give(app: &TestApp, tenant: &str, origins: &[&str]) {
    let origins = Some(origins.iter().map(|origin| origin.parse().unwrap()).collect());
    app.directory.change_tenant(tenant, &TenantChange { origins, ..TenantChange::default() }).await.unwrap();
}

/// Whether a preflight from there is allowed.
async fn allows(app: &TestApp, origin: &str) -> bool {
    let ask = Request::options("/v1/customer-auth/refresh")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST");
    app.send(&ask).await.header("access-control-allow-origin") == Some(origin)
}

/// Within five seconds of the wall's clock: the promise.
async fn soon(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let asking = async {
        let mut pause = interval(Duration::from_millis(50));
        while !seen().await {
            pause.tick().await;
        }
    };
    timeout(Duration::from_secs(5), asking).await.unwrap_or_else(|_| panic!("not within 5 s: {what}"));
}

/// F8, F12: an origin is allowed, moved to another tenant and taken away by the command line, without a restart; a
/// disabled tenant's is not allowed. A crash of the reader forgets nothing and ends nothing.
#[tokio::test]
async fn f8_f12_changes_of_origins_are_seen_within_five_seconds() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    assert!(allows(&app, "https://acme.example.com").await, "known from the first request on");
    assert!(!allows(&app, MOVING).await);
    give(&app, ACME, &[MOVING]).await;
    soon("given", async || allows(&app, MOVING).await).await;
    assert!(!allows(&app, "https://acme.example.com").await, "replaced in the same step");

    app.crash("portals", "panic").await;
    assert!(allows(&app, MOVING).await);
    give(&app, ACME, &[]).await;
    give(&app, GLOBEX, &[MOVING]).await;
    let page = app.visitor().with("Origin", MOVING);
    let planted = async |tenant: &'static str| {
        let visitor = page.clone().at(tenant);
        visitor.asks_for_code(ADA).await;
        let code = app.mailed_code(ADA).await;
        let answer: Answer = app.send(&visitor.code_request("verify", ADA, &code)).await;
        assert_eq!(answer.status, 200);
        !answer.cookies().is_empty()
    };
    soon("moved", async || planted(GLOBEX).await).await;
    assert!(!planted(ACME).await, "one owner at a time");

    app.directory.disable_tenant(GLOBEX, true).await.unwrap();
    soon("disabled", async || !allows(&app, MOVING).await).await;
    app.directory.disable_tenant(GLOBEX, false).await.unwrap();
    soon("enabled", async || allows(&app, MOVING).await).await;
    app.finish_after_crashes().await;
}

/// E7: whoever holds cookies of a disabled customer or tenant is refused at the next request.
#[tokio::test]
async fn e7_the_disabled_are_refused_by_cookie_too() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let log_in = async || {
        let answer = app.visitor().in_browser().answer_to_login(ADA).await;
        let pairs: Vec<_> =
            answer.cookies().into_iter().map(|line| line.split(';').next().unwrap()).collect();
        app.visitor().in_browser().with_cookies(&pairs.join("; ")).request("refresh", &json!({}))
    };
    let status = async |refresh: &Request| app.send(refresh).await.status;
    let refresh = log_in().await;
    app.directory.disable_customer(ACME, ADA).await.unwrap();
    assert_eq!(status(&refresh).await, 401);
    app.directory.enable_customer(ACME, ADA).await.unwrap();
    assert_eq!(status(&refresh).await, 401, "its sessions ended: it logs in anew");
    let refresh = log_in().await;
    app.directory.disable_tenant(ACME, true).await.unwrap();
    assert_eq!(status(&refresh).await, 401);
    app.directory.disable_tenant(ACME, false).await.unwrap();
    assert_eq!(status(&refresh).await, 200, "a tenant's sessions only rest");
    app.finish().await;
}
