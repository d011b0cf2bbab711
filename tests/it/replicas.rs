//! Two of the real program on one database: what is exact on one is exact on both (promises 2, 3 and 4).

use crate::support::postgres::{ACME, connect};
use crate::support::process::{Program, Site};
use crate::support::wire::{Answer, Wire};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, Mutex};
use tokio::task::JoinSet;

/// Connections over both replicas; each waits for its answer before it asks again.
const CONNECTIONS: usize = 250;
/// Of refresh against logout.
const RACES: usize = 1_000;
/// How long both replicas work on the same few rows.
const HAMMERING: Duration = Duration::from_secs(3);
/// One digit guess of a stranger costs 14 days.
const DIGIT_PERIOD_US: i64 = 14 * 86_400 * 1_000_000;
const NOW_US: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

struct Pair {
    site: Site,
    programs: [Program; 2],
}

impl Pair {
    async fn with_customers(count: usize) -> Self {
        let site = Site::with_customers(count).await;
        let (one, other) = tokio::join!(site.setup().start(), site.setup().start());
        Self { site, programs: [one, other] }
    }

    fn wire(&self, n: usize) -> Wire {
        self.programs[n % 2].wire()
    }

    /// A customer logs in; gives back the refresh token.
    async fn log_in(&self, n: usize) -> String {
        let email = format!("user{n}@example.com");
        assert_eq!(self.wire(n).login(ACME, &email).await.unwrap().status, 200);
        let code = self.site.code(&email).await;
        let tokens = self.wire(n + 1).token(ACME, &email, &code).await.unwrap();
        tokens.text("refresh_token")
    }

    /// The same call by `callers` connections over both replicas, let go at once, `rounds` times each.
    async fn at_once<F>(&self, callers: usize, rounds: usize, call: impl Fn(Wire, usize) -> F) -> Vec<Answer>
    where
        F: Future<Output = (Wire, Answer)> + Send + 'static,
    {
        let (mut answers, mut wires) = (Vec::new(), Vec::new());
        for n in 0..callers {
            let mut wire = self.wire(n);
            // connected beforehand, so that the calls themselves meet
            wire.get("/.well-known/jwks.json").await.unwrap();
            wires.push(wire);
        }
        for round in 0..rounds {
            let start = Arc::new(Barrier::new(callers));
            let mut calls = JoinSet::new();
            for (n, wire) in std::mem::take(&mut wires).into_iter().enumerate() {
                let (start, call) = (start.clone(), call(wire, round * callers + n));
                calls.spawn(async move {
                    start.wait().await;
                    call.await
                });
            }
            for (wire, answer) in calls.join_all().await {
                wires.push(wire);
                answers.push(answer);
            }
        }
        answers
    }

    /// What a verb came to, over both.
    async fn outcomes(&self, verb: &str, outcome: &str) -> u64 {
        let mut sum = 0;
        for program in &self.programs {
            sum += program.actors().await.outcomes(verb, outcome);
        }
        sum
    }

    async fn stop(self) {
        let [one, other] = self.programs;
        tokio::join!(one.stop(), other.stop());
        self.site.database.remove().await;
    }
}

fn by_status(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}

/// A5, B4: a thousand wrong guesses at once on both code endpoints: five are looked at, five are charged.
#[tokio::test(flavor = "multi_thread")]
async fn five_guesses_are_five_guesses() {
    let pair = Pair::with_customers(1).await;
    let email = "user0@example.com";
    let before = pair.site.database.count(NOW_US).await;
    assert_eq!(pair.wire(0).login(ACME, email).await.unwrap().status, 200);
    let code = pair.site.code(email).await;
    let right: usize = code.parse().unwrap();
    let guess = move |mut wire: Wire, n: usize| async move {
        let wrong = format!("{:06}", (right + 1 + n) % 1_000_000);
        let path = if n % 4 < 2 { "token" } else { "verify" };
        let body = serde_json::json!({"code": wrong, "email": email, "tenant_slug": ACME});
        let answer = wire.post(&format!("/v1/customer-auth/{path}"), &body).await.unwrap();
        (wire, answer)
    };
    let answers = pair.at_once(CONNECTIONS, 1_000 / CONNECTIONS, guess).await;
    let after = pair.site.database.count(NOW_US).await;
    for answer in &answers {
        match answer.status {
            401 => assert_eq!(answer.text("detail"), "Invalid or expired code"),
            // more than a few guesses at one address at once are refused unseen
            _ => answer.assert_unavailable(),
        }
    }
    assert_eq!(pair.outcomes("verify", "wrong").await, 5, "{:?}", by_status(&answers));
    let database = &pair.site.database;
    assert_eq!(database.count("SELECT count(*) FROM challenges").await, 1);
    assert_eq!(database.count("SELECT s_guesses::bigint FROM challenges").await, 0);
    assert_eq!(database.count("SELECT k_guesses::bigint FROM challenges").await, 5);
    let charged = database.count("SELECT s_digit_tat FROM challenges").await;
    let five = (before + 5 * DIGIT_PERIOD_US)..=(after + 5 * DIGIT_PERIOD_US);
    assert!(five.contains(&charged), "{} periods", (charged - before) / DIGIT_PERIOD_US);
    for n in 0..2 {
        assert_eq!(pair.wire(n).token(ACME, email, &code).await.unwrap().status, 401, "the code is burned");
    }
    pair.stop().await;
}

/// The same where guesses at one address are sure to meet: each round both replicas wait for the same rows.
#[tokio::test(flavor = "multi_thread")]
async fn five_guesses_for_each_of_many() {
    const ADDRESSES: usize = 20;
    let pair = Pair::with_customers(ADDRESSES).await;
    for n in 0..ADDRESSES {
        let email = format!("user{n}@example.com");
        assert_eq!(pair.wire(n).login(ACME, &email).await.unwrap().status, 200);
    }
    // neighbours, one on each replica, guess at the same address
    let guess = |mut wire: Wire, n: usize| async move {
        let email = format!("user{}@example.com", n / 2 % ADDRESSES);
        let answer = wire.token(ACME, &email, "AAAAAA").await.unwrap();
        (wire, answer)
    };
    let database = &pair.site.database;
    for _round in 0..4 {
        database.client().batch_execute("BEGIN; SELECT FROM challenges FOR UPDATE").await.unwrap();
        let let_go = async {
            database.until("SELECT count(DISTINCT pid) >= 2 FROM pg_locks WHERE NOT granted").await;
            database.client().batch_execute("COMMIT").await.unwrap();
        };
        tokio::join!(pair.at_once(2 * ADDRESSES, 1, guess), let_go);
    }
    assert_eq!(pair.outcomes("verify", "wrong").await, 5 * ADDRESSES as u64);
    let spent = "SELECT count(*) FROM challenges WHERE s_guesses = 0";
    assert_eq!(pair.site.database.count(spent).await, ADDRESSES as i64);
    pair.stop().await;
}

/// A thousand logins of one address at once are one mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_logins_are_one_mail() {
    let pair = Pair::with_customers(2).await;
    let ask = |mut wire: Wire, _| async move {
        let answer = wire.login(ACME, "user0@example.com").await.unwrap();
        (wire, answer)
    };
    let answers = pair.at_once(CONNECTIONS, 1_000 / CONNECTIONS, ask).await;
    assert_eq!(by_status(&answers), [(200, 1_000)].into());
    // Mail after this one would come before the next one's.
    pair.site.database.until("SELECT count(*) = 0 FROM outbox").await;
    pair.wire(0).login(ACME, "user1@example.com").await.unwrap();
    pair.site.code("user1@example.com").await;
    pair.site.database.until("SELECT count(*) = 0 FROM outbox").await;
    assert_eq!(pair.site.sink.count(), 2);
    pair.stop().await;
}

/// Promise 3, A4: one code, one session.
#[tokio::test(flavor = "multi_thread")]
async fn one_code_is_one_session() {
    let pair = Pair::with_customers(1).await;
    let email = "user0@example.com";
    pair.wire(0).login(ACME, email).await.unwrap();
    let code = pair.site.code(email).await;
    let verify = move |mut wire: Wire, _| {
        let code = code.clone();
        async move {
            let answer = wire.token(ACME, email, &code).await.unwrap();
            (wire, answer)
        }
    };
    let answers = pair.at_once(200, 1, verify).await;
    let counts = by_status(&answers);
    assert_eq!(counts.get(&200), Some(&1), "{counts:?}");
    assert!(counts.keys().all(|status| [200, 401, 503].contains(status)), "{counts:?}");
    assert_eq!(pair.site.database.count("SELECT count(*) FROM sessions").await, 1);
    pair.stop().await;
}

/// Promise 4, E4: whoever shows the same token at the same time gets the same successor.
#[tokio::test(flavor = "multi_thread")]
async fn one_token_has_one_successor() {
    let pair = Pair::with_customers(1).await;
    let token = pair.log_in(0).await;
    let refresh = move |mut wire: Wire, _| {
        let token = token.clone();
        async move {
            let answer = wire.refresh(&token).await.unwrap();
            (wire, answer)
        }
    };
    let answers = pair.at_once(100, 1, refresh).await;
    assert_eq!(by_status(&answers), [(200, 100)].into());
    let successors: HashSet<String> = answers.iter().map(|answer| answer.text("refresh_token")).collect();
    assert_eq!(successors.len(), 1);
    assert_eq!(pair.site.database.count("SELECT generation::bigint FROM sessions").await, 1);
    let next = pair.wire(0).refresh(successors.iter().next().unwrap()).await.unwrap();
    assert_eq!(next.status, 200);
    pair.stop().await;
}

/// E9: a logout that answered leaves nothing alive, whatever a refresh did meanwhile on the other replica.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_outlives_its_logout() {
    let pair = Arc::new(Pair::with_customers(RACES).await);
    let mut races = JoinSet::new();
    for lane in 0..8 {
        let pair = pair.clone();
        races.spawn(async move {
            let mut refreshed = 0;
            for n in (lane..RACES).step_by(8) {
                let token = pair.log_in(n).await;
                let (mut here, mut there) = (pair.wire(n), pair.wire(n + 1));
                tokio::join!(async { here.get("/x").await.unwrap() }, async {
                    there.get("/x").await.unwrap()
                });
                // either may be first on its way
                let (refresh, logout) = match n % 4 < 2 {
                    true => tokio::join!(here.refresh(&token), there.logout(&token)),
                    false => {
                        let (logout, refresh) = tokio::join!(there.logout(&token), here.refresh(&token));
                        (refresh, logout)
                    }
                };
                assert_eq!(logout.unwrap().status, 204);
                let refresh = refresh.unwrap();
                let mut held = vec![token];
                match refresh.status {
                    200 => held.push(refresh.text("refresh_token")),
                    status => assert_eq!(status, 401, "{refresh:?}"),
                }
                refreshed += held.len() - 1;
                for token in held {
                    for wire in [&mut here, &mut there] {
                        assert_eq!(wire.refresh(&token).await.unwrap().status, 401, "alive after its logout");
                    }
                }
            }
            refreshed
        });
    }
    let refreshed: usize = races.join_all().await.into_iter().sum();
    println!("in {RACES} races the refresh came first {refreshed} times");
    assert_eq!(pair.site.database.count("SELECT count(*) FROM sessions").await, 0);
    Arc::into_inner(pair).unwrap().stop().await;
}

/// Every statement takes its locks in one order: batches that overlap on two replicas never deadlock, and nobody sees
/// an error of ours.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_never_deadlock() {
    const ADDRESSES: usize = 40;
    const SESSIONS: usize = 12;
    let pair = Pair::with_customers(ADDRESSES).await;
    let mut tokens = Vec::new();
    for n in 0..SESSIONS {
        tokens.push(pair.log_in(n).await);
    }
    let tokens = Arc::new(Mutex::new(tokens));
    let until = Instant::now() + HAMMERING;
    // Holds everybody up again and again: what piles up meanwhile are large batches, let go at once.
    let gate = connect(&pair.site.database.url).await;
    let gate = tokio::spawn(async move {
        while Instant::now() < until {
            let hold =
                "BEGIN; LOCK TABLE challenges IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(0.04); COMMIT";
            gate.batch_execute(hold).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut lanes = JoinSet::new();
    for lane in 0..64 {
        let (mut wire, tokens) = (pair.wire(lane), tokens.clone());
        lanes.spawn(async move {
            let mut statuses = BTreeMap::new();
            for n in (lane * 7919..).step_by(31) {
                if Instant::now() > until {
                    break;
                }
                let email = format!("user{}@example.com", n % ADDRESSES);
                let session = n % SESSIONS;
                let answer = match n % 5 {
                    0 | 1 => wire.login(ACME, &email).await,
                    2 => wire.token(ACME, &email, "000000").await,
                    // one of them is logged out now and then
                    3 if session == 0 && n % 16 == 3 => wire.logout(&tokens.lock().await[0].clone()).await,
                    _ => {
                        let token = tokens.lock().await[session].clone();
                        wire.refresh(&token).await
                    }
                };
                let answer = answer.unwrap();
                if answer.status == 200 && answer.body.len() > 2 {
                    tokens.lock().await[session] = answer.text("refresh_token");
                }
                *statuses.entry(answer.status).or_insert(0usize) += 1;
            }
            statuses
        });
    }
    let mut statuses = BTreeMap::new();
    for lane in lanes.join_all().await {
        for (status, count) in lane {
            *statuses.entry(status).or_insert(0) += count;
        }
    }
    gate.await.unwrap();
    println!("{statuses:?}");
    assert!(statuses.keys().all(|status| [200, 204, 401].contains(status)), "{statuses:?}");
    assert!(statuses[&200] > 100, "hardly a load: {statuses:?}");
    let database = &pair.site.database;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let told = "SELECT pg_stat_force_next_flush() IS NOT NULL OR true";
    database.until(told).await;
    assert_eq!(database.count(deadlocks).await, 0);
    pair.stop().await;
}
