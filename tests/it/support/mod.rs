//! What the tests stand on.
#![allow(dead_code, reason = "helpers for all topics; not every build of the tests uses all of them")]

pub mod app;
pub mod chaos;
pub mod client;
pub mod openapi;
pub mod pair;
pub mod postgres;
pub mod process;
pub mod smtp_sink;
pub mod wire;

pub use app::{TestApp, Tokens, Visitor, another_code};

/// Longer than anything here takes, shorter than a patient person.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
