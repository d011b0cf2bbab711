//! The service's own statements, prepared as it prepares them, told the time.

use super::model::{COOLDOWN, Caller, Compared, DAY, Face, LIFE, Lane, MAILS, Mail, Rate, SECOND, StepUp};
use crate::support::postgres::{Database, connect_as_the_pool};
use std::time::{Duration, SystemTime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

pub(crate) const TENANT: Uuid = Uuid::from_u128(0xacce);
/// The statements that the service runs, prepared as it prepares them.
pub(crate) struct Statements {
    client: Client,
    login: Statement,
    verify: Statement,
    sweep: Statement,
}

impl Statements {
    pub(crate) async fn open(database: &Database) -> Self {
        let client = connect_as_the_pool(&database.url).await;
        client.batch_execute("SET synchronous_commit = off").await.unwrap();
        let tenant =
            "INSERT INTO tenants VALUES ($1, 'model', 'Model', NULL, 1, false, 0) ON CONFLICT DO NOTHING";
        client.execute(tenant, &[&TENANT]).await.unwrap();
        let login = client.prepare(include_str!("../../../sql/queries/challenges/login.sql")).await.unwrap();
        let verify =
            client.prepare(include_str!("../../../sql/queries/challenges/verify.sql")).await.unwrap();
        let sweep = client.prepare(include_str!("../../../sql/queries/challenges/sweep.sql")).await.unwrap();
        Self { client, login, verify, sweep }
    }

    pub(crate) async fn login(
        &self,
        now: i64,
        address: Uuid,
        caller: Caller,
        step_up: StepUp,
        id: u128,
    ) -> Option<Mail> {
        let rows = self
            .client
            .query(
                &self.login,
                &[
                    &Some(now),
                    &vec![TENANT],
                    &vec![address],
                    &vec![Uuid::from_u128(id)],
                    &vec![face_mac(id, Face::Digits)],
                    &vec![face_mac(id, Face::Base32)],
                    &vec![caller.device.unwrap_or(0)],
                    &vec![caller.prefix],
                    &vec![bits(step_up)],
                    &vec![1i32 << 16],
                    &LIFE,
                    &COOLDOWN,
                    &i32::try_from(MAILS.burst).unwrap(),
                    &MAILS.period,
                    &1i16,
                    &Uuid::nil(),
                    &vec![Uuid::new_v4()],
                    &vec![0i16],
                    &vec![20 * SECOND],
                    &vec![&b""[..]],
                    &vec![caller.network],
                ],
            )
            .await;
        let rows = rows.unwrap();
        assert!(rows.len() <= 1);
        rows.first().map(mail)
    }

    /// What a guess came to, and whether a session began.
    pub(crate) async fn verify(
        &self,
        now: i64,
        address: Uuid,
        caller: Caller,
        step_up: StepUp,
        typed: Typed,
    ) -> (Option<Compared>, bool) {
        let rows = self
            .client
            .query(
                &self.verify,
                &[
                    &Some(now),
                    &vec![TENANT],
                    &vec![address],
                    &vec![Some(typed.digits)],
                    &vec![typed.base32],
                    &vec![caller.device.unwrap_or(0)],
                    &vec![caller.prefix],
                    &vec![Uuid::new_v4()],
                    &vec![None::<Uuid>],
                    &vec![7i32],
                    &(7 * DAY),
                    &(30 * DAY),
                    &20i64,
                    &vec![SystemTime::now() + Duration::from_secs(60)],
                    &vec![caller.network],
                    &vec![bits(step_up)],
                    &vec![None::<&str>],
                    &vec![None::<&str>],
                    &vec![None::<Uuid>],
                ],
            )
            .await;
        let row = only(rows.unwrap());
        let compared = row.get::<_, bool>("evaluated").then(|| Compared {
            lane: if row.get("known") { Lane::Known } else { Lane::Stranger },
            face: face(&row),
            right: !row.get::<_, bool>("missed"),
        });
        (compared, row.get::<_, Option<Uuid>>("customer_id").is_some())
    }

    /// Of everything that is in the table.
    pub(crate) async fn sweep(&self, now: i64) {
        let all = [&Uuid::nil() as &(dyn ToSql + Sync), &Uuid::nil(), &100_000i64, &Some(now)];
        self.client.query(&self.sweep, &all).await.unwrap();
    }

    /// At a time of ours: an administrator's statement reads the database's clock.
    pub(crate) async fn forget_devices(&self, now: i64, address: Uuid) {
        let clock = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let text = include_str!("../../../sql/queries/customers/end_sessions.sql");
        assert!(text.contains(clock));
        let text = text.replace(clock, "$6::bigint");
        let actor = r#"{"type": "test", "id": "test"}"#;
        self.client.query(&text, &[&TENANT, &address, &actor, &None::<&str>, &"forget", &now]).await.unwrap();
    }

    pub(crate) async fn add_customer(&self, address: Uuid) {
        let text = "INSERT INTO customers VALUES ($1, $2, $2, 'a@example.com', false, 0)";
        self.client.execute(text, &[&TENANT, &address]).await.unwrap();
    }
}

pub(crate) fn bits(step_up: StepUp) -> i16 {
    2 * i16::from(step_up.may) + i16::from(step_up.tripped)
}

pub(crate) fn only(mut rows: Vec<Row>) -> Row {
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

pub(crate) fn face(row: &Row) -> Face {
    if row.get::<_, i16>("alphabet") == 0 { Face::Digits } else { Face::Base32 }
}

/// Of the outbox: place, code, what the mail is about.
pub(crate) fn mail(row: &Row) -> Mail {
    let due: &[u8] = row.get("due");
    let face = if due[19] & 1 == 0 { Face::Digits } else { Face::Base32 };
    Mail { id: u128::from_be_bytes(due[2..18].try_into().unwrap()), face, ends: row.get("expires_us") }
}

/// What the MAC of a code is in production: one value per code and face.
pub(crate) fn face_mac(id: u128, face: Face) -> Uuid {
    Uuid::from_u128(id << 2 | (face as u128 + 1))
}

/// What was typed, read both ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed {
    pub digits: Uuid,
    pub base32: Option<Uuid>,
}

impl Typed {
    pub(crate) fn is(self, id: u128, face: Face) -> bool {
        let read = if face == Face::Digits { Some(self.digits) } else { self.base32 };
        read == Some(face_mac(id, face))
    }
}

/// What a limit's row hands out.
pub(crate) struct Lease {
    client: Client,
    statement: Statement,
}

impl Lease {
    pub(crate) async fn open(database: &Database) -> Self {
        let client = connect_as_the_pool(&database.url).await;
        let text = include_str!("../../../sql/queries/tenant_limits/lease.sql");
        let statement = client.prepare(text).await.unwrap();
        Self { client, statement }
    }

    /// How many requests were granted, and how long until the next one would be.
    pub(crate) async fn ask(&self, now: i64, slug: Uuid, wanted: i64, rate: Rate) -> (i64, i64) {
        let about: [&(dyn ToSql + Sync); 5] = [&Some(now), &slug, &wanted, &rate.burst, &rate.period];
        let row = self.client.query_one(&self.statement, &about).await.unwrap();
        (row.get("granted"), row.get("wait_us"))
    }
}
