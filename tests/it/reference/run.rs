//! Schedules: what happens to one address, in both worlds.

use super::model::{self, Address, Caller, Compared, DAY, Face, LIFE, Lane, MAILS, SECOND, StepUp};
use super::statements::{Statements, Typed, face_mac};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Some midnight, and a little.
pub(crate) const START: i64 = 20_600 * DAY + 5 * SECOND;

/// A tenant that takes base32 and is not under attack.
const CALM: StepUp = StepUp { may: true, tripped: false };

/// What somebody types.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    /// The newest code as it was mailed.
    Right,
    Wrong,
    /// Right, if the code had been mailed in its other face.
    OtherFace,
    /// The code before the newest.
    Previous,
}

/// A device cookie's age; `None`: no cookie.
pub(crate) type Age = Option<i64>;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Login(i64, Age, StepUp),
    Guess(i64, Age, Key, StepUp, u8),
    /// Ask and fail, over and over.
    Siege(i64, Age, StepUp, u8),
    /// Log in, and come back after a time without a cookie.
    Return(i64, StepUp, i64),
    /// Log in from this many networks, one after the other, then fail from the first few.
    Tour(i64),
    Wait(i64),
    /// The database's clock is put back.
    PutBack(i64),
    Sweep,
    /// End all devices; perhaps, much later, sweep; come back with a device from before.
    ForgetDevices(bool),
}

pub(crate) fn prefix() -> impl Strategy<Value = i64> {
    prop_oneof![4 => select(vec![0, 2]), 1 => 0..12i64]
}

pub(crate) fn age() -> impl Strategy<Value = Age> {
    let known = [0, SECOND, DAY, 100 * DAY, 180 * DAY - 1, 180 * DAY, 200 * DAY];
    prop_oneof![3 => Just(None), 1 => select(known.to_vec()).prop_map(Some)]
}

pub(crate) fn step_up() -> impl Strategy<Value = StepUp> {
    prop_oneof![
        4 => Just(CALM),
        1 => any::<(bool, bool)>().prop_map(|(may, tripped)| StepUp { may, tripped })
    ]
}

pub(crate) fn wait() -> impl Strategy<Value = i64> {
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

pub(crate) fn put_back() -> impl Strategy<Value = i64> {
    let seconds = [1, 10, 60, 61, 121, 480, 599, 600, 659, 660, 661, 3_600, 17_280, 86_400, 172_800];
    select(seconds.to_vec()).prop_map(|s| s * SECOND)
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let key = prop_oneof![
        3 => Just(Key::Wrong), 2 => Just(Key::Right), 1 => Just(Key::OtherFace), 1 => Just(Key::Previous)
    ];
    let away = select(vec![DAY, 89 * DAY, 90 * DAY - 5 * SECOND - 1, 90 * DAY - 5 * SECOND, 91 * DAY]);
    prop_oneof![
        6 => (prefix(), age(), step_up()).prop_map(|(p, a, s)| Step::Login(p, a, s)),
        6 => (prefix(), age(), key, step_up(), 1..6u8).prop_map(|(p, a, k, s, n)| Step::Guess(p, a, k, s, n)),
        2 => (prefix(), age(), step_up(), 1..6u8).prop_map(|(p, a, s, n)| Step::Siege(p, a, s, n)),
        1 => (prefix(), step_up(), away).prop_map(|(p, s, us)| Step::Return(p, s, us)),
        1 => (7..11i64).prop_map(Step::Tour),
        6 => wait().prop_map(Step::Wait),
        1 => put_back().prop_map(Step::PutBack),
        1 => Just(Step::Sweep),
        1 => any::<bool>().prop_map(Step::ForgetDevices),
    ]
}

/// One address, driven in both worlds.
pub(crate) struct Run<'a> {
    statements: &'a Statements,
    model: Address,
    address: Uuid,
    is_customer: bool,
    /// By the database's clock.
    pub now: i64,
    /// By how much that has been put back.
    behind: i64,
    ids: u128,
    previous: u128,
    /// When mails left, by lane.
    pub mails: [Vec<i64>; 2],
    /// When a guess failed, by lane and face.
    pub failures: [[Vec<i64>; 2]; 2],
    /// Of strangers' networks: when mails left, when a digit guess failed.
    shares: [BTreeMap<i64, Vec<i64>>; 2],
    /// Evaluated guesses of the live code, by lane.
    of_code: [u32; 2],
}

impl<'a> Run<'a> {
    pub(crate) async fn new(statements: &'a Statements, is_customer: bool) -> Self {
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
            behind: 0,
            ids: 1,
            previous: 0,
            mails: Default::default(),
            failures: Default::default(),
            shares: Default::default(),
            of_code: [0; 2],
        }
    }

    pub(crate) fn caller(&self, prefix: i64, age: Age) -> Caller {
        // two prefixes to a network
        Caller { prefix, network: prefix / 2, device: age.map(|age| self.now - age) }
    }

    pub(crate) async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Login(prefix, age, step_up) => self.login(self.caller(prefix, age), step_up).await,
            Step::Guess(prefix, age, key, step_up, times) => {
                for _ in 0..times {
                    self.guess(self.caller(prefix, age), step_up, key).await?;
                }
                Ok(())
            }
            Step::Siege(prefix, age, step_up, times) => {
                for _ in 0..times {
                    self.login(self.caller(prefix, age), step_up).await?;
                    for _ in 0..6 {
                        self.guess(self.caller(prefix, age), step_up, Key::Wrong).await?;
                    }
                }
                Ok(())
            }
            Step::Return(prefix, step_up, us) => {
                self.login(self.caller(prefix, None), step_up).await?;
                self.guess(self.caller(prefix, None), step_up, Key::Right).await?;
                self.now += us;
                self.sweep().await;
                self.login(self.caller(prefix, None), step_up).await?;
                self.guess(self.caller(prefix, None), step_up, Key::Wrong).await
            }
            Step::Tour(networks) => {
                let step_up = CALM;
                for prefix in 0..networks {
                    self.now += MAILS.period;
                    self.login(self.caller(prefix, None), step_up).await?;
                    self.guess(self.caller(prefix, None), step_up, Key::Right).await?;
                }
                self.now += MAILS.period;
                self.login(self.caller(networks, None), step_up).await?;
                for prefix in 0..3 {
                    self.guess(self.caller(prefix, None), step_up, Key::Wrong).await?;
                }
                Ok(())
            }
            Step::Wait(us) => {
                self.now += us;
                Ok(())
            }
            Step::PutBack(us) => {
                self.now -= us;
                self.behind += us;
                Ok(())
            }
            // an address cannot tell whether its row was swept, as long as no clock is put back
            Step::Sweep => {
                self.sweep().await;
                Ok(())
            }
            Step::ForgetDevices(later) => {
                self.statements.forget_devices(self.now, self.address).await;
                if self.is_customer {
                    self.model.forget_devices(self.now);
                }
                let device = Caller { prefix: 0, network: 0, device: Some(self.now - SECOND) };
                if later {
                    self.now += 100 * DAY;
                    self.sweep().await;
                }
                self.login(device, CALM).await?;
                self.guess(device, CALM, Key::Wrong).await
            }
        }
    }

    async fn sweep(&mut self) {
        self.statements.sweep(self.now).await;
        self.model.sweep(self.now);
    }

    /// Time that has passed, whatever the clock says: what budgets are held to.
    fn real(&self) -> i64 {
        self.now + self.behind
    }

    pub(crate) async fn login(&mut self, caller: Caller, step_up: StepUp) -> Result<(), TestCaseError> {
        self.ids += 1;
        let (before, lane) = (self.model.last_code(), self.model.lane(caller, self.now));
        let expected = self.model.login(self.now, caller, step_up, self.ids);
        let got = self.statements.login(self.now, self.address, caller, step_up, self.ids).await;
        prop_assert_eq!(got, expected, "login of {:?} {:?} {:?}", lane, caller, step_up);
        if let Some(mail) = got {
            self.mails[lane as usize].push(self.real());
            if lane == Lane::Stranger {
                let real = self.real();
                self.shares[0].entry(caller.network).or_default().push(real);
            }
            if before.is_some_and(|(id, _)| id != mail.id) {
                self.previous = before.unwrap().0;
            }
            if mail.id == self.ids {
                self.of_code = [0; 2];
            }
        }
        Ok(())
    }

    pub(crate) async fn guess(
        &mut self,
        caller: Caller,
        step_up: StepUp,
        key: Key,
    ) -> Result<(), TestCaseError> {
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
        let expected = self.model.guess(self.now, caller, step_up, |id, face| typed.is(id, face));
        let (got, session) = self.statements.verify(self.now, self.address, caller, step_up, typed).await;
        prop_assert_eq!(got, expected, "guess {:?} of {:?}", key, caller);
        prop_assert_eq!(session, self.is_customer && got.is_some_and(|compared| compared.right));
        if let Some(Compared { lane, face, right }) = got {
            self.of_code[lane as usize] += 1;
            prop_assert!(self.of_code[lane as usize] <= 5, "A5: {:?}", self.of_code);
            if !right {
                self.failures[lane as usize][face as usize].push(self.real());
                if (lane, face) == (Lane::Stranger, Face::Digits) {
                    let real = self.real();
                    self.shares[1].entry(caller.network).or_default().push(real);
                }
            }
        }
        Ok(())
    }

    /// Whatever the two worlds agreed on: no span admitted more than the contract's table.
    pub(crate) fn assert_bounds(&self) -> Result<(), TestCaseError> {
        for (networks, rate) in self.shares.iter().zip(model::SHARE) {
            for (network, moments) in networks {
                prop_assert!(rate.holds(moments), "share of network {}", network);
            }
        }
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
