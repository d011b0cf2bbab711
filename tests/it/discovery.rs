//! Middleware that others wrote is given the issuer's URL and a tenant's audience, nothing else.

use crate::support::TestApp;
use crate::support::client::Request;
use crate::support::postgres::{ADA, GLOBEX};
use doorcode_domain::AccessClaims;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

/// An app that is its own issuer, at the address where it listens.
async fn app(algorithm: &str) -> TestApp {
    let example = "https://login.example.com";
    TestApp::builder().set("public_url", example).set("tokens.algorithm", algorithm).spawn().await
}

/// D9, D12: the metadata name what there is, and only that.
#[tokio::test]
async fn d9_the_metadata_name_only_what_exists() {
    for algorithm in ALGORITHMS {
        let app = app(algorithm).await;
        let issuer = format!("http://{}", app.public());
        let expected = json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "response_types_supported": [],
            "grant_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [algorithm],
            "claims_supported": AccessClaims::NAMES,
        });
        for name in ["openid-configuration", "oauth-authorization-server"] {
            let answer = app.send(&Request::get(&format!("/.well-known/{name}"))).await;
            assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{name}");
            assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        }
        let tokens = app.logs_in(ADA).await;
        assert_eq!(tokens.claims()["iss"], issuer);
        let claims = tokens.claims();
        let mut names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        let mut told = AccessClaims::NAMES.to_vec();
        names.sort_unstable();
        told.sort_unstable();
        assert_eq!(names, told);
        app.finish().await;
    }
}

/// What a verifier is given on standard input, and the cases that it must judge.
async fn given(app: &TestApp) -> Value {
    let tokens = app.logs_in(ADA).await;
    let other = app.at(GLOBEX).logs_in(ADA).await;
    let (message, signature) = tokens.access.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let issuer = format!("http://{}", app.public());
    json!({
        "issuer": issuer,
        "audience": format!("{issuer}/t/{}", tokens.tenant_id),
        "good": tokens.access,
        "bad": [
            format!("{message}.{first}{}", &signature[1..]),
            format!("{message}."),
            other.access,
            tokens.refresh,
        ],
        "sub": tokens.customer_id,
    })
}

/// Runs a verifier to its end; it exits 0 if it judged all tokens rightly.
async fn judges(mut command: Command, given: &Value) {
    let given = given.to_string();
    let output = tokio::task::spawn_blocking(move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && output.stdout == b"1 good, 4 bad\n", "{said}");
}

/// PyJWT's own client of key sets, and Authlib, both of which find the keys by the metadata.
const PYTHON: &str = r#"
import json, sys, urllib.request
import jwt
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.jose.errors import JoseError
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url

given = json.load(sys.stdin)
metadata = OpenIDProviderMetadata(json.load(urllib.request.urlopen(get_well_known_url(given["issuer"], external=True))))
metadata.validate_issuer = lambda: None  # https alone, but for this test
for member in ["jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported"]:
    assert metadata.get(member), member
assert metadata["issuer"] == given["issuer"]
algorithms = metadata["id_token_signing_alg_values_supported"]
client = jwt.PyJWKClient(metadata["jwks_uri"])

def by_pyjwt(token):
    key = client.get_signing_key_from_jwt(token)
    return jwt.decode(token, key, algorithms=algorithms, issuer=metadata["issuer"], audience=given["audience"])

keys = JsonWebKey.import_key_set(json.load(urllib.request.urlopen(metadata["jwks_uri"])))

def by_authlib(token):
    rules = {"iss": {"essential": True, "value": metadata["issuer"]}, "aud": {"essential": True, "value": given["audience"]}}
    claims = JsonWebToken(algorithms).decode(token, keys, claims_options=rules)
    claims.validate()
    return claims

for verify in [by_pyjwt, by_authlib]:
    assert verify(given["good"])["sub"] == given["sub"]
    for bad in given["bad"]:
        try:
            verify(bad)
        except (jwt.PyJWTError, JoseError, ValueError):
            continue
        sys.exit(f"{verify.__name__} lets a bad token pass")
print("1 good,", len(given["bad"]), "bad")
"#;

/// D4, D6: Python, from the issuer's URL alone.
#[tokio::test]
async fn d4_pyjwt_and_authlib_verify_from_the_issuers_url() {
    let python = crate::support::python();
    for algorithm in ALGORITHMS {
        let app = app(algorithm).await;
        let mut command = Command::new(&python);
        command.args(["-W", "ignore", "-c", PYTHON]);
        judges(command, &given(&app).await).await;
        app.finish().await;
    }
}

/// Auth0's middleware in front of a handler, as an API would have it.
const NODE: &str = r#"
import { createServer } from "node:http";
import { auth } from "express-oauth2-jwt-bearer";

const given = JSON.parse(await new Response(process.stdin).text());
const check = auth({ issuerBaseURL: given.issuer, audience: given.audience });
const server = createServer((req, res) => {
  // what express would add
  Object.assign(req, { is: () => false, query: {}, protocol: "http", get: (name) => req.headers[name.toLowerCase()] });
  check(req, res, (error) => {
    res.statusCode = error ? error.status ?? 500 : 200;
    res.end(error ? error.message : req.auth.payload.sub);
  });
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const ask = (token) => fetch(`http://127.0.0.1:${server.address().port}/`, { headers: { authorization: `Bearer ${token}` } });
const good = await ask(given.good);
const sub = await good.text();
if (good.status !== 200 || sub !== given.sub) throw new Error(`${good.status}: ${sub}`);
for (const bad of given.bad) {
  const { status } = await ask(bad);
  if (status !== 401) throw new Error(`a bad token: ${status}`);
}
console.log(`1 good, ${given.bad.length} bad`);
server.close();
server.closeAllConnections();
"#;

/// D4, D6: Node, from the issuer's URL alone. Passed over, aloud, where the clients' packages are not installed.
#[tokio::test]
async fn d4_express_middleware_verifies_from_the_issuers_url() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    if !clients.join("node_modules/express-oauth2-jwt-bearer").exists() {
        eprintln!("SKIPPED: ./bin/test installs express-oauth2-jwt-bearer where there is node and npm");
        return;
    }
    for algorithm in ALGORITHMS {
        let app = app(algorithm).await;
        let mut command = Command::new("node");
        command.current_dir(&clients).args(["--input-type=module", "-e", NODE]);
        judges(command, &given(&app).await).await;
        app.finish().await;
    }
}
