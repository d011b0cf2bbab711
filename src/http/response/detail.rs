//! The 422 body: FastAPI's shape, pydantic's types and messages. Without `input` and `ctx`, which would echo codes (G10).

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

/// One complaint about a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Detail {
    /// Where.
    pub loc: Loc,
    /// For people.
    pub msg: String,
    /// For programs.
    pub r#type: &'static str,
}

/// `["body"]`, `["body", "email"]` or `["body", 17]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loc {
    /// The body as a whole.
    Body,
    /// One of its fields.
    Field(&'static str),
    /// A character of it.
    Offset(usize),
}

impl Serialize for Loc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut loc = serializer.serialize_seq(None)?;
        loc.serialize_element("body")?;
        match self {
            Loc::Body => {}
            Loc::Field(name) => loc.serialize_element(name)?,
            Loc::Offset(offset) => loc.serialize_element(offset)?,
        }
        loc.end()
    }
}

impl Detail {
    fn new(loc: Loc, r#type: &'static str, msg: impl Into<String>) -> Self {
        Self { loc, msg: msg.into(), r#type }
    }

    /// Nothing where something must be.
    pub(crate) fn missing(loc: Loc) -> Self {
        Self::new(loc, "missing", "Field required")
    }

    /// JSON of another kind than an object, or no JSON by its content type.
    pub(crate) fn not_an_object() -> Self {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        Self::new(Loc::Body, "model_attributes_type", msg)
    }

    /// No JSON, or JSON that two readers could read differently.
    pub(crate) fn invalid_json(offset: usize) -> Self {
        Self::new(Loc::Offset(offset), "json_invalid", "JSON decode error")
    }

    /// Anything but a string: nothing is coerced.
    pub(crate) fn not_a_string(field: &'static str) -> Self {
        Self::new(Loc::Field(field), "string_type", "Input should be a valid string")
    }

    /// Fewer than `min` code points.
    pub(crate) fn too_short(field: &'static str, min: usize) -> Self {
        let msg = format!("String should have at least {min} character{}", plural(min));
        Self::new(Loc::Field(field), "string_too_short", msg)
    }

    /// More than `max` code points.
    pub(crate) fn too_long(field: &'static str, max: usize) -> Self {
        let msg = format!("String should have at most {max} character{}", plural(max));
        Self::new(Loc::Field(field), "string_too_long", msg)
    }

    /// A value that is not among those it may be, or not of the form it must have.
    pub(crate) fn not_valid(field: &'static str, what: &str) -> Self {
        Self::new(Loc::Field(field), "value_error", format!("value is not {what}"))
    }

    /// No address; `reason` says why without repeating it.
    pub(crate) fn not_an_email(field: &'static str, reason: &dyn std::fmt::Display) -> Self {
        Self::new(Loc::Field(field), "value_error", format!("value is not a valid email address: {reason}"))
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G1: the three forms of `loc`, and pydantic's singular.
    #[test]
    fn details_look_like_pydantic_s() {
        let json = |detail: Detail| serde_json::to_value(detail).unwrap();
        assert_eq!(
            json(Detail::invalid_json(17)),
            serde_json::json!({"loc": ["body", 17], "msg": "JSON decode error", "type": "json_invalid"})
        );
        assert_eq!(json(Detail::missing(Loc::Body))["loc"], serde_json::json!(["body"]));
        assert_eq!(json(Detail::too_short("code", 6))["msg"], "String should have at least 6 characters");
        assert_eq!(
            json(Detail::too_short("tenant_slug", 1))["msg"],
            "String should have at least 1 character"
        );
    }
}
