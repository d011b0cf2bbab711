//! A strict reader of one JSON object: what two parsers could read differently is refused (RFC 8259, RFC 7493).
//!
//! UTF-8 without BOM only; a key given twice is refused, however it is escaped; no NaN, no Infinity, no lone surrogate in
//! a key or a string that is used. Nothing recurses: values that are not used are skipped by a loop, and nesting has a cap.

use crate::http::response::detail::{Detail, Loc};
use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Brackets that may be open at once. Python's own reader gives up near 1,000.
const MAX_DEPTH: usize = 512;

/// The fields of a body, as text, not yet judged.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    values: BTreeMap<String, &'a RawValue>,
}

/// One field's complaint, or nothing to complain about but nothing there.
pub(crate) enum Field {
    /// A string.
    Text(Zeroizing<String>),
    /// Something else.
    NotAString,
    /// Not there.
    Absent,
}

impl<'a> Fields<'a> {
    /// Reads a body of at least one byte.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Detail> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            Detail::invalid_json(valid.chars().count())
        })?;
        if let Some(offset) = too_deep_at(text) {
            return Err(Detail::invalid_json(offset));
        }
        let invalid = |error: serde_json::Error| Detail::invalid_json(char_offset(text, &error));
        let whole: &RawValue = serde_json::from_str(text).map_err(invalid)?;
        if !whole.get().starts_with('{') {
            return Err(Detail::not_an_object());
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let values = reader.deserialize_map(UniqueKeys).map_err(invalid)?;
        Ok(Self { values })
    }

    /// A field's text. A string that is no text (a lone surrogate) spoils the body as a whole.
    pub(crate) fn get(&self, name: &'static str) -> Result<Field, Detail> {
        let Some(raw) = self.values.get(name).map(|value| value.get()) else { return Ok(Field::Absent) };
        if !raw.starts_with('"') {
            return Ok(Field::NotAString);
        }
        match serde_json::from_str::<String>(raw) {
            Ok(text) => Ok(Field::Text(Zeroizing::new(text))),
            Err(_) => Err(Detail::invalid_json(0)),
        }
    }

    /// A field that must be there. `Ok(None)` after a complaint in `details`; `Err` ends the reading.
    pub(crate) fn text(
        &self,
        name: &'static str,
        details: &mut Vec<Detail>,
    ) -> Result<Option<Zeroizing<String>>, Detail> {
        match self.get(name)? {
            Field::Text(text) => return Ok(Some(text)),
            Field::NotAString => details.push(Detail::not_a_string(name)),
            Field::Absent => details.push(Detail::missing(Loc::Field(name))),
        }
        Ok(None)
    }
}

/// Collects an object's values and refuses a key that comes twice: last-wins would let two readers see two addresses.
struct UniqueKeys;

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = BTreeMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            if values.insert(key, value).is_some() {
                return Err(A::Error::custom("a key comes twice"));
            }
        }
        Ok(values)
    }
}

/// Where more than [`MAX_DEPTH`] brackets are open, in characters.
fn too_deep_at(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (offset, character) in text.chars().enumerate() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '[' | '{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(offset);
                }
            }
            ']' | '}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// serde_json counts lines and bytes; callers of the reference count characters.
fn char_offset(text: &str, error: &serde_json::Error) -> usize {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let byte = (line_start + error.column().saturating_sub(1)).min(text.len());
    text.char_indices().take_while(|(at, _)| *at < byte).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(body: &str) -> &'static str {
        match Fields::read(body.as_bytes()) {
            Ok(_) => "ok",
            Err(detail) => detail.r#type,
        }
    }

    fn email(body: &str) -> Option<String> {
        match Fields::read(body.as_bytes()).ok()?.get("email").ok()? {
            Field::Text(text) => Some(text.to_string()),
            _ => None,
        }
    }

    /// G3: duplicates are refused in every spelling, also of fields nobody reads.
    #[test]
    fn a_key_given_twice_is_refused() {
        for body in [
            r#"{"email":"a","email":"b"}"#,
            r#"{"email":"a","\u0065mail":"b"}"#,
            r#"{"\u0065\u006dail":"a","e\u006Dail":"b"}"#,
            r#"{"x":1,"x":1}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert_eq!(kind(body), "json_invalid", "{body}");
        }
        assert_eq!(email(r#"{"\u0065mail":"a","Email":"b"}"#).as_deref(), Some("a"));
    }

    /// G4: one encoding, no special numbers, no half characters.
    #[test]
    fn only_plain_utf8_json_is_read() {
        for body in [
            "\u{feff}{}",
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":-Infinity}"#,
            "{'a':1}",
            " ",
            "{}x",
            "{}{}",
        ] {
            assert_eq!(kind(body), "json_invalid", "{body}");
        }
        assert!(Fields::read(b"{\"a\":\"\xff\xfe\"}").is_err());
        let half = Fields::read(br#"{"email":"x\ud800"}"#);
        assert!(half.is_ok_and(|fields| fields.get("email").is_err()));
        assert_eq!(email(r#"{"email":"\ud83d\ude00"}"#).as_deref(), Some("😀"));
    }

    /// G5: depth costs no stack, and ends somewhere.
    #[test]
    fn nesting_is_skipped_by_a_loop() {
        let nested = |depth: usize| format!("{{\"email\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(kind(&nested(200)), "ok");
        assert_eq!(kind(&nested(1000)), "json_invalid");
        assert_eq!(kind(&"[".repeat(100_000)), "json_invalid");
        for text in
            [r#"[[[[{{{{\"[[["#, &format!(r#"\"{}"#, "[".repeat(600)), &format!(r#"{}\\"#, "{".repeat(600))]
        {
            assert_eq!(kind(&format!(r#"{{"email":"{text}"}}"#)), "ok", "{text}");
        }
        assert_eq!(
            kind(&format!(r#"{{"a":"\"","b":{}1{}}}"#, "[".repeat(600), "]".repeat(600))),
            "json_invalid"
        );
    }

    #[test]
    fn other_kinds_are_no_objects() {
        for body in ["null", "42", "\"x\"", "[]", "true", " [1] "] {
            assert_eq!(kind(body), "model_attributes_type", "{body}");
        }
    }

    #[test]
    fn offsets_count_characters() {
        let offset = |body: &str| Fields::read(body.as_bytes()).err().map(|detail| detail.loc);
        assert_eq!(offset("{\"ä\": }"), Some(Loc::Offset(6)));
        assert_eq!(offset("{\n\"ä\": x}"), Some(Loc::Offset(7)));
    }

    proptest! {
        /// G2: no panic for any input.
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fields::read(&bytes).map(|fields| fields.get("email").is_ok());
        }

        #[test]
        fn reading_json_like_text_never_panics(text in r#"[{}\[\]":,\\u0-9a-f eE.+-]{0,60}"#) {
            let _ = Fields::read(text.as_bytes()).map(|fields| fields.get("a").is_ok());
        }
    }
}
