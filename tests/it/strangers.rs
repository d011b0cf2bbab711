//! What strangers cannot do: outlive a tenant-wide trip with codes asked for before it, or silence new devices from one
//! network.

use crate::lanes::{HOME, far, is_digits};
use crate::support::postgres::{ADA, GRACE};
use crate::support::{TestApp, another_code};

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
