//! Schedules: what a customer, their tabs and a thief do with one session, in both worlds.

use super::model::{DAY, IDLE, MILLISECOND, RETRY, SECOND, Session, Successor, Token, Verdict};
use super::statements::{Moving, Statements};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use uuid::Uuid;

pub(super) const START: i64 = 20_600 * DAY + 5 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Everybody who shares the customer's token store: the tabs of a browser, or one program.
    Owner,
    Thief,
}

/// One request of several that were all sent before the first was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// How long after the one before it is carried out.
    pub after: i64,
    /// Its answer never arrives.
    pub is_lost: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait(i64),
    /// From as many tabs, all of which read the store before the first answer came.
    Refresh(Who, Vec<Call>),
    /// The customer comes back this long before (or after) the session's end.
    Return(i64),
    Steal,
    Logout,
    Disable {
        customer: bool,
        tenant: bool,
    },
    Save,
    /// The database loses what was written since `Save`.
    Restore,
}

fn wait() -> impl Strategy<Value = i64> {
    let seconds = [1, 5, 29, 30, 31, 60, 600, 3_300, 3_600, 86_400];
    prop_oneof![
        16 => select(seconds.to_vec()).prop_map(|s| s * SECOND),
        8 => (MILLISECOND..2 * RETRY).prop_map(|us| us),
        4 => (MILLISECOND..2 * DAY).prop_map(|us| us),
        4 => (RETRY - 1..=RETRY + 1).prop_map(|us| us),
        1 => select(vec![6 * DAY, IDLE - 1, IDLE, 8 * DAY]),
        // a replica's clock, or one that was put right
        2 => (-5 * SECOND..0).prop_map(|us| us),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    // Sent at once, they are carried out within the retry window. That is what an honest client is held to.
    let most = RETRY / 3;
    let after = prop_oneof![3 => Just(0), 3 => 0..SECOND, 1 => 0..most, 1 => Just(most)];
    let call = (after, prop::bool::weighted(0.3)).prop_map(|(after, is_lost)| Call { after, is_lost });
    prop_oneof![3 => proptest::collection::vec(call.clone(), 1), 1 => proptest::collection::vec(call, 2..=4)]
}

pub(super) fn honest_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => wait().prop_map(Step::Wait),
        12 => calls().prop_map(|calls| Step::Refresh(Who::Owner, calls)),
        3 => Just(Step::Save),
        3 => Just(Step::Restore),
    ]
}

/// Seldom, but for as long as a session lives at most.
pub(super) fn rare_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![Just(1), 1..2 * DAY].prop_map(Step::Return),
        1 => Just(Step::Return(0)),
        2 => calls().prop_map(|calls| Step::Refresh(Who::Owner, calls)),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let disable = select(vec![(true, false), (false, true), (true, true)]);
    prop_oneof![
        48 => honest_step(),
        12 => calls().prop_map(|calls| Step::Refresh(Who::Thief, calls)),
        3 => Just(Step::Steal),
        1 => disable.prop_map(|(customer, tenant)| Step::Disable { customer, tenant }),
        1 => Just(Step::Logout),
    ]
}

/// Without an end that nobody is to blame for.
pub(super) fn theft_step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![1 => MILLISECOND..RETRY, 1 => RETRY + 1..DAY];
    prop_oneof![
        4 => wait.prop_map(Step::Wait),
        3 => calls().prop_map(|calls| Step::Refresh(Who::Owner, calls)),
        3 => calls().prop_map(|calls| Step::Refresh(Who::Thief, calls)),
    ]
}

/// What was known of the session at `Save`.
struct Saved {
    row: Moving,
    session: Session,
}

pub(super) struct Run<'a> {
    statements: &'a Statements,
    key: Uuid,
    pub now: i64,
    /// `None`: ended, by theft or logout.
    session: Option<Session>,
    saved: Option<Saved>,
    is_disabled: bool,
    /// The token that each holds.
    held: [Option<Token>; 2],
    /// Since both last held the same token: was there an answer that arrived?
    answered: [bool; 2],
    /// Whose token is dead because the other one has gone on.
    superseded: Option<Who>,
    /// The last answer to each token.
    answers: BTreeMap<Token, Successor>,
    pub reached: BTreeMap<&'static str, usize>,
}

impl<'a> Run<'a> {
    pub(super) async fn new(statements: &'a Statements) -> Self {
        // a schedule that failed may have left it otherwise
        statements.disable(false, false).await;
        let session = Session::new(START);
        Self {
            statements,
            key: statements.begin(START).await,
            now: START,
            held: [Some(session.newest), None],
            session: Some(session),
            saved: None,
            is_disabled: false,
            answered: [false; 2],
            superseded: None,
            answers: BTreeMap::new(),
            reached: BTreeMap::new(),
        }
    }

    pub(super) async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Wait(us) => self.now += us,
            Step::Refresh(who, calls) => {
                let token = self.held[*who as usize];
                for (at, call) in calls.iter().enumerate() {
                    self.now += call.after;
                    // Known limit, see docs/SESSIONS.md: tabs on both sides of the window's end get different answers.
                    let first = token.and_then(|token| self.answers.get(&token));
                    if at > 0 && first.is_some_and(|first| self.now > first.issued + RETRY) {
                        break;
                    }
                    self.refresh(*who, token, call.is_lost).await?;
                }
            }
            Step::Return(before_end) => {
                let end = self.session.as_ref().map_or(self.now, Session::ends);
                self.now = self.now.max(end - before_end);
                self.refresh(Who::Owner, self.held[0], false).await?;
            }
            Step::Steal => {
                self.held[1] = self.held[0];
                (self.answered, self.superseded) = ([false; 2], None);
            }
            Step::Logout => {
                self.statements.logout(self.key).await;
                self.session = None;
            }
            Step::Disable { customer, tenant } => {
                self.statements.disable(*customer, *tenant).await;
                self.is_disabled = true;
                let refused = self.refresh(Who::Owner, self.held[0], false).await;
                self.is_disabled = false;
                self.statements.disable(false, false).await;
                refused?;
            }
            Step::Save => {
                let row = self.statements.row(self.key).await;
                self.saved = row.zip(self.session.clone()).map(|(row, session)| Saved { row, session });
            }
            Step::Restore => self.restore().await,
        }
        self.compare_rows().await
    }

    /// An ended session stays so: the writes that are lost are the last refreshes.
    async fn restore(&mut self) {
        let (Some(saved), Some(_)) = (&self.saved, &self.session) else { return };
        self.statements.restore(self.key, saved.row).await;
        self.session = Some(saved.session.clone());
        (self.answered, self.superseded) = ([false; 2], None);
        self.answers.clear();
    }

    async fn refresh(&mut self, who: Who, token: Option<Token>, is_lost: bool) -> Result<(), TestCaseError> {
        let Some(token) = token else { return Ok(()) };
        let before = self.session.as_ref().map(|session| session.newest);
        let (is_doomed, may_end) = (self.superseded == Some(who), self.may_end());
        let expected = match &mut self.session {
            Some(session) if !self.is_disabled => session.present(token, self.now),
            _ => (Verdict::Gone, None),
        };
        let got = self.statements.refresh(self.now, self.key, token).await;
        prop_assert_eq!(got, expected, "{:?} shows {:?}", who, token);
        let (verdict, successor) = got;
        if verdict == Verdict::Theft {
            self.session = None;
        }
        *self.reached.entry(name(verdict)).or_default() += 1;
        // An honest client alone is never logged out.
        let is_alone = self.held[1].is_none();
        prop_assert!(!is_alone || verdict != Verdict::Theft, "the customer stole from themself");
        prop_assert!(!is_alone || verdict != Verdict::Gone || may_end, "logged out by accident");
        // Who shows what the other has superseded ends it for both.
        prop_assert!(!is_doomed || successor.is_none(), "two live tokens: {:?} got on", who);
        if is_doomed && verdict == Verdict::Theft {
            *self.reached.entry("both").or_default() += 1;
        }
        let Some(successor) = successor else { return Ok(()) };
        prop_assert!(before.is_some(), "an ended session answered");
        prop_assert!(before.is_none_or(|before| successor.token.generation >= before.generation));
        self.assert_retry(token, successor)?;
        if !is_lost {
            self.receive(who, successor.token);
        }
        Ok(())
    }

    /// The first answer again, up to 30 s after it was given.
    fn assert_retry(&mut self, token: Token, got: Successor) -> Result<(), TestCaseError> {
        if let Some(first) = self.answers.insert(token, got)
            && self.now <= first.issued + RETRY
        {
            prop_assert_eq!((got.token, got.issued), (first.token, first.issued));
        }
        Ok(())
    }

    fn receive(&mut self, who: Who, token: Token) {
        self.held[who as usize] = Some(token);
        self.answered[who as usize] = true;
        if self.held[0] == self.held[1] {
            self.answered = [false; 2];
        } else if self.answered == [true; 2] {
            // From one token both went on to different ones: the later answer killed the earlier.
            self.superseded = Some(if who == Who::Owner { Who::Thief } else { Who::Owner });
        }
    }

    fn may_end(&self) -> bool {
        self.is_disabled || self.session.as_ref().is_none_or(|session| self.now >= session.ends())
    }

    /// Nothing is in the row that the contract does not know of.
    async fn compare_rows(&self) -> Result<(), TestCaseError> {
        let row = self.statements.row(self.key).await;
        let expected = self.session.as_ref().map(|session| {
            let Token { generation, branch } = session.newest;
            (generation, branch, session.issued, session.last_answer + IDLE)
        });
        prop_assert_eq!(row.map(|(g, b, _, rotated, idle)| (g, b, rotated, idle)), expected);
        Ok(())
    }

    /// An ended session answers to none of its tokens; one that both went on with ends when both come again.
    pub(super) async fn finish(&mut self) -> Result<(), TestCaseError> {
        if let (Some(who), false) = (self.superseded, self.may_end()) {
            self.step(&Step::Refresh(who, vec![Call { after: RETRY + 1, is_lost: false }])).await?;
            prop_assert!(self.session.is_none() || self.may_end(), "both went on, unseen");
        }
        if self.session.is_none() {
            let newest = self.answers.values().map(|successor| successor.token).max();
            for token in self.held.into_iter().chain([newest]).flatten() {
                prop_assert_eq!(self.statements.refresh(self.now, self.key, token).await.0, Verdict::Gone);
            }
        }
        Ok(())
    }
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Late => "late",
        Verdict::Gone => "gone",
        Verdict::Rotated => "rotated",
        Verdict::Repeated => "repeated",
        Verdict::Branched => "branched",
        Verdict::Theft => "theft",
        Verdict::Ahead => "ahead",
    }
}
