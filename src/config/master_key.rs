//! The master key: given as a file or as a value, kept in memory only.

use super::error::Problem;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use setting_values::{Secret, optional};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Different bytes among 32 random ones: 30 on average, below this once in 10^11 keys.
const FEWEST_VALUES: usize = 16;

/// 32 bytes that wrap every other key.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Takes the bytes, as `dev` does with a key it made itself.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// For the one who unwraps.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether 32 random bytes could be these: of random ones, one in 10^10 is refused. Text, zeros, one block repeated
    /// and rows such as 1, 2, 3 are.
    pub fn looks_random(&self) -> bool {
        let key = &*self.0;
        let is_text = key.iter().all(|byte| (b' '..=b'~').contains(byte));
        let repeats = (1..=16).any(|period| key.iter().zip(&key[period..]).all(|(a, b)| a == b));
        let steps: HashSet<u8> = key.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        let values: HashSet<u8> = key.iter().copied().collect();
        !is_text && !repeats && values.len() >= FEWEST_VALUES && steps.len() >= FEWEST_VALUES
    }

    /// Reads base64 (either alphabet, padded or not) or hex.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let decoded = match text.len() {
            64 => decode_hex(text)?,
            _ => {
                let bare = text.trim_end_matches('=');
                Zeroizing::new(STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare)).ok()?)
            }
        };
        let mut bytes = Zeroizing::new([0; 32]);
        if decoded.len() != bytes.len() {
            return None;
        }
        bytes.copy_from_slice(&decoded);
        Some(Self(bytes))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(redacted)")
    }
}

fn decode_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.map(Zeroizing::new)
}

/// `[master_key]`: at most one of the two.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterKeySource {
    /// A file that holds it.
    #[serde(deserialize_with = "optional")]
    pub file: Option<PathBuf>,
    /// Itself.
    #[serde(deserialize_with = "optional")]
    pub value: Option<Secret>,
    /// What came of it; `None` if neither is set.
    #[serde(skip)]
    pub key: Option<MasterKey>,
}

impl MasterKeySource {
    pub(super) fn resolve(&mut self) -> Result<(), Problem> {
        const FORM: &str = "expected 32 bytes as base64 or hex; `openssl rand -base64 32` makes them";
        self.key = match (&self.file, &self.value) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(Problem::new("master_key.value", "expected either a file or a value, not both"));
            }
            (None, Some(value)) => {
                Some(MasterKey::parse(value.reveal()).ok_or_else(|| Problem::new("master_key.value", FORM))?)
            }
            (Some(path), None) => {
                let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
                    Problem::new("master_key.file", format!("{} cannot be read: {error}", path.display()))
                })?;
                let refused = || Problem::new("master_key.file", format!("{}: {FORM}", path.display()));
                Some(MasterKey::parse(&text).ok_or_else(refused)?)
            }
        };
        Ok(())
    }
}
