//! Logins. Requests for one address are one write: whoever asks at the same moment gets the same mail.

use super::Batch;
use crate::address_id::AddressId;
use crate::mail::capacity::{MailCapacity, Reservation};
use crate::mail::counts::MailCounts;
use crate::mail::dispatcher::MailDispatcherMessage;
use crate::mail::record::{DUE_BYTES, push_asked};
use crate::store::challenges::{LoginPolicy, LoginRow};
use crate::store::outbox::{LANES, OutboxPart, OutboxRow};
use crate::store::{Store, StoreError};
use actor_runtime::Handle;
use doorcode_domain::{Clock, TenantId};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) struct LoginBatch {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) policy: LoginPolicy,
    pub(crate) mail_dispatcher: Handle<MailDispatcherMessage>,
    pub(crate) capacity: Arc<MailCapacity>,
    /// Names this process in the outbox.
    pub(crate) holder: Uuid,
    /// Of mail that this replica sends itself.
    pub(crate) lease: Duration,
    pub(crate) counts: Arc<MailCounts>,
}

/// Where a flush's mail goes: what fits into memory is one row, leased to this replica; of what does not, each lane's is
/// another, for whoever has room first.
struct Parting {
    parts: Vec<OutboxPart>,
    slots: Vec<i32>,
    room: Reservation,
}

impl LoginBatch {
    fn part(&self, rows: &[LoginRow]) -> Parting {
        let (fits, room) = self.capacity.reserve(rows.iter().map(|row| row.address.tenant));
        let (mut parts, mut slots) = (Vec::<OutboxPart>::new(), Vec::with_capacity(rows.len()));
        let mut places: Vec<i32> = Vec::new();
        for (row, fits) in rows.iter().zip(fits) {
            let (lane, lease) =
                if fits { (0, self.lease) } else { (lane(row.address.tenant), Duration::ZERO) };
            let at = parts.iter().position(|part| part.lane == lane).unwrap_or_else(|| {
                parts.push(OutboxPart { id: Uuid::new_v4(), lane, lease, asked: Vec::new() });
                places.push(0);
                parts.len() - 1
            });
            push_asked(&mut parts[at].asked, row.address, &row.note.encode());
            // parts are counted from 1 there
            slots.push((at as i32 + 1) << 16 | places[at]);
            places[at] += 1;
        }
        Parting { parts, slots, room }
    }

    /// Tells the dispatcher of the mail that is its to send.
    fn hand_over(&self, posted: Vec<OutboxRow>, parting: Parting, leased: Instant) {
        let mut room = Some(parting.room);
        let mut parts = parting.parts;
        for mut row in posted {
            let mails = (row.due.len() / DUE_BYTES) as u64;
            self.counts.due.fetch_add(mails, Relaxed);
            let Some(part) = parts.iter_mut().find(|part| part.id == row.id) else { continue };
            if part.lane != 0 {
                self.counts.deferred.fetch_add(mails, Relaxed);
                continue;
            }
            row.asked = std::mem::take(&mut part.asked);
            if let Some(room) = room.take() {
                // a dispatcher that is down finds the row when its lease has passed
                let message = MailDispatcherMessage::Committed(row, leased + self.lease, room);
                let _ = self.mail_dispatcher.tell(message);
            }
        }
    }
}

/// One of the lanes behind the first.
fn lane(tenant: TenantId) -> i16 {
    let lanes = LANES - 1;
    1 + (tenant.0.as_u128() % lanes as u128) as i16
}

impl Batch for LoginBatch {
    type Row = LoginRow;
    type Key = AddressId;
    type Answer = ();

    fn key(row: &LoginRow) -> AddressId {
        row.address
    }

    fn tenant(row: &LoginRow) -> TenantId {
        row.address.tenant
    }

    fn is_known(row: &LoginRow) -> bool {
        row.device_us > 0
    }

    /// The same address in the same lane: the first one's candidate serves both.
    fn same(waiting: &LoginRow, new: &LoginRow) -> bool {
        waiting.device_us == new.device_us
            && waiting.client_tag == new.client_tag
            && waiting.step_up == new.step_up
    }

    async fn write(&self, rows: Vec<LoginRow>, _: &[Instant]) -> Result<Vec<(AddressId, ())>, StoreError> {
        let (parting, now, leased) = (self.part(&rows), self.clock.sql_now(), Instant::now());
        let mail = (&*parting.slots, &*parting.parts);
        let (posted, frozen) = self.store.login(now, &rows, self.policy, self.holder, mail).await?;
        self.hand_over(posted, parting, leased);
        let written = rows.into_iter().filter(|row| !frozen.contains(&row.address.tenant));
        Ok(written.map(|row| (row.address, ())).collect())
    }
}
