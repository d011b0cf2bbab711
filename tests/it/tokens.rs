//! Access tokens, read by whoever gets them.

use crate::support::client::{Client, Request};
use crate::support::postgres::{ADA, GLOBEX};
use crate::support::{TestApp, Tokens};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const ISSUER: &str = "https://id.acme.io";
const JWKS: &str = "/.well-known/jwks.json";

async fn jwks(app: &TestApp) -> Value {
    app.send(&Request::get(JWKS)).await.json()
}

/// D1, D2, D13: the header and the claims are these and no others.
#[tokio::test]
async fn d2_an_access_token_says_who_and_where_and_no_more() {
    let app = TestApp::spawn().await;
    let tokens = app.logs_in(ADA).await;
    let header = tokens.header();
    assert_eq!(header, json!({ "typ": "at+jwt", "alg": "ES256", "kid": header["kid"] }));
    let claims = tokens.claims();
    let now_s = app.now_us() / 1_000_000;
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER,
            "aud": format!("{ISSUER}/t/{}", tokens.tenant_id),
            "sub": tokens.customer_id,
            "tenant_id": tokens.tenant_id,
            "client_id": "portal",
            "sid": claims["sid"],
            "iat": now_s,
            "exp": now_s + 3_600,
            "jti": claims["jti"],
            "auth_time": now_s,
            "amr": ["otp"],
        })
    );
    for id in ["sub", "tenant_id", "jti"] {
        let id = uuid::Uuid::parse_str(claims[id].as_str().unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 4, "{id}");
    }
    app.finish().await;
}

/// D3: refreshes move `iat`, never `auth_time`; the session stays the same, the token does not.
#[tokio::test]
async fn d3_auth_time_is_when_the_code_was_typed() {
    let app = TestApp::spawn().await;
    let mut tokens = app.logs_in(ADA).await;
    let first = tokens.claims();
    for round in 1..=2 {
        app.pass_s(1_000);
        tokens = Tokens::of(&app.refreshes(&tokens.refresh).await);
        let claims = tokens.claims();
        assert_eq!((&claims["auth_time"], &claims["sid"]), (&first["auth_time"], &first["sid"]));
        assert_eq!(claims["iat"].as_i64().unwrap() - first["iat"].as_i64().unwrap(), round * 1_000);
        assert_ne!(claims["jti"], first["jti"]);
    }
    app.finish().await;
}

/// D9, D12: the published keys are public, typed, cacheable, and nothing private is among them.
#[tokio::test]
async fn d9_the_key_set_is_public() {
    for (algorithm, mut members) in
        [("ES256", vec!["crv", "x", "y"]), ("EdDSA", vec!["crv", "x"]), ("RS256", vec!["e", "n"])]
    {
        let app = TestApp::builder().set("tokens.algorithm", algorithm).spawn().await;
        let answer = Client::connect(app.public()).await.send(&Request::get(JWKS)).await;
        assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
        let cached = answer.header("cache-control").unwrap();
        assert!(cached.contains("public") && cached.contains("max-age="), "{cached}");
        members.extend(["alg", "kid", "kty", "use"]);
        members.sort_unstable();
        let set = answer.json();
        assert_eq!(set.as_object().unwrap().keys().collect::<Vec<_>>(), ["keys"]);
        for key in set["keys"].as_array().unwrap() {
            assert_eq!(key.as_object().unwrap().keys().collect::<Vec<_>>(), members);
            assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!(algorithm)));
        }
        let tokens = app.logs_in(ADA).await;
        assert!(set["keys"].as_array().unwrap().iter().any(|key| key["kid"] == tokens.header()["kid"]));
        app.finish().await;
    }
}

/// D6: a token of one tenant is for no other's audience.
#[tokio::test]
async fn d6_each_tenant_is_an_audience_of_its_own() {
    let app = TestApp::spawn().await;
    let (acme, globex) = (app.logs_in(ADA).await, app.at(GLOBEX).logs_in(ADA).await);
    assert_ne!(acme.claims()["aud"], globex.claims()["aud"]);
    app.finish().await;
}

/// D7: neither token is taken for the other.
#[tokio::test]
async fn d7_an_access_token_refreshes_nothing() {
    let app = TestApp::spawn().await;
    let tokens = app.logs_in(ADA).await;
    assert_eq!(app.refreshes(&tokens.access).await.status, 401);
    assert_eq!(app.refreshes(&tokens.refresh).await.status, 200);
    app.finish().await;
}

/// Verifies the tokens on standard input by a key set, as a portal in Python would, and recomputes thumbprints.
const VERIFIER: &str = r#"
import base64, hashlib, json, sys
import jwt

given = json.load(sys.stdin)
keys = jwt.PyJWKSet.from_dict(given["jwks"])
members = {"EC": ["crv", "kty", "x", "y"], "OKP": ["crv", "kty", "x"], "RSA": ["e", "kty", "n"]}
for key in given["jwks"]["keys"]:
    public = json.dumps({name: key[name] for name in members[key["kty"]]}, sort_keys=True, separators=(",", ":"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(public.encode()).digest()).decode().rstrip("=")
    assert digest == key["kid"], "kid is not the RFC 7638 thumbprint"

def verify(token, audience):
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=[given["algorithm"]], audience=audience, issuer=given["issuer"],
                      options={"require": ["iss", "aud", "sub", "exp", "iat", "jti"]})

for token in given["tokens"]:
    claims = verify(token["access"], token["audience"])
    assert claims["sub"] == token["customer_id"]
    head, body, signature = token["access"].split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for bad, audience in [(f"{head}.{body}.{flipped}", token["audience"]), (f"{head}.{body}.", token["audience"]),
                          (token["access"], given["issuer"] + "/t/other")]:
        try:
            verify(bad, audience)
        except jwt.InvalidTokenError:
            continue
        sys.exit("a bad token passes")
print("verified", len(given["tokens"]))
"#;

fn verified_by_pyjwt(given: &Value) -> String {
    let mut verifier = Command::new(crate::support::python());
    verifier.args(["-c", VERIFIER]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut verifier = verifier.spawn().unwrap();
    verifier.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = verifier.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "PyJWT: {said}");
    said
}

/// D1, D2, D4, D10: an implementation that is not ours verifies the tokens of each algorithm by the published keys, and
/// finds each key's id to be its thumbprint.
#[tokio::test]
async fn d4_pyjwt_verifies_what_we_sign() {
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let app = TestApp::builder().set("tokens.algorithm", algorithm).spawn().await;
        let first = app.logs_in(ADA).await;
        let all =
            [Tokens::of(&app.refreshes(&first.refresh).await), app.at(GLOBEX).logs_in(ADA).await, first];
        let tokens = all.iter().map(|tokens| {
            json!({
                "access": tokens.access,
                "audience": format!("{ISSUER}/t/{}", tokens.tenant_id),
                "customer_id": tokens.customer_id,
            })
        });
        let tokens: Vec<Value> = tokens.collect();
        let given =
            json!({ "jwks": jwks(&app).await, "algorithm": algorithm, "issuer": ISSUER, "tokens": tokens });
        let said = tokio::task::spawn_blocking(move || verified_by_pyjwt(&given)).await.unwrap();
        assert_eq!(said.trim(), "verified 3");
        app.finish().await;
    }
}
