//! Keyed words: HMAC-SHA-256 (RFC 2104), truncated to 128 bits.
//!
//! 128 bits are far past guessing and half the row and index size of a full digest.

use aws_lc_rs::{digest, hmac};
use thiserror::Error;
use zeroize::Zeroizing;

/// One purpose's HMAC key, 256 bits. Each purpose has its own, so a MAC of one word never passes for another's.
#[derive(Clone)]
pub struct MacKey(hmac::Key);

/// A purpose key must be 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a purpose key has 32 bytes, not {0}")]
pub struct KeyLengthError(usize);

impl MacKey {
    /// Length of the key material in bytes.
    pub const BYTES: usize = 32;

    /// Takes 32 random bytes.
    pub fn new(material: &Zeroizing<Vec<u8>>) -> Result<Self, KeyLengthError> {
        if material.len() == Self::BYTES {
            Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, material)))
        } else {
            Err(KeyLengthError(material.len()))
        }
    }

    /// MAC over length-prefixed parts, so that no two lists of parts share an input.
    pub fn mac128(&self, parts: &[&[u8]]) -> [u8; 16] {
        let full = self.mac(parts);
        let mut out = [0; 16];
        out.copy_from_slice(&full.as_ref()[..16]);
        out
    }

    /// The whole MAC, as the material of another key.
    pub fn mac256(&self, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        out.copy_from_slice(self.mac(parts).as_ref());
        out
    }

    /// The whole 256-bit MAC over length-prefixed parts.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey")
    }
}

/// Plain SHA-256 over length-prefixed parts, for public words only.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
pub(crate) fn test_key(byte: u8) -> MacKey {
    MacKey::new(&Zeroizing::new(vec![byte; 32])).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let key = test_key(1);
        assert_ne!(key.mac128(&[b"ab", b"c"]), key.mac128(&[b"a", b"bc"]));
        assert_ne!(key.mac128(&[b"ab"]), test_key(2).mac128(&[b"ab"]));
    }

    #[test]
    fn debug_and_errors_say_nothing_of_the_key() {
        assert_eq!(format!("{:?}", test_key(7)), "MacKey");
        assert_eq!(
            MacKey::new(&Zeroizing::new(vec![7; 3])).unwrap_err().to_string(),
            "a purpose key has 32 bytes, not 3"
        );
    }
}
