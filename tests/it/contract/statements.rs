//! The service's own statements at two replicas, prepared as it prepares them, told the time; one may be broken.

use super::mutants::Mutant;
use super::world::{ABSOLUTE, Call, Guess, IDLE, Outcome, SESSIONS};
use crate::reference::model::{COOLDOWN, Caller, Compared, Face, LIFE, Lane, MAILS, Mail, SECOND, StepUp};
use crate::reference::statements::{TENANT, bits, face, face_mac, only};
use crate::support::postgres::{Database, connect_as_the_pool};
use std::time::{Duration, SystemTime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

/// How long a replica may keep mail to itself.
pub(super) const LEASE: i64 = 20 * SECOND;

/// One replica's connection.
pub(super) struct Replica {
    pub id: Uuid,
    client: Client,
    login: Statement,
    verify: Statement,
    find: Statement,
    sweep: Statement,
    claim: Statement,
    resolve: Statement,
    settle: Statement,
}

/// A row of the outbox as its holder has it: the address of each login asked for, what is due, what has left.
pub(super) struct Batch {
    pub id: Uuid,
    pub asked: Vec<u8>,
    pub due: Vec<Due>,
    pub done: Vec<u8>,
}

pub(super) struct Due {
    pub place: usize,
    pub mail: Mail,
    pub lane: Lane,
}

/// The statement or rule, broken if it is the mutant's.
fn text(file: &str, mutant: Option<&Mutant>) -> String {
    let path = format!("{}/sql/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    match mutant.filter(|mutant| mutant.file == file) {
        Some(mutant) => {
            assert_eq!(text.matches(mutant.from).count(), 1, "{}: nothing to break", mutant.class);
            text.replace(mutant.from, mutant.to)
        }
        None => text,
    }
}

pub(super) async fn open(database: &Database, mutant: Option<&Mutant>) -> [Replica; 2] {
    let tenant = "INSERT INTO tenants VALUES ($1, 'model', 'Model', NULL, 1, false, 0)";
    database.client().execute(tenant, &[&TENANT]).await.unwrap();
    if let Some(rules) = mutant.filter(|mutant| mutant.file.starts_with("migrations/")) {
        let rules = text(rules.file, mutant).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION");
        database.client().batch_execute(&rules).await.unwrap();
    }
    let replica = async || {
        let client = connect_as_the_pool(&database.url).await;
        client.batch_execute("SET synchronous_commit = off").await.unwrap();
        let prepare =
            async |file: &str| client.prepare(&text(&format!("queries/{file}"), mutant)).await.unwrap();
        Replica {
            id: Uuid::new_v4(),
            login: prepare("challenges/login.sql").await,
            verify: prepare("challenges/verify.sql").await,
            find: prepare("sessions/find.sql").await,
            sweep: prepare("challenges/sweep.sql").await,
            claim: prepare("outbox/claim.sql").await,
            resolve: prepare("outbox/resolve.sql").await,
            settle: prepare("outbox/settle.sql").await,
            client,
        }
    };
    [replica().await, replica().await]
}

impl Replica {
    /// One statement; of logins, the row of the outbox that came of it.
    pub(super) async fn call(&self, now: i64, keys: &[Uuid], call: &Call) -> (Outcome, Option<Batch>) {
        match call {
            Call::Login(asked, caller, step_up) => {
                let batch = self.login(now, keys, asked, *caller, *step_up).await;
                let mail_to = |place| {
                    let due = batch.as_ref()?.due.iter().find(|due| due.place == place)?;
                    Some(due.mail)
                };
                (Outcome::Login((0..asked.len()).map(mail_to).collect()), batch)
            }
            Call::Guess(guess, caller, step_up) => {
                let (compared, begun) = self.verify(now, keys[guess.address], guess, *caller, *step_up).await;
                (Outcome::Guess(compared, begun), None)
            }
        }
    }

    async fn login(
        &self,
        now: i64,
        keys: &[Uuid],
        asked: &[(usize, u128)],
        caller: Caller,
        step_up: StepUp,
    ) -> Option<Batch> {
        let of =
            |with: &dyn Fn(u128) -> Uuid| -> Vec<Uuid> { asked.iter().map(|(_, id)| with(*id)).collect() };
        let slots: Vec<i32> = (0..asked.len()).map(|place| 1 << 16 | place as i32).collect();
        let record: Vec<u8> = asked.iter().map(|(address, _)| *address as u8).collect();
        let rows = self
            .client
            .query(
                &self.login,
                &[
                    &Some(now),
                    &vec![TENANT; asked.len()],
                    &asked.iter().map(|(address, _)| keys[*address]).collect::<Vec<_>>(),
                    &of(&Uuid::from_u128),
                    &of(&|id| face_mac(id, Face::Digits)),
                    &of(&|id| face_mac(id, Face::Base32)),
                    &vec![caller.device.unwrap_or(0); asked.len()],
                    &vec![caller.prefix; asked.len()],
                    &vec![bits(step_up); asked.len()],
                    &slots,
                    &LIFE,
                    &COOLDOWN,
                    &i32::try_from(MAILS.burst).unwrap(),
                    &MAILS.period,
                    &1i16,
                    &self.id,
                    &vec![Uuid::new_v4()],
                    &vec![0i16],
                    &vec![LEASE],
                    &vec![&record[..]],
                    &vec![caller.network; asked.len()],
                ],
            )
            .await
            .unwrap();
        assert!(rows.len() <= 1, "one row for one flush");
        let row = rows.first()?;
        Some(Batch { id: row.get("batch_id"), due: due(row), asked: record, done: Vec::new() })
    }

    async fn verify(
        &self,
        now: i64,
        key: Uuid,
        guess: &Guess,
        caller: Caller,
        step_up: StepUp,
    ) -> (Option<Compared>, bool) {
        let minute = Duration::from_secs(60);
        let deadline = SystemTime::now();
        let deadline = if guess.in_time { deadline + minute } else { deadline - minute };
        let rows = self
            .client
            .query(
                &self.verify,
                &[
                    &Some(now),
                    &vec![TENANT],
                    &vec![key],
                    &vec![Some(guess.typed.digits)],
                    &vec![guess.typed.base32],
                    &vec![caller.device.unwrap_or(0)],
                    &vec![caller.prefix],
                    &vec![guess.session],
                    &vec![guess.ended],
                    &vec![7i32],
                    &IDLE,
                    &ABSOLUTE,
                    &(SESSIONS as i64),
                    &vec![deadline],
                    &vec![caller.network],
                    &vec![bits(step_up)],
                    &vec![None::<&str>],
                    &vec![None::<&str>],
                    &vec![None::<Uuid>],
                ],
            )
            .await
            .unwrap();
        let row = only(rows);
        let compared = row.get::<_, bool>("evaluated").then(|| Compared {
            lane: if row.get("known") { Lane::Known } else { Lane::Stranger },
            face: face(&row),
            right: !row.get::<_, bool>("missed"),
        });
        (compared, row.get::<_, Option<Uuid>>("customer_id").is_some())
    }

    /// As the ledger does when an answer was lost.
    pub(super) async fn finds(&self, session: Uuid) -> bool {
        let rows = self.client.query(&self.find, &[&vec![TENANT], &vec![session]]).await.unwrap();
        !rows.is_empty()
    }

    pub(super) async fn sweep(&self, now: i64) {
        self.client.query(&self.sweep, &[&Uuid::nil(), &Uuid::nil(), &100_000i64, &Some(now)]).await.unwrap();
    }

    /// Rows that are free.
    pub(super) async fn claim(&self, now: i64) -> Vec<Batch> {
        let about: [&(dyn ToSql + Sync); 7] =
            [&Some(now), &self.id, &LEASE, &1i16, &1i32, &100i64, &1_000i64];
        let rows = self.client.query(&self.claim, &about).await.unwrap();
        let batch = |row: &Row| Batch {
            id: row.get("batch_id"),
            asked: row.get("asked"),
            due: due(row),
            done: row.get::<_, Option<Vec<u8>>>("done").unwrap_or_default(),
        };
        rows.iter().map(batch).collect()
    }

    /// How long a mail's code can still be used, and whether somebody is to get it; `None`: dead.
    pub(super) async fn resolve(&self, now: i64, key: Uuid, due: &Due) -> Option<(i64, bool)> {
        let rows = self
            .client
            .query(
                &self.resolve,
                &[
                    &Some(now),
                    &vec![0i32],
                    &vec![TENANT],
                    &vec![key],
                    &vec![Uuid::from_u128(due.mail.id)],
                    &vec![due.lane == Lane::Known],
                    &vec![None::<&str>],
                ],
            )
            .await
            .unwrap();
        rows.first().map(|row| (row.get("left_us"), row.get::<_, Option<&str>>("slug").is_some()))
    }

    /// Notes which mails of a row have left; `None`: all.
    pub(super) async fn settle(&self, now: i64, batch: &Batch, done: Option<&[u8]>) {
        self.client
            .query(
                &self.settle,
                &[
                    &Some(now),
                    &self.id,
                    &vec![batch.id],
                    &vec![done],
                    &vec![LEASE],
                    &vec![None::<Uuid>],
                    &vec![0i64],
                    &vec![0i32],
                    &vec![None::<&[u8]>],
                    &vec![None::<&[u8]>],
                ],
            )
            .await
            .unwrap();
    }
}

/// Records of mail: place, code, what it is about. Of the codes' ends a row has the last one.
fn due(row: &Row) -> Vec<Due> {
    let (bytes, ends): (&[u8], i64) = (row.get("due"), row.get("expires_us"));
    let read = |record: &[u8]| {
        let place = usize::from(u16::from_be_bytes([record[0], record[1]]));
        let (id, flags) = (u128::from_be_bytes(record[2..18].try_into().unwrap()), record[19]);
        let face = if flags & 1 == 0 { Face::Digits } else { Face::Base32 };
        let lane = if flags & 2 == 0 { Lane::Stranger } else { Lane::Known };
        Due { place, mail: Mail { id, face, ends }, lane }
    };
    bytes.chunks(20).map(read).collect()
}
