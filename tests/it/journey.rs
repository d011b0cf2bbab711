//! What every customer does.

use crate::support::postgres::ADA;
use crate::support::{TestApp, Tokens};

/// Ask, read, type, stay, leave.
#[tokio::test]
async fn a_customer_logs_in_stays_and_leaves() {
    let app = TestApp::spawn().await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let first = Tokens::of(&app.types_code(ADA, &code).await);
    let second = Tokens::of(&app.refreshes(&first.refresh).await);
    assert_eq!((&second.customer_id, &second.tenant_id), (&first.customer_id, &first.tenant_id));
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(app.logs_out(&second.refresh).await.status, 204);
    let refused = app.refreshes(&second.refresh).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(refused.body, r#"{"detail":"Invalid refresh token"}"#);
    app.finish().await;
}
