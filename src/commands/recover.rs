//! `doorcode recover`

use super::table::count;
use super::{CommandError, connect, keys};
use crate::config::Config;
use jiff::Timestamp;
use std::io::Write;
use std::path::Path;

pub(super) async fn run(
    restored_to: Timestamp,
    config: &Config,
    data_dir: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let admin = connect::keys(config, data_dir).await?;
    let recovered = admin.recover(restored_to.as_microsecond()).await.map_err(keys::failed)?;
    let (sessions, codes, mails) = (
        count(recovered.sessions, "session"),
        count(recovered.codes, "live code"),
        count(recovered.mails, "mail"),
    );
    writeln!(out, "ended {sessions} and {codes}, dropped {mails} that were due")?;
    if let Some(version) = recovered.refresh_version {
        writeln!(out, "refresh tokens are signed with version {version} now; older ones are worth nothing")?;
    }
    writeln!(
        out,
        "not in this database: tenants and customers added, changed or disabled after {restored_to}"
    )?;
    writeln!(out, "start the replicas now; a replica that ran meanwhile must be restarted")?;
    Ok(())
}
