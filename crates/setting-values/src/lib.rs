//! Values that settings have and TOML has no type for. Each says what it expects; none of the secret ones says what it
//! got.

use jiff::{Span, SpanRelativeTo};
use serde::de::{Deserialize, Deserializer, Error};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use zeroize::Zeroizing;

/// "500ms", "4h 48m", "7d": jiff's friendly format, with days of 24 hours. Never zero. For `deserialize_with`.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    span(&text).filter(|duration| !duration.is_zero()).ok_or_else(|| {
        D::Error::custom("expected a duration above zero such as \"500ms\", \"30s\", \"4h 48m\" or \"7d\"")
    })
}

/// The same, and "0s" for what can be switched off. For `deserialize_with`.
pub fn duration_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    span(&text).ok_or_else(|| D::Error::custom("expected a duration such as \"20ms\", or \"0s\" for none"))
}

fn span(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()
}

/// `""` means: not set. For `deserialize_with`.
pub fn optional<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T::Err: fmt::Display,
{
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

/// Text that stays out of logs: `Debug` shows nothing of it, its memory is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
