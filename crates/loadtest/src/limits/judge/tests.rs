use super::*;
use proptest::prelude::*;

/// The textbook algorithm in whole nanoseconds, at rest when it is made.
struct Reference {
    burst: u128,
    interval: u128,
    theoretical_arrival: u128,
}

impl Reference {
    fn new(policy: Policy) -> Reference {
        let interval = policy.interval().as_nanos();
        Reference { burst: policy.burst.into(), interval, theoretical_arrival: 0 }
    }

    fn admits(&mut self, now: Duration) -> bool {
        let now = now.as_nanos();
        if self.theoretical_arrival > now + (self.burst - 1) * self.interval {
            return false;
        }
        self.theoretical_arrival = self.theoretical_arrival.max(now) + self.interval;
        true
    }
}

/// Decisions `pauses` apart, each seen by the driver `before` earlier as sent and `after` later as answered.
fn run(limits: &mut [Reference], steps: &[(u64, u64, u64)]) -> Vec<Exchange> {
    let mut decided = Duration::from_secs(3);
    let mut exchanges = Vec::new();
    for (number, &(pause, before, after)) in steps.iter().enumerate() {
        decided += Duration::from_micros(pause);
        let admitted = limits.iter_mut().all(|limit| limit.admits(decided));
        exchanges.push(Exchange {
            sent: decided - Duration::from_micros(before),
            answered: decided + Duration::from_micros(after),
            decision: if admitted { Decision::Admitted } else { Decision::Refused },
            name: number.to_string(),
        });
    }
    exchanges
}

fn steps(longest_pause: u64) -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    prop::collection::vec((0..=longest_pause, 0..2_000_u64, 0..2_000_u64), 1..400)
}

fn policy() -> impl Strategy<Value = Policy> {
    (1..40_u32, 1_u32..20, 20_000..900_000_u64).prop_map(|(burst, count, window)| Policy {
        burst,
        count,
        window: Duration::from_micros(window),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the traffic (sparse or dense, any delay on the way), a correct limit is never accused.
    #[test]
    fn a_correct_limit_is_never_accused(policy in policy(), steps in steps(30_000)) {
        let run = run(&mut [Reference::new(policy)], &steps);
        prop_assert_eq!(first_breach(&[policy], Duration::ZERO, &run), None);
    }

    /// The same for two limits of which the second is not charged for what the first refuses.
    #[test]
    fn nor_are_two_of_them(first in policy(), second in policy(), steps in steps(9_000)) {
        let second = Policy { burst: first.burst + second.burst, ..second };
        let run = run(&mut [Reference::new(first)], &steps);
        prop_assert_eq!(first_breach(&[first, second.burst(1_000)], Duration::ZERO, &run), None);
    }

    /// What the judge calls measured is refuted when the service is one off; nothing is called measured by chance.
    #[test]
    fn what_is_measured_is_refuted_when_it_is_one_off(policy in policy(), requests in 60..400_usize) {
        let dense = vec![(100, 1, 1); requests];
        let right = run(&mut [Reference::new(policy)], &dense);
        let sharp = sharpness(&[policy], 0, &right);
        if sharp.burst {
            for burst in [policy.burst + 1, (policy.burst - 1).max(1)] {
                let off = run(&mut [Reference::new(policy.burst(burst))], &dense);
                let found = first_breach(&[policy], Duration::ZERO, &off);
                prop_assert!(burst == policy.burst || found.is_some_and(|f| f.too_many == (burst > policy.burst)));
            }
        }
    }
}

fn at(sent_ms: u64, decision: Decision) -> Exchange {
    let sent = Duration::from_millis(sent_ms);
    Exchange { sent, answered: sent + Duration::from_millis(1), decision, name: String::new() }
}

fn breach(policy: &str, run: &[Exchange]) -> Option<(bool, usize)> {
    first_breach(&[policy.parse().unwrap()], Duration::ZERO, run)
        .map(|breach| (breach.too_many, breach.place))
}

#[test]
fn an_excess_in_one_window_does_not_hide_behind_a_quiet_time() {
    use Decision::{Admitted, Refused};
    let run = [at(0, Admitted), at(1, Admitted), at(2, Admitted), at(60_000, Refused)];
    assert_eq!(breach("2/2s", &run), Some((true, 2)), "the third request broke it");
}

#[test]
fn a_refusal_too_early_does_not_hide_behind_later_ones() {
    use Decision::{Admitted, Refused};
    let run = [at(0, Admitted), at(1, Refused), at(2, Admitted), at(10, Refused)];
    assert_eq!(breach("2/2h", &run), Some((false, 1)));
    assert_eq!(breach("1/1ms", &run), Some((false, 3)), "one in a millisecond: the last was long free");
}

#[test]
fn an_unknown_answer_may_have_taken_a_place() {
    use Decision::{Admitted, Refused, Unknown};
    let run = [at(0, Admitted), at(1, Admitted), at(2, Unknown), at(3, Refused)];
    assert_eq!(breach("3/3h", &run), None);
    assert_eq!(breach("2/2h", &run), None);
    assert_eq!(breach("4/4h", &run), Some((false, 3)));
}

/// Ten seconds of a minute tell 30 from 31 and from 29; nothing shorter than a refill does.
#[test]
fn a_rate_is_measured_as_soon_as_a_place_came_back() {
    let policy: Policy = "30/60s".parse().unwrap();
    let long = run(&mut [Reference::new(policy)], &vec![(5_000, 500, 500); 2_000]);
    assert_eq!(sharpness(&[policy], 0, &long), Sharpness { burst: true, rate: true });
    let short = run(&mut [Reference::new(policy)], &vec![(5_000, 500, 500); 300]);
    assert_eq!(sharpness(&[policy], 0, &short), Sharpness { burst: true, rate: false });
    for count in [29, 31] {
        let off = run(&mut [Reference::new(Policy { count, ..policy })], &vec![(5_000, 500, 500); 2_000]);
        assert_eq!(first_breach(&[policy], Duration::ZERO, &off).unwrap().too_many, count == 31);
    }
}

/// A limit of 10 minutes must not pass as one of 4.8 hours, nor be called measured.
#[test]
fn what_was_too_short_to_measure_is_said_to_be_unmeasured() {
    let mails: Policy = "1/4h48m:burst=5".parse().unwrap();
    let run = run(&mut [Reference::new("1/10m:burst=5".parse().unwrap())], &vec![(100_000, 500, 500); 60]);
    assert_eq!(first_breach(&[mails], Duration::ZERO, &run), None);
    assert_eq!(sharpness(&[mails], 0, &run), Sharpness { burst: true, rate: false });
}
