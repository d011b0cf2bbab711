//! A limit as its owner states it: so many in a time, so many at once from rest.

use crate::units;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// `count` requests in each `window`, `burst` of them at once from rest. Any span admits at most
/// burst + ⌊span × count / window⌋ (GCRA, the generic cell rate algorithm).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// At once from rest.
    pub burst: u32,
    /// How many in a window.
    pub count: u32,
    /// The window.
    pub window: Duration,
}

/// Why a text is no [`Policy`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no limit; write COUNT/TIME or COUNT/TIME:burst=COUNT, for example 30/60s:burst=30")]
pub struct PolicyError(String);

impl Policy {
    /// As many at once as in a window: what "30 a minute" usually means.
    pub fn per(count: u32, window: Duration) -> Policy {
        Policy { burst: count, count, window }
    }

    /// With another burst.
    #[must_use]
    pub fn burst(self, burst: u32) -> Policy {
        Policy { burst, ..self }
    }

    /// Time until one more is admitted.
    pub fn interval(&self) -> Duration {
        self.window / self.count.max(1)
    }

    /// The most that any span of this length may admit.
    pub fn most(&self, span: Duration) -> u64 {
        u64::from(self.burst).saturating_add(self.earned(span))
    }

    /// How many are admitted in a span of this length in the long run.
    pub fn earned(&self, span: Duration) -> u64 {
        u64::try_from(span.as_nanos() / self.interval().as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    fn is_sound(&self) -> bool {
        self.burst > 0 && self.count > 0 && !self.interval().is_zero()
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Policy, PolicyError> {
        parse(text).filter(Policy::is_sound).ok_or_else(|| PolicyError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Policy> {
    let (rate, burst) = match text.split_once(":burst=") {
        Some((rate, burst)) => (rate, Some(burst.parse().ok()?)),
        None => (text, None),
    };
    let (count, window) = rate.split_once('/')?;
    let count: u32 = count.parse().ok()?;
    Some(Policy { burst: burst.unwrap_or(count), count, window: units::duration(window).ok()? })
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.count, units::show(self.window))?;
        if self.burst == self.count { Ok(()) } else { write!(f, ", {} at once", self.burst) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_about() {
        let policy: Policy = "30/60s:burst=31".parse().unwrap();
        assert_eq!(policy, Policy::per(30, Duration::from_secs(60)).burst(31));
        assert_eq!(policy.interval(), Duration::from_secs(2));
        assert_eq!(policy.most(Duration::from_millis(3_999)), 32);
        assert_eq!(policy.to_string(), "30 in 1m, 31 at once");
        for bad in ["", "30", "30/", "0/60s", "30/60s:burst=0", "30/60s:burst=x", "9/0s", "x/1s"] {
            assert!(bad.parse::<Policy>().is_err(), "{bad}");
        }
    }
}
