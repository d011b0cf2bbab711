//! What an address is called below HTTP: nobody here needs the address itself.

use doorcode_domain::{AddressKey, TenantId};

/// An address at a tenant, by its keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AddressId {
    pub(crate) tenant: TenantId,
    pub(crate) key: AddressKey,
}
