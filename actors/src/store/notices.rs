//! Notices: added, claimed, settled.

use super::outbox::{Recipient, recipient};
use super::{Store, StoreError, micros, sql};
use crate::address_id::AddressId;
use doorcode_domain::{AddressKey, Micros, TenantId};
use std::time::Duration;
use uuid::Uuid;

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NoticeKind {
    /// Somebody typed wrong codes again and again.
    FailedGuesses,
    /// A login from a device that was never seen before.
    NewDevice,
}

impl NoticeKind {
    fn to_sql(self) -> i16 {
        match self {
            Self::FailedGuesses => 0,
            Self::NewDevice => 1,
        }
    }

    fn of_sql(kind: i16) -> Self {
        if kind == 0 { Self::FailedGuesses } else { Self::NewDevice }
    }
}

/// Which notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NoticeId {
    pub(crate) address: AddressId,
    pub(crate) kind: NoticeKind,
}

/// A notice that this replica may send until its lease ends.
#[derive(Debug)]
pub(crate) struct DueNotice {
    pub(crate) id: NoticeId,
    pub(crate) happened_us: Micros,
    pub(crate) note: Vec<u8>,
    /// Tries before.
    pub(crate) attempts: i16,
    /// `None`: nobody is there any more.
    pub(crate) recipient: Option<Recipient>,
}

type Columns = (Vec<Uuid>, Vec<Uuid>, Vec<i16>);

fn columns<'n>(ids: impl Iterator<Item = &'n NoticeId>) -> Columns {
    let (mut tenants, mut keys, mut kinds) = Columns::default();
    for id in ids {
        tenants.push(id.address.tenant.0);
        keys.push(id.address.key.0);
        kinds.push(id.kind.to_sql());
    }
    (tenants, keys, kinds)
}

impl Store {
    /// Adds notices, unique by id; none of a kind that an address had within a day.
    pub(crate) async fn add_notices(
        &self,
        now: Option<Micros>,
        notices: &[(NoticeId, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let (tenants, keys, kinds) = columns(notices.iter().map(|(id, _)| id));
        let notes: Vec<&[u8]> = notices.iter().map(|(_, note)| &**note).collect();
        self.query(sql::ADD_NOTICES, &[&now, &tenants, &keys, &kinds, &notes]).await?;
        Ok(())
    }

    /// Claims notices that are due.
    pub(crate) async fn claim_notices(
        &self,
        now: Option<Micros>,
        lease: Duration,
        most: i64,
    ) -> Result<Vec<DueNotice>, StoreError> {
        let rows = self.query(sql::CLAIM_NOTICES, &[&now, &micros(lease), &most]).await?;
        let due = rows.iter().map(|row| DueNotice {
            id: NoticeId {
                address: AddressId {
                    tenant: TenantId(row.get("tenant_id")),
                    key: AddressKey(row.get("address_key")),
                },
                kind: NoticeKind::of_sql(row.get("kind")),
            },
            happened_us: row.get("happened_us"),
            note: row.get("note"),
            attempts: row.get("attempts"),
            recipient: recipient(row),
        });
        Ok(due.collect())
    }

    /// Notes that these have left, or never will.
    pub(crate) async fn settle_notices(&self, done: &[NoticeId]) -> Result<(), StoreError> {
        let (tenants, keys, kinds) = columns(done.iter());
        self.query(sql::SETTLE_NOTICES, &[&tenants, &keys, &kinds]).await?;
        Ok(())
    }
}
