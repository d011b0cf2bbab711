//! The books of a run: every call that is begun is closed as answered or as failed, by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::{CreationError, Histogram};

/// What a scenario does that is counted and timed on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Asks for a code.
    Login,
    /// From the answer of a login to its mail being seen (its grain is the polling interval).
    Mail,
    /// One look into the dev mailbox.
    Mailbox,
    /// Exchanges a code for tokens.
    Verify,
    /// Exchanges a refresh token for the next.
    Refresh,
    /// Ends the session.
    Logout,
    /// A refresh that must be refused, for its session has ended.
    RefreshAfterLogout,
}

impl Call {
    /// The stable name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Call::Login => "login",
            Call::Mail => "mail",
            Call::Mailbox => "mailbox",
            Call::Verify => "verify",
            Call::Refresh => "refresh",
            Call::Logout => "logout",
            Call::RefreshAfterLogout => "refresh_after_logout",
        }
    }

    /// A wait is booked like a call, but costs the service no request.
    pub fn is_request(self) -> bool {
        self != Call::Mail
    }
}

/// How a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// No complete answer within the time limit.
    Timeout,
    /// The connection broke before the answer was complete.
    Closed,
    /// The answer is not strict HTTP/1.1.
    Protocol,
    /// The right status with the wrong content.
    Body,
    /// The mail did not come in time.
    NoMail,
    /// Another status than the one that is right here.
    Status(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect => f.write_str("connect"),
            Failure::Timeout => f.write_str("timeout"),
            Failure::Closed => f.write_str("closed"),
            Failure::Protocol => f.write_str("protocol"),
            Failure::Body => f.write_str("body"),
            Failure::NoMail => f.write_str("no_mail"),
            Failure::Status(code) => write!(f, "status_{code}"),
        }
    }
}

/// Whether what happens now belongs to the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Preparation and warm-up: counted, but apart.
    Before,
    /// The measured part.
    Measured,
}

/// The account of one kind of call.
#[derive(Debug, Clone)]
pub struct Account {
    /// Calls begun.
    pub sent: u64,
    /// Calls that ended as they should.
    pub answered: u64,
    /// The others, by kind.
    pub failed: BTreeMap<Failure, u64>,
    /// Time to a good answer, in microseconds.
    pub latency: Histogram<u64>,
    /// When the last good answer came.
    pub last_answer: Option<Instant>,
}

impl Account {
    fn new() -> Result<Account, CreationError> {
        // Three digits, growing as needed: small where answers are quick, and no ceiling to fall over.
        let latency = Histogram::new(3)?;
        Ok(Account { sent: 0, answered: 0, failed: BTreeMap::new(), latency, last_answer: None })
    }

    /// All failures.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Begun and not closed: none when a run has ended in order.
    pub fn open(&self) -> u64 {
        self.sent.saturating_sub(self.answered + self.failures())
    }
}

/// A call that was begun; give it back to [`Meter::close`].
#[derive(Debug)]
#[must_use = "a call that is not closed unbalances the books"]
pub struct Ticket {
    call: Call,
    phase: Phase,
    begun: Instant,
}

impl Ticket {
    /// When the call began.
    pub fn begun(&self) -> Instant {
        self.begun
    }
}

/// What the progress line and the stop rules need to know at a glance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Glance {
    /// Requests answered, in all phases.
    pub answered: u64,
    /// Calls failed, in all phases.
    pub failed: u64,
}

#[derive(Debug)]
struct Books {
    phase: Phase,
    accounts: BTreeMap<Call, Account>,
    before: BTreeMap<Call, Account>,
    total: Glance,
    sample: Option<String>,
}

/// The books, shared by all connections. The driver runs on one thread, so the lock is never contended; it is
/// never held across an await.
#[derive(Debug)]
pub struct Meter {
    books: Mutex<Books>,
}

impl Meter {
    /// Opens an account for every call that the scenario can make.
    pub fn new(calls: &[Call]) -> Result<Meter, CreationError> {
        let open =
            || calls.iter().map(|&call| Ok((call, Account::new()?))).collect::<Result<_, CreationError>>();
        let books = Books {
            phase: Phase::Before,
            accounts: open()?,
            before: open()?,
            total: Glance::default(),
            sample: None,
        };
        Ok(Meter { books: Mutex::new(books) })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Counters are whole after every statement, so a poisoned lock still guards good books.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on calls count.
    pub fn start_measuring(&self) {
        self.books().phase = Phase::Measured;
    }

    /// Whether a call begun now counts.
    pub fn phase(&self) -> Phase {
        self.books().phase
    }

    /// Books a call as begun. A call belongs to the phase in which it began.
    pub fn open(&self, call: Call) -> Ticket {
        let mut books = self.books();
        let phase = books.phase;
        if let Some(account) = books.account(phase, call) {
            account.sent += 1;
        }
        Ticket { call, phase, begun: Instant::now() }
    }

    /// Books how it ended; returns when.
    pub fn close(&self, ticket: Ticket, outcome: Result<(), Failure>) -> Instant {
        let now = Instant::now();
        let mut books = self.books();
        match outcome {
            Ok(()) => books.total.answered += u64::from(ticket.call.is_request()),
            Err(_) => books.total.failed += 1,
        }
        if let Some(account) = books.account(ticket.phase, ticket.call) {
            match outcome {
                Ok(()) => account.answer(now, now.saturating_duration_since(ticket.begun)),
                Err(failure) => *account.failed.entry(failure).or_insert(0) += 1,
            }
        }
        now
    }

    /// Keeps the first unexpected answer of the run, to show what went wrong.
    pub fn keep_sample(&self, text: impl FnOnce() -> String) {
        self.books().sample.get_or_insert_with(text);
    }

    /// The first unexpected answer, if there was one.
    pub fn sample(&self) -> Option<String> {
        self.books().sample.clone()
    }

    /// Totals so far.
    pub fn glance(&self) -> Glance {
        self.books().total
    }

    /// The accounts of one phase that were used at all.
    pub fn accounts(&self, phase: Phase) -> Vec<(Call, Account)> {
        let books = self.books();
        let accounts = match phase {
            Phase::Before => &books.before,
            Phase::Measured => &books.accounts,
        };
        accounts
            .iter()
            .filter(|(_, account)| account.sent > 0)
            .map(|(&call, account)| (call, account.clone()))
            .collect()
    }
}

impl Books {
    fn account(&mut self, phase: Phase, call: Call) -> Option<&mut Account> {
        match phase {
            Phase::Before => self.before.get_mut(&call),
            Phase::Measured => self.accounts.get_mut(&call),
        }
    }
}

impl Account {
    fn answer(&mut self, now: Instant, took: Duration) {
        self.answered += 1;
        self.last_answer = Some(now);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        // Grows as needed; only a time of ages would not fit.
        let _ = self.latency.record(micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_is_not_cut_short() {
        let mut account = Account::new().unwrap();
        for millis in [1, 10, 30_000] {
            account.answer(Instant::now(), Duration::from_millis(millis));
        }
        assert!((29_900_000..=30_100_000).contains(&account.latency.max()), "{}", account.latency.max());
        assert!((9_900..=10_100).contains(&account.latency.value_at_quantile(0.5)));
    }

    #[test]
    fn every_call_is_answered_failed_or_open() {
        let meter = Meter::new(&[Call::Login]).unwrap();
        let early = meter.open(Call::Login);
        meter.start_measuring();
        meter.close(early, Ok(()));
        let good = meter.open(Call::Login);
        meter.close(good, Ok(()));
        for failure in [Failure::Timeout, Failure::Status(503), Failure::Timeout] {
            let ticket = meter.open(Call::Login);
            meter.close(ticket, Err(failure));
        }
        let _never_closed = meter.open(Call::Login);

        let measured = meter.accounts(Phase::Measured);
        let (_, login) = &measured[0];
        assert_eq!((login.sent, login.answered, login.failures(), login.open()), (5, 1, 3, 1));
        assert_eq!(login.failed[&Failure::Timeout], 2);
        let before = meter.accounts(Phase::Before);
        assert_eq!(
            (before[0].1.sent, before[0].1.answered),
            (1, 1),
            "a call belongs to the phase it began in"
        );
    }
}
