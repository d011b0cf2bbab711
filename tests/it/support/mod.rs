//! What the tests stand on.

pub(crate) mod app;
pub(crate) mod chaos;
pub(crate) mod client;
pub(crate) mod haproxy;
pub(crate) mod openapi;
pub(crate) mod pair;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod town;
pub(crate) mod wire;

pub(crate) use app::{TestApp, Tokens, Visitor, another_code};

/// Longer than anything here takes, shorter than a patient person.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Whether a mail of this subject is a notice of ten failed guesses. It comes within some seconds of them, or after the test,
/// so those that count mails leave it out.
pub(crate) fn tells_of_guesses(subject: &str) -> bool {
    subject.contains("tried to log in")
}

/// The Python that has what the tests' programs import.
pub(crate) fn python() -> std::path::PathBuf {
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
