//! The master key: wraps every other key (AES-256-GCM, NIST SP 800-38D) and does nothing else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a key could not be wrapped or unwrapped. Says nothing of either key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WrapError {
    /// The master key's length.
    #[error("the master key has {0} bytes; it must have 32")]
    Length(usize),
    /// The wrong master key, or a changed row.
    #[error(
        "the master key does not open the keys in this database: it is not the one they were wrapped with"
    )]
    WrongKey,
}

/// 256 bits that never reach the database.
pub(crate) struct MasterKey(RandomizedNonceKey);

impl MasterKey {
    pub(crate) fn new(material: &[u8]) -> Result<Self, WrapError> {
        RandomizedNonceKey::new(&AES_256_GCM, material)
            .map(Self)
            .map_err(|_| WrapError::Length(material.len()))
    }

    /// Nonce, then ciphertext and tag. `label` names the row, so that one row's key cannot be passed off as another's.
    pub(crate) fn wrap(&self, label: &str, plain: &[u8]) -> Result<Vec<u8>, WrapError> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(label.as_bytes()), &mut sealed)
            .map_err(|_| WrapError::WrongKey)?;
        let mut wrapped = nonce.as_ref().to_vec();
        wrapped.append(&mut sealed);
        Ok(wrapped)
    }

    pub(crate) fn unwrap(&self, label: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        let (nonce, sealed) = wrapped.split_at_checked(NONCE_LEN).ok_or(WrapError::WrongKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| WrapError::WrongKey)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let length = self
            .0
            .open_in_place(nonce, Aad::from(label.as_bytes()), &mut buffer)
            .map_err(|_| WrapError::WrongKey)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_the_same_key_and_label() {
        let (master, other) = (MasterKey::new(&[1; 32]).unwrap(), MasterKey::new(&[2; 32]).unwrap());
        let wrapped = master.wrap("address 1", b"secret").unwrap();
        assert_eq!(master.unwrap("address 1", &wrapped).unwrap().as_slice(), b"secret");
        assert_eq!(master.unwrap("address 2", &wrapped), Err(WrapError::WrongKey));
        assert_eq!(other.unwrap("address 1", &wrapped), Err(WrapError::WrongKey));
        assert_eq!(master.unwrap("address 1", &wrapped[..5]), Err(WrapError::WrongKey));
        assert!(matches!(MasterKey::new(&[1; 31]), Err(WrapError::Length(31))));
    }

    #[test]
    fn the_same_key_is_wrapped_differently_each_time() {
        let master = MasterKey::new(&[1; 32]).unwrap();
        assert_ne!(master.wrap("a", b"secret").unwrap(), master.wrap("a", b"secret").unwrap());
    }
}
