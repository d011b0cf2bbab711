//! The API's document says what is there: no path more or less, in the source's words, and nothing is ever taken back.
//! That each answer of all tests is what it promises is checked where answers are read (`support/client.rs`).

use crate::support::TestApp;
use crate::support::client::{Client, Request};
use crate::support::openapi::{ADMIN, DOCUMENT, mismatch, resolved};
use doorcode::{ADMIN_ROUTES, PUBLIC_ROUTES};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// Every method of every route, and nothing else.
#[test]
fn paths_are_the_route_table() {
    let served: BTreeSet<String> = PUBLIC_ROUTES
        .iter()
        .map(|route| {
            // `HEAD` goes without saying.
            let method = route.methods.for_preflight().to_ascii_lowercase();
            format!("{method} {}", route.path)
        })
        .collect();
    let described = operations(&DOCUMENT).map(|(path, method, _)| format!("{method} {path}")).collect();
    assert_eq!(served, described, "served, described");
    let admin = ADMIN_ROUTES.iter();
    let served: BTreeSet<String> =
        admin.map(|route| format!("{} {}", route.method.as_str().to_ascii_lowercase(), route.path)).collect();
    let described = operations(&ADMIN).map(|(path, method, _)| format!("{method} {path}")).collect();
    assert_eq!(served, described, "served, described");
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .filter(|(method, _)| *method != "parameters")
            .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Names, words, fields, lengths, defaults and answers of the five calls, as the page prints them that this API is from.
#[test]
fn the_five_calls_read_as_their_source() {
    let email = json!({"title": "Email", "type": "string", "format": "email"});
    let slug = json!({"title": "Tenant Slug", "type": "string", "minLength": 1, "maxLength": 100});
    let code = json!({"title": "Code", "type": "string", "minLength": 6, "maxLength": 6});
    let token = json!({"title": "Refresh Token", "type": "string", "default": ""});
    let coded = json!({"code": code, "email": email, "tenant_slug": slug});
    let tokens = "access_token customer_id expires_in refresh_token tenant_id token_type";
    let calls = [
        (
            "login",
            "Customer Login",
            "Send a 6-digit login code to the customer's email.\nAlways returns success to prevent email enumeration.",
            json!({"email": email, "tenant_slug": slug}),
            "200",
            "",
        ),
        (
            "logout",
            "Customer Logout",
            "Revoke customer refresh token and clear portal cookies.",
            json!({"refresh_token": token}),
            "204",
            "",
        ),
        (
            "refresh",
            "Customer Refresh",
            "Rotate customer access + refresh tokens.",
            json!({"refresh_token": token}),
            "200",
            tokens,
        ),
        (
            "token",
            "Customer Programmatic Token",
            "Programmatic portal token endpoint — exchanges magic-link code for tokens, NEVER sets cookies.",
            coded.clone(),
            "200",
            tokens,
        ),
        (
            "verify",
            "Customer Verify",
            "Exchange a 6-digit code for access + refresh tokens.",
            coded,
            "200",
            tokens,
        ),
    ];
    for (verb, summary, words, fields, status, answered) in calls {
        let operation = &DOCUMENT["paths"][format!("/v1/customer-auth/{verb}")]["post"];
        assert_eq!(operation["summary"], summary);
        assert!(operation["description"].as_str().unwrap().starts_with(words), "{verb}");
        let mut body = schema(&operation["requestBody"]).clone();
        for (_, field) in body["properties"].as_object_mut().unwrap() {
            field.as_object_mut().unwrap().remove("examples");
        }
        assert_eq!(body["properties"], fields, "{verb}");
        let optional = fields.get("refresh_token").is_some();
        assert_eq!(body.get("required").is_none(), optional, "{verb}");
        assert_eq!(operation["requestBody"]["required"], !optional, "{verb}");
        let answer = resolved(&DOCUMENT, &operation["responses"][status]);
        let names: Vec<&str> = match answer.get("content") {
            Some(_) => schema(answer)["properties"].as_object().unwrap().keys().map(String::as_str).collect(),
            None => Vec::new(),
        };
        assert_eq!(names.join(" "), answered, "{verb}");
        let complaint =
            &schema(resolved(&DOCUMENT, &operation["responses"]["422"]))["properties"]["detail"]["items"];
        let complaint = resolved(&DOCUMENT, complaint)["properties"].as_object().unwrap();
        assert_eq!(complaint.keys().collect::<Vec<_>>(), ["loc", "msg", "type"]);
    }
}

/// The JSON schema of a body or an answer.
fn schema(of: &Value) -> &'static Value {
    let name = of.pointer("/content/application~1json/schema/$ref").unwrap().as_str().unwrap();
    DOCUMENT.pointer(&name[1..]).unwrap()
}

/// What clients may rely on, a line each, only ever grows: a field that is gone, may be missing now, must be sent now, or
/// has changed its type breaks somebody. `DOORCODE_RECORD=1` adds what is new to `openapi/baseline.txt`; nothing removes.
#[test]
fn nothing_is_taken_back() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/baseline.txt");
    let recorded = std::fs::read_to_string(&file).unwrap_or_default();
    let recorded: BTreeSet<String> = recorded.lines().map(str::to_owned).collect();
    let now = &promises(&DOCUMENT) | &promises(&ADMIN);
    let gone: Vec<_> = recorded.difference(&now).collect();
    assert!(gone.is_empty(), "promised before, and not any more:\n{gone:#?}");
    if std::env::var_os("DOORCODE_RECORD").is_some() {
        let lines: String = now.iter().fold(String::new(), |mut text, line| {
            writeln!(text, "{line}").unwrap();
            text
        });
        return std::fs::write(&file, lines).unwrap();
    }
    let new: Vec<_> = now.difference(&recorded).collect();
    assert!(new.is_empty(), "not yet in openapi/baseline.txt (DOORCODE_RECORD=1 adds it):\n{new:#?}");
}

fn promises(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, method, operation) in operations(document) {
        let call = format!("{method} {path}");
        found.insert(call.clone());
        found.insert(format!("{call} is {}", operation["operationId"]));
        let of_path = document["paths"][path]["parameters"].as_array();
        let own = operation["parameters"].as_array();
        for parameter in of_path.into_iter().chain(own).flatten() {
            let parameter = resolved(document, parameter);
            found.insert(format!("{call} takes {} {}", parameter["in"], parameter["name"]));
            if parameter["required"] != true {
                found.insert(format!("{call} may come without {}", parameter["name"]));
            }
        }
        fields(document, &operation["requestBody"], &format!("{call} takes"), false, &mut found);
        for (status, answer) in operation["responses"].as_object().unwrap() {
            found.insert(format!("{call} answers {status}"));
            let answer = resolved(document, answer);
            for name in answer["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
                found.insert(format!("{call} answers {status} with {name}"));
            }
            fields(document, answer, &format!("{call} answers {status} with"), true, &mut found);
        }
    }
    found
}

/// The fields of a body: those that are always there in an answer, those that may be left out of a request.
fn fields(document: &Value, body: &Value, what: &str, answered: bool, found: &mut BTreeSet<String>) {
    for (kind, media) in body["content"].as_object().into_iter().flatten() {
        found.insert(format!("{what} {kind}"));
        members(document, &media["schema"], what, answered, found);
    }
}

fn members(document: &Value, schema: &Value, what: &str, answered: bool, found: &mut BTreeSet<String>) {
    let schema = resolved(document, schema);
    if let Some(items) = schema.get("items") {
        members(document, items, &format!("{what} [] of"), answered, found);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let member = resolved(document, member);
        let always = schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        let kind = member["type"].to_string();
        found.insert(format!("{what} {name}: {kind}"));
        if always == answered {
            found.insert(format!(
                "{what} {}",
                if always { format!("{name}, always") } else { format!("{name}, or not") }
            ));
        }
        members(document, member, &format!("{what} {name}:"), answered, found);
    }
}

/// What the checks above are made of can fail.
#[test]
fn a_broken_promise_is_seen() {
    let mut less = DOCUMENT.clone();
    let tokens = less.pointer_mut("/components/schemas/TokenResponse").unwrap();
    tokens["properties"].as_object_mut().unwrap().remove("tenant_id");
    let now = promises(&DOCUMENT);
    let gone: Vec<_> = now.difference(&promises(&less)).cloned().collect();
    assert!(
        gone.contains(&r#"post /v1/customer-auth/token answers 200 with tenant_id: "string""#.to_owned()),
        "{gone:?}"
    );
    let mut strict = DOCUMENT.clone();
    strict.pointer_mut("/components/schemas/RefreshRequest").unwrap()["required"] = json!(["refresh_token"]);
    assert!(now.difference(&promises(&strict)).any(|line| line.ends_with("refresh_token, or not")));

    let session = |id: &str| json!({"customer_id": id, "tenant_id": id, "expires_at": 1, "auth_time": 1, "session_id": id});
    let check = |value: &Value| mismatch(&DOCUMENT, &json!({"$ref": "#/components/schemas/Session"}), value);
    let good = session("160c0c4b-9966-4dc1-a916-8407eb10d74e");
    assert_eq!(check(&good), None);
    let (mut more, mut less) = (good.clone(), good);
    more["email"] = json!("ada@example.com");
    less.as_object_mut().unwrap().remove("auth_time");
    for bad in [session("160C0C4B"), more, less, json!([])] {
        assert!(check(&bad).is_some(), "{bad}");
    }
}

/// The document as written, and a page to read it on that needs nothing from elsewhere.
#[tokio::test]
async fn the_reference_is_served() {
    let app = TestApp::spawn().await;
    let mut client = Client::connect(app.public()).await;
    let document = client.send(&Request::get("/openapi.json")).await;
    assert_eq!(document.json(), *DOCUMENT);
    assert_eq!(document.json()["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document.header("access-control-allow-origin"), Some("*"));
    let again = Request::get("/openapi.json").header("If-None-Match", document.header("etag").unwrap());
    assert_eq!(client.send(&again).await.status, 304);
    let page = client.send(&Request::get("/docs")).await;
    assert!(page.body.contains(r#"src="rapidoc.js""#) && !page.body.contains("://"), "{}", page.body);
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'self'"));
    let mut ops = Client::connect(app.ops()).await;
    assert_eq!(ops.send(&Request::get("/openapi.json")).await.json(), *ADMIN);
    assert_eq!(ADMIN["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ops.send(&Request::get("/docs")).await.body, page.body);
    app.finish().await;
}
