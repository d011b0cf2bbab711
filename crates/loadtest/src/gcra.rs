//! What a GCRA limit must admit, computed from its policy and from when the driver sent and heard.
//!
//! The driver cannot see the moment `d` at which the service decided, only that it lies between sending and
//! hearing the answer. Both bounds are therefore exact for every possible choice of those moments:
//!
//! * **At most.** GCRA admits at most `burst + ⌊span / T⌋` in any span. Every window of the run is checked, from
//!   the sending of one admitted request to the answer of another: an excess in one second cannot hide behind a
//!   quiet minute.
//! * **At least.** A refusal at `d` means that the limit's clock (its "theoretical arrival time") stood more than
//!   `(burst - 1) · T` ahead of `d`. It advances by `T` per admission, so at least `burst + ⌊(d - first) / T⌋` were
//!   admitted before. The last refusal gives the sharpest figure; its sending time is the earliest possible `d`,
//!   the earliest answer of an admitted request the latest possible `first`. This presumes a limit that was full
//!   when the run began. A place is lost where the limit stood idle: with a burst of 2 or more, in gaps between
//!   decisions longer than `T`, by what exceeds `T`; with a burst of 1, before every admission, by the gap.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::args::parse_duration;

/// A limit as configured: `burst` at once from rest, then one every `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    burst: u32,
    interval: Duration,
}

/// Why a text is no [`Policy`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no limit; write COUNT/TIME:burst=COUNT, for example 30/60s:burst=30")]
pub struct PolicyError(String);

impl Policy {
    /// `None` for a burst of zero or an interval of zero: neither limits anything sensibly.
    pub fn new(burst: u32, interval: Duration) -> Option<Policy> {
        (burst > 0 && !interval.is_zero()).then_some(Policy { burst, interval })
    }

    /// How many are admitted at once from rest.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The most that any span of this length may admit.
    pub fn most(&self, span: Duration) -> u64 {
        u64::from(self.burst).saturating_add(floor_div(span.as_nanos(), self.interval.as_nanos()))
    }

    /// The least that was admitted before a refusal `since_first` after the first admission.
    fn least(&self, since_first: Duration, gaps: &Gaps) -> u64 {
        let (since_first, interval) = (since_first.as_nanos() as i128, self.interval.as_nanos() as i128);
        let least = if self.burst >= 2 {
            (since_first - gaps.idle.as_nanos() as i128).div_euclid(interval) + i128::from(self.burst)
        } else {
            let gap = gaps.longest.as_nanos() as i128;
            (since_first + gap) / (interval + gap) + 1
        };
        u64::try_from(least).unwrap_or(0)
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    /// `30/60s:burst=30`: 30 in 60 s, so one every 2 s, and 30 at once from rest (the default burst is the count).
    fn from_str(text: &str) -> Result<Policy, PolicyError> {
        parse(text).ok_or_else(|| PolicyError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Policy> {
    let (rate, burst) = match text.split_once(":burst=") {
        Some((rate, burst)) => (rate, Some(burst)),
        None => (text, None),
    };
    let (count, window) = rate.split_once('/')?;
    let count: u32 = count.parse().ok()?;
    let burst = burst.map_or(Some(count), |burst| burst.parse().ok())?;
    Policy::new(burst, parse_duration(window).ok()?.checked_div(count)?)
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "burst {}, then one per {:?}", self.burst, self.interval)
    }
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The limit let it through.
    Admitted,
    /// The limit held it back.
    Refused,
    /// No usable answer: it may or may not have taken a place.
    Unknown,
}

/// One request against a limit, in time since the run began.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// Just before the first byte was written.
    pub sent: Duration,
    /// Just after the answer was read (or given up).
    pub answered: Duration,
    /// The outcome.
    pub verdict: Verdict,
}

/// What the bound says about a whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Requests that were let through.
    pub admitted: u64,
    /// Requests that were held back.
    pub refused: u64,
    /// Requests without a usable answer.
    pub unknown: u64,
    /// From the first sending to the last answer.
    pub span: Duration,
    /// Fewer than this is a limit that is too strict (0 when nothing was refused: then nothing is known).
    pub least: u64,
    /// More than this is a limit that leaks.
    pub most: u64,
    /// The largest excess over the bound in any window of the run; 0 when the limit held throughout.
    pub excess: u64,
}

impl Finding {
    /// Not one too many, not one too few, and the limit was in fact reached.
    pub fn holds(&self) -> bool {
        self.excess == 0 && self.admitted <= self.most && self.admitted >= self.least && self.refused > 0
    }

    /// The finding in words, for the report.
    pub fn verdict(&self) -> &'static str {
        if self.excess > 0 || self.admitted > self.most {
            "too many were admitted: the limit leaks"
        } else if self.admitted < self.least {
            "too few were admitted: the limit is stricter than said, or was not at rest when the run began"
        } else if self.refused == 0 {
            "nothing was refused: the run did not reach the limit (is it enabled? was enough sent?)"
        } else {
            "exact"
        }
    }
}

/// Holds a run's exchanges against the policy.
pub fn judge(policy: &Policy, exchanges: &[Exchange]) -> Finding {
    let count = |verdict| exchanges.iter().filter(|e| e.verdict == verdict).count() as u64;
    let first_sent = exchanges.iter().map(|e| e.sent).min().unwrap_or_default();
    let last_answer = exchanges.iter().map(|e| e.answered).max().unwrap_or_default();
    let span = last_answer.saturating_sub(first_sent);
    let unknown = count(Verdict::Unknown);
    let (admitted, most) = (count(Verdict::Admitted), policy.most(span));
    Finding {
        admitted,
        refused: count(Verdict::Refused),
        unknown,
        span,
        least: least(policy, exchanges).saturating_sub(unknown),
        most,
        // Windows are compared pair by pair; a limit that is plainly off needs no such search.
        excess: if admitted > most { admitted - most } else { excess(policy, exchanges) },
    }
}

fn least(policy: &Policy, exchanges: &[Exchange]) -> u64 {
    let of = |verdict| exchanges.iter().filter(move |e| e.verdict == verdict);
    let last_refusal = of(Verdict::Refused).map(|e| e.sent).max();
    let first_admission =
        exchanges.iter().filter(|e| e.verdict != Verdict::Refused).map(|e| e.answered).min();
    match (last_refusal, first_admission) {
        (Some(refusal), Some(first)) => {
            policy.least(refusal.saturating_sub(first), &gaps(policy, exchanges, refusal))
        }
        // Refused without ever admitting: a limit at rest admits its burst first.
        (Some(_), None) => u64::from(policy.burst),
        (None, _) => 0,
    }
}

/// How far apart decisions can have been, whenever in their exchanges they fell.
#[derive(Debug, PartialEq, Eq)]
struct Gaps {
    /// The longest time between two.
    longest: Duration,
    /// By how much all gaps together exceeded the limit's interval.
    idle: Duration,
}

/// Looks at the decisions before `end`. After any moment `x`, one has come by the earliest answer to anything sent
/// after `x`; gaps that share such an answer lie side by side, so the first of them bounds their sum.
fn gaps(policy: &Policy, exchanges: &[Exchange], end: Duration) -> Gaps {
    let mut by_sending: Vec<&Exchange> = exchanges.iter().filter(|e| e.sent <= end).collect();
    by_sending.sort_by_key(|e| std::cmp::Reverse(e.sent));
    let mut gaps = Gaps { longest: Duration::ZERO, idle: Duration::ZERO };
    // The earliest answer to anything later, and the longest gap that it ends.
    let mut end_of_gap: Option<(Duration, Duration)> = None;
    for exchange in by_sending {
        end_of_gap = match end_of_gap {
            None => Some((exchange.answered, Duration::ZERO)),
            Some((answer, _)) => {
                let gap = answer.saturating_sub(exchange.sent);
                gaps.longest = gaps.longest.max(gap);
                if exchange.answered < answer {
                    gaps.idle += gap.saturating_sub(policy.interval);
                    Some((exchange.answered, Duration::ZERO))
                } else {
                    Some((answer, gap))
                }
            }
        };
    }
    gaps.idle += end_of_gap.map_or(Duration::ZERO, |(_, gap)| gap.saturating_sub(policy.interval));
    gaps
}

/// Checks every window that starts with the sending of an admitted request and ends with the answer of one.
fn excess(policy: &Policy, exchanges: &[Exchange]) -> u64 {
    let mut admitted: Vec<&Exchange> = exchanges.iter().filter(|e| e.verdict == Verdict::Admitted).collect();
    admitted.sort_by_key(|e| e.answered);
    let mut worst = 0;
    for start in admitted.iter().map(|e| e.sent) {
        let mut inside = 0;
        for exchange in admitted.iter().filter(|e| e.sent >= start) {
            inside += 1;
            worst = worst.max(inside - inside.min(policy.most(exchange.answered - start)));
        }
    }
    worst
}

fn floor_div(a: u128, b: u128) -> u64 {
    u64::try_from(a.checked_div(b).unwrap_or(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
