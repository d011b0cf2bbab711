//! What follows when guesses are spent: a setting, a column, a word of the command line.

use serde::Deserialize;

/// What follows when a lane's digit budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepUp {
    /// Wait for the refill.
    Digits,
    /// Codes of six Crockford base32 characters.
    Base32,
}

impl StepUp {
    /// As kept in the database.
    pub fn to_sql(self) -> i16 {
        match self {
            StepUp::Digits => 0,
            StepUp::Base32 => 1,
        }
    }

    /// From the database; anything but 0 steps up.
    pub fn from_sql(value: i16) -> Self {
        if value == 0 { StepUp::Digits } else { StepUp::Base32 }
    }

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            StepUp::Digits => "digits",
            StepUp::Base32 => "base32",
        }
    }
}
