//! `doorcode admin-key`

use super::CommandError;
use super::table::{Table, iso, write_json};
use crate::cli::AdminKeyCommand;
use crate::views;
use doorcode_actors::Directory;
use doorcode_actors::directory::{AdminKeyEntry, NewAdminKey};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

pub(super) async fn run(
    directory: &Directory,
    command: AdminKeyCommand,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    match command {
        AdminKeyCommand::Add { name, scopes, tenant, days, json } => {
            let life = days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
            let (entry, text) = directory.add_admin_key(&NewAdminKey { name, scopes, tenant, life }).await?;
            if json {
                let mut value = views::admin_key(&entry);
                value["key"] = json!(*text);
                return Ok(write_json(&value, out)?);
            }
            writeln!(out, "added admin key {}. It is shown this once:\n{}", entry.key_id, *text)?;
        }
        AdminKeyCommand::List { json } => {
            let keys = directory.admin_keys(None).await?;
            if json {
                return Ok(write_json(&keys.iter().map(views::admin_key).collect(), out)?);
            }
            table(&keys).write("no admin keys yet; `doorcode admin-key add NAME` makes one", out)?;
        }
        AdminKeyCommand::Revoke { key_id } => {
            directory.revoke_admin_key(&key_id).await?;
            writeln!(out, "revoked admin key {key_id}")?;
        }
    }
    Ok(())
}

fn table(keys: &[AdminKeyEntry]) -> Table<7> {
    let mut table = Table::new(["KEY ID", "NAME", "SCOPES", "TENANT", "CREATED", "EXPIRES", "LAST USED"]);
    let time = |us: Option<i64>| us.map_or_else(|| "never".to_owned(), iso);
    for key in keys {
        table.row([
            key.key_id.clone(),
            key.name.clone(),
            key.scopes.join(","),
            key.tenant.clone().unwrap_or_else(|| "all".to_owned()),
            iso(key.created_us),
            time(key.expires_us),
            time(key.last_used_us),
        ]);
    }
    table
}
