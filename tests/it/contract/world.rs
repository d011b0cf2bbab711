//! What three addresses and their sessions do, in plain Rust.

use crate::reference::model::{Address, Caller, Compared, DAY, Mail, StepUp};
use crate::reference::statements::Typed;
use uuid::Uuid;

/// The first two are customers'.
pub(super) const ADDRESSES: usize = 3;
pub(super) const IDLE: i64 = 7 * DAY;
pub(super) const ABSOLUTE: i64 = 30 * DAY;
/// Sessions that a customer may have.
pub(super) const SESSIONS: usize = 3;

/// One row of one statement, or several logins of one.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// Addresses, each with the id of the code that would be new.
    Login(Vec<(usize, u128)>, Caller, StepUp),
    Guess(Guess, Caller, StepUp),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    pub address: usize,
    pub typed: Typed,
    /// Chosen beforehand.
    pub session: Uuid,
    /// The session to end if this one begins.
    pub ended: Option<Uuid>,
    /// Whether its caller still waits when it is decided.
    pub in_time: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// By address asked for; the end is that of the last one.
    Login(Vec<Option<Mail>>),
    /// And whether a session began.
    Guess(Option<Compared>, bool),
}

#[derive(Clone, Debug, PartialEq)]
struct Session {
    key: Uuid,
    address: usize,
    begun: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct World {
    pub addresses: [Address; ADDRESSES],
    sessions: Vec<Session>,
}

pub(super) fn is_customer(address: usize) -> bool {
    address < 2
}

impl World {
    pub(super) fn new() -> Self {
        Self { addresses: [0, 1, 2].map(|n| Address::new(is_customer(n))), sessions: Vec::new() }
    }

    pub(super) fn sessions(&self) -> Vec<Uuid> {
        let mut keys: Vec<Uuid> = self.sessions.iter().map(|session| session.key).collect();
        keys.sort();
        keys
    }

    pub(super) fn apply(&mut self, now: i64, call: &Call) -> Outcome {
        match call {
            Call::Login(asked, caller, step_up) => {
                let login = |(n, id): &(usize, u128)| self.addresses[*n].login(now, *caller, *step_up, *id);
                let mails: Vec<Option<Mail>> = asked.iter().map(login).collect();
                let last = mails.iter().flatten().map(|mail| mail.ends).max();
                let as_told = |mail: Mail| Mail { ends: last.unwrap_or(mail.ends), ..mail };
                Outcome::Login(mails.into_iter().map(|mail| mail.map(as_told)).collect())
            }
            Call::Guess(guess, ..) if !guess.in_time => {
                self.addresses[guess.address].end_ahead(now);
                Outcome::Guess(None, false)
            }
            Call::Guess(guess, caller, step_up) => {
                let typed = guess.typed;
                let address = &mut self.addresses[guess.address];
                let compared = address.guess(now, *caller, *step_up, |id, face| typed.is(id, face));
                let begins = compared.is_some_and(|it| it.right) && is_customer(guess.address);
                if begins {
                    self.begin(now, guess);
                }
                Outcome::Guess(compared, begins)
            }
        }
    }

    fn begin(&mut self, now: i64, guess: &Guess) {
        self.sessions.retain(|session| Some(session.key) != guess.ended);
        let lives = |session: &&Session| session.begun + IDLE.min(ABSOLUTE) > now;
        let mut others: Vec<&Session> =
            self.sessions.iter().filter(|other| other.address == guess.address).filter(lives).collect();
        others.sort_by_key(|other| (std::cmp::Reverse(other.begun), other.key));
        let surplus: Vec<Uuid> = others.iter().skip(SESSIONS - 1).map(|other| other.key).collect();
        self.sessions.retain(|session| !surplus.contains(&session.key));
        self.sessions.push(Session { key: guess.session, address: guess.address, begun: now });
    }
}
