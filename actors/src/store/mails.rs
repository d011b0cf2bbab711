//! Mail that is due: resolved, claimed, struck off, put off.

use super::challenges::{AddressId, DueMail, address, due_mail};
use super::{Store, StoreError, micros, sql};
use doorcode_domain::Micros;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// Where a mail goes.
#[derive(Clone, Debug)]
pub(crate) struct Recipient {
    pub(crate) email: String,
    pub(crate) tenant_slug: String,
    pub(crate) tenant_name: String,
    pub(crate) portal_host: Option<String>,
}

impl Store {
    /// The recipients among these addresses; who is unknown or disabled is not in the answer.
    pub(crate) async fn resolve(
        &self,
        mails: &[DueMail],
    ) -> Result<HashMap<AddressId, Recipient>, StoreError> {
        let (tenants, addresses): (Vec<Uuid>, Vec<Uuid>) =
            mails.iter().map(|m| (m.address.tenant.0, m.address.key.0)).unzip();
        let found = self.query(sql::RESOLVE_MAIL, &[&tenants, &addresses]).await?;
        Ok(found
            .iter()
            .map(|row| {
                let recipient = Recipient {
                    email: row.get("email"),
                    tenant_slug: row.get("slug"),
                    tenant_name: row.get("name"),
                    portal_host: row.get("portal_host"),
                };
                (address(row), recipient)
            })
            .collect())
    }

    /// Strikes mails off.
    pub(crate) async fn mails_done(&self, mails: &[DueMail]) -> Result<(), StoreError> {
        let keys = Keys::of(mails);
        self.query(sql::MAIL_DONE, &[&keys.tenants, &keys.addresses, &keys.challenges, &keys.asked]).await?;
        Ok(())
    }

    /// Puts mails off, each by its own wait.
    pub(crate) async fn postpone_mails(
        &self,
        now: Option<Micros>,
        mails: &[(DueMail, Duration)],
    ) -> Result<(), StoreError> {
        let (mails, waits): (Vec<DueMail>, Vec<i64>) =
            mails.iter().map(|(m, wait)| (m.clone(), micros(*wait))).unzip();
        let keys = Keys::of(&mails);
        self.query(
            sql::POSTPONE_MAIL,
            &[&now, &keys.tenants, &keys.addresses, &keys.challenges, &keys.asked, &waits],
        )
        .await?;
        Ok(())
    }

    /// Claims mails whose lease has passed; also tells the time, to drop what has expired.
    pub(crate) async fn claim_mails(
        &self,
        now: Option<Micros>,
        lease: Duration,
        most: i64,
    ) -> Result<(Vec<DueMail>, Micros), StoreError> {
        let claimed = self.query(sql::CLAIM_MAIL, &[&now, &micros(lease), &most]).await?;
        let time = claimed.first().map_or(0, |row| row.get("now_us"));
        Ok((claimed.iter().map(|row| due_mail(row, row.get("attempts"))).collect(), time))
    }
}

struct Keys {
    tenants: Vec<Uuid>,
    addresses: Vec<Uuid>,
    challenges: Vec<Uuid>,
    asked: Vec<i64>,
}

impl Keys {
    fn of(mails: &[DueMail]) -> Self {
        Self {
            tenants: mails.iter().map(|m| m.address.tenant.0).collect(),
            addresses: mails.iter().map(|m| m.address.key.0).collect(),
            challenges: mails.iter().map(|m| m.challenge.0).collect(),
            asked: mails.iter().map(|m| m.asked_us).collect(),
        }
    }
}
