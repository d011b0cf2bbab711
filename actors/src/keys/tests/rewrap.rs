//! Another master key, and a restored database.

use super::super::schedule::{KEPT, LEAD};
use super::*;
use crate::store::keys::{NewSigningKey, Overlap};

/// Everything goes on under the new master key; a replica with the old one can neither read nor add.
#[tokio::test]
async fn a_new_master_key_logs_nobody_out() {
    let world = World::new().await;
    let old = world.vault(1);
    let before = old.start(es256()).await.unwrap();
    let access = token(&before, world.now_s());
    old.rotate_signing(Algorithm::EdDsa, LEAD).await.unwrap();
    old.rotate_refresh(Duration::from_secs(60)).await.unwrap();
    let seen = world.store().signing_keys(Some(world.clock.now())).await.unwrap();

    assert!(matches!(world.admin(9).rewrap(&[2; 32]).await, Err(KeyError::Wrap(WrapError::WrongKey))));
    assert!(matches!(world.admin(1).rewrap(&[1; 32]).await, Err(KeyError::Rewrapped)));
    assert!(matches!(world.admin(1).rewrap(&[1; 31]).await, Err(KeyError::Wrap(WrapError::Length(31)))));
    old.read(Algorithm::Es256).await.unwrap();

    let wrapped = world.admin(1).rewrap(&[2; 32]).await.unwrap();
    assert_eq!(wrapped, Rewrapped { purpose: 9, signing: 2 });
    // of the newest key's algorithm: no successor, so that only the wrapped form can keep the stale one out below
    let after = world.vault(2).start(policy(Algorithm::EdDsa)).await.unwrap();
    assert!(verifies(&after, &access, world.now_s()));
    for key in ["address", "session_hash", "code_mac", "refresh"] {
        let of = |keys: &Keys| match key {
            "address" => keys.address.mac128(&[b"x"]),
            "session_hash" => keys.session_hash.mac128(&[b"x"]),
            "code_mac" => keys.code_mac.mac128(&[b"x"]),
            _ => keys.refresh(1).unwrap().mac128(&[b"x"]),
        };
        assert_eq!(of(&before), of(&after), "{key}");
    }
    assert!(matches!(world.admin(1).rewrap(&[2; 32]).await, Err(KeyError::Rewrapped)), "once is enough");

    // the replica that was not restarted: works on what it has, and leaves the tables alone
    assert!(verifies(&before, &token(&before, world.now_s()), world.now_s()));
    let rows = world.signing().await;
    world.clock.advance_s(31 * DAY_S);
    for error in [old.tend(es256()).await.err(), old.start(policy(Algorithm::Rs256)).await.err()] {
        assert!(matches!(error, Some(KeyError::Wrap(WrapError::WrongKey))), "{error:?}");
    }
    assert!(matches!(old.rotate_refresh(Duration::ZERO).await, Err(KeyError::Wrap(WrapError::WrongKey))));
    // and if it read the rows just before they were wrapped anew
    let key = NewSigningKey { kid: "stale".to_owned(), algorithm: "ES256", wrapped: vec![0; 60] };
    let overlap = Overlap { lead: LEAD, kept: KEPT };
    for row in &seen {
        let added = world.store().succeed_signing_key(None, row, &key, &overlap, None).await.unwrap();
        assert_eq!(added, None);
    }
    let stale = [("later_purpose", vec![0; 60])];
    world.store().add_purpose_keys(None, &stale, Some(&seen[0].wrapped)).await.unwrap();
    world.store().add_purpose_keys(None, &stale, None).await.unwrap();
    assert!(world.store().purpose_keys(None).await.unwrap().iter().all(|row| row.purpose != "later_purpose"));
    assert_eq!(world.signing().await.len(), rows.len());
}

/// What was ended after the backup is not alive again, and tokens of before are worth nothing.
#[tokio::test]
async fn a_recovery_ends_what_the_backup_brought_back() {
    let world = World::new().await;
    let admin = world.admin(1);
    let empty = admin.recover(0).await.unwrap();
    assert_eq!(empty, Recovered { sessions: 0, codes: 0, mails: 0, refresh_version: None });
    let before = world.vault(1).start(es256()).await.unwrap();
    let row = "gen_random_uuid(), gen_random_uuid(), gen_random_uuid()";
    for n in 0..3 {
        world
            .execute(&format!(
                "INSERT INTO sessions (tenant_id, session_key, customer_id, created_us, rotated_us, idle_until_us, \
                 expires_us) VALUES ({row}, {n}, {n}, 9000000000000000, 9000000000000000)"
            ))
            .await;
    }
    // one code lives, one was used or has expired
    for expires_us in [9_000_000_000_000_000i64, 1] {
        world
            .execute(&format!(
                "INSERT INTO challenges (tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us, \
                 s_quiet_us, s_digit_tat, touched_us, alphabet, s_guesses, k_guesses, known_asked, mail_now) \
                 VALUES ({row}, gen_random_uuid(), gen_random_uuid(), {expires_us}, 9000000000000000, 77, 0, 0, 5, 5, \
                 false, false)"
            ))
            .await;
    }
    world
        .execute(&String::from(
            "INSERT INTO outbox (batch_id, version, lane, holder, leased_us, asked_us, expires_us, attempts, mails, asked, due) \
             VALUES (gen_random_uuid(), 1, 0, gen_random_uuid(), 0, 0, 9000000000000000, 0, 7, '', '')"
        ))
        .await;

    let tomorrow = 9_000_000_000_000_000;
    assert!(matches!(admin.recover(tomorrow).await, Err(KeyError::Future)));
    assert_eq!(world.execute("UPDATE sessions SET branch = 0").await, 3, "refused means untouched");
    assert!(matches!(world.admin(2).recover(0).await, Err(KeyError::Wrap(WrapError::WrongKey))));
    assert_eq!(world.execute("UPDATE sessions SET branch = 0").await, 3);

    let recovered = admin.recover(1_700_000_000_000_000).await.unwrap();
    assert_eq!(recovered, Recovered { sessions: 3, codes: 1, mails: 7, refresh_version: Some(2) });
    // budgets stay spent: 77 is one
    assert_eq!(world.execute("UPDATE challenges SET alphabet = 0 WHERE s_digit_tat = 77").await, 2);
    assert_eq!(
        world
            .execute(
                "UPDATE challenges SET alphabet = 0 WHERE expires_us > 1 OR s_quiet_us > 0 AND expires_us = 0"
            )
            .await,
        0
    );
    let after = world.vault(1).read(Algorithm::Es256).await.unwrap();
    assert_eq!(after.refresh_version, 2, "at once: there is nobody to wait for");
    assert!(after.refresh(1).is_none());
    assert_ne!(after.refresh(2).unwrap().mac128(&[b"x"]), before.refresh(1).unwrap().mac128(&[b"x"]));
    assert!(verifies(&after, &token(&before, world.now_s()), world.now_s()), "signing keys stay");
    // and once more, as somebody unsure would
    assert_eq!(admin.recover(1_700_000_000_000_000).await.unwrap().refresh_version, Some(3));
}

/// The listing names every key and its times, and nothing else.
#[tokio::test]
async fn a_listing_shows_where_keys_stand() {
    let world = World::new().await;
    assert_eq!(KeyAdmin::list(&world.settings).await.unwrap(), []);
    let admin = KeyAdmin::open(&world.settings, &[1; 32]).unwrap();
    admin.vault.start(es256()).await.unwrap();
    let rotation = admin.rotate_signing(Algorithm::EdDsa, LEAD).await.unwrap();
    admin.rotate_refresh(Duration::from_secs(60)).await.unwrap();
    let keys = KeyAdmin::list(&world.settings).await.unwrap();
    let signing: Vec<_> = keys.iter().filter(|key| key.purpose == "signing").collect();
    assert_eq!((signing[0].state, signing[1].state), (KeyState::Active, KeyState::Next));
    assert_eq!(signing[0].until_us, Some(rotation.active_us));
    assert_eq!((signing[1].until_us, &signing[1].name), (Some(rotation.active_us), &rotation.name));
    assert_eq!(signing[1].algorithm.as_deref(), Some("EdDSA"));
    let refresh: Vec<_> = keys.iter().filter(|key| key.purpose == REFRESH_MAC).collect();
    assert_eq!((refresh[0].state, refresh[1].state), (KeyState::Active, KeyState::Next));
    assert_eq!(refresh[0].until_us, refresh[1].until_us);
    assert_eq!(keys.len(), 2 + 9);
}
