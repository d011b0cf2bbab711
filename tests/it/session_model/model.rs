//! A session as the contract tells it: a family of tokens, of which each came as the answer to another.
//!
//! No columns and no comparison of numbers: what may be used is decided by who answered whom.

use std::collections::BTreeMap;

pub(super) const MILLISECOND: i64 = 1_000;
pub(super) const SECOND: i64 = 1_000 * MILLISECOND;
pub(super) const DAY: i64 = 86_400 * SECOND;
/// How long a retry gets its first answer again.
pub(super) const RETRY: i64 = 30 * SECOND;
pub(super) const IDLE: i64 = 7 * DAY;
pub(super) const ABSOLUTE: i64 = 30 * DAY;

/// What a refresh token says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    pub generation: i32,
    pub branch: i32,
}

/// In the order of the statement's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its caller waits no longer.
    Late,
    Gone,
    Rotated,
    Repeated,
    Branched,
    Theft,
    Ahead,
}

/// What its holder gets for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Successor {
    pub token: Token,
    /// The `iat` of the access token that comes along.
    pub issued: i64,
    /// Life that is left, should nobody refresh again.
    pub left: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Each token of the family, and the one it was the answer to.
    parents: BTreeMap<Token, Option<Token>>,
    pub newest: Token,
    /// When the newest was handed out first.
    pub issued: i64,
    pub born: i64,
    pub last_answer: i64,
}

impl Session {
    pub(super) fn new(now: i64) -> Self {
        let first = Token { generation: 0, branch: 0 };
        let parents = BTreeMap::from([(first, None)]);
        Self { parents, newest: first, issued: now, born: now, last_answer: now }
    }

    pub(super) fn ends(&self) -> i64 {
        (self.last_answer + IDLE).min(self.born + ABSOLUTE)
    }

    /// On `Theft` the caller ends it.
    pub(super) fn present(&mut self, token: Token, now: i64) -> (Verdict, Option<Successor>) {
        if now >= self.ends() {
            return (Verdict::Gone, None);
        }
        let verdict = if token == self.newest {
            Verdict::Rotated
        } else if self.parents[&self.newest] == Some(token) {
            if now - self.issued <= RETRY { Verdict::Repeated } else { Verdict::Branched }
        } else if token.generation >= self.newest.generation && !self.parents.contains_key(&token) {
            Verdict::Ahead
        } else {
            return (Verdict::Theft, None);
        };
        match verdict {
            Verdict::Repeated => {}
            Verdict::Branched => self.hand_out(token, self.newest.branch + 1, now),
            _ => self.hand_out(token, 0, now),
        }
        self.last_answer = self.last_answer.max(now);
        (verdict, Some(Successor { token: self.newest, issued: self.issued, left: self.ends() - now }))
    }

    fn hand_out(&mut self, parent: Token, branch: i32, now: i64) {
        self.parents.entry(parent).or_insert(None);
        self.newest = Token { generation: parent.generation + 1, branch };
        self.parents.insert(self.newest, Some(parent));
        // a clock that was put back makes no token older than the one before
        self.issued = self.issued.max(now);
    }
}
