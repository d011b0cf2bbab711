//! Keys of the admin API.

use crate::keys::sha256;
use std::fmt;
use zeroize::Zeroizing;

const PREFIX: &str = "dca_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// `dca_<id>_<secret><checksum>`, all three in hex: 8 bytes that name the key, 32 random ones, and 4 of a hash over what
/// stands before them, by which a scanner knows a leaked key without asking, and a cut one is told.
pub struct AdminKey {
    id: String,
    hash: [u8; 32],
}

impl AdminKey {
    /// Random bytes that a new key needs.
    pub const RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

    /// A new key and its text, which is shown once and kept nowhere.
    pub fn generate(random: &Zeroizing<[u8; Self::RANDOM_BYTES]>) -> (Self, Zeroizing<String>) {
        let (id, secret) = random.split_at(ID_BYTES);
        let body = Zeroizing::new(format!("{PREFIX}{}_{}", hex(id), *Zeroizing::new(hex(secret))));
        let text = Zeroizing::new(format!("{}{}", *body, checksum(&body)));
        (Self { id: hex(id), hash: sha256(&[hex(secret).as_bytes()]) }, text)
    }

    /// Reads what a caller presents.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (id, tail) = rest.split_once('_')?;
        let fits =
            id.len() == 2 * ID_BYTES && tail.len() == 2 * SECRET_BYTES + 8 && is_hex(id) && is_hex(tail);
        if !fits {
            return None;
        }
        let (body, sum) = text.split_at(text.len() - 8);
        let secret = &tail[..2 * SECRET_BYTES];
        (checksum(body) == sum).then(|| Self { id: id.to_owned(), hash: sha256(&[secret.as_bytes()]) })
    }

    /// What the key is called; no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// SHA-256 of the secret: what is stored and compared. The secret is random, so it needs no slow hash.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdminKey({})", self.id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn checksum(body: &str) -> String {
    hex(&sha256(&[b"doorcode admin key", body.as_bytes()])[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let (made, text) = AdminKey::generate(&Zeroizing::new([7; AdminKey::RANDOM_BYTES]));
        assert_eq!(text.len(), 4 + 16 + 1 + 64 + 8);
        let read = AdminKey::parse(&text).unwrap();
        assert_eq!((read.id(), read.hash()), (made.id(), made.hash()));
        assert!(!format!("{made:?}").contains(&text[21..85]), "no secret in Debug");
        let mut typo = text.to_string();
        typo.replace_range(30..31, "8");
        for bad in [&typo, &text[..92], &text.to_uppercase(), "dca_", "", "dca_é_"] {
            assert!(AdminKey::parse(bad).is_none(), "{bad}");
        }
    }
}
