//! The outbox's statements on a real Postgres: who may claim, whose mail is dead, what is settled once.

use super::*;
use crate::settings::DatabaseSettings;
use crate::store::{connect, migrate};
use crate::test_cluster::Cluster;
use crate::test_settings::database;
use deadpool_postgres::ClientWrapper;
use doorcode_domain::{AddressKey, TenantId};

const LEASE: Duration = Duration::from_secs(20);
const NOW: Option<Micros> = Some(1_000_000_000_000);

struct Bench {
    store: Store,
    client: ClientWrapper,
    _cluster: Cluster,
}

impl Bench {
    async fn new() -> Self {
        let cluster = Cluster::start();
        let settings =
            DatabaseSettings { lock_timeout: Duration::from_millis(500), ..database(&cluster.url) };
        migrate(&settings).await.unwrap();
        let (store, client) = (Store::new(&settings).unwrap(), connect(&settings).await.unwrap());
        Self { store, client, _cluster: cluster }
    }

    /// A free row of so many mails; gives back its id.
    async fn row(&self, lane: i16, version: i16, leased_us: i64, mails: i32) -> Uuid {
        let id = Uuid::new_v4();
        let insert =
            "INSERT INTO outbox VALUES ($1, $2, $3, gen_random_uuid(), $4, 1, 9000000000000, 0, $5, '', '')";
        self.client.execute(insert, &[&id, &version, &lane, &leased_us, &mails]).await.unwrap();
        id
    }

    async fn claim(&self, holder: Uuid, room: usize) -> Vec<Uuid> {
        let rows = self.store.claim_mails(NOW, holder, LEASE, room).await.unwrap();
        rows.iter().map(|row| row.id).collect()
    }

    async fn count(&self, what: &str) -> i64 {
        let query = format!("SELECT count(*) FROM outbox WHERE {what}");
        self.client.query_one(&query, &[]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn a_row_is_claimed_once_in_turn_and_within_the_room() {
    let bench = Bench::new().await;
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    // a tenant's overflow in one lane, another's single row in the next, younger
    for n in 0..6 {
        bench.row(3, 1, n, 100).await;
    }
    let second = bench.row(4, 1, 50, 100).await;
    bench.row(5, record::VERSION + 1, 0, 1).await;
    bench.row(6, 1, i64::MAX, 1).await;
    let first = bench.claim(one, 250).await;
    assert_eq!((first.len(), first.contains(&second)), (2, true), "lanes take turns, room for two");
    let rest = bench.claim(other, 10_000).await;
    assert_eq!(rest.len(), 5);
    assert!(first.iter().all(|id| !rest.contains(id)));
    assert_eq!(bench.claim(one, 10_000).await, Vec::<Uuid>::new(), "leased, or not readable");
}

/// Without SKIP LOCKED one claim waits for the other's rows, and then takes them too.
#[tokio::test]
async fn a_claim_does_not_wait_for_another() {
    let bench = Bench::new().await;
    let (locked, free) = (bench.row(0, 1, 1, 1).await, bench.row(0, 1, 2, 1).await);
    bench.client.batch_execute("BEGIN").await.unwrap();
    bench.client.execute("SELECT FROM outbox WHERE batch_id = $1 FOR UPDATE", &[&locked]).await.unwrap();
    assert_eq!(bench.claim(Uuid::new_v4(), 10).await, [free]);
}

#[tokio::test]
async fn only_the_holder_settles_and_late_mail_moves_once() {
    let bench = Bench::new().await;
    let (holder, id) = (Uuid::new_v4(), bench.row(0, 1, 0, 2).await);
    bench.claim(holder, 10).await;
    let late = LateMails { id: Uuid::new_v4(), wait: LEASE, mails: 1, asked: vec![], due: vec![] };
    let moved = [Settlement { id, done: Some(vec![1]), late: Some(late) }];
    let settle =
        async |holder, rows: &[Settlement]| bench.store.settle_mails(NOW, holder, LEASE, rows).await.unwrap();
    assert_eq!(settle(Uuid::new_v4(), &moved).await, Vec::<Uuid>::new(), "somebody else's");
    assert_eq!(bench.count("done IS NULL").await, 1);
    for _ in 0..2 {
        assert_eq!(settle(holder, &moved).await, [id], "repeated, its answer was lost");
        assert_eq!((bench.count("true").await, bench.count("attempts = 1 AND mails = 1").await), (2, 1));
        bench
            .client
            .execute("UPDATE outbox SET batch_id = gen_random_uuid() WHERE attempts = 1", &[])
            .await
            .unwrap();
    }
    let whole = [Settlement { id, done: None, late: None }];
    assert_eq!(settle(holder, &whole).await, [id]);
    assert_eq!((settle(holder, &whole).await, bench.count("true").await), (vec![], 1));
}

/// A8: what was used, burned, replaced or outlived is not mailed; nobody's mail goes nowhere.
#[tokio::test]
async fn a_look_tells_the_living_from_the_dead() {
    let bench = Bench::new().await;
    let insert = "
        INSERT INTO tenants (tenant_id, slug, name, disabled, created_us) VALUES
            ('00000000-0000-0000-0000-000000000001', 'open', 'Open', false, 0),
            ('00000000-0000-0000-0000-000000000002', 'shut', 'Shut', true, 0);
        INSERT INTO customers SELECT t, k, k, k || '@example.com', k = '00000000-0000-0000-0000-00000000000b', 0
            FROM unnest(ARRAY['00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002']::uuid[]) t,
                 unnest(ARRAY['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b']::uuid[]) k;
        INSERT INTO challenges (tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us, touched_us,
                alphabet, s_guesses, k_guesses, known_asked, mail_now)
            SELECT t, k, k, k, k, 1000300000000, 0, 0, 0, 5, true, true
            FROM unnest(ARRAY['00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002']::uuid[]) t,
                 unnest(ARRAY['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b',
                              '00000000-0000-0000-0000-00000000000c']::uuid[]) k";
    bench.client.batch_execute(insert).await.unwrap();
    let look = |tenant: u128, key: u128, challenge: u128, known| Look {
        address: AddressId {
            tenant: TenantId(Uuid::from_u128(tenant)),
            key: AddressKey(Uuid::from_u128(key)),
        },
        challenge: ChallengeId(Uuid::from_u128(challenge)),
        known,
        typed: None,
    };
    let looks = [
        look(1, 10, 10, true),
        look(1, 11, 11, true),  // a disabled customer
        look(1, 12, 12, true),  // no customer
        look(2, 10, 10, true),  // of a disabled tenant
        look(1, 10, 10, false), // burned in the strangers' lane
        look(1, 10, 99, true),  // replaced
        look(1, 99, 99, true),  // gone
    ];
    let seen = async || bench.store.look_at_mails(NOW, &looks).await.unwrap();
    let first = seen().await;
    let known = first[0].clone().unwrap();
    assert_eq!(
        known.left,
        Duration::from_secs(300),
        "a code that is asked for again says how long it really lives"
    );
    let recipient = known.recipient.unwrap();
    assert_eq!((recipient.email.ends_with("a@example.com"), &*recipient.tenant.slug), (true, "open"));
    for nobody in &first[1..4] {
        assert!(nobody.as_ref().is_some_and(|code| code.recipient.is_none()), "{nobody:?}");
    }
    assert!(first[4..].iter().all(Option::is_none), "{first:?}");
    let hour_before = NOW.map(|now| now - 3_600_000_000);
    let then = bench.store.look_at_mails(hour_before, &looks).await.unwrap();
    assert!(then.iter().all(Option::is_none), "of a clock that was put back: {then:?}");
    bench.client.batch_execute("UPDATE challenges SET expires_us = 0").await.unwrap();
    assert!(seen().await.iter().all(Option::is_none), "used");
}
