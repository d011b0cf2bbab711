//! `doorcode serve` and `doorcode dev`: until a signal says stop.
//!
//! `out` is buffered: flush it after a line that somebody waits for.

use super::CommandError;
use crate::cli::DevArgs;
use crate::config::Loaded;
use std::io::Write;
use std::path::Path;

pub(super) async fn serve(loaded: Loaded, out: &mut dyn Write) -> Result<(), CommandError> {
    loaded.check_for_serve()?;
    let _ = out;
    Err(not_joined("serve"))
}

pub(super) async fn dev(
    loaded: Loaded,
    args: &DevArgs,
    data_dir: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let _ = (loaded, args, data_dir, out);
    Err(not_joined("dev"))
}

/// Stands where a part is still to be joined.
pub(super) fn not_joined(what: &str) -> CommandError {
    CommandError::failed(format!("{what} is not part of this build"), "")
}
