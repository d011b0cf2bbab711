//! Fixed codes, for whoever cannot read a customer's mail.

use crate::support::TestApp;
use crate::support::postgres::{ACME, ADA, GLOBEX, GRACE};
use doorcode_actors::directory::DirectoryError;

async fn test_code(app: &TestApp, email: &str, days: u32) -> String {
    app.directory.make_test_code(ACME, email, days).await.unwrap().code.to_string()
}

async fn status(app: &TestApp, email: &str, code: &str) -> u16 {
    app.types_code(email, code).await.status
}

/// A3: for 600 s after a login, again and again, without a mail; and no longer than it was given for.
#[tokio::test]
async fn a3_a_test_code_works_after_a_login_until_its_end() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let code = test_code(&app, ADA, 30).await;
    assert_eq!(status(&app, ADA, &code).await, 401, "nobody has asked");
    for _ in 0..3 {
        app.asks_for_code(ADA).await;
        assert_eq!(status(&app, ADA, &code.to_lowercase()).await, 200);
        assert_eq!(status(&app, ADA, &code).await, 401, "once a login");
        app.pass_s(61);
    }
    assert_eq!(app.outcomes("verify", "test_code").await, 3);
    app.asks_for_code(ADA).await;
    app.pass_s(599);
    assert_eq!(status(&app, ADA, &code).await, 200);
    app.asks_for_code(ADA).await;
    app.pass_s(600);
    assert_eq!(status(&app, ADA, &code).await, 401);
    app.asks_for_code(GRACE).await;
    app.mailed_code(GRACE).await;
    assert_eq!(app.mails_to(ADA).await, 0);
    // another one takes its place, and its end brings mail back
    let other = test_code(&app, ADA, 1).await;
    app.asks_for_code(ADA).await;
    assert_eq!(status(&app, ADA, &code).await, 401);
    assert_eq!(status(&app, ADA, &other).await, 200);
    app.pass_s(86_401);
    assert_ne!(app.logs_in(ADA).await.access, "");
    assert_eq!(status(&app, ADA, &other).await, 401);
    assert!(!app.directory.remove_test_code(ACME, GRACE).await.unwrap());
    assert!(app.directory.remove_test_code(ACME, ADA).await.unwrap());
    app.finish().await;
}

/// A1, A5, A9: base32, five guesses a login, the lanes' base32 budgets, one address at one tenant; the code of the
/// challenge itself opens nothing.
#[tokio::test]
async fn a1_a5_a9_a_test_code_is_one_address_and_its_budgets() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    app.asks_for_code(ADA).await;
    let mailed = app.mailed_code(ADA).await;
    let code = test_code(&app, ADA, 90).await;
    assert!(
        code.len() == 6 && code.chars().all(|c| "0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(c)),
        "{code}"
    );
    assert_eq!(status(&app, ADA, &mailed).await, 401, "digits that are out are dead");
    assert_eq!(app.outcomes("verify", "wrong").await, 1, "and cost a guess");
    for elsewhere in [app.visitor(), app.at(GLOBEX)] {
        elsewhere.asks_for_code(GRACE).await;
        assert_eq!(elsewhere.types_code(GRACE, &code).await.status, 401);
    }
    let wrong = if code == "ZZZZZZ" { "YYYYYY" } else { "ZZZZZZ" };
    for _ in 0..4 {
        assert_eq!(status(&app, ADA, wrong).await, 401);
    }
    assert_eq!(status(&app, ADA, &code).await, 401, "five guesses are spent");
    // 50 of the strangers' lane in all, by whatever logins
    for _ in 0..9 {
        app.asks_for_code(ADA).await;
        for _ in 0..5 {
            assert_eq!(status(&app, ADA, wrong).await, 401);
        }
    }
    app.asks_for_code(ADA).await;
    assert_eq!(status(&app, ADA, &code).await, 401, "the budget is spent");
    app.pass_s(1_728);
    app.asks_for_code(ADA).await;
    assert_eq!(status(&app, ADA, &code).await, 200, "one more after half an hour");
    app.finish().await;
}

/// At most five a tenant, at most 90 days, customers only; a customer's end is its code's.
#[tokio::test]
async fn test_codes_are_few() {
    let app = TestApp::spawn().await;
    for n in 0..6 {
        let email = format!("reviewer{n}@example.com");
        app.directory.add_customer(ACME, &email).await.unwrap();
        let made = app.directory.make_test_code(ACME, &email, 90).await;
        assert_eq!(made.is_ok(), n < 5, "{n}");
    }
    let again = app.directory.make_test_code(ACME, "reviewer0@example.com", 1).await;
    assert!(again.is_ok(), "one that has one may have another");
    let sixth = app.directory.make_test_code(ACME, ADA, 1).await;
    assert!(matches!(sixth, Err(DirectoryError::TooManyTestCodes)));
    app.directory.delete_customer(ACME, "reviewer1@example.com").await.unwrap();
    assert_eq!(app.database.count("SELECT count(*) FROM test_codes").await, 4);
    for days in [0, 91] {
        let refused = app.directory.make_test_code(ACME, ADA, days).await;
        assert!(matches!(refused, Err(DirectoryError::BadTestCodeLife)), "{days}");
    }
    let nobody = app.directory.make_test_code(ACME, "nobody@example.com", 1).await;
    assert!(matches!(nobody, Err(DirectoryError::NoSuchCustomer { .. })));
    app.finish().await;
}
