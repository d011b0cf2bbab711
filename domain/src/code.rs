//! The code: derived, typed, and as the database sees it.

use crate::{AddressKey, MacKey, TenantId};
use rand_core::CryptoRng;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The random 128-bit id from which a code is derived. Worth nothing without the derivation key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChallengeId(pub Uuid);

impl ChallengeId {
    /// Draws a new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(Uuid::from_bytes(bytes))
    }
}

/// What a code is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// Six decimal digits, 10^6 codes: the rule.
    Digits,
    /// Six characters of Crockford base32, 2^30 codes: for an address or tenant under attack.
    Base32,
}

impl Alphabet {
    /// As kept in the database.
    pub fn to_sql(self) -> i16 {
        match self {
            Alphabet::Digits => 0,
            Alphabet::Base32 => 1,
        }
    }

    /// From the database; anything but 0 is base32, the harder one to guess.
    pub fn from_sql(value: i16) -> Self {
        if value == 0 { Alphabet::Digits } else { Alphabet::Base32 }
    }
}

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The six characters that prove the mailbox. Never printed, stored or compared in the clear.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginCode(Zeroizing<[u8; 6]>);

impl LoginCode {
    /// Derives the code of a challenge as HOTP does (RFC 4226 section 5: HMAC, truncation), with SHA-256 and, against
    /// the bias of 31 bits, 64 bits for the digits. Both faces come from one challenge; they share no bits.
    pub fn derive(key: &MacKey, challenge: ChallengeId, alphabet: Alphabet) -> Self {
        let tag = key.mac(&[b"code", challenge.0.as_bytes(), &alphabet.to_sql().to_be_bytes()]);
        let mut word = [0; 8];
        word.copy_from_slice(&tag.as_ref()[..8]);
        let mut rest = u64::from_be_bytes(word);
        let mut code = Zeroizing::new([0; 6]);
        for character in code.iter_mut().rev() {
            *character = match alphabet {
                Alphabet::Digits => {
                    let digit = b'0' + (rest % 10) as u8;
                    rest /= 10;
                    digit
                }
                Alphabet::Base32 => {
                    let symbol = CROCKFORD[(rest % 32) as usize];
                    rest /= 32;
                    symbol
                }
            };
        }
        Self(code)
    }

    /// For the mail, and only for it.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().map(|&b| char::from(b)).collect())
    }

    /// The form the database holds: bound to tenant and address, so one account's code is nothing to another.
    pub fn mac(&self, key: &MacKey, tenant: TenantId, address: AddressKey, alphabet: Alphabet) -> CodeMac {
        let parts: [&[u8]; 4] =
            [tenant.0.as_bytes(), address.0.as_bytes(), &alphabet.to_sql().to_be_bytes(), &self.0[..]];
        CodeMac(Uuid::from_bytes(key.mac128(&parts)))
    }
}

impl std::fmt::Debug for LoginCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginCode(redacted)")
    }
}

/// A code's MAC. Two of them may be compared in any way: the comparison says nothing of the code (STANDARDS A12).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeMac(pub Uuid);

impl std::fmt::Debug for CodeMac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeMac")
    }
}

/// What somebody typed: six characters of anything. Which code it may be depends on the live challenge's alphabet.
#[derive(Clone)]
pub struct TypedCode(Zeroizing<String>);

impl TypedCode {
    /// The caller has checked that it has six code points.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// Read in an alphabet: ASCII digits only, or Crockford base32 in any case with O=0 and I=L=1 (A13).
    pub fn read_as(&self, alphabet: Alphabet) -> Option<LoginCode> {
        let bytes: &[u8; 6] = self.0.as_bytes().try_into().ok()?;
        let mut code = Zeroizing::new(*bytes);
        for character in code.iter_mut() {
            *character = match alphabet {
                Alphabet::Digits => Some(*character).filter(u8::is_ascii_digit)?,
                Alphabet::Base32 => fold_crockford(*character)?,
            };
        }
        Some(LoginCode(code))
    }
}

impl std::fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TypedCode(redacted)")
    }
}

fn fold_crockford(character: u8) -> Option<u8> {
    let upper = match character.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    CROCKFORD.contains(&upper).then_some(upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::test_key;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn code(text: &str) -> TypedCode {
        TypedCode::new(text)
    }

    /// A1, A2: six digits, zeros kept, flat over 100 bins (chi-square with 99 degrees: 176 is p = 1e-6).
    #[test]
    fn digit_codes_are_six_digits_and_flat() {
        let (key, mut rng) = (test_key(3), ChaCha20Rng::seed_from_u64(1));
        let (mut bins, mut leading_zero, draws) = ([0f64; 100], 0, 100_000);
        for _ in 0..draws {
            let code = LoginCode::derive(&key, ChallengeId::random(&mut rng), Alphabet::Digits).reveal();
            assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "not six digits");
            leading_zero += usize::from(code.starts_with('0'));
            bins[code[4..].parse::<usize>().unwrap()] += 1.0;
        }
        let expected = f64::from(draws) / 100.0;
        let chi: f64 = bins.iter().map(|n| (n - expected).powi(2) / expected).sum();
        assert!(chi < 176.0 && leading_zero > 9_000, "chi-square {chi}, {leading_zero} leading zeros");
    }

    /// A13: nothing but ASCII digits is a digit code.
    #[test]
    fn only_ascii_digits_read_as_digits() {
        assert!(code("012345").read_as(Alphabet::Digits).is_some());
        for odd in ["+12345", " 12345", "12345\0", "１２３４５６", "٠١٢٣٤٥", "abcdef", "12345", "1234567"]
        {
            assert!(code(odd).read_as(Alphabet::Digits).is_none(), "{odd:?}");
        }
    }

    #[test]
    fn base32_folds_case_and_lookalikes_only_for_itself() {
        let read = |text: &str| code(text).read_as(Alphabet::Base32).map(|c| c.reveal().to_string());
        assert_eq!(read("oilabc").as_deref(), Some("011ABC"));
        assert_eq!(read("ABCU00"), None, "U is not in the alphabet");
        assert!(code("O12345").read_as(Alphabet::Digits).is_none());
    }

    /// A9: the MAC of one account's code is not another's.
    #[test]
    fn macs_are_bound_to_tenant_address_and_alphabet() {
        let key = test_key(4);
        let read = code("123456").read_as(Alphabet::Digits).unwrap();
        let (tenant, address) = (TenantId(Uuid::from_u128(1)), AddressKey(Uuid::from_u128(2)));
        let mac = read.mac(&key, tenant, address, Alphabet::Digits);
        assert_ne!(mac, read.mac(&key, TenantId(Uuid::from_u128(9)), address, Alphabet::Digits));
        assert_ne!(mac, read.mac(&key, tenant, AddressKey(Uuid::from_u128(9)), Alphabet::Digits));
        assert_ne!(mac, read.mac(&key, tenant, address, Alphabet::Base32));
    }

    /// A11: Debug shows nothing.
    #[test]
    fn debug_is_redacted() {
        let typed = code("123456");
        let shown = format!("{:?} {:?}", typed, typed.read_as(Alphabet::Digits));
        assert!(!shown.contains("123456"), "{shown}");
    }

    proptest! {
        #[test]
        fn typing_a_derived_code_gives_it_back(id in any::<u128>(), base32 in any::<bool>()) {
            let alphabet = if base32 { Alphabet::Base32 } else { Alphabet::Digits };
            let derived = LoginCode::derive(&test_key(5), ChallengeId(Uuid::from_u128(id)), alphabet);
            prop_assert_eq!(code(&derived.reveal()).read_as(alphabet), Some(derived.clone()));
            prop_assert_eq!(code(&derived.reveal().to_lowercase()).read_as(alphabet), Some(derived));
        }

        #[test]
        fn reading_never_panics(text in any::<String>()) {
            let typed = code(&text);
            let _ = (typed.read_as(Alphabet::Digits), typed.read_as(Alphabet::Base32));
        }
    }
}
