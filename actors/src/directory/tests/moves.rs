//! A tenant that moves.

use super::*;
use doorcode_domain::Email;

/// Each verb of an administrator that would write something which the other cell never sees.
pub(super) async fn nothing_of_a_frozen_tenant_is_written(world: &World) {
    let directory = &world.directory;
    let tenant = world.tenant("moving").await;
    directory.add_customer("moving", "ada@example.com").await.unwrap();
    let of_tenant =
        NewWebhook { tenant: Some(tenant.tenant_id), url: "https://a.example/".to_owned(), types: vec![] };
    let (webhook, _) = directory.add_webhook(&of_tenant, false).await.unwrap();
    let (id, ada) = (webhook.webhook_id, "ada@example.com");
    assert!(directory.freeze_tenant("moving", true).await.unwrap());
    assert!(!directory.freeze_tenant("moving", true).await.unwrap(), "it is already");

    let key =
        NewAdminKey { name: "key".to_owned(), scopes: vec![], tenant: Some("moving".to_owned()), life: None };
    let email: Email = ada.parse().unwrap();
    let day = Duration::from_secs(86_400);
    let rows = [Ok(ImportRow { email: "bob@example.com".to_owned(), ..ImportRow::default() })];
    let refused = [
        directory.change_tenant("moving", &TenantChange::default()).await.err(),
        directory.disable_tenant("moving", true).await.err(),
        directory.add_customer("moving", "bob@example.com").await.err(),
        directory.import_customers("moving", rows.into_iter()).await.err(),
        directory.put_customers("moving", &[]).await.err(),
        directory.disable_customer("moving", ada).await.err(),
        directory.delete_customer("moving", ada).await.err(),
        directory.make_test_code("moving", ada, 1).await.err(),
        directory.remove_test_code("moving", ada).await.err(),
        directory.revoke_session("moving", SessionKey(Uuid::nil())).await.err(),
        directory.suppress("sink", Some("moving"), &email, Reason::Bounce, day).await.err(),
        directory.lift_suppression("moving", ada).await.err(),
        directory.add_admin_key(&key).await.err(),
        directory.add_webhook(&of_tenant, false).await.err(),
        directory.change_webhook(None, id, WebhookChange::default(), false).await.err(),
        directory.replace_webhook_secret(Some(tenant.tenant_id), id).await.err(),
        directory.delete_webhook(None, id).await.err(),
    ];
    for (place, error) in refused.iter().enumerate() {
        assert!(
            matches!(error, Some(DirectoryError::Frozen { slug }) if slug == "moving"),
            "{place}: {error:?}"
        );
    }
    // everybody else's
    let of_all = NewWebhook { tenant: None, ..of_tenant };
    let (webhook, _) = directory.add_webhook(&of_all, false).await.unwrap();
    directory.delete_webhook(None, webhook.webhook_id).await.unwrap();
    assert!(directory.freeze_tenant("moving", false).await.unwrap());
    directory.delete_webhook(None, id).await.unwrap();
    assert!(matches!(directory.delete_frozen_tenant("moving").await, Err(DirectoryError::NotFrozen { .. })));
}
