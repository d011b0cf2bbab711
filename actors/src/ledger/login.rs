//! Logins. Requests for one address are one write: whoever asks at the same moment gets the same mail.

use super::Batch;
use crate::mail::dispatcher::MailDispatcherMessage;
use crate::store::challenges::{AddressId, LoginPolicy, LoginRow};
use crate::store::{Store, StoreError};
use actor_runtime::Handle;
use doorcode_domain::{Clock, TenantId};

pub(crate) struct LoginBatch {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) policy: LoginPolicy,
    pub(crate) mail_dispatcher: Handle<MailDispatcherMessage>,
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

    /// The same address in the same lane: the first one's candidate serves both.
    fn same(waiting: &LoginRow, new: &LoginRow) -> bool {
        waiting.device_us == new.device_us
            && waiting.client_tag == new.client_tag
            && waiting.step_up == new.step_up
    }

    async fn write(&self, rows: Vec<LoginRow>) -> Result<Vec<(AddressId, ())>, StoreError> {
        let due = self.store.login(self.clock.sql_now(), &rows, self.policy).await?;
        // committed: a mail_dispatcher that is down finds these when their lease has passed
        if !due.is_empty() {
            let _ = self.mail_dispatcher.tell(MailDispatcherMessage::Committed(due));
        }
        Ok(rows.into_iter().map(|row| (row.address, ())).collect())
    }
}
