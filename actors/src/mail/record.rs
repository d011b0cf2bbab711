//! The two byte strings of an outbox row: what was asked (one record per login, alike for every address), and what is due.
//!
//! `asked`: tenant (16 bytes), address key (16), length of the note (2), the note: what later needs add, such as a
//! language. `due`, written by `challenges/login.sql`: place in `asked` (2), challenge id (16), flags (2). Big-endian.

use crate::address_id::AddressId;
use doorcode_domain::{AddressKey, Alphabet, ChallengeId, TenantId};
use uuid::Uuid;

/// The form written here; those before it are read too. A row of a later one is left to replicas that can read it.
/// 2: a note may have a request's id.
pub(crate) const VERSION: i16 = 2;

/// Bytes of a mail in `due`.
pub(crate) const DUE_BYTES: usize = 20;

const BASE32: u16 = 1;
const KNOWN: u16 = 2;

/// A mail that was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueMail {
    pub(crate) address: AddressId,
    pub(crate) note: Box<[u8]>,
    pub(crate) challenge: ChallengeId,
    pub(crate) alphabet: Alphabet,
    /// Asked for in the known clients' lane.
    pub(crate) known: bool,
}

/// Adds a login's record; its place is how many were there before.
pub(crate) fn push_asked(asked: &mut Vec<u8>, address: AddressId, note: &[u8]) {
    // no caller has more to say; a longer note is none
    let note = if u16::try_from(note.len()).is_ok() { note } else { &[] };
    asked.extend_from_slice(address.tenant.0.as_bytes());
    asked.extend_from_slice(address.key.0.as_bytes());
    asked.extend_from_slice(&(note.len() as u16).to_be_bytes());
    asked.extend_from_slice(note);
}

/// Mails as a row of their own.
pub(crate) fn encode<'a>(mails: impl IntoIterator<Item = &'a DueMail>) -> (Vec<u8>, Vec<u8>) {
    let (mut asked, mut due) = (Vec::new(), Vec::new());
    for (place, mail) in (0_u16..).zip(mails) {
        push_asked(&mut asked, mail.address, &mail.note);
        let base32 = if mail.alphabet == Alphabet::Base32 { BASE32 } else { 0 };
        let known = if mail.known { KNOWN } else { 0 };
        due.extend_from_slice(&place.to_be_bytes());
        due.extend_from_slice(mail.challenge.0.as_bytes());
        due.extend_from_slice(&(base32 | known).to_be_bytes());
    }
    (asked, due)
}

/// The mails of a row, in the order of `due`. `None`: written by nobody of ours.
pub(crate) fn decode(mut asked: &[u8], mut due: &[u8]) -> Option<Vec<DueMail>> {
    let mut all = Vec::new();
    while !asked.is_empty() {
        let address = AddressId { tenant: TenantId(uuid(&mut asked)?), key: AddressKey(uuid(&mut asked)?) };
        let length = number(&mut asked)?;
        all.push((address, take(&mut asked, length.into())?));
    }
    let mut mails = Vec::with_capacity(due.len() / DUE_BYTES);
    while !due.is_empty() {
        let (address, note) = all.get(usize::from(number(&mut due)?))?;
        let challenge = ChallengeId(uuid(&mut due)?);
        let flags = number(&mut due)?;
        let alphabet = if flags & BASE32 == 0 { Alphabet::Digits } else { Alphabet::Base32 };
        mails.push(DueMail {
            address: *address,
            note: (*note).into(),
            challenge,
            alphabet,
            known: flags & KNOWN != 0,
        });
    }
    Some(mails)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

fn uuid(bytes: &mut &[u8]) -> Option<Uuid> {
    Uuid::from_slice(take(bytes, 16)?).ok()
}

fn number(bytes: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mail() -> impl Strategy<Value = DueMail> {
        let note = proptest::collection::vec(any::<u8>(), 0..40);
        (any::<[u128; 3]>(), note, any::<[bool; 2]>()).prop_map(|(ids, note, [base32, known])| DueMail {
            address: AddressId {
                tenant: TenantId(Uuid::from_u128(ids[0])),
                key: AddressKey(Uuid::from_u128(ids[1])),
            },
            note: note.into(),
            challenge: ChallengeId(Uuid::from_u128(ids[2])),
            alphabet: if base32 { Alphabet::Base32 } else { Alphabet::Digits },
            known,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(mails in proptest::collection::vec(mail(), 0..50)) {
            let (asked, due) = encode(&mails);
            prop_assert_eq!(decode(&asked, &due), Some(mails));
        }

        #[test]
        fn garbage_is_refused_and_harmless(asked in any::<Vec<u8>>(), due in any::<Vec<u8>>()) {
            let _ = decode(&asked, &due);
        }
    }
}
