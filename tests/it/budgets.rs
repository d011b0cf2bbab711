//! The statements against a reference model: every budget, lane and code of an address, in simulated time.

mod model;

use crate::support::postgres::Database;
use model::{
    Address, Bucket, COOLDOWN, Caller, Compared, DAY, Face, LIFE, Lane, MAILS, Mail, Rate, SECOND, StepUp,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::cell::Cell;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

const TENANT: Uuid = Uuid::from_u128(0xacce);
/// Some midnight, and a little.
const START: i64 = 20_600 * DAY + 5 * SECOND;

/// The statements that the service runs, prepared as it prepares them.
struct Statements {
    client: Client,
    login: Statement,
    verify: Statement,
    sweep: Statement,
}

impl Statements {
    async fn open(database: &Database) -> Self {
        let client = crate::support::postgres::connect(&database.url).await;
        let once = "SET plan_cache_mode = force_generic_plan; SET synchronous_commit = off;";
        client.batch_execute(once).await.unwrap();
        let tenant =
            "INSERT INTO tenants VALUES ($1, 'model', 'Model', NULL, 1, false, 0) ON CONFLICT DO NOTHING";
        client.execute(tenant, &[&TENANT]).await.unwrap();
        let login = client.prepare(include_str!("../../sql/queries/challenges/login.sql")).await.unwrap();
        let verify = client.prepare(include_str!("../../sql/queries/challenges/verify.sql")).await.unwrap();
        let sweep = client.prepare(include_str!("../../sql/queries/challenges/sweep.sql")).await.unwrap();
        Self { client, login, verify, sweep }
    }

    async fn login(
        &self,
        now: i64,
        address: Uuid,
        caller: Caller,
        step_up: StepUp,
        id: u128,
    ) -> Option<Mail> {
        let bits = 2 * i16::from(step_up.may) + i16::from(step_up.tripped);
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
                    &vec![bits],
                    &LIFE,
                    &COOLDOWN,
                    &i32::try_from(MAILS.burst).unwrap(),
                    &MAILS.period,
                    &(20 * SECOND),
                ],
            )
            .await;
        let row = only(rows.unwrap());
        row.get::<_, bool>("mail_now").then(|| mail(&row))
    }

    /// What a guess came to, and whether a session began.
    async fn verify(
        &self,
        now: i64,
        address: Uuid,
        caller: Caller,
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
    async fn sweep(&self, now: i64) {
        let all = [
            &Uuid::nil() as &(dyn tokio_postgres::types::ToSql + Sync),
            &Uuid::nil(),
            &100_000i64,
            &Some(now),
        ];
        self.client.query(&self.sweep, &all).await.unwrap();
    }

    /// As `sessions/revoke_customer.sql` does it, at a time of ours.
    async fn forget_devices(&self, now: i64, address: Uuid) {
        let text = "UPDATE challenges SET devices_from_us = $3, known_tags = '{}', known_days = '{}'
                    WHERE tenant_id = $1 AND address_key = $2";
        self.client.execute(text, &[&TENANT, &address, &now]).await.unwrap();
    }

    async fn add_customer(&self, address: Uuid) {
        let text = "INSERT INTO customers VALUES ($1, $2, $2, 'a@example.com', false, 0)";
        self.client.execute(text, &[&TENANT, &address]).await.unwrap();
    }
}

fn only(mut rows: Vec<Row>) -> Row {
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn face(row: &Row) -> Face {
    if row.get::<_, i16>("alphabet") == 0 { Face::Digits } else { Face::Base32 }
}

fn mail(row: &Row) -> Mail {
    let id = row.get::<_, Uuid>("challenge_id").as_u128();
    Mail { id, face: face(row), ends: row.get("expires_us") }
}

/// What the MAC of a code is in production: one value per code and face.
fn face_mac(id: u128, face: Face) -> Uuid {
    Uuid::from_u128(id << 2 | (face as u128 + 1))
}

/// What was typed, read both ways.
#[derive(Clone, Copy, Debug)]
struct Typed {
    digits: Uuid,
    base32: Option<Uuid>,
}

impl Typed {
    fn is(self, id: u128, face: Face) -> bool {
        let read = if face == Face::Digits { Some(self.digits) } else { self.base32 };
        read == Some(face_mac(id, face))
    }
}

/// What somebody types.
#[derive(Clone, Copy, Debug)]
enum Key {
    /// The newest code as it was mailed.
    Right,
    Wrong,
    /// Right, if the code had been mailed in its other face.
    OtherFace,
    /// The code before the newest.
    Previous,
}

/// A device cookie's age; `None`: no cookie.
type Age = Option<i64>;

#[derive(Clone, Debug)]
enum Step {
    Login(i64, Age, StepUp),
    Guess(i64, Age, Key, u8),
    /// Ask and fail, over and over.
    Siege(i64, Age, StepUp, u8),
    Wait(i64),
    Sweep,
    ForgetDevices,
}

fn prefix() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..2i64, 1 => 0..10i64]
}

fn age() -> impl Strategy<Value = Age> {
    let known = [0, SECOND, DAY, 100 * DAY, 180 * DAY - 1, 180 * DAY, 200 * DAY];
    prop_oneof![3 => Just(None), 1 => select(known.to_vec()).prop_map(Some)]
}

fn step_up() -> impl Strategy<Value = StepUp> {
    prop_oneof![
        4 => Just(StepUp { may: true, tripped: false }),
        1 => any::<(bool, bool)>().prop_map(|(may, tripped)| StepUp { may, tripped })
    ]
}

fn wait() -> impl Strategy<Value = i64> {
    let seconds = [1, 59, 60, 61, 119, 120, 121, 479, 480, 481, 599, 600, 601, 1_728, 17_280, 86_400];
    let days = [1, 14, 36, 60];
    prop_oneof![
        6 => select(seconds.to_vec()).prop_map(|s| s * SECOND),
        1 => select(days.to_vec()).prop_map(|d| d * DAY),
        1 => (SECOND..DAY).prop_map(|us| us),
        1 => (1..60 * DAY).prop_map(|us| us),
        // down to the microsecond around a code's end
        1 => (LIFE - 2..=LIFE + 2).prop_map(|us| us),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop_oneof![
        3 => Just(Key::Wrong), 2 => Just(Key::Right), 1 => Just(Key::OtherFace), 1 => Just(Key::Previous)
    ];
    prop_oneof![
        6 => (prefix(), age(), step_up()).prop_map(|(p, a, s)| Step::Login(p, a, s)),
        6 => (prefix(), age(), key, 1..6u8).prop_map(|(p, a, k, n)| Step::Guess(p, a, k, n)),
        2 => (prefix(), age(), step_up(), 1..6u8).prop_map(|(p, a, s, n)| Step::Siege(p, a, s, n)),
        6 => wait().prop_map(Step::Wait),
        1 => Just(Step::Sweep),
        1 => Just(Step::ForgetDevices),
    ]
}

/// One address, driven in both worlds.
struct Run<'a> {
    statements: &'a Statements,
    model: Address,
    address: Uuid,
    is_customer: bool,
    now: i64,
    ids: u128,
    previous: u128,
    /// When mails left, by lane.
    mails: [Vec<i64>; 2],
    /// When a guess failed, by lane and face.
    failures: [[Vec<i64>; 2]; 2],
    /// Evaluated guesses of the live code, by lane.
    of_code: [u32; 2],
}

impl<'a> Run<'a> {
    async fn new(statements: &'a Statements, is_customer: bool) -> Self {
        let address = Uuid::new_v4();
        if is_customer {
            statements.add_customer(address).await;
        }
        Self {
            statements,
            model: Address::new(is_customer),
            address,
            is_customer,
            now: START,
            ids: 1,
            previous: 0,
            mails: Default::default(),
            failures: Default::default(),
            of_code: [0; 2],
        }
    }

    fn caller(&self, prefix: i64, age: Age) -> Caller {
        Caller { prefix, device: age.map(|age| self.now - age) }
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Login(prefix, age, step_up) => self.login(self.caller(prefix, age), step_up).await,
            Step::Guess(prefix, age, key, times) => {
                for _ in 0..times {
                    self.guess(self.caller(prefix, age), key).await?;
                }
                Ok(())
            }
            Step::Siege(prefix, age, step_up, times) => {
                for _ in 0..times {
                    self.login(self.caller(prefix, age), step_up).await?;
                    for _ in 0..6 {
                        self.guess(self.caller(prefix, age), Key::Wrong).await?;
                    }
                }
                Ok(())
            }
            Step::Wait(us) => {
                self.now += us;
                Ok(())
            }
            // an address cannot tell whether its row was swept
            Step::Sweep => {
                self.statements.sweep(self.now).await;
                Ok(())
            }
            Step::ForgetDevices => {
                self.statements.forget_devices(self.now, self.address).await;
                self.model.forget_devices(self.now);
                Ok(())
            }
        }
    }

    async fn login(&mut self, caller: Caller, step_up: StepUp) -> Result<(), TestCaseError> {
        self.ids += 1;
        let (before, lane) = (self.model.last_code(), self.model.lane(caller, self.now));
        let expected = self.model.login(self.now, caller, step_up, self.ids);
        let got = self.statements.login(self.now, self.address, caller, step_up, self.ids).await;
        prop_assert_eq!(got, expected, "login of {:?} {:?} {:?}", lane, caller, step_up);
        if let Some(mail) = got {
            self.mails[lane as usize].push(self.now);
            if before.is_some_and(|(id, _)| id != mail.id) {
                self.previous = before.unwrap().0;
            }
            if mail.id == self.ids {
                self.of_code = [0; 2];
            }
        }
        Ok(())
    }

    async fn guess(&mut self, caller: Caller, key: Key) -> Result<(), TestCaseError> {
        let (id, face) = self.model.last_code().unwrap_or((0, Face::Digits));
        let wrong = Typed { digits: Uuid::from_u128(8), base32: None };
        let read = |id, face| match face {
            Face::Digits => Typed { digits: face_mac(id, Face::Digits), ..wrong },
            Face::Base32 => Typed { base32: Some(face_mac(id, Face::Base32)), ..wrong },
        };
        let typed = match (key, face) {
            (Key::Right, face) => read(id, face),
            (Key::Wrong, _) => wrong,
            (Key::OtherFace, Face::Digits) => read(id, Face::Base32),
            (Key::OtherFace, Face::Base32) => read(id, Face::Digits),
            (Key::Previous, face) => read(self.previous, face),
        };
        let expected = self.model.guess(self.now, caller, |id, face| typed.is(id, face));
        let (got, session) = self.statements.verify(self.now, self.address, caller, typed).await;
        prop_assert_eq!(got, expected, "guess {:?} of {:?}", key, caller);
        prop_assert_eq!(session, self.is_customer && got.is_some_and(|compared| compared.right));
        if let Some(Compared { lane, face, right }) = got {
            self.of_code[lane as usize] += 1;
            prop_assert!(self.of_code[lane as usize] <= 5, "A5: {:?}", self.of_code);
            if !right {
                self.failures[lane as usize][face as usize].push(self.now);
            }
        }
        Ok(())
    }

    /// Whatever the two worlds agreed on: no span admitted more than the contract's table.
    fn assert_bounds(&self) -> Result<(), TestCaseError> {
        for lane in [Lane::Stranger, Lane::Known] {
            prop_assert!(MAILS.holds(&self.mails[lane as usize]), "mails to {:?}", lane);
            for face in [Face::Digits, Face::Base32] {
                let moments = &self.failures[lane as usize][face as usize];
                prop_assert!(model::failures(lane, face).holds(moments), "failures of {:?} {:?}", lane, face);
            }
        }
        Ok(())
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() })
}

/// A3, A5, A6, A7, A8, A9, A15, B3, B13, L1, L4: any schedule of logins, guesses, waits and sweeps over both lanes does
/// what the model does, and no span admits more than the contract's table says.
///
/// Nothing but the row counts, so a restart or another replica (A15) is one more caller of the same statements.
#[test]
fn an_address_does_what_the_contract_says() {
    let runtime = Runtime::new().unwrap();
    let (database, statements) = runtime.block_on(async {
        let database = Database::new().await;
        let statements = Statements::open(&database).await;
        (database, statements)
    });
    let schedule = (any::<bool>(), vec(step(), 1..60));
    // what the schedules reached, so that this test cannot become an idle one unseen
    let (spent, knew, stepped) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let outcome = runner(96).run(&schedule, |(is_customer, steps)| {
        runtime.block_on(async {
            let mut run = Run::new(&statements, is_customer).await;
            for (at, step) in steps.iter().enumerate() {
                let done = run.step(step).await;
                done.map_err(|error| TestCaseError::fail(format!("step {at}, {step:?}: {error}")))?;
            }
            let of = |lane: Lane, face: Face| run.failures[lane as usize][face as usize].len();
            spent.set(spent.get() + usize::from(of(Lane::Stranger, Face::Digits) >= 20));
            knew.set(knew.get() + usize::from(of(Lane::Known, Face::Digits) >= 10));
            stepped.set(stepped.get() + usize::from(of(Lane::Known, Face::Base32) > 0));
            run.assert_bounds()
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let reached = (spent.get(), knew.get(), stepped.get());
    assert!(reached.0 > 3 && reached.1 > 3 && reached.2 > 0, "the schedules are too tame: {reached:?}");
    runtime.block_on(database.remove());
}
