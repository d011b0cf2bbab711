//! An address in its keyed form.

use crate::{MacKey, TenantId, TenantSlug};
use uuid::Uuid;

/// The primary key of an address's challenge and budgets: a MAC, so the login tables hold no address.
///
/// The key behind it never rotates implicitly: a new one would forget every budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey(pub Uuid);

impl AddressKey {
    /// Of an address at a tenant. `email_key` is [`Email::key`](crate::Email::key): the form in which addresses compare.
    pub fn of(key: &MacKey, tenant: TenantId, email_key: &str) -> Self {
        Self(Uuid::from_bytes(key.mac128(&[tenant.0.as_bytes(), email_key.as_bytes()])))
    }

    /// Of an address at a slug that names no tenant. Such rows all live under [`TenantId::UNKNOWN`].
    pub fn of_unknown(key: &MacKey, slug: &TenantSlug, email_key: &str) -> Self {
        Self(Uuid::from_bytes(key.mac128(&[b"unknown", slug.as_str().as_bytes(), email_key.as_bytes()])))
    }
}
