//! What may happen.

use super::statements::LEASE;
use super::world::ADDRESSES;
use crate::reference::model::{MAILS, StepUp};
use crate::reference::run::{Age, age, prefix, put_back, step_up, wait};
use proptest::prelude::*;
use proptest::sample::select;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Arrives,
    /// The statement is carried out, its answer is lost.
    Lost,
    /// The connection is lost before.
    Unsent,
    /// A guess is decided when nobody waits any more.
    Late,
}

/// Before it is known who that is and which code they have.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Login(Vec<usize>, i64, Age, StepUp),
    /// The right code or a wrong one; in place of the browser's session.
    Guess(usize, i64, Age, StepUp, bool, bool),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mailing {
    All,
    /// One mail, which is noted.
    One,
    /// The replica dies between the relay's answer and its note.
    Dies,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Call(usize, Ask, Fate),
    /// Guess wrong so often, and ask for each code that it takes.
    Siege(usize, usize, i64, Age, StepUp, usize),
    /// Both replicas at the same moment.
    AtOnce(Ask, Ask),
    Mail(usize, Mailing),
    /// The replica dies so, and the other one takes its mail when the leases have passed.
    TakenOver(usize, Ask),
    /// A replica is replaced; the mail that it had is somebody else's when its leases have passed.
    Dies(usize),
    Claim(usize),
    Wait(i64),
    PutBack(i64),
    Sweep,
}

fn ask() -> impl Strategy<Value = Ask> {
    let whom = select(vec![vec![0], vec![0], vec![1], vec![0, 1], vec![0, 1, 2], vec![2]]);
    let address = select(vec![0, 0, 0, 1, 2]);
    prop_oneof![
        1 => (whom, prefix(), age(), step_up()).prop_map(|(w, p, a, s)| Ask::Login(w, p, a, s)),
        1 => (address, prefix(), age(), step_up(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(n, p, a, s, right, replaces)| Ask::Guess(n, p, a, s, right, replaces)),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let fate =
        select(vec![Fate::Arrives, Fate::Arrives, Fate::Arrives, Fate::Lost, Fate::Unsent, Fate::Late]);
    let how = select(vec![Mailing::All, Mailing::All, Mailing::One, Mailing::Dies]);
    let soon = prop_oneof![2 => 0..2 * LEASE, 1 => wait(), 1 => Just(MAILS.period)];
    let replica = 0..2usize;
    let address = 0..ADDRESSES;
    prop_oneof![
        12 => (replica.clone(), ask(), fate).prop_map(|(r, ask, fate)| Step::Call(r, ask, fate)),
        2 => (replica.clone(), address, prefix(), age(), step_up(), 1..13usize)
            .prop_map(|(r, n, p, a, s, times)| Step::Siege(r, n, p, a, s, times)),
        2 => (ask(), ask()).prop_map(|(one, other)| Step::AtOnce(one, other)),
        6 => (replica.clone(), how).prop_map(|(r, how)| Step::Mail(r, how)),
        1 => (replica.clone(), ask()).prop_map(|(r, ask)| Step::TakenOver(r, ask)),
        1 => replica.clone().prop_map(Step::Dies),
        2 => replica.prop_map(Step::Claim),
        8 => soon.prop_map(Step::Wait),
        1 => put_back().prop_map(Step::PutBack),
        1 => Just(Step::Sweep),
    ]
}
