//! `doorcode migrate`

use super::{CommandError, connect};
use crate::config::Config;
use std::io::Write;
use std::path::Path;

pub(super) async fn run(
    config: &Config,
    data_dir: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let (database, _) = connect::database(config, data_dir)?;
    let applied = doorcode_actors::migrate(&database)
        .await
        .map_err(|error| CommandError::failed(error.to_string(), ""))?;
    match applied {
        0 => writeln!(out, "the database is up to date")?,
        1 => writeln!(out, "applied 1 migration")?,
        more => writeln!(out, "applied {more} migrations")?,
    }
    Ok(())
}
