//! Schedules, driven in both worlds; how they are made is in `steps`.

use super::statements::{Batch, Due, LEASE, Replica};
use super::steps::{Ask, Fate, Mailing, Step};
use super::world::{ADDRESSES, Call, Guess, Outcome, World, is_customer};
use crate::reference::model::{Caller, DAY, Face, Mail};
use crate::reference::run::{Age, START};
use crate::reference::statements::{TENANT, Typed, face_mac};
use crate::support::postgres::Database;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// How often the schedules came to what.
#[derive(Debug, Default)]
pub(super) struct Reached(BTreeMap<&'static str, usize>);

impl Reached {
    pub(super) fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, times)| *self.0.entry(what).or_default() += times);
    }

    pub(super) fn assert_all(&self) {
        for what in
            ["mailed", "dead", "nobody's", "session", "wrong", "found", "at once", "claimed", "repeated"]
        {
            assert!(self.0.get(what).is_some_and(|times| *times > 2), "too tame for {what}: {self:?}");
        }
    }
}

/// What became of a mail that was promised.
#[derive(Default)]
struct Promise {
    sent: usize,
    dead: bool,
    /// Its replica died between the relay's answer and the note: it may leave twice.
    may_repeat: bool,
}

/// Of a lane, per code.
const GUESSES: usize = 5;

pub(super) struct Run<'a> {
    database: &'a Database,
    replicas: &'a [Replica; 2],
    /// In memory, each with the real time until which it is the replica's.
    held: [Vec<(Batch, i64)>; 2],
    /// All that may be the case: of two calls at once, either may have been the first.
    worlds: Vec<World>,
    keys: [Uuid; ADDRESSES],
    promises: BTreeMap<(Uuid, usize), Promise>,
    now: i64,
    behind: i64,
    ids: u128,
    pub reached: Reached,
}

type Done = Result<(), TestCaseError>;

impl<'a> Run<'a> {
    pub(super) async fn new(database: &'a Database, replicas: &'a [Replica; 2]) -> Self {
        let keys = [0; ADDRESSES].map(|_| Uuid::new_v4());
        let client = database.client();
        client
            .batch_execute("DELETE FROM outbox; DELETE FROM sessions; DELETE FROM challenges")
            .await
            .unwrap();
        for key in keys.iter().take(2) {
            let text = "INSERT INTO customers VALUES ($1, $2, $2, 'a@example.com', false, 0)";
            client.execute(text, &[&TENANT, key]).await.unwrap();
        }
        Self {
            database,
            replicas,
            held: Default::default(),
            worlds: vec![World::new()],
            keys,
            promises: BTreeMap::new(),
            now: START,
            behind: 0,
            ids: 1,
            reached: Reached::default(),
        }
    }

    pub(super) async fn step(&mut self, step: &Step) -> Done {
        match step {
            Step::Call(replica, ask, fate) => self.call(*replica, ask, *fate).await,
            Step::Siege(replica, address, prefix, age, step_up, times) => {
                let login = Ask::Login(vec![*address], *prefix, *age, *step_up);
                for number in 0..*times {
                    if number % GUESSES == 0 {
                        self.call(*replica, &login, Fate::Arrives).await?;
                    }
                    let guess = Ask::Guess(*address, *prefix, *age, *step_up, false, false);
                    self.call(*replica, &guess, Fate::Arrives).await?;
                }
                Ok(())
            }
            Step::AtOnce(one, other) => self.at_once(one, other).await,
            Step::Mail(replica, how) => self.mail(*replica, *how).await,
            Step::TakenOver(replica, ask) => {
                self.call(*replica, ask, Fate::Arrives).await?;
                self.mail(*replica, Mailing::Dies).await?;
                self.now += LEASE;
                self.claim(1 - replica).await?;
                self.mail(1 - replica, Mailing::All).await
            }
            Step::Dies(replica) => {
                self.held[*replica].clear();
                Ok(())
            }
            Step::Claim(replica) => self.claim(*replica).await,
            Step::Wait(us) => {
                self.now += us;
                Ok(())
            }
            Step::PutBack(us) => {
                self.now -= us;
                self.behind += us;
                Ok(())
            }
            Step::Sweep => {
                self.replicas[0].sweep(self.now).await;
                let now = self.now;
                self.worlds.iter_mut().flat_map(|world| &mut world.addresses).for_each(|one| one.sweep(now));
                Ok(())
            }
        }
    }

    /// Who asks, and with which code.
    fn meant(&mut self, ask: &Ask, in_time: bool) -> Call {
        let now = self.now;
        let caller =
            |prefix: i64, age: Age| Caller { prefix, network: prefix / 2, device: age.map(|age| now - age) };
        match ask {
            Ask::Login(whom, prefix, age, step_up) => {
                let asked = whom.iter().map(|address| {
                    self.ids += 1;
                    (*address, self.ids)
                });
                Call::Login(asked.collect(), caller(*prefix, *age), *step_up)
            }
            Ask::Guess(address, prefix, age, step_up, right, replaces) => {
                let world = &self.worlds[0];
                let (id, face) = world.addresses[*address].last_code().unwrap_or((0, Face::Digits));
                let wrong = Typed { digits: Uuid::from_u128(8), base32: None };
                let typed = match (right, face) {
                    (false, _) => wrong,
                    (true, Face::Digits) => Typed { digits: face_mac(id, face), ..wrong },
                    (true, Face::Base32) => Typed { base32: Some(face_mac(id, face)), ..wrong },
                };
                let ended = if *replaces { world.sessions().first().copied() } else { None };
                let guess = Guess { address: *address, typed, session: Uuid::new_v4(), ended, in_time };
                Call::Guess(guess, caller(*prefix, *age), *step_up)
            }
        }
    }

    async fn call(&mut self, replica: usize, ask: &Ask, fate: Fate) -> Done {
        let call = self.meant(ask, fate != Fate::Late);
        if fate == Fate::Unsent {
            if let Call::Guess(guess, ..) = &call {
                prop_assert!(
                    !self.replicas[replica].finds(guess.session).await,
                    "a session that nobody began"
                );
            }
            return Ok(());
        }
        let (outcome, batch) = self.replicas[replica].call(self.now, &self.keys, &call).await;
        self.promise(&batch);
        // whoever lost the answer does not know of the row: its lease has to pass
        self.held[replica].extend(
            batch.filter(|_| fate != Fate::Lost).map(|batch| (batch, self.now + self.behind + LEASE)),
        );
        let mut why = String::new();
        let now = self.now;
        self.worlds.retain_mut(|world| {
            let expected = world.apply(now, &call);
            let same = expected == outcome;
            if !same {
                why = format!("{call:?} came to {outcome:?}, not {expected:?}");
            }
            same
        });
        prop_assert!(!self.worlds.is_empty(), "{}", why);
        if let (Call::Guess(guess, ..), Fate::Lost) = (&call, fate) {
            let begun = matches!(outcome, Outcome::Guess(_, true));
            prop_assert_eq!(self.replicas[replica].finds(guess.session).await, begun, "a lost answer");
            if begun {
                self.reached.note("found");
            }
        }
        self.note(&outcome);
        self.assert_sessions().await
    }

    /// Both wait for a gate, so that neither has read a row that the other is yet to change.
    async fn at_once(&mut self, one: &Ask, other: &Ask) -> Done {
        let calls = [self.meant(one, true), self.meant(other, true)];
        let gate = self.database.client();
        let text = "BEGIN; SELECT FROM challenges ORDER BY tenant_id, address_key FOR UPDATE";
        gate.batch_execute(text).await.unwrap();
        let open = async {
            tokio::time::sleep(Duration::from_millis(4)).await;
            gate.batch_execute("COMMIT").await.unwrap();
        };
        let [here, there] = self.replicas;
        let ((one, first), (other, second), ()) = tokio::join!(
            here.call(self.now, &self.keys, &calls[0]),
            there.call(self.now, &self.keys, &calls[1]),
            open
        );
        let mut after: Vec<World> = Vec::new();
        for world in &self.worlds {
            for one_first in [true, false] {
                let mut world = world.clone();
                let expected = if one_first {
                    [world.apply(self.now, &calls[0]), world.apply(self.now, &calls[1])]
                } else {
                    let other = world.apply(self.now, &calls[1]);
                    [world.apply(self.now, &calls[0]), other]
                };
                if expected == [one.clone(), other.clone()] && !after.contains(&world) {
                    after.push(world);
                }
            }
        }
        prop_assert!(!after.is_empty(), "{:?} at once came to {:?} and {:?}", calls, one, other);
        self.worlds = after;
        for (replica, batch) in [first, second].into_iter().enumerate() {
            self.promise(&batch);
            self.held[replica].extend(batch.map(|batch| (batch, self.now + self.behind + LEASE)));
        }
        self.reached.note("at once");
        self.assert_sessions().await
    }

    fn promise(&mut self, batch: &Option<Batch>) {
        if let Some(batch) = batch {
            for due in &batch.due {
                self.promises.insert((batch.id, due.place), Promise::default());
            }
        }
    }

    fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Guess(_, true) => self.reached.note("session"),
            Outcome::Guess(Some(compared), _) if !compared.right => self.reached.note("wrong"),
            _ => {}
        }
    }

    /// Sessions are those that right codes began, without those that newer ones took the place of.
    async fn assert_sessions(&mut self) -> Done {
        let text = "SELECT session_key FROM sessions ORDER BY session_key";
        let rows = self.database.client().query(text, &[]).await.unwrap();
        let there: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        self.worlds.retain(|world| world.sessions() == there);
        prop_assert!(!self.worlds.is_empty(), "sessions: {:?}", there);
        Ok(())
    }

    /// Looks at the mails that a replica has, hands them over, and notes that.
    async fn mail(&mut self, replica: usize, how: Mailing) -> Done {
        let here = &self.replicas[replica];
        let real = self.now + self.behind;
        let mut rows = std::mem::take(&mut self.held[replica]);
        // a lease that has passed is nobody's
        rows.retain(|(_, until)| real < *until);
        for (mut batch, until) in rows {
            let mut left: Vec<usize> = (0..batch.due.len()).filter(|at| !is_done(&batch.done, *at)).collect();
            if how == Mailing::One {
                left.truncate(1);
            }
            for at in &left {
                self.hand_over(replica, &batch, &batch.due[*at], how).await?;
                batch.done.resize(batch.done.len().max(at / 8 + 1), 0);
                batch.done[at / 8] |= 1 << (at % 8);
            }
            match how {
                Mailing::Dies => {}
                _ if (0..batch.due.len()).all(|at| is_done(&batch.done, at)) => {
                    here.settle(self.now, &batch, None).await;
                }
                _ => {
                    here.settle(self.now, &batch, Some(&batch.done)).await;
                    self.held[replica].push((batch, until.max(real + LEASE)));
                }
            }
        }
        Ok(())
    }

    async fn hand_over(&mut self, replica: usize, batch: &Batch, due: &Due, how: Mailing) -> Done {
        let address = usize::from(batch.asked[due.place]);
        let seen = self.replicas[replica].resolve(self.now, self.keys[address], due).await;
        let (Due { mail: Mail { id, .. }, lane, .. }, now) = (due, self.now);
        self.worlds
            .retain(|world| world.addresses[address].is_alive(now, *id, *lane) == seen.map(|(left, _)| left));
        prop_assert!(!self.worlds.is_empty(), "the mail of {} is looked at: {:?}", id, seen);
        let Some(promise) = self.promises.get_mut(&(batch.id, due.place)) else {
            return Err(TestCaseError::fail("a mail that nobody promised"));
        };
        match seen {
            None => {
                promise.dead = true;
                self.reached.note("dead");
            }
            Some((_, somebody)) => {
                prop_assert_eq!(somebody, is_customer(address), "whom it goes to");
                promise.sent += 1;
                promise.may_repeat |= how == Mailing::Dies;
                prop_assert!(promise.sent == 1 || promise.may_repeat, "mailed twice: {}", id);
                let again = promise.sent > 1;
                self.reached.note(if again {
                    "repeated"
                } else if somebody {
                    "mailed"
                } else {
                    "nobody's"
                });
            }
        }
        Ok(())
    }

    async fn claim(&mut self, replica: usize) -> Done {
        let until = self.now + self.behind + LEASE;
        for batch in self.replicas[replica].claim(self.now).await {
            self.reached.note("claimed");
            self.held[replica].push((batch, until));
        }
        Ok(())
    }

    /// In the end every mail that was promised has left, or its code was dead.
    pub(super) async fn finish(&mut self) -> Done {
        self.held = Default::default();
        // leases of before the clock was put back
        self.now += self.behind + LEASE + DAY;
        self.claim(0).await?;
        self.mail(0, Mailing::All).await?;
        prop_assert_eq!(
            self.database.count("SELECT count(*) FROM outbox").await,
            0,
            "rows that nobody mails"
        );
        for ((batch, place), promise) in &self.promises {
            prop_assert!(promise.sent > 0 || promise.dead, "no mail, no reason: {} {}", batch, place);
        }
        Ok(())
    }
}

fn is_done(done: &[u8], at: usize) -> bool {
    done.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}
