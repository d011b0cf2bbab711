//! What the tests stand on.
#![allow(dead_code, reason = "helpers for all topics; not every build of the tests uses all of them")]

pub mod app;
pub mod chaos;
pub mod client;
pub mod haproxy;
pub mod openapi;
pub mod pair;
pub mod postgres;
pub mod process;
pub mod smtp_sink;
pub mod town;
pub mod wire;

pub use app::{TestApp, Tokens, Visitor, another_code};

/// Longer than anything here takes, shorter than a patient person.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The Python that has what the tests' programs import.
pub fn python() -> std::path::PathBuf {
    let beside_the_build = || std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("../pyjwt/bin/python");
    let python = std::env::var_os("DOORCODE_TEST_PYTHON").map_or_else(beside_the_build, Into::into);
    let missing = "there is no Python with the tests' packages at";
    assert!(
        python.exists(),
        "{missing} {}: ./bin/test makes one, or set DOORCODE_TEST_PYTHON",
        python.display()
    );
    python
}
