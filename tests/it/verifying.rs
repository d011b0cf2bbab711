//! The examples of docs/VERIFYING.md, run as a reader would run them: over HTTP, against tokens of every algorithm.

use crate::support::TestApp;
use crate::support::client::Request;
use crate::support::postgres::ADA;
use jsonwebtoken::jwk::JwkSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

// One file for readers and for this test.
#[path = "../../docs/examples/verify/verify.rs"]
#[expect(unreachable_pub, reason = "readers copy it into a crate of theirs")]
mod example;

const ISSUER: &str = "https://id.acme.io";
const JWKS: &str = "/.well-known/jwks.json";

/// A token, what is asked about it, and whether it is good.
struct Case {
    what: &'static str,
    token: String,
    issuer: &'static str,
    tenant: String,
    good: bool,
}

/// A good token, and what must be refused: changed, for another tenant or issuer, not an access token.
async fn cases(app: &TestApp) -> Vec<Case> {
    let tokens = app.logs_in(ADA).await;
    let (message, signature) = tokens.access.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let other = uuid::Uuid::new_v4().to_string();
    let case = |what, token: String, issuer, tenant: &str, good| Case {
        what,
        token,
        issuer,
        tenant: tenant.to_owned(),
        good,
    };
    let tenant = tokens.tenant_id.as_str();
    vec![
        case("good", tokens.access.clone(), ISSUER, tenant, true),
        case("changed", format!("{message}.{first}{}", &signature[1..]), ISSUER, tenant, false),
        case("unsigned", format!("{message}."), ISSUER, tenant, false),
        case("another tenant's", tokens.access.clone(), ISSUER, &other, false),
        case("another issuer's", tokens.access.clone(), "https://evil.example", tenant, false),
        case("a refresh token", tokens.refresh.clone(), ISSUER, tenant, false),
    ]
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/verify")
}

fn run(mut command: Command, jwks: &str, case: &Case) -> Output {
    command.args([jwks, case.issuer, &case.tenant]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(case.token.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs an example for every algorithm and every case.
async fn judges_rightly(example: impl Fn() -> Command) {
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let app = TestApp::builder().set("tokens.algorithm", algorithm).spawn().await;
        let jwks = format!("http://{}{JWKS}", app.public());
        for case in cases(&app).await {
            let (command, jwks) = (example(), jwks.clone());
            let (case, output) = tokio::task::spawn_blocking(move || {
                let output = run(command, &jwks, &case);
                (case, output)
            })
            .await
            .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.success(), case.good, "{algorithm}, {}: {said}", case.what);
            if case.good {
                let claims: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(claims["tenant_id"], case.tenant);
            } else {
                assert!(said.starts_with("refused: "), "{}: {said}", case.what);
            }
        }
        app.finish().await;
    }
}

/// D1, D4, D6: Python with PyJWT.
#[tokio::test]
async fn d4_the_python_example_works() {
    let python = crate::support::python();
    judges_rightly(|| {
        let mut command = Command::new(&python);
        command.arg(examples().join("verify.py"));
        command
    })
    .await;
}

/// `jose` beside the build; `None`, and why, where Node or the registry cannot be had.
fn with_jose() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../jose");
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    // a module is looked for beside the file that wants it
    for file in ["verify.mjs", "package.json"] {
        std::fs::copy(examples().join(file), place.join(file)).map_err(|error| error.to_string())?;
    }
    if !place.join("node_modules/jose/package.json").exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix", "."]).current_dir(&place);
        let output = npm.output().map_err(|error| format!("npm cannot be run: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    Ok(place)
}

/// D1, D4, D6: Node with jose. Passed over, aloud, where npm cannot fetch it.
#[tokio::test]
async fn d4_the_node_example_works() {
    match tokio::task::spawn_blocking(with_jose).await.unwrap() {
        Ok(place) => {
            judges_rightly(|| {
                let mut command = Command::new("node");
                command.arg(place.join("verify.mjs"));
                command
            })
            .await;
        }
        Err(why) => eprintln!("SKIPPED: the Node example was not tried, because jose cannot be had: {why}"),
    }
}

/// D1, D4, D6: Rust with jsonwebtoken.
#[tokio::test]
async fn d4_the_rust_example_works() {
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let app = TestApp::builder().set("tokens.algorithm", algorithm).spawn().await;
        let set: JwkSet = serde_json::from_str(&app.send(&Request::get(JWKS)).await.body).unwrap();
        for case in cases(&app).await {
            let read = example::verify(&case.token, &set, case.issuer, &case.tenant);
            assert_eq!(read.is_ok(), case.good, "{algorithm}, {}: {read:?}", case.what);
        }
        app.finish().await;
    }
}

/// D11, over HTTP: another algorithm in the configuration. The tokens of before are good after the restart and after
/// the change of keys, and the key that follows is published before it signs.
#[tokio::test]
async fn d11_another_algorithm_leaves_tokens_good() {
    let mut app = TestApp::builder().set("tokens.publish_ahead", "11m").spawn().await;
    let before = app.logs_in(ADA).await;
    app.configure("tokens.algorithm", "EdDSA");
    app.restart().await;
    let set: JwkSet = serde_json::from_str(&app.send(&Request::get(JWKS)).await.body).unwrap();
    assert_eq!(set.keys.len(), 2, "the next key is published");
    let meanwhile = app.logs_in(ADA).await;
    assert_eq!(meanwhile.header()["alg"], "ES256", "it does not sign yet");
    app.pass_s(660);
    let after = app.logs_in(ADA).await;
    assert_eq!(after.header()["alg"], "EdDSA");
    let now: JwkSet = serde_json::from_str(&app.send(&Request::get(JWKS)).await.body).unwrap();
    for tokens in [&before, &meanwhile, &after] {
        for set in [&set, &now] {
            example::verify(&tokens.access, set, ISSUER, &tokens.tenant_id).unwrap();
        }
    }
    app.finish().await;
}
