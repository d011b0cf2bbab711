use super::*;

#[test]
fn a_long_answer_is_not_cut_short() {
    let mut account = Account::new().unwrap();
    for millis in [1, 10, 30_000] {
        account.close(Instant::now(), Duration::from_millis(millis), Ok(()));
    }
    assert!((29_900_000..=30_100_000).contains(&account.latency.max()), "{}", account.latency.max());
    assert!((9_900..=10_100).contains(&account.latency.value_at_quantile(0.5)));
}

#[test]
fn every_call_is_answered_failed_or_open() {
    let meter = Meter::new().unwrap();
    let early = meter.open_at(Call::Login, Instant::now());
    meter.start_measuring();
    meter.close(early, Some(200), Ok(()));
    let good = meter.open_at(Call::Login, Instant::now());
    meter.close(good, Some(200), Ok(()));
    for failure in [Failure::Timeout, Failure::Status(503), Failure::Timeout] {
        let open_call = meter.open_at(Call::Login, Instant::now());
        let status = if let Failure::Status(status) = failure { Some(status) } else { None };
        meter.close(open_call, status, Err(failure));
    }
    let _never_closed = meter.open_at(Call::Login, Instant::now());
    meter.tick();

    let measured = meter.accounts(Phase::Measured);
    let (_, login) = &measured[0];
    assert_eq!((login.sent, login.answered, login.failures(), login.open()), (5, 1, 3, 1));
    assert_eq!(login.failed[&Failure::Timeout], 2);
    let before = meter.accounts(Phase::Before);
    assert_eq!((before[0].1.sent, before[0].1.answered), (1, 1), "it belongs to the phase it began in");
    let points = meter.points();
    assert_eq!((points.len(), points[0].statuses["200"], points[0].statuses["timeout"]), (1, 2, 2));
}

/// No coordinated omission: who had to wait for a free connection waited.
#[test]
fn latency_counts_from_when_a_call_was_due() {
    let meter = Meter::new().unwrap();
    meter.start_measuring();
    let due = Instant::now() - Duration::from_millis(500);
    let open_call = meter.open_at(Call::Login, due);
    meter.close(open_call, Some(200), Ok(()));
    let accounts = meter.accounts(Phase::Measured);
    assert!(accounts[0].1.latency.max() >= 500_000);
}
