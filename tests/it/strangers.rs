//! What strangers cannot do: outlive a tenant-wide trip with codes asked for before it, silence new devices from one
//! network, or make those wait who guess at addresses without a row.

use crate::lanes::{HOME, device_after_login, exhaust_strangers, far, is_digits};
use crate::support::postgres::{ADA, Database, GRACE, connect_as_the_pool};
use crate::support::{TestApp, another_code};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// The first decoy of a statement, by the connection and the statement's number there.
type Begin = fn(u64, u64) -> u64;

/// After a trip, digits that are out already are worth nothing to strangers: not evaluated, not charged, not counted. The
/// next ask replaces them, at once; what a known client waits for stays.
#[tokio::test]
async fn a_trip_reaches_codes_that_are_out() {
    let mut app = TestApp::spawn().await;
    app.from(HOME).logs_in(ADA).await;
    app.pass_s(61);
    app.from(HOME).asks_for_code(ADA).await;
    let known = app.mailed_code(ADA).await;
    app.from(&far(300)).asks_for_code(GRACE).await;
    let digits = app.mailed_code(GRACE).await;
    for number in 0..102 {
        app.from(&far(number)).types_code(&format!("nobody{number}@example.com"), "123456").await;
    }
    // a restart adds up what was counted, and looks at the tenant anew
    app.restart().await;
    let counted = "SELECT sum(failures)::bigint FROM tenant_hours";
    let (failures, missed) = (app.database.count(counted).await, app.missed_guesses().await);
    for email in [GRACE, ADA, "nobody@example.com"] {
        for code in [&digits, &known, &another_code(&digits)] {
            assert_eq!(app.from(&far(300)).types_code(email, code).await.status, 401);
        }
    }
    assert_eq!(app.missed_guesses().await, missed);
    app.from(&far(300)).asks_for_code(GRACE).await;
    let base32 = app.mailed_code(GRACE).await;
    assert!(!is_digits(&base32), "no cool-down");
    app.from(&far(300)).logs_in_with(GRACE, &base32).await;
    app.from(&far(301)).asks_for_code(ADA).await;
    app.no_further_mail(ADA).await;
    app.from(HOME).logs_in_with(ADA, &known).await;
    app.restart().await;
    assert_eq!(app.database.count(counted).await, failures);
    app.finish().await;
}

/// A7, L1: one network spends neither all mails nor all digit guesses of the strangers' lane: a new device elsewhere gets in.
#[tokio::test]
async fn one_network_does_not_silence_new_devices() {
    let app = TestApp::spawn().await;
    let mut codes = Vec::new();
    for number in 0..20 {
        let attacker = format!("203.0.113.{}", number + 1);
        app.from(&attacker).asks_for_code(ADA).await;
        if app.mails_to(ADA).await > codes.len() {
            let code = app.mailed_code(ADA).await;
            for _ in 0..6 {
                app.from(&attacker).types_code(ADA, &another_code(&code)).await;
            }
            codes.push(is_digits(&code));
        }
        app.pass_s(61);
    }
    assert_eq!(codes, [true, true, true, false], "4 of 5 mails, 15 of 20 digit guesses, then it steps up");
    app.from(&far(1)).asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    assert!(is_digits(&code), "the others' lane is as it was");
    app.from(&far(1)).logs_in_with(ADA, &code).await;
    app.finish().await;
}

/// L1: a browser that carries the device cookies of many other tenants, in front of this one's, is known all the same.
#[tokio::test]
async fn l1_a_browser_of_many_tenants_stays_known() {
    let app = TestApp::spawn().await;
    let device = device_after_login(app.from(HOME), ADA).await;
    let value = device.split_once('=').unwrap().1;
    app.pass_s(86_400);
    exhaust_strangers(&app, ADA).await;
    let foreign = |n: u32| format!("__Host-portal_device_{n:010x}={value}; ");
    let others: String = (1..=20).map(foreign).collect();
    app.from(&far(900)).with_cookies(others.trim_end_matches("; ")).asks_for_code(ADA).await;
    app.no_further_mail(ADA).await;
    let browser = app.from(&far(901)).with_cookies(&format!("{others}{device}"));
    browser.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    assert!(is_digits(&code), "the known lane is as it was");
    browser.logs_in_with(ADA, &code).await;
    app.finish().await;
}

/// Guesses at addresses without a row write to decoys: a spray over replicas, in statements as large as they get, whose
/// decoys begin anywhere, waits hardly longer than one whose decoys never meet. `DOORCODE_SPRAY` asks for more statements.
#[tokio::test(flavor = "multi_thread")]
async fn a_spray_hardly_waits_for_decoys() {
    const REPLICAS: u64 = 2;
    const FLUSHES: u64 = 4;
    const ROWS: usize = 128;
    const DECOYS: u64 = 16_384;
    let statements =
        std::env::var("DOORCODE_SPRAY").ok().and_then(|text| text.parse().ok()).unwrap_or(20_u64);
    let database = Database::new().await;
    let spray = async |begin: Begin| {
        let mut all = JoinSet::new();
        for lane in 0..REPLICAS * FLUSHES {
            let client = connect_as_the_pool(&database.url).await;
            all.spawn(async move {
                let verify =
                    client.prepare(include_str!("../../sql/queries/challenges/verify.sql")).await.unwrap();
                let mut took = Vec::new();
                for n in 0..statements {
                    let ids: Vec<Uuid> = (0..ROWS).map(|_| Uuid::new_v4()).collect();
                    let first = begin(lane, n) % DECOYS;
                    let decoys: Vec<i32> = (first..).take(ROWS).map(|slot| (slot % DECOYS) as i32).collect();
                    let (zeros, none) = (vec![0_i64; ROWS], vec![None::<Uuid>; ROWS]);
                    let (steps, texts) = (vec![0_i16; ROWS], vec![None::<&str>; ROWS]);
                    let late = vec![SystemTime::now() + Duration::from_secs(60); ROWS];
                    let about: [&(dyn ToSql + Sync); 19] = [
                        &None::<i64>,
                        &ids,
                        &ids,
                        &ids,
                        &none,
                        &zeros,
                        &zeros,
                        &ids,
                        &none,
                        &decoys,
                        &1_i64,
                        &1_i64,
                        &20_i64,
                        &late,
                        &zeros,
                        &steps,
                        &texts,
                        &texts,
                        &none,
                    ];
                    let begun = Instant::now();
                    assert_eq!(client.query(&verify, &about).await.unwrap().len(), ROWS);
                    took.push(begun.elapsed());
                }
                took
            });
        }
        let mut took = all.join_all().await.concat();
        took.sort();
        (took[took.len() / 2], took[took.len() * 99 / 100])
    };
    let cases: [(&str, Begin); 3] = [
        ("never meet", |lane, n| lane * DECOYS / (REPLICAS * FLUSHES) + n * ROWS as u64 % 1_024),
        ("begin anywhere", |_, _| Uuid::new_v4().as_u128() as u64 % DECOYS),
        ("are the same", |_, _| 0),
    ];
    for (name, begin) in cases {
        let (median, p99) = spray(begin).await;
        println!("decoys that {name}: a statement takes {median:?}, p99 {p99:?}");
    }
    database.remove().await;
}
