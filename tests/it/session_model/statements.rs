//! The service's own statements on one session, prepared as it prepares them, told the time.

use super::model::{ABSOLUTE, IDLE, RETRY, Successor, Token, Verdict};
use crate::support::postgres::{Database, connect_as_the_pool};
use std::time::{Duration, SystemTime};
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

const TENANT: Uuid = Uuid::from_u128(0xacce);
/// Has no such session.
const OTHER_TENANT: Uuid = Uuid::from_u128(0xdecc);

/// The row's part that a lost write takes back: generation, branch, previous branch, rotated at, idle until.
pub(super) type Moving = (i32, i32, i32, i64, i64);

/// One connection.
pub(super) struct Statements {
    client: Client,
    refresh: Statement,
    logout: Statement,
}

impl Statements {
    pub(super) async fn open(database: &Database) -> Self {
        let client = connect_as_the_pool(&database.url).await;
        client.batch_execute("SET synchronous_commit = off").await.unwrap();
        let people =
            "INSERT INTO tenants VALUES ($1, 'model', 'Model', NULL, 1, false, 0) ON CONFLICT DO NOTHING";
        client.execute(people, &[&TENANT]).await.unwrap();
        let people =
            "INSERT INTO customers VALUES ($1, $1, $1, 'a@example.com', false, 0) ON CONFLICT DO NOTHING";
        client.execute(people, &[&TENANT]).await.unwrap();
        let refresh =
            client.prepare(include_str!("../../../sql/queries/sessions/refresh.sql")).await.unwrap();
        let logout = client.prepare(include_str!("../../../sql/queries/sessions/logout.sql")).await.unwrap();
        Self { client, refresh, logout }
    }

    /// A login.
    pub(super) async fn begin(&self, now: i64) -> Uuid {
        let session = Uuid::new_v4();
        let text = "INSERT INTO sessions VALUES ($1, $2, $1, $3, 0, 0, 0, $3, $4, $5)";
        self.client
            .execute(text, &[&TENANT, &session, &now, &(now + IDLE), &(now + ABSOLUTE)])
            .await
            .unwrap();
        session
    }

    pub(super) async fn refresh(
        &self,
        now: i64,
        session: Uuid,
        token: Token,
    ) -> (Verdict, Option<Successor>) {
        self.refresh_until(SystemTime::now() + Duration::from_secs(60), now, session, token).await
    }

    /// Together with the same token at a tenant where it means nothing.
    pub(super) async fn refresh_until(
        &self,
        deadline: SystemTime,
        now: i64,
        session: Uuid,
        token: Token,
    ) -> (Verdict, Option<Successor>) {
        let Token { generation, branch } = token;
        let rows = self
            .client
            .query(
                &self.refresh,
                &[
                    &Some(now),
                    &vec![OTHER_TENANT, TENANT],
                    &vec![session, session],
                    &vec![generation, generation],
                    &vec![branch, branch],
                    &IDLE,
                    &RETRY,
                    &vec![deadline; 2],
                ],
            )
            .await
            .unwrap();
        let of = |tenant: Uuid| {
            let mut rows = rows.iter().filter(|row| row.get::<_, Uuid>("tenant_id") == tenant);
            let only = rows.next().expect("one answer per token");
            assert!(rows.next().is_none());
            answer(only)
        };
        assert_eq!(of(OTHER_TENANT), (Verdict::Gone, None));
        of(TENANT)
    }

    pub(super) async fn logout(&self, session: Uuid) {
        self.client.query(&self.logout, &[&vec![TENANT], &vec![session]]).await.unwrap();
    }

    pub(super) async fn disable(&self, customer: bool, tenant: bool) {
        let text = "WITH t AS (UPDATE tenants SET disabled = $3 WHERE tenant_id = $1)
            UPDATE customers SET disabled = $2 WHERE tenant_id = $1";
        self.client.execute(text, &[&TENANT, &customer, &tenant]).await.unwrap();
    }

    pub(super) async fn row(&self, session: Uuid) -> Option<Moving> {
        let text = "SELECT generation, branch, prev_branch, rotated_us, idle_until_us FROM sessions
            WHERE tenant_id = $1 AND session_key = $2";
        let row = self.client.query_opt(text, &[&TENANT, &session]).await.unwrap()?;
        Some((row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
    }

    /// A failover to a standby that had not heard of the last writes.
    pub(super) async fn restore(&self, session: Uuid, row: Moving) {
        let text =
            "UPDATE sessions SET generation = $3, branch = $4, prev_branch = $5, rotated_us = $6, idle_until_us = $7
            WHERE tenant_id = $1 AND session_key = $2";
        let count = self
            .client
            .execute(text, &[&TENANT, &session, &row.0, &row.1, &row.2, &row.3, &row.4])
            .await
            .unwrap();
        assert_eq!(count, 1);
    }
}

fn answer(row: &Row) -> (Verdict, Option<Successor>) {
    use Verdict::{Ahead, Branched, Gone, Late, Repeated, Rotated, Theft};
    let verdict = row.get::<_, i32>("verdict") + 1;
    let verdict = [Late, Gone, Rotated, Repeated, Branched, Theft, Ahead][usize::try_from(verdict).unwrap()];
    let successor = row.get::<_, Option<i32>>("generation").map(|generation| Successor {
        token: Token { generation, branch: row.get("branch") },
        issued: row.get("rotated_us"),
        left: row.get("left_us"),
    });
    (verdict, successor)
}
