//! `doorcode migrate`

use super::{CommandError, connect};
use crate::config::Config;
use std::io::Write;
use std::path::Path;

pub(super) async fn run(
    config: &Config,
    role_settings: bool,
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
    if role_settings {
        let set = doorcode_actors::set_role_settings(&database).await;
        set.map_err(|error| CommandError::failed(error.to_string(), ""))?;
        writeln!(
            out,
            "the role has the settings of `serve`: let the pooler reconnect (PgBouncer: RECONNECT)"
        )?;
    }
    Ok(())
}
