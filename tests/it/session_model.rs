//! The refresh statement against a model of the contract: honest clients, their tabs, lost answers, and a thief.

mod model;
mod run;
mod statements;

use crate::support::postgres::Database;
use model::{ABSOLUTE, IDLE, RETRY, SECOND, Token, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use run::{Run, START, Step, honest_step, rare_step, step, theft_step};
use statements::Statements;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use tokio::runtime::Runtime;

/// `PROPTEST_CASES` asks for more.
fn runner(cases: u32) -> TestRunner {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(cases);
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() })
}

/// Runs schedules in both worlds, and tells what they reached: a test must not become an idle one unseen.
fn compare(cases: u32, schedules: impl Strategy<Value = Vec<Step>>) -> BTreeMap<&'static str, usize> {
    let runtime = Runtime::new().unwrap();
    let (database, statements) = runtime.block_on(async {
        let database = Database::new().await;
        let statements = Statements::open(&database).await;
        (database, statements)
    });
    let reached = RefCell::new(BTreeMap::new());
    let outcome = runner(cases).run(&schedules, |steps| {
        runtime.block_on(async {
            let mut run = Run::new(&statements).await;
            for (at, step) in steps.iter().enumerate() {
                let done = run.step(step).await;
                done.map_err(|error| TestCaseError::fail(format!("step {at}, {step:?}: {error}")))?;
            }
            run.finish().await?;
            for (what, count) in &run.reached {
                *reached.borrow_mut().entry(*what).or_default() += count;
            }
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    runtime.block_on(database.remove());
    reached.into_inner()
}

fn assert_reached(reached: &BTreeMap<&'static str, usize>, what: &[&str]) {
    for what in what {
        assert!(
            reached.get(what).copied().unwrap_or(0) > 4,
            "the schedules are too tame for {what}: {reached:?}"
        );
    }
}

/// E2, E4, E5: a client that shares one store between its tabs loses answers, retries at once or days later, and is
/// never logged out before 7 days idle or 30 in all; not even when the database loses writes.
#[test]
fn an_honest_client_is_never_logged_out() {
    let reached = compare(64, prop_oneof![3 => vec(honest_step(), 1..60), 1 => vec(rare_step(), 4..20)]);
    assert_reached(&reached, &["rotated", "repeated", "branched", "ahead", "gone"]);
    assert!(!reached.contains_key("theft"));
}

/// E2, E3, E5, E7, E9: any schedule does what the contract says, with a thief, an administrator and a logout in it.
#[test]
fn a_session_does_what_the_contract_says() {
    let reached = compare(64, vec(step(), 1..60));
    assert_reached(&reached, &["rotated", "repeated", "branched", "theft", "ahead", "gone"]);
}

/// E3: a copied token, used by both: as soon as one shows what the other has superseded, it ends for both.
#[test]
fn a_thief_and_the_owner_do_not_both_go_on() {
    let schedule = (vec(theft_step(), 0..6), vec(theft_step(), 2..30));
    let reached =
        compare(96, schedule.prop_map(|(before, after)| [before, vec![Step::Steal], after].concat()));
    assert_reached(&reached, &["rotated", "repeated", "branched", "theft", "both"]);
}

/// E2, E3, E5: the lines of docs/SESSIONS.md on a row at 5.2 whose predecessor is 4.1.
#[tokio::test]
async fn the_state_table_line_by_line() {
    use Verdict::{Ahead, Branched, Gone, Repeated, Rotated, Theft};
    let database = Database::new().await;
    let statements = Statements::open(&database).await;
    let any = [0, RETRY, RETRY + 1, IDLE - 1];
    type Line<'a> = ((i32, i32), &'a [i64], Verdict, Option<(i32, i32)>);
    let table: [Line; 14] = [
        ((5, 2), &any, Rotated, Some((6, 0))),
        ((4, 1), &any[..2], Repeated, Some((5, 2))),
        ((4, 1), &any[2..], Branched, Some((5, 3))),
        ((5, 1), &any, Theft, None),
        ((5, 0), &any, Theft, None),
        ((4, 0), &any, Theft, None),
        ((4, 2), &any, Theft, None),
        ((3, 1), &any, Theft, None),
        ((0, 0), &any, Theft, None),
        ((5, 3), &any, Ahead, Some((6, 0))),
        ((6, 0), &any, Ahead, Some((7, 0))),
        ((9, 4), &any, Ahead, Some((10, 0))),
        ((5, 2), &[IDLE, ABSOLUTE], Gone, None),
        ((0, 0), &[IDLE, ABSOLUTE], Gone, None),
    ];
    for ((generation, branch), ages, verdict, next) in table {
        for age in ages {
            let key = statements.begin(START).await;
            let before = (5, 2, 1, START, START + IDLE);
            statements.restore(key, before).await;
            let now = START + age;
            let got = statements.refresh(now, key, Token { generation, branch }).await;
            let next = next.map(|(generation, branch)| Token { generation, branch });
            let line = format!("{generation}.{branch} after {age} µs");
            assert_eq!((got.0, got.1.map(|got| got.token)), (verdict, next), "{line}");
            let idle = now + IDLE;
            let after = match (verdict, next) {
                (Gone, _) => Some(before),
                (Repeated, _) => Some((5, 2, 1, START, idle)),
                (_, Some(next)) => {
                    let predecessor = if verdict == Branched { 1 } else { branch };
                    Some((next.generation, next.branch, predecessor, now, idle))
                }
                (_, None) => None,
            };
            assert_eq!(statements.row(key).await, after, "{line}");
        }
    }
    database.remove().await;
}

/// E2, E3: what is carried out after its caller's deadline changes nothing, whatever the token.
#[tokio::test]
async fn a_refresh_that_nobody_waits_for_changes_nothing() {
    let database = Database::new().await;
    let statements = Statements::open(&database).await;
    for (generation, branch) in [(5, 2), (4, 1), (5, 1), (3, 1), (0, 0), (6, 0)] {
        let key = statements.begin(START).await;
        let before = (5, 2, 1, START, START + IDLE);
        statements.restore(key, before).await;
        let past = SystemTime::now() - Duration::from_millis(1);
        let got = statements.refresh_until(past, START + 1, key, Token { generation, branch }).await;
        assert_eq!(got, (Verdict::Late, None), "{generation}.{branch}");
        assert_eq!(statements.row(key).await, Some(before));
    }
    database.remove().await;
}

/// E4: two connections at the same moment with the same token: one rotates, the other repeats, both tell the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_get_one_successor() {
    let database = Database::new().await;
    let (one, two) = tokio::join!(Statements::open(&database), Statements::open(&database));
    let key = one.begin(START).await;
    let (mut now, mut token) = (START, Token { generation: 0, branch: 0 });
    for round in 0..200 {
        // every other time, both retry a lost answer too late
        let is_late = round % 2 == 1;
        now += SECOND;
        if is_late {
            one.refresh(now, key, token).await;
            now += RETRY + 1;
        }
        let (a, b) = tokio::join!(one.refresh(now, key, token), two.refresh(now, key, token));
        let first = if is_late { Verdict::Branched } else { Verdict::Rotated };
        let how = [a.0, b.0];
        assert!(how == [first, Verdict::Repeated] || how == [Verdict::Repeated, first], "{how:?}");
        assert_eq!(a.1, b.1);
        let successor = a.1.unwrap();
        assert_eq!(successor.issued, now);
        assert_eq!(successor.token, Token { generation: round + 1, branch: i32::from(is_late) });
        token = successor.token;
    }
    database.remove().await;
}

/// E3, E4, E9: what ends a session ends it, whichever of two connections is first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_at_the_same_moment_is_an_end() {
    let database = Database::new().await;
    let (one, two) = tokio::join!(Statements::open(&database), Statements::open(&database));
    let first = Token { generation: 0, branch: 0 };
    for round in 0..100 {
        let key = one.begin(START).await;
        let second = one.refresh(START + SECOND, key, first).await.1.unwrap().token;
        let third = one.refresh(START + SECOND, key, second).await.1.unwrap().token;
        let now = START + 2 * SECOND;
        let lives = if round % 2 == 0 {
            tokio::join!(one.logout(key), two.refresh(now, key, third)).1
        } else {
            let (theft, lives) = tokio::join!(one.refresh(now, key, first), two.refresh(now, key, third));
            assert_eq!(theft.0, Verdict::Theft);
            lives
        };
        assert!([Verdict::Gone, Verdict::Rotated].contains(&lives.0), "{lives:?}");
        assert_eq!(one.row(key).await, None);
    }
    database.remove().await;
}
