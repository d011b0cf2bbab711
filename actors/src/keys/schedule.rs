//! When a key is published, signs, and is forgotten. Times are the database's.
//!
//! ```text
//! created          active = created + lead          retired = successor's active          gone = retired + KEPT
//!    |---- next ----------|---- active -------------------|---- retiring -------------------------|
//!    |---------------------------------- in the key set ------------------------------------------|
//! ```
//!
//! Which key signs a token is decided by the token's own `iat`, which is the database's time: replicas whose clocks
//! differ, or who read the keys at different moments, sign alike.

use crate::store::keys::WrappedSigningKey;
use doorcode_domain::{ACCESS_LIFE_S, Micros};
use std::time::Duration;

/// How old a replica's snapshot of the keys may be.
pub(crate) const RELOAD: Duration = Duration::from_secs(30);
/// For how long a verifier may keep the key set without asking (`Cache-Control: max-age` of the answer).
const KEY_SET_AGE: Duration = Duration::from_secs(300);
/// For reloads that fail, verifiers that are slow, and clocks: ten reloads' worth.
const MARGIN: Duration = Duration::from_secs(300);

/// How long a signing key is published before it signs, at the least: whoever verifies its first token has it (D11), if
/// they keep the set no longer than they are told. `tokens.publish_ahead` is for those who do.
pub(crate) const LEAD: Duration = KEY_SET_AGE.saturating_add(RELOAD).saturating_add(MARGIN);
/// How long a signing key stays published after its successor took over: its last token has expired, and so has every
/// copy of a key set with which that token was read (D11).
pub(crate) const KEPT: Duration =
    Duration::from_secs(ACCESS_LIFE_S as u64).saturating_add(KEY_SET_AGE).saturating_add(MARGIN);
/// How long a purpose key is known to all replicas before it is used. Nobody else ever reads one.
pub(crate) const PURPOSE_LEAD: Duration = RELOAD.saturating_add(Duration::from_secs(60));

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Known, not used yet.
    Next,
    /// Used.
    Active,
    /// Not used any more; what it made is still good.
    Retiring,
    /// Of no use; about to be deleted.
    Gone,
}

impl KeyState {
    /// The state of a key with these times at `now`.
    pub(crate) fn at(now: Micros, active: Micros, retired: Option<Micros>, gone: Option<Micros>) -> Self {
        let past = |time: Option<Micros>| time.is_some_and(|time| time <= now);
        if past(gone) {
            KeyState::Gone
        } else if past(retired) {
            KeyState::Retiring
        } else if active <= now {
            KeyState::Active
        } else {
            KeyState::Next
        }
    }

    /// Its name, for people and scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Next => "next",
            KeyState::Active => "active",
            KeyState::Retiring => "retiring",
            KeyState::Gone => "gone",
        }
    }
}

impl WrappedSigningKey {
    pub(crate) fn state(&self) -> KeyState {
        KeyState::at(self.now_us, self.active_us, self.retired_us, self.gone_us)
    }
}

/// Whether the newest key, with a successor made now that signs after `lead`, will have signed for `period`.
pub(crate) fn is_due(newest: &WrappedSigningKey, period_us: i64, lead: Duration) -> bool {
    newest.active_us.saturating_add(period_us) <= newest.now_us.saturating_add(crate::store::micros(lead))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D11: the intervals that the contract demands, whatever the constants become.
    #[test]
    fn keys_are_published_long_enough_before_and_after() {
        assert!(LEAD > Duration::from_secs(300) + RELOAD);
        assert!(KEPT > Duration::from_secs(3_600 + 300));
    }

    #[test]
    fn a_key_goes_through_its_states_at_its_times() {
        let at = |now| KeyState::at(now, 10, Some(20), Some(30));
        let states = [9, 10, 19, 20, 29, 30].map(|now| at(now).as_str());
        assert_eq!(states, ["next", "active", "active", "retiring", "retiring", "gone"]);
        assert_eq!(KeyState::at(i64::MAX, 10, None, None), KeyState::Active);
    }
}
