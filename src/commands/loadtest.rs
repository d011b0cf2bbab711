//! `doorcode loadtest`

use super::CommandError;
use crate::loadtest::{self, LoadArgs, Progress};
use std::io::Write;

pub(super) async fn run(args: LoadArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    let json = args.json;
    let options = args.into_options().map_err(|error| CommandError::failed(error.to_string(), ""))?;
    // the driver has a runtime of its own
    let report = tokio::task::spawn_blocking(move || loadtest::run(options, Progress::stderr()))
        .await
        .map_err(|error| CommandError::failed(error.to_string(), ""))?
        .map_err(|error| CommandError::failed(error.to_string(), ""))?;
    if json {
        report.write_json(out)?
    } else {
        report.write_text(out)?
    }
    if report.ok { Ok(()) } else { Err(CommandError::failed("the run was not clean", "the report says why")) }
}
