//! The API's document, and whether an answer is what it promises: [`Client`](super::client::Client) asks for each.

use super::client::Answer;
use serde_json::Value;
use std::sync::LazyLock;

/// As the binary has it.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../openapi/doorcode.json")).unwrap());

/// Of the admin API.
pub(crate) static ADMIN: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../openapi/admin.json")).unwrap());

/// What stands where `$ref` points.
pub(crate) fn resolved<'d>(document: &'d Value, node: &'d Value) -> &'d Value {
    match node.get("$ref").and_then(Value::as_str) {
        Some(name) => resolved(document, document.pointer(&name[1..]).unwrap_or_else(|| panic!("no {name}"))),
        None => node,
    }
}

/// What a document says of a path, with `{parameters}` or without.
fn described<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    let path = path.split('?').next()?;
    let fits = |pattern: &str| {
        let (mut want, mut have) = (pattern.split('/'), path.split('/'));
        want.by_ref().zip(have.by_ref()).all(|(want, have)| want.starts_with('{') || want == have)
            && pattern.matches('/').count() == path.matches('/').count()
    };
    document["paths"].as_object()?.iter().find(|(pattern, _)| fits(pattern)).map(|(_, item)| item)
}

/// Panics unless a document allows this answer. What it does not describe must be an error in the one shape of errors.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let document = if path.starts_with("/v1/admin/") { &*ADMIN } else { &*DOCUMENT };
    let said = || format!("{method} {path}: {answer:?}");
    let operation = described(document, path).and_then(|item| item.get(method.to_ascii_lowercase()));
    let Some(operation) = operation else {
        if answer.status >= 400 && answer.header("content-type") == Some("application/json") {
            let problem = &document["components"]["schemas"]["Problem"];
            let wrong = mismatch(document, problem, &answer.json());
            // The ops listener's own probes say more.
            assert!(wrong.is_none() || !path.starts_with("/v1/customer-auth/"), "{wrong:?} in {}", said());
        }
        return;
    };
    let response = operation["responses"].get(answer.status.to_string());
    let response = resolved(document, response.unwrap_or_else(|| panic!("undocumented: {}", said())));
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = resolved(document, header);
        let value = answer.header(&name.to_ascii_lowercase());
        assert!(value.is_some() || header["required"] != true, "{name} is missing in {}", said());
        if let Some(value) = value {
            let read = if header["schema"]["type"] == "integer" { value.parse().ok() } else { None };
            let wrong = mismatch(document, &header["schema"], &read.unwrap_or_else(|| Value::from(value)));
            assert_eq!(wrong, None, "{name} in {}", said());
        }
    }
    let kind = answer.header("content-type").map(|kind| kind.split(';').next().unwrap());
    let Some(content) = response.get("content") else {
        assert!(answer.body.is_empty(), "a body in {}", said());
        return;
    };
    let media = content.get(kind.unwrap_or_default()).unwrap_or_else(|| panic!("{kind:?}: {}", said()));
    if kind.is_some_and(|kind| kind == "application/json" || kind.ends_with("+json")) {
        assert_eq!(mismatch(document, &media["schema"], &answer.json()), None, "in {}", said());
    }
}

/// Why a value is not what a schema describes. Stricter than JSON Schema: a member that the schema does not name is one
/// too many unless `additionalProperties` is said, and a keyword that is unknown here panics.
pub(crate) fn mismatch(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = resolved(document, schema);
    let inner = |schema: &Value, value: &Value| mismatch(document, schema, value);
    let size = || match value {
        Value::String(text) => text.chars().count() as u64,
        Value::Array(items) => items.len() as u64,
        _ => value.as_u64().unwrap_or_default(),
    };
    for (keyword, limit) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "title" | "description" | "examples" | "default" => true,
            "type" => match limit {
                Value::Array(kinds) => kinds.iter().any(|kind| is_a(value, kind)),
                kind => is_a(value, kind),
            },
            "enum" => limit.as_array().unwrap().contains(value),
            "const" => limit == value,
            "minLength" | "minItems" | "minimum" => size() >= limit.as_u64().unwrap(),
            "maxLength" | "maxItems" | "maximum" => size() <= limit.as_u64().unwrap(),
            "format" => value.as_str().is_none_or(|text| has_format(limit.as_str().unwrap(), text)),
            // Of what is sent only; schemathesis knows it.
            "pattern" => true,
            "anyOf" | "oneOf" => limit.as_array().unwrap().iter().any(|one| inner(one, value).is_none()),
            "required" => {
                limit.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "additionalProperties" => true,
            "items" => {
                let wrong = value.as_array().into_iter().flatten().find_map(|item| inner(limit, item));
                if wrong.is_some() {
                    return wrong;
                }
                true
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    let wrong = match (limit.get(name), schema.get("additionalProperties")) {
                        (Some(of), _) => inner(of, member),
                        (None, Some(Value::Object(_))) => inner(&schema["additionalProperties"], member),
                        (None, Some(Value::Bool(true))) => None,
                        (None, _) => Some("is not documented".to_owned()),
                    };
                    if let Some(wrong) = wrong {
                        return Some(format!("{name}: {wrong}"));
                    }
                }
                true
            }
            unknown => panic!("this test does not know {unknown}"),
        };
        if !holds {
            return Some(format!("{keyword} {limit} does not fit {value}"));
        }
    }
    None
}

fn is_a(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no kind: {other}"),
    }
}

fn has_format(format: &str, text: &str) -> bool {
    match format {
        "uuid" => uuid::Uuid::parse_str(text).is_ok_and(|id| id.to_string() == text),
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "uri" => text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some()),
        "email" => text.contains('@'),
        other => panic!("no format: {other}"),
    }
}
