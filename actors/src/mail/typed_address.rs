//! The address that somebody typed, on its way to a tenant whose list of customers is open: the one that is no customer
//! yet is mailed there. Sealed, so that the outbox reads as every other table: no address in the clear.

use crate::address_id::AddressId;
use crate::keys::{Keys, MasterKey};

/// Binds the bytes to what they are.
const LABEL: &str = "typed address";

/// A key of each address's own, so that random nonces do not run out.
fn key(keys: &Keys, AddressId { tenant, key }: AddressId) -> Option<MasterKey> {
    let material = keys.code_derivation.mac256(&[LABEL.as_bytes(), tenant.0.as_bytes(), key.0.as_bytes()]);
    MasterKey::new(&material[..]).ok()
}

/// For the record of a login.
pub(crate) fn seal(keys: &Keys, address: AddressId, email: &str) -> Box<[u8]> {
    let sealed = key(keys, address).and_then(|key| key.wrap(LABEL, email.as_bytes()).ok());
    sealed.unwrap_or_default().into()
}

/// `None`: there is none.
pub(crate) fn open(keys: &Keys, address: AddressId, note: &[u8]) -> Option<String> {
    if note.is_empty() {
        return None;
    }
    let plain = key(keys, address)?.unwrap(LABEL, note).ok()?;
    String::from_utf8(plain.to_vec()).ok()
}
