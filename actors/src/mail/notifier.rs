//! Notices: one after repeated failed guesses at an address (STANDARDS L5), one for a login from a new device. By a mail transport
//! of their own, only while no code waits.

use super::capacity::MailCapacity;
use super::note::Note;
use super::{Content, Mail, MailTransport};
use crate::address_id::AddressId;
use crate::store::Store;
use crate::store::challenges::{GuessOutcome, Verdict};
use crate::store::notices::{DueNotice, NoticeId, NoticeKind};
use actor_runtime::{Failure, PeriodicTask, Rhythm};
use doorcode_domain::{Clock, Micros};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) const RHYTHM: Rhythm = Rhythm { interval: Duration::from_secs(2), limit: Duration::from_secs(60) };
/// Failed guesses at an address within a day, seen by one replica, that are told.
const FAILURES: u32 = 10;
const DAY_US: Micros = 86_400_000_000;
/// Addresses that are counted at once, and notices that wait to be written; beyond, new ones are not.
const COUNTED_MAX: usize = 65_536;
const WAITING_MAX: usize = 1_024;
/// Notices of a round, each with its time, and for how long they are this replica's.
const ROUND: i64 = 8;
const TRY: Duration = Duration::from_secs(6);
const LEASE: Duration = Duration::from_secs(120);
/// Tries at a notice.
const TRIES: i16 = 20;

/// What requests leave behind. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct NoticeCounts(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Failed guesses of a day, and when it began. In memory, of this replica: no guess costs a write more.
    failures: HashMap<AddressId, (u32, Micros)>,
    waiting: HashMap<NoticeId, Note>,
}

impl NoticeCounts {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a guess came to.
    pub(crate) fn saw(&self, address: AddressId, verdict: &Verdict, note: impl FnOnce() -> Note) {
        if verdict.new_device {
            self.new_device(address, note());
        } else if verdict.guess == GuessOutcome::Wrong {
            self.failed(address, verdict.now_us, note());
        }
    }

    /// A guess was evaluated and wrong.
    fn failed(&self, address: AddressId, now_us: Micros, note: Note) {
        let mut seen = self.lock();
        if seen.failures.len() >= COUNTED_MAX && !seen.failures.contains_key(&address) {
            seen.failures.retain(|_, (_, since_us)| *since_us > now_us - DAY_US);
            if seen.failures.len() >= COUNTED_MAX {
                return;
            }
        }
        let (failures, since_us) = seen.failures.entry(address).or_insert((0, now_us));
        if *since_us <= now_us - DAY_US {
            (*failures, *since_us) = (0, now_us);
        }
        *failures += 1;
        if *failures == FAILURES {
            seen.wait(NoticeId { address, kind: NoticeKind::FailedGuesses }, note);
        }
    }

    /// Somebody logged in from a device that is new to an address that has others.
    fn new_device(&self, address: AddressId, note: Note) {
        self.lock().wait(NoticeId { address, kind: NoticeKind::NewDevice }, note);
    }
}

impl Seen {
    fn wait(&mut self, id: NoticeId, note: Note) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(id, note);
        }
    }
}

/// Writes them down and sends them.
pub(crate) struct Notifier {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) counts: NoticeCounts,
    pub(crate) capacity: Arc<MailCapacity>,
    pub(crate) transport: MailTransport,
}

impl PeriodicTask for Notifier {
    async fn run(&mut self) -> Result<Option<Duration>, Failure> {
        let waiting = std::mem::take(&mut self.counts.lock().waiting);
        if !waiting.is_empty() {
            let notices: Vec<_> = waiting.into_iter().map(|(id, note)| (id, note.encode())).collect();
            self.store.add_notices(self.clock.sql_now(), &notices).await?;
        }
        // codes first
        if self.capacity.is_used() {
            return Ok(None);
        }
        let due = self.store.claim_notices(self.clock.sql_now(), LEASE, ROUND).await?;
        let is_full = due.len() as i64 == ROUND;
        for notice in due {
            if self.send(&notice).await {
                self.store.settle_notices(&[notice.id]).await?;
            }
        }
        Ok(is_full.then_some(Duration::ZERO))
    }

    async fn finish(&mut self) {
        self.transport.close().await;
    }
}

impl Notifier {
    /// Whether that was the last of it.
    async fn send(&mut self, notice: &DueNotice) -> bool {
        let Some(mail) = mail(notice) else { return true };
        let slug = &mail.tenant.slug;
        match tokio::time::timeout(TRY, self.transport.send(&mail)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, tenant = slug, attempts = notice.attempts, "a notice was not sent");
                error.is_permanent() || notice.attempts >= TRIES
            }
            Err(_) => notice.attempts >= TRIES,
        }
    }
}

fn mail(notice: &DueNotice) -> Option<Mail> {
    let recipient = notice.recipient.clone()?;
    let note = Note::decode(&notice.note);
    Some(Mail {
        language: recipient.language.or(note.language).or(recipient.tenant_language).unwrap_or_default(),
        to: recipient.email,
        tenant: recipient.tenant,
        content: match notice.id.kind {
            NoticeKind::FailedGuesses => Content::FailedGuesses,
            NoticeKind::NewDevice => Content::NewDevice,
        },
        at_us: notice.happened_us,
        providers: recipient.providers,
        customer_id: recipient.customer_id,
        network: note.network.map(|network| network.to_string()),
        message_id: message_id(notice),
    })
}

/// The same for every try.
fn message_id(notice: &DueNotice) -> uuid::Uuid {
    let NoticeId { address, kind } = notice.id;
    let text = format!("{}{}{kind:?}{}", address.tenant.0, address.key.0, notice.happened_us);
    super::mailers::uuid_of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_domain::{AddressKey, TenantId};
    use uuid::Uuid;

    fn address(n: u128) -> AddressId {
        AddressId { tenant: TenantId(Uuid::from_u128(1)), key: AddressKey(Uuid::from_u128(n)) }
    }

    #[test]
    fn l5_ten_failures_of_a_day_are_told_and_nine_are_not() {
        let counts = NoticeCounts::default();
        let fails = |n, times: u32, now_us| {
            (0..times).for_each(|_| counts.failed(address(n), now_us, Note::default()));
        };
        fails(1, 9, 0);
        fails(2, 9, 0);
        assert!(counts.lock().waiting.is_empty());
        fails(1, 1, DAY_US - 1);
        assert_eq!(counts.lock().waiting.len(), 1);
        fails(2, 9, DAY_US);
        assert_eq!(counts.lock().waiting.len(), 1, "another day");
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let counts = NoticeCounts::default();
        (0..COUNTED_MAX as u128 + 9).for_each(|n| counts.failed(address(n), 0, Note::default()));
        (0..WAITING_MAX as u128 + 9).for_each(|n| counts.new_device(address(n), Note::default()));
        let seen = counts.lock();
        assert_eq!((seen.failures.len(), seen.waiting.len()), (COUNTED_MAX, WAITING_MAX));
    }
}
