//! What is wrong with the configuration, told so that it can be mended without reading the source.

use serde::Serialize;
use std::fmt;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Origin {
    /// The compiled-in `config.toml`.
    Default,
    /// The file given with `--config`.
    File {
        /// As given.
        path: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// An environment variable.
    Env {
        /// Its name.
        variable: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Origin::Env { variable } => write!(f, "environment variable {variable}"),
        }
    }
}

/// A setting and what is wrong with it, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `http.listen`
    pub key: String,
    /// What was expected, and never a secret's value.
    pub message: String,
}

impl Problem {
    pub(super) fn new(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into() }
    }

    /// Whether a setting has a part in it: messages name the others.
    pub(super) fn is_about(&self, key: &str) -> bool {
        let section = |key: &str| key.split('.').next().map(str::to_owned);
        let same_key = key.starts_with("master_key.") && section(key) == section(&self.key);
        self.key == key || same_key || self.message.contains(key)
    }
}

/// One mistake with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    pub origin: Origin,
    /// Which setting; empty if the file is not TOML at all.
    pub key: String,
    /// What was expected.
    pub message: String,
    /// The line with a caret under the place.
    #[serde(skip)]
    pub excerpt: Option<Excerpt>,
    /// What stands in `config.toml`.
    pub default: Option<String>,
}

/// A line of the file and the part of it that is meant, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) length: usize,
}

/// Why the configuration is refused: exit code 64.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigError {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        match &self.default {
            Some(default) if self.origin != Origin::Default => write!(f, "\n  = the default is {default}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{margin} |\n{number} | {}", self.text)?;
        write!(f, "{margin} | {}{}", " ".repeat(self.start), "^".repeat(self.length.max(1)))
    }
}
