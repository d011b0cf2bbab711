use proptest::prelude::*;

use super::*;

/// The textbook algorithm in whole nanoseconds, at rest when it is made.
struct Reference {
    burst: u128,
    interval: u128,
    theoretical_arrival: u128,
}

impl Reference {
    fn new(burst: u32, interval: Duration) -> Reference {
        Reference { burst: burst.into(), interval: interval.as_nanos(), theoretical_arrival: 0 }
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
fn run(limit: &mut Reference, steps: &[(u64, u64, u64)]) -> Vec<Exchange> {
    let mut decided = Duration::from_secs(3);
    let mut exchanges = Vec::new();
    for &(pause, before, after) in steps {
        decided += Duration::from_micros(pause);
        let verdict = if limit.admits(decided) { Verdict::Admitted } else { Verdict::Refused };
        let sent = decided - Duration::from_micros(before);
        exchanges.push(Exchange { sent, answered: decided + Duration::from_micros(after), verdict });
    }
    exchanges
}

fn steps(longest_pause: u64) -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let step = (0..=longest_pause, 0..2_000_u64, 0..2_000_u64);
    prop::collection::vec(step, 1..400)
}

fn policy() -> impl Strategy<Value = (u32, Duration)> {
    (1..40_u32, 1_000..50_000_u64).prop_map(|(burst, micros)| (burst, Duration::from_micros(micros)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the traffic (sparse or dense, any delay on the way), a correct limit is never accused.
    #[test]
    fn a_correct_limit_is_within_the_bounds((burst, interval) in policy(), steps in steps(30_000)) {
        let finding = judge(&Policy::new(burst, interval).unwrap(), &run(&mut Reference::new(burst, interval), &steps));
        prop_assert_eq!(finding.excess, 0);
        prop_assert!(finding.admitted <= finding.most, "{:?}", finding);
        prop_assert!(finding.admitted >= finding.least, "{:?}", finding);
    }

    /// Under dense traffic one admission more or fewer than the policy allows is seen.
    #[test]
    fn one_too_many_and_one_too_few_are_seen((burst, interval) in policy(), requests in 60..400_usize) {
        const PAUSE: u64 = 10;
        let dense = vec![(PAUSE, 1, 1); requests];
        // A run that ends within the driver's blur of a place coming free cannot tell: it may or may not be taken.
        let (length, interval_us) = (PAUSE * requests as u64, interval.as_micros() as u64);
        let blur = PAUSE * (length / interval_us + 2);
        prop_assume!(length % interval_us > blur);
        let policy = Policy::new(burst + 1, interval).unwrap();
        let too_few = judge(&policy, &run(&mut Reference::new(burst, interval), &dense));
        prop_assert!(!too_few.holds() && too_few.admitted < too_few.least, "{:?}", too_few);

        let policy = Policy::new(burst, interval).unwrap();
        let too_many = judge(&policy, &run(&mut Reference::new(burst + 1, interval), &dense));
        prop_assert!(!too_many.holds() && too_many.excess == 1, "{:?}", too_many);
    }
}

fn at(sent_ms: u64, verdict: Verdict) -> Exchange {
    let sent = Duration::from_millis(sent_ms);
    Exchange { sent, answered: sent + Duration::from_millis(1), verdict }
}

#[test]
fn an_excess_in_one_window_does_not_hide_behind_a_quiet_time() {
    let policy: Policy = "2/2s".parse().unwrap();
    let mut exchanges = vec![at(0, Verdict::Admitted), at(1, Verdict::Admitted), at(2, Verdict::Admitted)];
    exchanges.push(at(60_000, Verdict::Refused));
    let finding = judge(&policy, &exchanges);
    assert!(finding.admitted < finding.most, "the whole run alone looks innocent");
    assert_eq!(finding.excess, 1);
    assert!(!finding.holds());
}

#[test]
fn a_stall_of_the_driver_costs_no_more_than_the_places_it_left_free() {
    let policy: Policy = "2/2s".parse().unwrap();
    let mut limit = Reference::new(2, Duration::from_secs(1));
    let mut dense = vec![(10_000, 100, 100); 500];
    dense[250].0 = 3_500_000;
    let finding = judge(&policy, &run(&mut limit, &dense));
    assert!(finding.holds() && finding.admitted - finding.least <= 1, "{finding:?}");
}

#[test]
fn a_slow_answer_may_have_been_decided_at_once() {
    let policy: Policy = "2/2s".parse().unwrap();
    let seconds = Duration::from_secs;
    let slow = Exchange { sent: seconds(0), answered: seconds(10), verdict: Verdict::Admitted };
    let quick = Exchange { sent: seconds(5), answered: seconds(6), verdict: Verdict::Refused };
    let found = gaps(&policy, &[slow, quick], seconds(10));
    assert_eq!(found, Gaps { longest: seconds(6), idle: seconds(5) });
}

#[test]
fn an_unknown_answer_may_have_taken_a_place() {
    let policy: Policy = "3/3h".parse().unwrap();
    let mut exchanges = vec![at(0, Verdict::Admitted), at(1, Verdict::Admitted), at(2, Verdict::Unknown)];
    exchanges.push(at(3, Verdict::Refused));
    assert!(judge(&policy, &exchanges).holds());
    exchanges[2].verdict = Verdict::Refused;
    assert!(!judge(&policy, &exchanges).holds());
}

#[test]
fn a_run_that_was_never_refused_proves_nothing() {
    let finding = judge(&"3/3h".parse().unwrap(), &[at(0, Verdict::Admitted)]);
    assert!(!finding.holds());
    assert!(finding.verdict().contains("did not reach"));
}

#[test]
fn policies_are_read_as_they_are_written() {
    let policy: Policy = "30/60s:burst=10".parse().unwrap();
    assert_eq!(policy, Policy::new(10, Duration::from_secs(2)).unwrap());
    let policy: Policy = "5/24h".parse().unwrap();
    assert_eq!(policy, Policy::new(5, Duration::from_secs(17_280)).unwrap());
    for bad in ["", "30", "0/60s", "30/0s", "30/60s:burst=0", "30/60x", "-1/60s", "30/60s:burst="] {
        assert!(bad.parse::<Policy>().is_err(), "{bad}");
    }
}
