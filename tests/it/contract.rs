//! The whole contract of a code against a model: logins, guesses and mails of three addresses at two replicas that lose
//! answers, die between two steps and act at the same moment, while the database's clock is put back.

mod mutants;
mod run;
mod statements;
mod steps;
mod world;

use crate::reference::model::{self, StepUp};
use crate::support::postgres::Database;
use mutants::{MUTANTS, Mutant};
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use run::{Reached, Run};
use statements::Replica;
use std::cell::RefCell;
use steps::{Ask, Fate, Step, step};
use tokio::runtime::Runtime;

/// Runs schedules until one ends otherwise than the model says; tells what they reached.
fn explore(cases: u32, mutant: Option<&Mutant>) -> (Result<(), String>, Reached) {
    let runtime = Runtime::new().unwrap();
    let (database, replicas) = runtime.block_on(async {
        let database = Database::new().await;
        let replicas = statements::open(&database, mutant).await;
        (database, replicas)
    });
    let config = Config { failure_persistence: None, max_shrink_iters: 500, ..Config::with_cases(cases) };
    let mut runner = match mutant {
        None => TestRunner::new(config),
        // the same schedules each time: it is found or it is not
        Some(_) => {
            let config = Config { max_shrink_iters: 0, ..config };
            TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        }
    };
    let reached = RefCell::new(Reached::default());
    let outcome = runner.run(&vec(step(), 1..60), |steps| {
        let run = runtime.block_on(play(&database, &replicas, &steps))?;
        reached.borrow_mut().add(&run.reached);
        Ok(())
    });
    let outcome = outcome.map_err(|error| match error {
        TestError::Fail(why, steps) => format!("{why}\n{steps:#?}"),
        TestError::Abort(why) => panic!("{why}"),
    });
    drop(replicas);
    runtime.block_on(database.remove());
    (outcome, reached.into_inner())
}

async fn play<'a>(
    database: &'a Database,
    replicas: &'a [Replica; 2],
    steps: &[Step],
) -> Result<Run<'a>, TestCaseError> {
    let mut run = Run::new(database, replicas).await;
    for (at, step) in steps.iter().enumerate() {
        let done = run.step(step).await;
        run.reached.note("steps");
        done.map_err(|error| TestCaseError::fail(format!("step {at}, {step:?}: {error}")))?;
    }
    run.finish().await?;
    Ok(run)
}

/// A network that only guessed has its share of the mails, also by a clock that is put back.
#[tokio::test]
async fn guesses_take_nothing_of_a_share_of_mails() {
    let database = Database::new().await;
    let replicas = statements::open(&database, None).await;
    let digits = StepUp { may: true, tripped: false };
    let login = |prefix| Step::Call(0, Ask::Login(vec![0, 1, 2], prefix, None, digits), Fate::Arrives);
    let wait = Step::Wait(model::MAILS.period);
    let steps = [
        login(2),
        Step::Siege(0, 2, 0, None, digits, 5),
        Step::PutBack(model::DAY),
        login(0),
        wait,
        login(0),
    ];
    let played = play(&database, &replicas, &steps).await;
    assert!(played.is_ok(), "{:?}", played.err());
    drop(replicas);
    database.remove().await;
}

/// A4, A5, A6, A8, A14, L1: guesses that are evaluated stay within their bounds, no dead code is mailed, a verdict is one
/// mail, a session has its consumed code and a code one session, and nobody is logged out but by a newer login.
#[test]
fn replicas_do_what_the_contract_says() {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let (outcome, reached) = explore(asked.unwrap_or(48), None);
    if let Err(why) = outcome {
        panic!("{why}");
    }
    println!("{reached:?}");
    reached.assert_all();
}

/// The model finds a bug of each class: each statement or rule that is broken on purpose is seen.
#[test]
fn broken_rules_are_seen() {
    for mutant in MUTANTS {
        let (outcome, _) = explore(400, Some(mutant));
        match outcome {
            Ok(()) => panic!("not seen: {}", mutant.class),
            Err(why) => println!("{}: {}", mutant.class, why.lines().next().unwrap_or_default()),
        }
    }
}
