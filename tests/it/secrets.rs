//! What must be nowhere: codes and tokens in the database, in events, in errors.

use crate::support::postgres::{ADA, DORA, GRACE, MALLORY, MASTER_KEY};
use crate::support::{TestApp, Tokens, another_code};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Every value in every table, in PostgreSQL's own spelling.
async fn dump(app: &TestApp) -> BTreeSet<String> {
    let tables = "SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public'";
    let mut values = BTreeSet::new();
    for table in app.database.client().query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let query = format!("SELECT DISTINCT value FROM {table} row, jsonb_each_text(to_jsonb(row))");
        for row in app.database.client().query(&query, &[]).await.unwrap() {
            values.extend(row.get::<_, Option<String>>(0));
        }
    }
    values
}

/// How many stored values begin like an unkeyed hash of this code, alone or with anything stored as salt: what trying
/// all 1,000,000 codes would find. 64 bits suffice to be no coincidence.
const UNKEYED: &str = "
    WITH stored AS (SELECT value, left(replace(replace(value, '\\x', ''), '-', ''), 16) AS start FROM unnest($2::text[]) value),
    salts AS (
        SELECT ''::bytea AS salt UNION SELECT convert_to(value, 'UTF8') FROM stored
        UNION SELECT decode(replace(value, '-', ''), 'hex') FROM stored WHERE value ~ '^[0-9a-f]{8}-[0-9a-f-]{27}$'),
    texts AS (
        SELECT salt || convert_to($1, 'UTF8') AS text FROM salts
        UNION SELECT convert_to($1, 'UTF8') || salt FROM salts),
    hashes AS (
        SELECT h FROM texts,
            LATERAL (VALUES (encode(sha256(text), 'hex')), (encode(sha224(text), 'hex')),
                            (encode(sha512(text), 'hex')), (md5(text))) hashed (h))
    SELECT count(*) FROM hashes JOIN stored ON left(h, 16) = start WHERE length(start) = 16";

/// A10, E1: who reads the database learns neither a code nor a token, not even by trying all codes.
#[tokio::test]
async fn a10_the_database_reveals_no_code() {
    let app = TestApp::spawn().await;
    let tokens = app.logs_in(GRACE).await;
    app.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let values = dump(&app).await;
    assert!(values.len() > 50, "the dump is not empty");
    assert!(values.contains(ADA), "and has what is no secret");
    let words =
        |text: &String| text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>();
    assert!(!values.iter().flat_map(words).any(|word| word == code));
    let raw = URL_SAFE_NO_PAD.decode(tokens.refresh.trim_start_matches("dcr_")).unwrap();
    let stored: Vec<String> =
        values.iter().map(|value| value.replace(['-', '\\'], "").to_lowercase()).collect();
    let tenant = tokens.tenant_id.replace('-', "");
    for part in raw.windows(8) {
        let part: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        // The tenant's id is in the token, and no secret.
        if !tenant.contains(&part) {
            assert!(!stored.iter().any(|value| value.contains(&part)), "a part of the token is stored");
        }
    }
    let found = async |values: &[String]| -> i64 {
        app.database.client().query_one(UNKEYED, &[&code, &values]).await.unwrap().get(0)
    };
    let mut values: Vec<String> = values.into_iter().collect();
    assert_eq!(found(&values).await, 0);
    // It would be found.
    let salted = "SELECT left(encode(sha256(uuid_send(challenge_id) || convert_to($1, 'UTF8')), 'hex'), 32)::uuid::text
        FROM challenges WHERE expires_us > 0";
    values.push(app.database.client().query_one(salted, &[&code]).await.unwrap().get(0));
    assert_eq!(found(&values).await, 1);
    app.finish().await;
}

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<u8>>>);

impl Write for Events {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Events {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A11, K3: at the most talkative level, no event holds a code, a token, a key or an address.
#[tokio::test]
async fn a11_events_hold_no_secret() {
    let events = Events::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(events.clone())
        .finish();
    // This thread's only, and everything of this test runs on it.
    let captured = tracing::subscriber::set_default(subscriber);
    let app = TestApp::spawn().await;
    let mut secrets = vec![STANDARD.encode(MASTER_KEY), ADA.to_owned(), GRACE.to_owned(), MALLORY.to_owned()];
    for email in [MALLORY, DORA, ADA, GRACE] {
        app.asks_for_code(email).await;
    }
    for email in [ADA, GRACE] {
        let code = app.mailed_code(email).await;
        let wrong = another_code(&code);
        assert_eq!(app.types_code(email, &wrong).await.status, 401);
        let answer = app.visitor().in_browser().types_code(email, &code).await;
        let first = Tokens::of(&answer);
        let second = Tokens::of(&app.refreshes(&first.refresh).await);
        let third = Tokens::of(&app.refreshes(&second.refresh).await);
        // Theft, a refusal, a logout.
        assert_eq!(app.refreshes(&first.refresh).await.status, 401);
        assert_eq!(app.refreshes(&third.refresh).await.status, 401);
        app.logs_out(&third.refresh).await;
        secrets.extend([code, wrong]);
        for tokens in [first, second, third] {
            secrets.extend([tokens.access, tokens.refresh]);
        }
    }
    app.crash("ledger.refresh", "panic").await;
    app.finish_after_crashes().await;
    drop(captured);
    let events = String::from_utf8_lossy(&events.0.lock().unwrap()).into_owned();
    assert!(events.contains("refresh_token_reuse") && events.contains("TRACE"), "nothing was captured");
    for secret in &secrets {
        let found = events.lines().find(|line| line.contains(secret.as_str()));
        assert!(found.is_none(), "{secret} in: {}", found.unwrap_or_default());
    }
}
