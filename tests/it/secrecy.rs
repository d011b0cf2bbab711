//! A11, K3, promise 8: at the most talkative level, the log of a whole process names no code, no token, no address.

use crate::support::postgres::ACME;
use crate::support::process::Site;
use crate::support::wire::Wire;
use serde_json::{Value, json};
use test_peers::smtp::{Act, Point};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_no_secret() {
    let site = Site::with_customers(4).await;
    let program = site.setup().set("DOORCODE__LOG__LEVEL", "trace").start().await;
    let mut secrets = Secrets::default();
    let email = |n: usize| format!("user{n}@example.com");

    // all goes well, with bodies and with cookies
    let mut wire = program.wire();
    wire.login(ACME, &email(0)).await.unwrap();
    let code = secrets.code(site.code(&email(0)).await);
    wire.token(ACME, &email(0), "424242").await.unwrap();
    let body = json!({"code": code, "email": email(0), "tenant_slug": ACME});
    let verified = wire.post("/v1/customer-auth/verify", &body).await.unwrap();
    assert_eq!(verified.status, 200);
    let first = secrets.tokens(&verified.json());
    for cookie in verified.headers.get_all("set-cookie") {
        let (_, value) = cookie.to_str().unwrap().split_once('=').unwrap();
        secrets.0.push(value.split(';').next().unwrap().to_owned());
    }
    let second = secrets.tokens(&wire.refresh(&first).await.unwrap().json());
    let third = secrets.tokens(&wire.refresh(&second).await.unwrap().json());
    // theft, and tokens that are none
    assert_eq!(wire.refresh(&first).await.unwrap().status, 401);
    assert_eq!(wire.refresh(&third).await.unwrap().status, 401);
    wire.logout(&third).await.unwrap();
    let forged = secrets.keep(format!("{}x", &third[..third.len() - 1]));
    wire.refresh(&forged).await.unwrap();
    wire.logout(&forged).await.unwrap();

    // what is no request carries secrets too
    let broken = secrets.keep("hunter2-in-a-body-that-is-broken".to_owned());
    for body in
        [json!([broken]), json!({"email": broken, "tenant_slug": broken}), json!({"refresh_token": broken})]
    {
        for path in ["login", "verify", "refresh", "logout", "nothing"] {
            wire.post(&format!("/v1/customer-auth/{path}?secret={broken}"), &body).await.unwrap();
        }
    }
    let mut odd = Wire::to(program.api)
        .with("authorization", "Bearer hunter2-in-a-body-that-is-broken")
        .with("cookie", "__Host-portal_refresh_x=hunter2-in-a-body-that-is-broken");
    odd.login(ACME, &email(3)).await.unwrap();
    secrets.code(site.code(&email(3)).await);

    // a relay that repeats what it was told, a database that goes away
    site.sink.refuse("user1@example.com", "550 5.1.1 <user1@example.com> no such user");
    wire.login(ACME, &email(1)).await.unwrap();
    program.until("refused", |now| now.mails("refused") == 1).await;
    site.sink.at(Point::Rcpt, Act::Reply("451 4.3.0 <user2@example.com> later"));
    wire.login(ACME, &email(2)).await.unwrap();
    program.until("tried", |now| now.mails("retried") > 0).await;
    site.sink.heal();
    secrets.code(site.code(&email(2)).await);
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(site.database.count(ended).await > 0);
    wire.login(ACME, &email(0)).await.unwrap();
    wire.token(ACME, &email(0), &code).await.unwrap();

    let shown = [
        program.ops("/actors").await.body,
        program.ops("/metrics").await.body,
        program.ops("/readyz").await.body,
    ];
    let mut told: String = shown.iter().map(|body| String::from_utf8_lossy(body)).collect();
    let log = program.log();
    program.stop().await;
    let events: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("K2: an event a line")).collect();
    assert!(events.len() > 30 && log.contains("refresh_token_reuse"), "hardly a log: {log}");
    for mut event in events {
        // digits of their own, which may look like a code
        for field in ["timestamp", "micros"] {
            event.as_object_mut().unwrap().remove(field);
        }
        told += &format!("\n{event}");
    }
    for line in told.lines() {
        for secret in &secrets.0 {
            assert!(!line.contains(secret.as_str()), "{secret} in {line}");
        }
        for code in &secrets.1 {
            let alone = line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code);
            assert!(!alone, "{code} in {line}");
        }
        for n in 0..4 {
            assert!(!line.contains(&email(n)), "K3: {line}");
        }
    }
}

/// What nobody may find: anywhere, and as a word of its own.
#[derive(Default)]
struct Secrets(Vec<String>, Vec<String>);

impl Secrets {
    fn keep(&mut self, secret: String) -> String {
        self.0.push(secret.clone());
        secret
    }

    fn code(&mut self, code: String) -> String {
        self.1.push(code.clone());
        code
    }

    /// Both tokens and their parts; gives back the refresh token.
    fn tokens(&mut self, answer: &Value) -> String {
        let access = answer["access_token"].as_str().unwrap();
        self.0.extend(access.split('.').skip(1).map(str::to_owned));
        self.keep(answer["refresh_token"].as_str().unwrap().to_owned())
    }
}
