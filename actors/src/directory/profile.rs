//! What a tenant's own system knows of a customer: its id there, its language, its claims.

use super::DirectoryError;
use serde_json::{Map, Value};
use std::str::FromStr;
use thiserror::Error;
use tokio_postgres::Row;

/// Why a profile was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// Visible ASCII, no mail address (events name it), and no name that HTTP clients resolve in a path.
    #[error("an external_id has 1 to 128 visible ASCII characters without @, and is not `.` or `..`")]
    ExternalId,
    /// A language tag, loosely: what it names is looked up later.
    #[error("a locale is a language tag like de or pt-BR")]
    Locale,
    /// See [`Claims`].
    #[error("claims are a JSON object of at most 2 KiB, without U+0000 and numbers with an exponent")]
    Claims,
}

/// A customer's id in the tenant's own system; unique in the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalId(String);

impl ExternalId {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExternalId {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
        if fits && !matches!(text, "." | "..") {
            Ok(Self(text.to_owned()))
        } else {
            Err(ProfileError::ExternalId)
        }
    }
}

/// The language of a customer's mails (BCP 47, at most four subtags).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locale(String);

impl Locale {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Locale {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let mut subtags = text.split('-');
        let fits = subtags.clone().count() <= 4
            && subtags.all(|tag| {
                (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(ProfileError::Locale) }
    }
}

/// A JSON object of at most 2 KiB as PostgreSQL writes it: with a space behind each comma and colon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Refuses what the table could not hold.
    pub fn new(claims: Map<String, Value>) -> Result<Self, ProfileError> {
        let fits = members_len(&claims).is_some_and(|length| length <= CLAIMS_MAX);
        if fits { Ok(Self(claims)) } else { Err(ProfileError::Claims) }
    }

    /// Its members.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(super) fn to_sql(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// Also a constraint of the table.
const CLAIMS_MAX: usize = 2048;

/// Bytes of a value as PostgreSQL writes it; `None`: it cannot hold it (U+0000), or writes it much longer (1e300).
fn written_len(value: &Value) -> Option<usize> {
    match value {
        Value::Null | Value::Bool(_) => Some(value.to_string().len()),
        Value::Number(number) => {
            Some(number.to_string()).filter(|text| !text.contains('e')).map(|text| text.len())
        }
        Value::String(text) => (!text.contains('\0')).then(|| value.to_string().len()),
        Value::Array(items) => items.iter().try_fold(2, |length, item| Some(length + written_len(item)? + 2)),
        Value::Object(members) => members_len(members),
    }
}

fn members_len(members: &Map<String, Value>) -> Option<usize> {
    members.iter().try_fold(2, |length, (name, value)| {
        let name = Value::String(name.clone());
        Some(length + written_len(&name)? + 2 + written_len(value)? + 2)
    })
}

impl FromStr for Claims {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        serde_json::from_str(text).map_err(|_| ProfileError::Claims).and_then(Self::new)
    }
}

/// All of it. Default: nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// `None`: the tenant's system does not know this customer.
    pub external_id: Option<ExternalId>,
    /// `None`: unknown.
    pub locale: Option<Locale>,
    /// See [`Claims`].
    pub claims: Claims,
}

impl Profile {
    /// From the columns external_id, locale and claims (as text), which begin at `first`.
    pub(super) fn read(row: &Row, first: usize) -> Result<Self, DirectoryError> {
        let claims: &str = row.try_get(first + 2)?;
        Ok(Self {
            external_id: row.try_get::<_, Option<String>>(first)?.map(ExternalId),
            locale: row.try_get::<_, Option<String>>(first + 1)?.map(Locale),
            claims: Claims(serde_json::from_str(claims).unwrap_or_default()),
        })
    }

    pub(super) fn external_id(&self) -> Option<&str> {
        self.external_id.as_ref().map(ExternalId::as_str)
    }

    pub(super) fn locale(&self) -> Option<&str> {
        self.locale.as_ref().map(Locale::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for good in ["1", "user_42", "auth0|a/b?c", "ABC-1.2"] {
            assert!(good.parse::<ExternalId>().is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a@b.c", "ä", ".", "..", "a\n", &"x".repeat(129)] {
            assert!(bad.parse::<ExternalId>().is_err(), "{bad}");
        }
        for good in ["de", "pt-BR", "zh-Hant-TW"] {
            assert!(good.parse::<Locale>().is_ok(), "{good}");
        }
        for bad in ["", "de_DE", "a-b-c-d-e", "toolongtag", "de-", "é"] {
            assert!(bad.parse::<Locale>().is_err(), "{bad}");
        }
        assert!(r#"{"plan":"pro"}"#.parse::<Claims>().is_ok());
        for bad in [
            "",
            "[]",
            "null",
            r#"{"a":1e300}"#,
            r#"{"a":"\u0000"}"#,
            &format!(r#"{{"a":"{}"}}"#, "x".repeat(2048)),
        ] {
            assert!(bad.parse::<Claims>().is_err(), "{bad}");
        }
    }
}
