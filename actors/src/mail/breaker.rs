//! Whether a provider is worth a try: closed while it answers, open for a while when it does not, then one probe.

use std::time::Duration;
use tokio::time::Instant;

/// Faults in a row that open it.
const FAULTS: u32 = 3;
/// The first pause, and the longest; each doubles the one before.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The longest that a provider may ask for.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// What a try came to, as far as the provider is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answered, whatever it said of the mail.
    Answered,
    /// It is at fault.
    Fault,
    /// It says for how long it wants no mail.
    Wait(Duration),
    /// It wants none ever again.
    Stop,
}

#[derive(Debug, Default)]
pub(super) struct Breaker {
    faults: u32,
    pause: Duration,
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open(Instant),
    /// One try is out; it decides.
    Probing,
    Stopped,
}

impl Breaker {
    /// Whether a mail could go now. Changes nothing.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open(until) => until <= now,
            State::Probing | State::Stopped => false,
        }
    }

    /// Whether it takes no mail until the next start.
    pub(super) fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// Lets a try begin. `Some(true)`: it is the probe.
    pub(super) fn admit(&mut self, now: Instant) -> Option<bool> {
        if !self.is_ready(now) {
            return None;
        }
        let is_probe = self.state != State::Closed;
        if is_probe {
            self.state = State::Probing;
        }
        Some(is_probe)
    }

    /// Whether only a probe may go.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self.state, State::Open(_) | State::Probing)
    }

    /// A try ended. `true`: the breaker changed its state.
    pub(super) fn note(&mut self, verdict: Verdict, is_probe: bool, now: Instant) -> bool {
        let was_closed = self.state == State::Closed;
        if self.state == State::Stopped || (!was_closed && !is_probe && verdict != Verdict::Stop) {
            return false; // a try of before, which says nothing new
        }
        match verdict {
            Verdict::Answered => *self = Self::default(),
            Verdict::Stop => self.state = State::Stopped,
            Verdict::Wait(time) => self.state = State::Open(now + time.min(WAIT_MAX)),
            Verdict::Fault => {
                self.faults += 1;
                if is_probe || self.faults >= FAULTS {
                    self.pause = (self.pause * 2).clamp(PAUSE, PAUSE_MAX);
                    self.state = State::Open(now + self.pause);
                }
            }
        }
        was_closed != (self.state == State::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_faults_in_a_row_and_closes_by_a_probe() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let second = Duration::from_secs(1);
        for _ in 0..2 {
            assert_eq!(breaker.admit(start), Some(false));
            assert!(!breaker.note(Verdict::Fault, false, start));
        }
        breaker.note(Verdict::Answered, false, start);
        for n in 0..3 {
            assert_eq!(breaker.admit(start), Some(false), "an answer in between begins anew");
            assert_eq!(breaker.note(Verdict::Fault, false, start), n == 2);
        }
        assert_eq!(breaker.admit(start), None);
        assert_eq!(breaker.admit(start + second), Some(true), "one probe");
        assert_eq!(breaker.admit(start + second), None, "and no second");
        breaker.note(Verdict::Answered, false, start + second);
        assert_eq!(breaker.admit(start + second), None, "an old try decides nothing");
        breaker.note(Verdict::Fault, true, start + second);
        assert_eq!(breaker.admit(start + 2 * second), None, "the pause doubles");
        assert_eq!(breaker.admit(start + 3 * second), Some(true));
        assert!(breaker.note(Verdict::Answered, true, start + 3 * second));
        assert_eq!(breaker.admit(start + 3 * second), Some(false));
    }

    #[test]
    fn waits_as_told_and_stops_for_good() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.admit(start);
        breaker.note(Verdict::Wait(Duration::from_secs(7)), false, start);
        assert!(!breaker.is_ready(start + Duration::from_secs(6)));
        assert_eq!(breaker.admit(start + Duration::from_secs(7)), Some(true));
        breaker.note(Verdict::Stop, true, start);
        assert!(!breaker.is_ready(start + Duration::from_secs(86_400)));
    }
}
