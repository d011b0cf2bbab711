//! To whom a mail goes, asked just before it leaves.

use super::dispatcher::MailDispatcher;
use crate::store::StoreError;
use crate::store::outbox::{LiveCode, Look, Seen};
use doorcode_domain::TenantId;
use std::collections::HashMap;
use uuid::Uuid;

impl MailDispatcher {
    /// What becomes of mails. To addresses that are no customers yet, a tenant has so many; the others are nobody's.
    pub(super) async fn see(&self, looks: &[Look]) -> Result<Vec<Seen>, StoreError> {
        let mut seen = self.store.look_at_mails(self.clock.sql_now(), looks).await?;
        let mut new: HashMap<TenantId, Vec<&mut LiveCode>> = HashMap::new();
        for (look, code) in looks.iter().zip(seen.iter_mut().map(Option::as_mut)) {
            if let Some(code) = code.filter(|code| code.recipient.as_ref().is_some_and(|to| to.is_new)) {
                new.entry(look.address.tenant).or_default().push(code);
            }
        }
        for (tenant, codes) in new {
            let key = Uuid::from_bytes(self.keys.load().address.mac128(&[b"signup", tenant.0.as_bytes()]));
            let (wanted, burst, period_us) =
                (codes.len() as i64, self.signup.burst(), self.signup.period_us());
            let now = self.clock.sql_now();
            let (granted, _) = self.store.lease_limit(now, key, wanted, burst, period_us).await?;
            if granted < wanted {
                tracing::warn!(event = "signup_mail_refused", tenant = %tenant.0, mails = wanted - granted,
                    "the tenant's budget of mails to new addresses is spent");
            }
            codes.into_iter().skip(granted as usize).for_each(|code| code.recipient = None);
        }
        Ok(seen)
    }
}
