//! What a tenant says of its customers in their tokens.

use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE};
use crate::support::{TestApp, Tokens};
use doorcode_actors::directory::TenantChange;
use serde_json::{Value, json};

async fn lists(app: &TestApp, names: &[&str]) {
    let token_claims = Some(names.iter().map(|name| name.parse().unwrap()).collect());
    app.directory
        .change_tenant(ACME, &TenantChange { token_claims, ..TenantChange::default() })
        .await
        .unwrap();
}

/// As the admin API writes them.
async fn knows(app: &TestApp, external_id: Option<&str>, claims: &Value) {
    let text = "UPDATE customers SET external_id = $1, claims = $2::text::jsonb
        WHERE email = $3 AND tenant_id = (SELECT tenant_id FROM tenants WHERE slug = $4)";
    let changed =
        app.database.client().execute(text, &[&external_id, &claims.to_string(), &ADA, &ACME]).await;
    assert_eq!(changed.unwrap(), 1);
}

/// The claims beside those that every token has.
fn said(tokens: &Tokens) -> Value {
    let mut claims = tokens.claims();
    let all = claims.as_object_mut().unwrap();
    all.retain(|name, _| !doorcode_domain::AccessClaims::NAMES.contains(&name.as_str()));
    claims
}

/// D13, D2: nothing enters a token but what its tenant lists; a change shows at the next refresh, a retry included.
#[tokio::test]
async fn d13_a_token_says_what_its_tenant_lists() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    knows(&app, Some("u-17"), &json!({ "plan": "gold", "roles": ["a", "b"], "secret": 1, "nothing": null }))
        .await;
    let mut tokens = app.logs_in(ADA).await;
    assert_eq!(said(&tokens), json!({}));
    lists(
        &app,
        &["email", "external_id", "locale", "claims.plan", "claims.roles", "claims.nothing", "claims.absent"],
    )
    .await;
    let gold =
        json!({ "email": ADA, "external_id": "u-17", "plan": "gold", "roles": ["a", "b"], "nothing": null });
    app.pass_s(60);
    let before = tokens.refresh.clone();
    tokens = Tokens::of(&app.refreshes(&before).await);
    assert_eq!(said(&tokens), gold);
    assert_eq!(said(&app.logs_in(ADA).await), gold, "at a login");
    assert_eq!(
        said(&app.logs_in(GRACE).await),
        json!({ "email": GRACE }),
        "what a customer lacks is left out"
    );
    assert_eq!(said(&app.at(GLOBEX).logs_in(ADA).await), json!({}), "another tenant lists nothing");
    // ours are not overwritten, whatever a customer is called
    knows(&app, Some("u-18"), &json!({ "plan": { "name": "silver" }, "sub": "x", "tenant_id": "y" })).await;
    let again = Tokens::of(&app.refreshes(&before).await);
    assert_eq!(said(&again)["plan"], json!({ "name": "silver" }), "a retry reads them anew");
    assert_eq!(
        (&again.claims()["sub"], &again.claims()["jti"]),
        (&json!(tokens.customer_id), &tokens.claims()["jti"])
    );
    let session =
        app.visitor().with("Authorization", &format!("Bearer {}", again.access)).get("session").await;
    assert_eq!(
        (session.status, &session.json()["customer_id"]),
        (200, &json!(tokens.customer_id)),
        "we read it, too"
    );
    app.finish().await;
}

/// D13: a token must fit into a cookie; what is too large enters as a whole or not at all, and reserved names never do.
#[tokio::test]
async fn d13_large_and_reserved_claims_stay_outside() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    lists(&app, &["claims.note"]).await;
    let of_length = |length: usize| json!({ "note": "x".repeat(length - r#"{"note": ""}"#.len()) });
    knows(&app, None, &of_length(1_536)).await;
    let tokens = app.logs_in(ADA).await;
    assert_eq!(said(&tokens), of_length(1_536));
    assert!(tokens.access.len() < 3_400, "{}", tokens.access.len());
    knows(&app, None, &of_length(1_537)).await;
    assert_eq!(said(&app.logs_in(ADA).await), json!({}));
    for reserved in ["claims.sub", "claims.email", "claims.scope", "iss"] {
        assert!(reserved.parse::<doorcode_actors::directory::TokenClaim>().is_err(), "{reserved}");
    }
    app.finish().await;
}
