//! The mails of a run: which are expected, which came and how late, and the codes in them.

mod files;
mod sink;

pub(crate) use files::CodeFiles;
pub use sink::{Sink, SmtpFaults};

use crate::call::{Call, Failure};
use crate::meter::{Meter, OpenCall};
use crate::service::Link;
use serde::Serialize;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The first look into a mailbox comes this soon; each pause is half as long again, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_millis(250);
/// Codes kept for one address; the older go first.
const MOST_CODES: usize = 16;
/// Message ids remembered, to know one that comes again; then all are forgotten.
const MOST_IDS: usize = 1_000_000;

/// A mail as a mailbox shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMail {
    /// Its id.
    pub id: String,
    /// The code that it carries.
    pub code: Option<String>,
}

/// Where mails are seen.
#[derive(Debug)]
pub enum Source {
    /// The service's mailbox for developers.
    Mailbox,
    /// Files that the service, or a relay, appends `address code` lines to.
    Files(Mutex<CodeFiles>),
    /// This process's own SMTP sink.
    Sink,
}

/// What became of the run's mails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MailTotals {
    /// Logins that had to cause a mail.
    pub expected: u64,
    /// Mails that came, for whatever reason.
    pub arrived: u64,
    /// Expected and never seen.
    pub lost: u64,
    /// The same mail once more, or more mails to an address than it had logins.
    pub doubled: u64,
}

/// A mail that came: when, and its code.
pub(crate) type Arrival = (Instant, Option<String>);

/// The mails of a run.
#[derive(Debug)]
pub struct Inbox {
    source: Source,
    meter: Arc<Meter>,
    wait: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    boxes: HashMap<String, Letterbox>,
    ids: HashSet<u64>,
    totals: MailTotals,
    pending: usize,
}

#[derive(Debug, Default)]
struct Letterbox {
    asked: u64,
    arrived: u64,
    pending: VecDeque<OpenCall>,
    new: VecDeque<Arrival>,
    /// The newest mail of the service's mailbox that was seen.
    newest: Option<String>,
    learned: bool,
    came: Arc<Notify>,
}

impl Inbox {
    /// An empty one; `wait` is how long a mail may take.
    pub fn new(source: Source, meter: Arc<Meter>, wait: Duration) -> Inbox {
        Inbox { source, meter, wait, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a mail may take.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Whether mails are seen the moment that they come, without a request for each.
    pub fn sees_all(&self) -> bool {
        matches!(self.source, Source::Sink)
    }

    /// Before the first login of an address: learns which mails are old. Free after the first time.
    pub async fn learn_old(&self, link: &mut Link, email: &str) -> Result<(), Failure> {
        if !matches!(self.source, Source::Mailbox) || self.with(email, |letterbox| letterbox.learned) {
            return Ok(());
        }
        let newest = link.mailbox(email).await?.into_iter().next().map(|mail| mail.id);
        self.with(email, |letterbox| (letterbox.newest, letterbox.learned) = (newest, true));
        Ok(())
    }

    /// A login was accepted. `must` says that it has to cause a mail, which is timed from `begun`.
    pub fn asked(&self, email: &str, begun: Instant, must: bool) {
        let open_call = must.then(|| self.meter.open_at(Call::Mail, begun));
        let mut state = self.state();
        state.totals.expected += u64::from(must);
        let letterbox = state.boxes.entry(email.to_owned()).or_default();
        letterbox.asked += 1;
        let early = letterbox.arrived >= letterbox.asked;
        match (open_call, early) {
            // The mail overtook the login's answer.
            (Some(open_call), true) => {
                let came = letterbox.new.back().map_or_else(Instant::now, |(came, _)| *came);
                self.meter.close_at(open_call, came, None, Ok(()));
            }
            (Some(open_call), false) => {
                letterbox.pending.push_back(open_call);
                state.pending += 1;
            }
            (None, _) => {}
        }
    }

    /// Whether the address was asked for before in this run.
    pub fn was_asked(&self, email: &str) -> bool {
        self.state().boxes.get(email).is_some_and(|letterbox| letterbox.asked > 0)
    }

    /// A mail came.
    pub fn arrive(&self, email: &str, id: Option<&str>, code: Option<String>) {
        let now = Instant::now();
        let mut state = self.state();
        let state = &mut *state;
        state.totals.arrived += 1;
        let again = id.is_some_and(|id| state.is_known(id));
        let letterbox = state.boxes.entry(email.to_owned()).or_default();
        if again {
            state.totals.doubled += 1;
            return;
        }
        letterbox.arrived += 1;
        if letterbox.new.len() >= MOST_CODES {
            letterbox.new.pop_front();
        }
        letterbox.new.push_back((now, code));
        if let Some(open_call) = letterbox.pending.pop_front() {
            state.pending -= 1;
            self.meter.close_at(open_call, now, None, Ok(()));
        }
        letterbox.came.notify_waiters();
    }

    /// Waits for the mail that the last login caused and returns its code.
    pub async fn code(&self, link: &mut Link, email: &str) -> Result<String, Failure> {
        let deadline = Instant::now() + self.wait;
        let arrivals = self.arrivals(link, email, deadline).await;
        if arrivals.is_empty() {
            self.give_up(email);
            return Err(Failure::NoMail);
        }
        arrivals.into_iter().filter_map(|(_, code)| code).next_back().ok_or(Failure::Body)
    }

    /// The mails that came since this was last asked; waits for the first of them.
    pub async fn arrivals(&self, link: &mut Link, email: &str, deadline: Instant) -> Vec<Arrival> {
        let mut pause = FIRST_PAUSE;
        loop {
            let came = self.with(email, |letterbox| Arc::clone(&letterbox.came));
            let notified = came.notified();
            tokio::pin!(notified);
            // Registered before the look, so that nothing falls between the two.
            notified.as_mut().enable();
            self.look(link, email).await;
            let new = self.with(email, |letterbox| std::mem::take(&mut letterbox.new));
            let left = deadline.saturating_duration_since(Instant::now());
            if !new.is_empty() || left.is_zero() {
                return new.into();
            }
            let rest = if self.sees_all() { left } else { left.min(pause) };
            let _ = tokio::time::timeout(rest, notified).await;
            pause = (pause * 3 / 2).min(LAST_PAUSE);
        }
    }

    /// A look that fails is booked by itself; the mail may still be there at the next.
    async fn look(&self, link: &mut Link, email: &str) {
        match &self.source {
            Source::Sink => {}
            Source::Files(files) => {
                let new = files.lock().unwrap_or_else(PoisonError::into_inner).read();
                for (email, code) in new {
                    self.arrive(&email, None, Some(code));
                }
            }
            Source::Mailbox => {
                let Ok(mails) = link.mailbox(email).await else { return };
                let newest = self.with(email, |letterbox| letterbox.newest.clone());
                let new: Vec<SeenMail> =
                    mails.into_iter().take_while(|mail| newest.as_ref() != Some(&mail.id)).collect();
                if let Some(mail) = new.first() {
                    self.with(email, |letterbox| letterbox.newest = Some(mail.id.clone()));
                }
                for mail in new.into_iter().rev() {
                    self.arrive(email, None, mail.code);
                }
            }
        }
    }

    /// The end of a run: waits for what is still expected, then books it as lost.
    pub async fn settle(&self) {
        let deadline = Instant::now() + self.wait;
        while self.state().pending > 0 && Instant::now() < deadline {
            tokio::time::sleep(FIRST_PAUSE * 5).await;
        }
        let late: Vec<String> = {
            let state = self.state();
            let waiting = state.boxes.iter().filter(|(_, letterbox)| !letterbox.pending.is_empty());
            waiting.map(|(email, _)| email.clone()).collect()
        };
        late.iter().for_each(|email| self.give_up(email));
    }

    /// What became of the mails so far.
    pub fn totals(&self) -> MailTotals {
        let state = self.state();
        let more = state.boxes.values().map(|letterbox| letterbox.arrived.saturating_sub(letterbox.asked));
        MailTotals { doubled: state.totals.doubled + more.sum::<u64>(), ..state.totals }
    }

    fn give_up(&self, email: &str) {
        let mut state = self.state();
        let open_calls = state.boxes.get_mut(email).map(|letterbox| std::mem::take(&mut letterbox.pending));
        for open_call in open_calls.into_iter().flatten() {
            state.pending -= 1;
            state.totals.lost += 1;
            self.meter.close(open_call, None, Err(Failure::NoMail));
        }
    }

    fn with<T>(&self, email: &str, act: impl FnOnce(&mut Letterbox) -> T) -> T {
        let mut state = self.state();
        if let Some(letterbox) = state.boxes.get_mut(email) {
            return act(letterbox);
        }
        act(state.boxes.entry(email.to_owned()).or_default())
    }
}

impl State {
    fn is_known(&mut self, id: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        if self.ids.len() >= MOST_IDS {
            self.ids.clear();
        }
        !self.ids.insert(hasher.finish())
    }
}

/// The code in a mail: six characters standing alone, in the subject or else in the text. Digits win; letters
/// (step-up codes) must be capitals.
pub(crate) fn find_code(subject: &str, text: &str) -> Option<String> {
    let all_digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let code_like = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let words = |part: &str, like: &dyn Fn(&str) -> bool| {
        let mut words = part.split(|c: char| !c.is_alphanumeric());
        words.find(|word| word.len() == 6 && like(word)).map(str::to_owned)
    };
    [subject, text].into_iter().find_map(|part| words(part, &all_digits).or_else(|| words(part, &code_like)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_code_and_nothing_else() {
        for (subject, text, code) in [
            ("123456 is your code for Demo", "", Some("123456")),
            ("Your portal code: 004217", "", Some("004217")),
            ("K7Q2MX is your code", "", Some("K7Q2MX")),
            ("ORDERS 123456", "", Some("123456")),
            ("Your code", "Hello,\n\n654321\n", Some("654321")),
            ("Portal access 1234567", "twelve", None),
        ] {
            assert_eq!(find_code(subject, text).as_deref(), code, "{subject}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_expected_mail_arrives_or_is_lost_and_none_counts_twice() {
        let meter = Arc::new(Meter::new().unwrap());
        let inbox = Inbox::new(Source::Sink, meter, Duration::from_millis(50));
        for email in ["a", "b", "c"] {
            inbox.asked(email, Instant::now(), true);
        }
        inbox.arrive("a", Some("1"), Some("111111".to_owned()));
        inbox.arrive("a", Some("1"), Some("111111".to_owned()));
        inbox.arrive("b", Some("2"), None);
        inbox.arrive("b", Some("3"), None);
        inbox.arrive("overtaking", Some("4"), None);
        inbox.asked("overtaking", Instant::now(), true);
        // Real time passes in the wait for what is lost.
        tokio::time::resume();
        inbox.settle().await;
        assert_eq!(inbox.totals(), MailTotals { expected: 4, arrived: 5, lost: 1, doubled: 2 });
    }
}
