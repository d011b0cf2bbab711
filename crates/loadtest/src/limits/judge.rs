//! Holds a run's exchanges against the limit that they met, by nothing but when each was sent and answered.
//!
//! The driver cannot see the moment at which the service decided, only that it lies between sending and hearing the
//! answer. Both rules hold for every possible choice of those moments, so a correct limit is never accused:
//!
//! * **Too many.** Any span admits at most burst + ⌊span / T⌋. Every window of the run is checked, from the sending of
//!   one admitted request to the answer of another: an excess in one second cannot hide behind a quiet minute.
//! * **Too few.** GCRA refuses at `d` only if, for some admitted request `j`, the requests admitted from `t(j)` up to
//!   `d` number more than burst − 1 + (d − t(j)) / T. For every refusal of the run that is tried with the moments that
//!   favour the service most; a refusal that none can justify is an error. (This presumes a limit at rest when the
//!   run began.)
//!
//! What a run proves is found by asking the same judge about other limits: a burst or a rate that is one more or one
//! less, and that this very run would have refuted, is measured; one that it would have let pass is not.

use super::policy::Policy;
use std::cmp::Reverse;
use std::time::Duration;

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// The limit let it through.
    Admitted,
    /// The limit held it back.
    Refused,
    /// No usable answer: it may or may not have taken a place.
    Unknown,
}

/// One request against a limit, in time since the run began.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    /// Just before the first byte was written.
    pub sent: Duration,
    /// Just after the answer was read (or given up).
    pub answered: Duration,
    /// What became of it.
    pub decision: Decision,
    /// What it was, for the report: the call, and the service's request id.
    pub name: String,
}

/// How a limit was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach {
    /// Admitted beyond the limit, or else refused within it.
    pub too_many: bool,
    /// The request's place in the run.
    pub place: usize,
    /// What the rule says, in words.
    pub rule: String,
}

/// Windows start at most at so many requests: beyond that at every second, third, … of them.
const MOST_WINDOWS: usize = 2_000;

/// The first breach. A request must pass all `policies`; `slack` is added to every span (the life of leases that
/// replicas take from a shared limit).
pub(super) fn first_breach(policies: &[Policy], slack: Duration, run: &[Exchange]) -> Option<Breach> {
    let leaks = policies.iter().filter_map(|policy| too_many(policy, slack, run));
    let too_many = leaks.min_by_key(|breach| run[breach.place].answered);
    too_many.or_else(|| too_few(policies, run))
}

fn too_many(policy: &Policy, slack: Duration, run: &[Exchange]) -> Option<Breach> {
    let mut admitted: Vec<(usize, &Exchange)> =
        run.iter().enumerate().filter(|(_, exchange)| exchange.decision == Decision::Admitted).collect();
    admitted.sort_by_key(|(_, exchange)| exchange.answered);
    let mut first: Option<Breach> = None;
    for (_, start) in admitted.iter().step_by(admitted.len().div_ceil(MOST_WINDOWS).max(1)) {
        let mut inside = 0;
        for (place, exchange) in admitted.iter().filter(|(_, exchange)| exchange.sent >= start.sent) {
            if first.as_ref().is_some_and(|first| run[first.place].answered <= exchange.answered) {
                break;
            }
            inside += 1;
            let span = exchange.answered - start.sent;
            let most = policy.most(span + slack);
            if inside > most {
                let rule = format!(
                    "number {inside} within {:.3} s, in which at most {most} may be ({policy})",
                    span.as_secs_f64()
                );
                first = Some(Breach { too_many: true, place: *place, rule });
                break;
            }
        }
    }
    first
}

fn too_few(policies: &[Policy], run: &[Exchange]) -> Option<Breach> {
    // Latest answer first: the n-th of them is where a window with n admissions can begin at the latest.
    let mut admitted: Vec<&Exchange> =
        run.iter().filter(|exchange| exchange.decision != Decision::Refused).collect();
    admitted.sort_by_key(|exchange| Reverse(exchange.answered));
    let unjustified = |refusal: &Exchange| {
        let before = || admitted.iter().filter(|exchange| exchange.sent < refusal.answered);
        policies.iter().all(|policy| {
            !before().zip(1_u32..).any(|(first, count)| {
                let since = refusal.sent.saturating_sub(first.answered);
                policy.interval() * count > policy.interval() * (policy.burst - 1) + since
            })
        })
    };
    let refusals = run.iter().enumerate().filter(|(_, exchange)| exchange.decision == Decision::Refused);
    let (place, refusal) =
        refusals.filter(|(_, refusal)| unjustified(refusal)).min_by_key(|(_, refusal)| refusal.sent)?;
    let before = admitted.iter().filter(|exchange| exchange.sent < refusal.answered).count();
    let limit: Vec<String> = policies.iter().map(Policy::to_string).collect();
    let rule = format!(
        "refused when {before} had been admitted in {:.3} s, which leaves a place free ({})",
        refusal.sent.as_secs_f64(),
        limit.join("; ")
    );
    Some(Breach { too_many: false, place, rule })
}

/// What a run would have refuted, had it been one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sharpness {
    /// One more or fewer at once.
    pub burst: bool,
    /// One more or fewer in the window.
    pub rate: bool,
}

/// What this run proves of the policy at `which`.
pub(super) fn sharpness(policies: &[Policy], which: usize, run: &[Exchange]) -> Sharpness {
    let Policy { burst, count, .. } = policies[which];
    let refuted = |policy: Policy| {
        let mut changed = policies.to_vec();
        changed[which] = policy;
        first_breach(&changed, Duration::ZERO, run).is_some()
    };
    let at_once = |burst| refuted(policies[which].burst(burst));
    let in_window = |count| refuted(Policy { count, ..policies[which] });
    // A limit of one cannot be one less: that would admit nothing.
    Sharpness {
        burst: at_once(burst + 1) && (burst == 1 || at_once(burst - 1)),
        rate: in_window(count + 1) && (count == 1 || in_window(count - 1)),
    }
}

#[cfg(test)]
mod tests;
