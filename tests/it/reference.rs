//! The statements against a reference model: every budget, lane and code of an address, in simulated time.

pub(crate) mod model;
pub(crate) mod run;
pub(crate) mod statements;

use crate::support::postgres::Database;
use model::{Bucket, DAY, Face, Lane, MAILS, Rate, SECOND, StepUp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use run::{Run, START, Step, step};
use statements::{Lease, Statements};
use std::cell::Cell;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// `PROPTEST_CASES` asks for more.
fn runner(cases: u32) -> TestRunner {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(cases);
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() })
}

/// A3, A5, A6, A7, A8, A9, A15, B3, B13, L1, L4: any schedule of logins, guesses, waits and sweeps over both lanes does
/// what the model does, and no span admits more than the contract's table says.
///
/// Nothing but the row counts, so a restart or another replica (A15) is one more caller of the same statements.
#[test]
fn an_address_does_what_the_contract_says() {
    let runtime = Runtime::new().unwrap();
    let (database, statements) = runtime.block_on(async {
        let database = Database::new().await;
        let statements = Statements::open(&database).await;
        (database, statements)
    });
    let schedule = (any::<bool>(), vec(step(), 1..60));
    // what the schedules reached, so that this test cannot become an idle one unseen
    let (spent, knew, stepped) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let outcome = runner(48).run(&schedule, |(is_customer, steps)| {
        runtime.block_on(async {
            let mut run = Run::new(&statements, is_customer).await;
            for (at, step) in steps.iter().enumerate() {
                let done = run.step(step).await;
                done.map_err(|error| TestCaseError::fail(format!("step {at}, {step:?}: {error}")))?;
            }
            let of = |lane: Lane, face: Face| run.failures[lane as usize][face as usize].len();
            spent.set(spent.get() + usize::from(of(Lane::Stranger, Face::Digits) >= 20));
            knew.set(knew.get() + usize::from(of(Lane::Known, Face::Digits) >= 10));
            stepped.set(stepped.get() + usize::from(of(Lane::Known, Face::Base32) > 0));
            run.assert_bounds()
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let reached = (spent.get(), knew.get(), stepped.get());
    assert!(reached.0 > 2 && reached.1 > 2 && reached.2 > 0, "the schedules are too tame: {reached:?}");
    runtime.block_on(database.remove());
}

/// A7: who asks and fails as often as anybody can, for as long as the contract's table looks, gets what it says.
#[tokio::test]
async fn a_year_of_guessing_stays_within_the_table() {
    let database = Database::new().await;
    let statements = Statements::open(&database).await;
    let stranger = (0, None);
    let known = (0, Some(0));
    // lane, alphabet, days, and the most that they admit: the table's worst year, or its share
    for ((prefix, age), face, days, most) in [
        (stranger, Face::Digits, 365, 46),
        (known, Face::Digits, 365, 20),
        (stranger, Face::Base32, 20, 50 + 20 * 50),
        (known, Face::Base32, 20, 50 + 20 * 10),
    ] {
        let mut run = Run::new(&statements, false).await;
        let lane = if age.is_some() { Lane::Known } else { Lane::Stranger };
        let of = |run: &Run, face: Face| run.failures[lane as usize][face as usize].len();
        // a tenant that takes digits only, or one where the lane has to step up first
        let step_up = StepUp { may: face == Face::Base32, tripped: false };
        let (end, pace) = (START + days * DAY, if face == Face::Digits { 2 * DAY } else { MAILS.period / 2 });
        while run.now <= end {
            let before = (run.mails[lane as usize].len(), of(&run, face));
            // two networks: one alone gets a part of a strangers' lane
            for prefix in [prefix, prefix + 2] {
                run.step(&Step::Siege(prefix, age, step_up, 1)).await.unwrap();
            }
            if (run.mails[lane as usize].len(), of(&run, face)) == before {
                run.now += pace;
            }
        }
        run.assert_bounds().unwrap();
        let failures = of(&run, face);
        assert!(failures <= most, "{lane:?} {face:?}: {failures}");
        if face == Face::Digits {
            assert_eq!(failures, most, "{lane:?}: the table tells the worst year, not a worse one");
        }
    }
    database.remove().await;
}

/// I2, B2: replicas that lease from one row, with clocks apart, together never get more than burst + ⌊span/T⌋; and one
/// that is alone gets all that.
#[test]
fn leases_of_a_tenant_limit_are_exact() {
    let runtime = Runtime::new().unwrap();
    let (database, replicas) = runtime.block_on(async {
        let database = Database::new().await;
        let replicas = [Lease::open(&database).await, Lease::open(&database).await];
        (database, replicas)
    });
    // clocks less than a minute apart: what is further ahead counts as another clock's
    let rate =
        (1..500i64, select(vec![1, 7, 1_000, 40_000])).prop_map(|(burst, period)| Rate { burst, period });
    let ask = (0..200i64, 1..300i64);
    let asks = (rate, vec(ask.clone(), 1..20), vec(ask.clone(), 1..20));
    let outcome = runner(48).run(&asks, |(rate, here, there)| {
        runtime.block_on(async {
            let slug = Uuid::new_v4();
            let drive = async |replica: &Lease, asks: &[(i64, i64)]| {
                let (mut now, mut granted) = (START, Vec::new());
                for (periods, wanted) in asks {
                    now += periods * rate.period / 3;
                    granted.push((now, replica.ask(now, slug, *wanted, rate).await.0));
                }
                granted
            };
            let (here, there) = tokio::join!(drive(&replicas[0], &here), drive(&replicas[1], &there));
            let all = || here.iter().chain(&there);
            for (from, _) in all() {
                for (to, _) in all() {
                    let within = all().filter(|(at, _)| (from..=to).contains(&at));
                    let sum: i64 = within.map(|(_, granted)| granted).sum();
                    prop_assert!(to < from || sum <= rate.most(to - from), "{} in {}", sum, to - from);
                }
            }
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let rate = (1..500i64, 1..100_000i64).prop_map(|(burst, period)| Rate { burst, period });
    // now and then the clock is put back
    let back = prop_oneof![9 => Just(0), 1 => select(vec![1, 59, 61, 3_600]).prop_map(|s| s * SECOND)];
    let outcome = runner(48).run(&(rate, vec((ask, back), 1..30)), |(rate, asks)| {
        runtime.block_on(async {
            let (slug, mut bucket, mut now) = (Uuid::new_v4(), Bucket::full(rate), START);
            for ((periods, wanted), back) in asks {
                now += periods * rate.period / 7 - back;
                bucket.settle(now);
                let expected = bucket.tokens(now).clamp(0, wanted);
                bucket.take(now, expected);
                let got = replicas[0].ask(now, slug, wanted, rate).await;
                prop_assert_eq!(got, (expected, bucket.wait(now)));
            }
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    runtime.block_on(database.remove());
}
