//! Mail that goes nowhere: the mailbox of `doorcode dev`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

/// How many mails a mailbox keeps unless told otherwise: some 35 MB.
const DEFAULT_CAPACITY: usize = 10_000;

/// A mail as `/dev/mailbox.json` shows it. Its `Debug` leaves out the words, which hold a code.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct StoredMail {
    /// The mail's id; the same again if it was delivered twice.
    pub id: String,
    /// When it was delivered: RFC 3339, UTC.
    pub at: String,
    /// The tenant's slug.
    pub tenant: String,
    /// The recipient.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

impl fmt::Debug for StoredMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredMail").field("id", &self.id).field("at", &self.at).finish_non_exhaustive()
    }
}

/// The newest mails, in memory. Clones share one mailbox.
#[derive(Clone)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

struct Shared {
    store: Mutex<MailStore>,
    arrived: Notify,
}

/// Mails in order of arrival, and per address where its mails stand. The mail numbered `n` is at
/// `mails[n - first]`; numbers never repeat.
struct MailStore {
    capacity: usize,
    first: u64,
    mails: VecDeque<Arc<StoredMail>>,
    by_address: HashMap<String, VecDeque<u64>>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("mails", &self.store().mails.len()).finish()
    }
}

impl Mailbox {
    /// A mailbox that forgets the oldest mail once it holds `capacity` (at least one).
    pub fn with_capacity(capacity: usize) -> Self {
        let store = MailStore {
            capacity: capacity.max(1),
            first: 0,
            mails: VecDeque::new(),
            by_address: HashMap::new(),
        };
        Self { shared: Arc::new(Shared { store: Mutex::new(store), arrived: Notify::new() }) }
    }

    /// Takes a mail in.
    pub(super) fn push(&self, mail: StoredMail) {
        self.store().push(mail);
        self.shared.arrived.notify_waiters();
    }

    /// At most `limit` mails, newest first: all of them, or those to one address. Addresses are compared as
    /// doorcode compares them everywhere, without ASCII case.
    pub fn list(&self, to: Option<&str>, limit: usize) -> Vec<Arc<StoredMail>> {
        let store = self.store();
        match to {
            None => store.mails.iter().rev().take(limit).cloned().collect(),
            Some(to) => store.to_address(to, limit),
        }
    }

    /// Waits until `to` has at least `count` mails here, and returns them, newest first. For tests, which would
    /// otherwise poll; bring a timeout.
    pub async fn wait_for(&self, to: &str, count: usize) -> Vec<Arc<StoredMail>> {
        loop {
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            // Registered before looking: a mail that comes in between is not missed.
            arrived.as_mut().enable();
            let mails = self.list(Some(to), usize::MAX);
            if mails.len() >= count {
                return mails;
            }
            arrived.await;
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut store = self.store();
        store.first += store.mails.len() as u64;
        store.mails.clear();
        store.by_address.clear();
    }

    fn store(&self) -> MutexGuard<'_, MailStore> {
        // Nothing under the lock leaves the store half changed, so a panic elsewhere does not spoil it.
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MailStore {
    fn push(&mut self, mail: StoredMail) {
        if self.mails.len() == self.capacity {
            self.forget_oldest();
        }
        let number = self.first + self.mails.len() as u64;
        self.by_address.entry(mail.to.to_ascii_lowercase()).or_default().push_back(number);
        self.mails.push_back(Arc::new(mail));
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.mails.pop_front() else { return };
        self.first += 1;
        let address = oldest.to.to_ascii_lowercase();
        if let Some(numbers) = self.by_address.get_mut(&address) {
            numbers.pop_front();
            if numbers.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    fn to_address(&self, to: &str, limit: usize) -> Vec<Arc<StoredMail>> {
        let Some(numbers) = self.by_address.get(&to.to_ascii_lowercase()) else { return Vec::new() };
        let mail = |number: &u64| self.mails.get((number - self.first) as usize).cloned();
        numbers.iter().rev().take(limit).filter_map(mail).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(id: usize, to: &str) -> StoredMail {
        let text = |s: &str| s.to_owned();
        StoredMail {
            id: id.to_string(),
            at: text("2031-05-06T07:08:09Z"),
            tenant: text("acme"),
            to: text(to),
            subject: text("314159 is your Acme code"),
            text: text("t"),
            html: text("h"),
        }
    }

    fn ids(mails: &[Arc<StoredMail>]) -> Vec<&str> {
        mails.iter().map(|m| m.id.as_str()).collect()
    }

    #[test]
    fn lists_newest_first_and_by_address_without_ascii_case_only() {
        let mailbox = Mailbox::default();
        for (id, to) in
            ["ada@example.com", "grace@example.com", "Ada@example.com", "ünï@example.com"].iter().enumerate()
        {
            mailbox.push(mail(id, to));
        }
        assert_eq!(ids(&mailbox.list(None, 3)), ["3", "2", "1"]);
        assert_eq!(ids(&mailbox.list(Some("ADA@EXAMPLE.com"), 9)), ["2", "0"]);
        assert_eq!(ids(&mailbox.list(Some("ada@example.com"), 1)), ["2"]);
        assert_eq!(ids(&mailbox.list(Some("ünï@example.com"), 9)), ["3"]);
        assert!(mailbox.list(Some("ÜNÏ@example.com"), 9).is_empty());
        assert!(mailbox.list(Some("ada@example"), 9).is_empty());
    }

    #[test]
    fn forgets_the_oldest_and_its_address() {
        let mailbox = Mailbox::with_capacity(3);
        for id in 0..10 {
            mailbox.push(mail(id, if id % 2 == 0 { "even@example.com" } else { "odd@example.com" }));
        }
        mailbox.push(mail(10, "even@example.com"));
        assert_eq!(ids(&mailbox.list(None, 99)), ["10", "9", "8"]);
        assert_eq!(ids(&mailbox.list(Some("even@example.com"), 99)), ["10", "8"]);
        mailbox.push(mail(11, "even@example.com"));
        mailbox.push(mail(12, "even@example.com"));
        assert!(mailbox.list(Some("odd@example.com"), 99).is_empty());
        assert_eq!(mailbox.store().by_address.len(), 1, "no memory is kept for addresses without mail");
        mailbox.clear();
        mailbox.push(mail(13, "odd@example.com"));
        assert_eq!(ids(&mailbox.list(Some("odd@example.com"), 99)), ["13"]);
    }

    #[test]
    fn has_exactly_the_keys_that_the_contract_names() {
        let json = serde_json::to_string(&mail(1, "ada@example.com")).unwrap();
        let at = |key: &str| json.find(&format!("\"{key}\":")).unwrap();
        let keys = ["id", "at", "tenant", "to", "subject", "text", "html"];
        assert!(keys.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
        assert_eq!(serde_json::from_str::<serde_json::Map<_, _>>(&json).unwrap().len(), keys.len());
    }

    #[test]
    fn debug_does_not_show_the_code() {
        assert!(!format!("{:?}", mail(1, "a@example.com")).contains("314159"));
    }

    #[tokio::test]
    async fn a_waiter_wakes_when_the_mail_arrives() {
        let mailbox = Mailbox::default();
        let waiter = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { mailbox.wait_for("ada@example.com", 2).await.len() }
        });
        for id in 0..2 {
            tokio::task::yield_now().await;
            mailbox.push(mail(id, "ADA@example.com"));
        }
        let woken = tokio::time::timeout(std::time::Duration::from_secs(5), waiter).await;
        assert_eq!(woken.unwrap().unwrap(), 2);
    }
}
