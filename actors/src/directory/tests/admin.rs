//! What the admin API does by way of the directory.

use super::*;

fn data(id: &str, email: &str) -> CustomerData {
    CustomerData {
        external_id: id.parse().unwrap(),
        email: email.to_owned(),
        locale: None,
        claims: Claims::default(),
        disabled: false,
    }
}

pub(super) async fn customers_are_put(world: &World) {
    let directory = &world.directory;
    let tenant = world.tenant("put").await;
    let made = directory.put_customer("put", data("1", "ada@example.com")).await.unwrap();
    assert!(made.new);
    let again = directory.put_customer("put", data("1", "ada@example.com")).await.unwrap();
    assert_eq!(
        (again.customer, again.new),
        (made.customer.clone(), false),
        "nothing changed, not even its time"
    );
    let moved = directory.put_customer("put", data("1", "ADA@new.example.com")).await.unwrap().customer;
    assert_eq!((moved.customer_id, moved.email.as_str()), (made.customer.customer_id, "ADA@new.example.com"));
    assert!(moved.updated_us > made.customer.updated_us);
    let code = directory.make_test_code("put", "ADA@new.example.com", 1).await;
    assert!(code.is_ok());
    let moved = directory.put_customer("put", data("1", "ADA@newer.example.com")).await.unwrap().customer;
    assert!(
        !directory.remove_test_code("put", "ADA@new.example.com").await.unwrap(),
        "it ended with the address"
    );
    // who came by herself is given the id
    let bob = directory.add_customer("put", "bob@example.com").await.unwrap().customer;
    let adopted = directory.put_customer("put", data("2", "bob@example.com")).await.unwrap();
    assert_eq!((adopted.customer.customer_id, adopted.new), (bob.customer_id, false));
    for taken in [data("1", "bob@example.com"), data("3", "bob@example.com")] {
        let refused = directory.put_customer("put", taken).await;
        assert!(matches!(refused, Err(DirectoryError::EmailTaken)), "{refused:?}");
    }
    world.session(&tenant, bob.customer_id, 600.0).await;
    let batch = [
        data("4", "cleo@example.com"),
        data("4", "dan@example.com"),
        data("5", "cleo@EXAMPLE.com"),
        data("6", "nonsense"),
        data("7", "bob@example.com"),
        CustomerData { disabled: true, ..data("2", "bob@example.com") },
    ];
    let answers = directory.put_customers("put", &batch).await.unwrap();
    assert!(answers[0].as_ref().is_ok_and(|placed| placed.new));
    assert!(matches!(answers[1], Err(DirectoryError::TwiceInBatch)));
    assert!(matches!(answers[2], Err(DirectoryError::TwiceInBatch)));
    assert!(matches!(answers[3], Err(DirectoryError::BadEmail { .. })));
    assert!(matches!(answers[4], Err(DirectoryError::EmailTaken | DirectoryError::TwiceInBatch)));
    let disabled = directory.put_customers("put", &batch[5..]).await.unwrap().pop().unwrap().unwrap();
    assert!(disabled.customer.disabled);
    assert!(directory.sessions("put", "bob@example.com").await.unwrap().is_empty(), "E7");

    let id = "1".parse().unwrap();
    let change = CustomerChange { locale: Some(Some("de".parse().unwrap())), ..CustomerChange::default() };
    let changed = directory.change_customer("put", &id, change).await.unwrap();
    assert_eq!((changed.email, changed.profile.locale.unwrap().as_str()), (moved.email, "de"));
    directory.delete_customer("put", Whom::ExternalId(&id)).await.unwrap();
    let gone = directory.change_customer("put", &id, CustomerChange::default()).await;
    assert!(matches!(gone, Err(DirectoryError::NoSuchCustomer { .. })));

    let same = (0..8).map(|_| directory.put_customer("put", data("8", "eve@example.com")));
    let placed = futures_util::future::join_all(same).await;
    let new = placed.iter().filter(|placed| placed.as_ref().is_ok_and(|placed| placed.new)).count();
    assert!(placed.iter().all(Result::is_ok), "{placed:?}");
    assert_eq!(new, 1, "eight at once make one");
}

pub(super) async fn every_change_is_an_event(world: &World) {
    let tenant = world.tenant("noted").await;
    let ip = "192.0.2.7".parse().unwrap();
    let author = Author::admin_key("0123456789abcdef", ip, Some("curl/8"), Uuid::nil());
    let directory = world.directory.on_behalf_of(author);
    let customer = directory.put_customer("noted", data("1", "ada@example.com")).await.unwrap().customer;
    world.session(&tenant, customer.customer_id, 600.0).await;
    directory.delete_customer("noted", "ada@example.com").await.unwrap();
    let query = EventQuery { after: Uuid::nil(), tenant: Some(tenant.tenant_id), types: vec![], limit: 100 };
    assert!(directory.events(&query).await.unwrap().events.is_empty(), "younger than 10 s");
    let client = world.pool.get().await.unwrap();
    // an hour earlier: the id is the time
    let earlier = "WITH old AS (SELECT event_id, overlay(event_floor((extract(epoch FROM clock_timestamp()) * 1000000)::bigint
            - 3600000000)::text PLACING right(event_id::text, 23) FROM 14)::uuid AS id FROM events),
        contexts AS (UPDATE event_contexts c SET event_id = o.id FROM old o WHERE c.event_id = o.event_id)
        UPDATE events e SET event_id = o.id FROM old o WHERE e.event_id = o.event_id";
    client.batch_execute(earlier).await.unwrap();
    let page = directory.events(&query).await.unwrap();
    let mut types: Vec<&str> = page.events.iter().map(|event| event.r#type.as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["admin.tenant_created", "customer.created", "customer.deleted", "session.revoked"]);
    let event = page.events.iter().find(|event| event.r#type == "customer.created").unwrap();
    let json = serde_json::to_value(event).unwrap();
    assert_eq!(json["actor"], serde_json::json!({ "type": "admin_key", "id": "0123456789abcdef" }));
    assert_eq!(json["context"]["ip"], "192.0.2.7");
    assert_eq!(json["targets"][0]["id"], customer.customer_id.0.to_string());
    assert_eq!(event.id.get_version_num(), 7);
    let all = serde_json::to_string(&page.events).unwrap();
    assert!(!all.contains("example.com") && !all.contains('@'), "no address: {all}");
    let only = EventQuery { types: vec!["session.*".to_owned()], ..query.clone() };
    assert_eq!(directory.events(&only).await.unwrap().events.len(), 1);
    let one = EventQuery { limit: 1, ..query };
    let first = directory.events(&one).await.unwrap();
    assert!(first.more && first.events.len() == 1);
    let next = directory.events(&EventQuery { after: first.after, ..one }).await.unwrap();
    assert_ne!(next.events[0].id, first.events[0].id);
}

pub(super) async fn keys_come_and_go(world: &World) {
    let directory = &world.directory;
    let tenant = world.tenant("keyed").await;
    let new = NewAdminKey {
        name: "backend".to_owned(),
        scopes: vec![Scope::Read, Scope::Write],
        tenant: Some("keyed".to_owned()),
        life: None,
    };
    let (entry, text) = directory.add_admin_key(&new).await.unwrap();
    let holder = directory.key_holder(&text).await.unwrap().unwrap();
    assert_eq!((holder.scopes, holder.tenant), (new.scopes.clone(), Some(tenant.tenant_id)));
    let used = directory.admin_keys(None).await.unwrap().pop().unwrap();
    assert!(used.last_used_us.is_some() && used.tenant.as_deref() == Some("keyed"));
    directory.key_holder(&text).await.unwrap().unwrap();
    assert_eq!(directory.admin_keys(None).await.unwrap().pop().unwrap(), used, "noted once a minute");
    let (_, other) = directory.add_admin_key(&new).await.unwrap();
    let mixed = format!("{}{}", &text[..20], &other[20..]);
    assert!(directory.key_holder(&mixed).await.unwrap().is_none());
    directory.revoke_admin_key(&entry.key_id).await.unwrap();
    assert!(directory.key_holder(&text).await.unwrap().is_none());
    assert!(directory.key_holder(&other).await.unwrap().is_some(), "several live at once");
    let brief = NewAdminKey { life: Some(Duration::from_micros(1)), ..new };
    let (_, text) = directory.add_admin_key(&brief).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(directory.key_holder(&text).await.unwrap().is_none(), "expired");
    let client = world.pool.get().await.unwrap();
    let rows = client.query("SELECT secret_hash FROM admin_keys", &[]).await.unwrap();
    assert!(rows.iter().all(|row| row.get::<_, Vec<u8>>(0).len() == 32));
}
