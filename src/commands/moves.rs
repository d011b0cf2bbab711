//! `doorcode tenant export` and `import`

use super::table::count;
use super::{CommandError, connect, keys};
use crate::config::Config;
use doorcode_actors::Directory;
use doorcode_actors::directory::Cell;
use std::fs::OpenOptions;
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What of the configured cell a move depends on.
pub(super) async fn cell(config: &Config, data_dir: Option<&Path>) -> Result<Cell, CommandError> {
    let marks = connect::keys(config, data_dir).await?.marks().await.map_err(keys::failed)?;
    Ok(Cell { issuer: config.public_url.as_str().to_owned(), keys: marks })
}

pub(super) async fn export(
    directory: &Directory,
    cell: &Cell,
    slug: &str,
    output: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let rows;
    if let Some(path) = output {
        // addresses are in it
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
                CommandError::failed(
                    format!("{} cannot be made: {error}", path.display()),
                    "the tenant is as it was",
                )
            })?;
        let mut file = BufWriter::new(file);
        let exported = directory.export_tenant(slug, cell, &mut file).await;
        if exported.is_err() {
            let _ = std::fs::remove_file(path);
        }
        rows = exported?;
        file.get_ref().sync_all()?;
    } else if io::stdout().is_terminal() {
        return Err(CommandError::failed(
            "a tenant is not written to a terminal",
            "--output FILE, or a pipe to `doorcode tenant import -` of the other cell",
        ));
    } else {
        rows = directory.export_tenant(slug, cell, &mut BufWriter::new(out)).await?;
    }
    let rows = count(rows, "row");
    let told = format!(
        "exported tenant {slug}: {rows}; it is frozen, its calls get 503 until its host leads to the other cell"
    );
    // the file itself may be standard output
    Ok(writeln!(io::stderr(), "{told}")?)
}

pub(super) async fn import(
    directory: &Directory,
    cell: &Cell,
    file: &Path,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let lines = BufReader::new(connect::source(file)?);
    let (slug, rows) = directory.import_tenant(cell, lines).await?;
    match rows {
        Some(rows) => writeln!(
            out,
            "imported tenant {slug}: {}; now lead its host here, and never unfreeze it in the cell it came from",
            count(rows, "row")
        )?,
        None => writeln!(out, "tenant {slug} is here already; nothing was changed")?,
    }
    Ok(())
}
