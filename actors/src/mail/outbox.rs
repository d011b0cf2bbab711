//! The mails in memory: whose turn it is, what has left, what Postgres does not know yet. No I/O and no clock here.

use super::capacity::MailCapacity;
use super::note::Note;
use super::record::{self, DueMail};
use crate::store::outbox::{LateMails, OutboxRow, Settlement};
use actor_runtime::RequestId;
use doorcode_domain::{Micros, TenantId};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A mail, by its row and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MailId {
    pub(crate) row: Uuid,
    pub(crate) place: u32,
}

/// A mail whose turn has come.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) id: MailId,
    pub(crate) mail: DueMail,
    pub(crate) asked_us: Micros,
    pub(crate) attempts: i16,
    /// Begun later than this, it could overlap with the try of whoever claims its row next.
    pub(crate) start_by: Instant,
}

impl Turn {
    /// Which request it was that asked for the mail, for the log.
    pub(crate) fn request(&self) -> RequestId {
        Note::decode(&self.mail.note).request
    }
}

struct Row {
    asked_us: Micros,
    attempts: i16,
    mails: Vec<DueMail>,
    done: Bits,
    /// Mails that somebody is at.
    out: Bits,
    /// Mails that have neither left nor been put off.
    open: usize,
    /// To be tried again later, and not yet moved to a row of their own.
    late: Vec<u32>,
    /// Something has become of a mail that Postgres does not know.
    changed: bool,
    leased_until: Instant,
    /// Sent, and not answered: to be sent again as it was, or mails that were put off would be put off twice.
    unanswered: Option<Settlement>,
}

/// The rows that are leased to this replica, in memory.
pub(crate) struct Outbox {
    rows: HashMap<Uuid, Row>,
    queue: Turns,
    capacity: Arc<MailCapacity>,
    /// Rows with no open mail.
    complete: Vec<Uuid>,
    /// Mails that left since the last settlement.
    unsettled: usize,
    /// When rows were asked for whose mails were put off, and by when somebody has claimed these again.
    put_off: Vec<(Micros, Instant)>,
}

/// Mails whose lease ends too soon that one look passes over, at most.
const SKIPPED_MAX: usize = 256;

impl Outbox {
    pub(crate) fn new(capacity: Arc<MailCapacity>) -> Self {
        Self {
            rows: HashMap::new(),
            queue: Turns::default(),
            capacity,
            complete: Vec::new(),
            unsettled: 0,
            put_off: Vec::new(),
        }
    }

    /// Mails that wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.length
    }

    /// Mails whose leaving Postgres does not know yet; rows that are complete count in any case.
    pub(crate) fn unsettled(&self) -> (usize, bool) {
        (self.unsettled, !self.complete.is_empty())
    }

    /// When the oldest mail was asked for that has not left: in memory, or put off and not claimed again.
    pub(crate) fn oldest_us(&mut self, now: Instant) -> Option<Micros> {
        self.put_off.retain(|(_, until)| *until > now);
        let open = self.rows.values().filter(|row| row.open > 0).map(|row| row.asked_us);
        open.chain(self.put_off.iter().map(|(asked_us, _)| *asked_us)).min()
    }

    /// Takes in a row that is leased until then. One that is here already goes on as it was: its lease had passed while Postgres
    /// could not be told, and what has left, or is with a mailer, is not sent again for that. `false`: it cannot be read.
    pub(crate) fn insert(&mut self, row: OutboxRow, leased_until: Instant) -> bool {
        let Some(mails) = record::decode(&row.asked, &row.due) else { return false };
        if let Some(known) = self.rows.get_mut(&row.id) {
            known.leased_until = leased_until;
            let noted = Bits(row.done);
            let closed = (0..).take(mails.len()).filter(|place| row.expired || noted.get(*place as usize));
            closed.for_each(|place| self.close(MailId { row: row.id, place }, false));
            return true;
        }
        let mut done = Bits(row.done);
        if row.expired {
            (0..mails.len()).for_each(|place| done.set(place));
        }
        let mut open = 0;
        for (place, mail) in (0..).zip(&mails) {
            if !done.get(place as usize) {
                open += 1;
                self.capacity.take(mail.address.tenant);
                self.queue.push(mail.address.tenant, row.asked_us, MailId { row: row.id, place });
            }
        }
        if open == 0 {
            self.complete.push(row.id);
        }
        let (asked_us, attempts) = (row.asked_us, row.attempts);
        let (out, late, changed, unanswered) = (Bits::default(), Vec::new(), false, None);
        let taken =
            Row { asked_us, attempts, mails, done, out, open, late, changed, leased_until, unanswered };
        self.rows.insert(row.id, taken);
        true
    }

    /// Takes up to so many mails, by tenants in turn, that may be begun: their lease lasts longer than a try.
    pub(crate) fn next(&mut self, count: usize, try_lasts: Duration, now: Instant) -> Vec<Turn> {
        let (mut turns, mut skipped) = (Vec::new(), Vec::new());
        // what is passed over for good costs its turn once; of those that come again, no more than this are looked at
        while turns.len() < count && skipped.len() < SKIPPED_MAX {
            let Some((tenant, id)) = self.queue.pop() else { break };
            // a row that somebody else has taken meanwhile
            let Some(row) = self.rows.get_mut(&id.row) else { continue };
            let place = id.place as usize;
            if row.done.get(place) || row.out.get(place) {
                continue;
            }
            let Some(start_by) = row.leased_until.checked_sub(try_lasts).filter(|by| *by > now) else {
                skipped.push((tenant, row.asked_us, id));
                continue;
            };
            let Some(mail) = row.mails.get(place) else { continue };
            let (mail, asked_us, attempts) = (mail.clone(), row.asked_us, row.attempts);
            row.out.set(place);
            turns.push(Turn { id, mail, asked_us, attempts, start_by });
        }
        skipped.into_iter().for_each(|(tenant, asked_us, id)| self.queue.push(tenant, asked_us, id));
        turns
    }

    /// The mail has left, or never will.
    pub(crate) fn finish(&mut self, id: MailId) {
        self.close(id, false);
    }

    /// The mail is to be tried again, but not soon.
    pub(crate) fn put_off(&mut self, id: MailId) {
        self.close(id, true);
    }

    /// Nobody has begun it: another turn.
    pub(crate) fn put_back(&mut self, id: MailId) {
        let Some(row) = self.rows.get_mut(&id.row) else { return };
        row.out.clear(id.place as usize);
        if let Some(mail) = row.mails.get(id.place as usize) {
            self.queue.push(mail.address.tenant, row.asked_us, id);
        }
    }

    fn close(&mut self, id: MailId, is_late: bool) {
        let Some(row) = self.rows.get_mut(&id.row) else { return };
        let place = id.place as usize;
        let Some(mail) = row.mails.get(place).filter(|_| !row.done.get(place)) else { return };
        self.capacity.release(mail.address.tenant);
        row.done.set(place);
        if is_late {
            row.late.push(id.place);
        }
        row.changed = true;
        row.open -= 1;
        self.unsettled += 1;
        if row.open == 0 {
            self.complete.push(id.row);
        }
    }

    /// What to tell Postgres: of rows that are complete, or (a checkpoint) changed, or whose lease ends before `renew`.
    pub(crate) fn settlements(&mut self, most: usize, checkpoint: bool, renew: Instant) -> Vec<Settlement> {
        let mut ids: Vec<Uuid> = self.complete.iter().copied().take(most).collect();
        if checkpoint {
            let chosen: HashSet<Uuid> = ids.iter().copied().collect();
            let due = self.rows.iter().filter(|(id, row)| {
                !chosen.contains(id) && (row.changed || row.unanswered.is_some() || row.leased_until < renew)
            });
            // the lease that ends first comes first: however many rows there are, none is overlooked until it is lost
            let mut due: Vec<(Instant, Uuid)> = due.map(|(id, row)| (row.leased_until, *id)).collect();
            due.sort_unstable();
            ids.extend(due.into_iter().map(|(_, id)| id).take(most - chosen.len()));
        }
        self.unsettled = 0;
        let mut settlements = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(row) = self.rows.get_mut(&id) else { continue };
            let settlement = row.settlement(id);
            self.put_off.extend(settlement.late.as_ref().map(|late| (row.asked_us, renew + late.wait)));
            settlements.push(settlement);
        }
        settlements
    }

    /// Whether there is a row whose lease ends before `renew`.
    pub(crate) fn is_any_ending(&self, renew: Instant) -> bool {
        self.rows.values().any(|row| row.leased_until < renew)
    }

    /// Postgres answered: these were settled, and held the holder's lease, extended until then. The others are not ours
    /// any more: their mails that wait are dropped here, whoever has them now sends them.
    pub(crate) fn settled(&mut self, asked: &[Uuid], held: &[Uuid], leased_until: Instant) {
        let held: HashSet<&Uuid> = held.iter().collect();
        for id in asked {
            let Some(row) = self.rows.get_mut(id) else { continue };
            let is_gone = row.unanswered.take().is_none_or(|settlement| settlement.done.is_none());
            if is_gone || !held.contains(id) {
                self.forget(*id);
            } else {
                row.leased_until = leased_until;
            }
        }
        self.complete.retain(|id| self.rows.contains_key(id));
    }

    fn forget(&mut self, id: Uuid) {
        let Some(row) = self.rows.remove(&id) else { return };
        let open = row.mails.iter().enumerate().filter(|(place, _)| !row.done.get(*place));
        open.for_each(|(_, mail)| self.capacity.release(mail.address.tenant));
    }

    /// Whether a settlement was sent whose answer has not come.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.rows.values().any(|row| row.unanswered.is_some())
    }

    /// Everything, for the end of a life.
    pub(crate) fn close_all(&mut self) -> Vec<Settlement> {
        self.rows.iter_mut().map(|(id, row)| row.settlement(*id)).collect()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let ids: Vec<Uuid> = self.rows.keys().copied().collect();
        ids.into_iter().for_each(|id| self.forget(id));
    }
}

impl Row {
    fn settlement(&mut self, id: Uuid) -> Settlement {
        if let Some(settlement) = &self.unanswered {
            return settlement.clone();
        }
        let late = std::mem::take(&mut self.late);
        let settlement = Settlement {
            id,
            done: (self.open > 0).then(|| self.done.to_bytes(self.mails.len())),
            late: (!late.is_empty()).then(|| self.late_mails(&late)),
        };
        self.changed = false;
        self.unanswered = Some(settlement.clone());
        settlement
    }

    fn late_mails(&self, places: &[u32]) -> LateMails {
        let mails: Vec<&DueMail> =
            places.iter().filter_map(|place| self.mails.get(*place as usize)).collect();
        let (asked, due) = record::encode(mails.iter().copied());
        let id = Uuid::new_v4();
        LateMails { id, wait: retry_wait(self.attempts, id), mails: mails.len() as i32, asked, due }
    }
}

/// First and longest wait between two tries.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Doubles with each attempt, spread over half of it by the new row's random id.
fn retry_wait(attempts: i16, id: Uuid) -> Duration {
    let doubled = RETRY.saturating_mul(1 << u32::from(attempts.clamp(0, 6).unsigned_abs()));
    let jitter = f64::from(id.as_bytes()[0]) / 510.0;
    doubled.min(RETRY_MAX).mul_f64(0.75 + jitter)
}

/// Grows as bits are set.
#[derive(Default)]
struct Bits(Vec<u8>);

impl Bits {
    fn get(&self, at: usize) -> bool {
        self.0.get(at / 8).is_some_and(|byte| byte & (1 << (at % 8)) != 0)
    }

    fn set(&mut self, at: usize) {
        if self.0.len() <= at / 8 {
            self.0.resize(at / 8 + 1, 0);
        }
        if let Some(byte) = self.0.get_mut(at / 8) {
            *byte |= 1 << (at % 8);
        }
    }

    fn clear(&mut self, at: usize) {
        if let Some(byte) = self.0.get_mut(at / 8) {
            *byte &= !(1 << (at % 8));
        }
    }

    fn to_bytes(&self, bits: usize) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.resize(bits.div_ceil(8), 0);
        bytes
    }
}

/// A tenant's oldest mail leaves first, unless it was asked for this long before the newest. Where so much more waits than can
/// leave, the newest goes first: those who asked last still look at their mailbox.
const PATIENCE_US: Micros = 2_000_000;

/// Mails by tenants in turn, so that a burst of one does not delay the others'.
#[derive(Default)]
struct Turns {
    by_tenant: HashMap<TenantId, BTreeSet<(Micros, MailId)>>,
    order: VecDeque<TenantId>,
    length: usize,
}

impl Turns {
    fn push(&mut self, tenant: TenantId, asked_us: Micros, id: MailId) {
        let queue = self.by_tenant.entry(tenant).or_default();
        if queue.is_empty() {
            self.order.push_back(tenant);
        }
        queue.insert((asked_us, id));
        self.length += 1;
    }

    fn pop(&mut self) -> Option<(TenantId, MailId)> {
        let tenant = self.order.pop_front()?;
        let queue = self.by_tenant.get_mut(&tenant)?;
        let ((oldest_us, _), (newest_us, _)) = (queue.first()?, queue.last()?);
        let (_, id) =
            if newest_us - oldest_us < PATIENCE_US { queue.pop_first()? } else { queue.pop_last()? };
        if queue.is_empty() {
            self.by_tenant.remove(&tenant);
        } else {
            self.order.push_back(tenant);
        }
        self.length -= 1;
        Some((tenant, id))
    }
}

#[cfg(test)]
mod tests;
