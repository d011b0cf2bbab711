//! Settings for unit tests: what `config.toml` says, for the test to change field by field.

use crate::settings::DatabaseSettings;
use serde::de::DeserializeOwned;
use std::num::NonZeroUsize;
use std::time::Duration;
use toml::{Table, Value};

/// A section, such as `mail.smtp`.
pub(crate) fn section<T: DeserializeOwned>(name: &str) -> T {
    let defaults: Table = include_str!("../../config.toml").parse().unwrap();
    let section = name.split('.').fold(Value::Table(defaults), |table, name| table[name].clone());
    section.try_into().unwrap()
}

/// Two connections to a database, and patience: a busy machine is slow, not wrong.
pub(crate) fn database(url: &str) -> DatabaseSettings {
    let patience = Duration::from_secs(30);
    DatabaseSettings {
        url: Some(url.parse().unwrap()),
        pool_size: NonZeroUsize::new(2).unwrap(),
        create_timeout: patience,
        wait_timeout: patience,
        statement_timeout: patience,
        lock_timeout: patience,
        ..section("database")
    }
}
