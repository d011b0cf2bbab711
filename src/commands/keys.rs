//! `doorcode keys`

use super::CommandError;
use super::connect;
use super::table::{Table, count, iso, write_json};
use crate::cli::{KeysCommand, RotatedPurpose};
use crate::config::{Config, MasterKey};
use doorcode_actors::{KeyAdmin, KeyError, KeyFile, KeyInfo, Rotation};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

pub(super) async fn run(
    command: KeysCommand,
    config: &Config,
    data_dir: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    match command {
        KeysCommand::List { json } => {
            let (database, _) = connect::database(config, data_dir)?;
            connect::migrated(&database).await?;
            let keys = KeyAdmin::list(&database)
                .await
                .map_err(|error| CommandError::failed(error.to_string(), ""))?;
            write_list(&keys, json, out)?;
        }
        KeysCommand::Rotate { purpose, emergency } => {
            let admin = connect::keys(config, data_dir).await?;
            let lead = if emergency { Duration::ZERO } else { config.tokens.publish_ahead };
            let rotation = match purpose {
                RotatedPurpose::Signing => admin.rotate_signing(config.tokens.algorithm, lead).await,
                RotatedPurpose::RefreshMac => admin.rotate_refresh(config.tokens.refresh_absolute).await,
            };
            write_rotation(&rotation.map_err(failed)?, out)?;
        }
        KeysCommand::Rewrap { new_master_key_file } => {
            let new = read_key(&new_master_key_file)?;
            let admin = connect::keys(config, data_dir).await?;
            let wrapped = admin.rewrap(new.reveal()).await.map_err(failed)?;
            let (purpose, signing) =
                (count(wrapped.purpose as u64, "purpose key"), count(wrapped.signing as u64, "signing key"));
            writeln!(out, "wrapped {purpose} and {signing} with the new master key; nobody was logged out")?;
            writeln!(out, "now give it to every replica and restart them; keep the old one for old backups")?;
        }
        KeysCommand::Export => {
            let file = connect::keys(config, data_dir).await?.export().await.map_err(failed)?;
            serde_json::to_writer_pretty(&mut *out, &file).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        KeysCommand::Import { file } => {
            let text = io::read_to_string(connect::source(&file)?)?;
            let keys: KeyFile = serde_json::from_str(&text).map_err(|_| {
                CommandError::failed(
                    format!("{} is not what `doorcode keys export` writes", file.display()),
                    "",
                )
            })?;
            let (purpose, signing) =
                connect::keys(config, data_dir).await?.import(&keys).await.map_err(failed)?;
            let (purpose, signing) =
                (count(purpose as u64, "purpose key"), count(signing as u64, "signing key"));
            writeln!(
                out,
                "this cell has {purpose} and {signing} of the other one; replicas know them within 30 s"
            )?;
        }
    }
    Ok(())
}

pub(super) fn failed(error: KeyError) -> CommandError {
    let hint = match error {
        KeyError::Wrap(_) => "is the configured master key the one that `serve` runs with?",
        KeyError::Damaged(_) => "a database that no `doorcode serve` ever ran on has no keys yet",
        _ => "",
    };
    CommandError::failed(error.to_string(), hint)
}

fn read_key(path: &Path) -> Result<MasterKey, CommandError> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| CommandError::failed(format!("{} cannot be read: {error}", path.display()), ""))?;
    MasterKey::parse(&text).ok_or_else(|| {
        CommandError::failed(
            format!("{} holds no master key: expected 32 bytes as base64 or hex", path.display()),
            "`openssl rand -base64 32` makes one",
        )
    })
}

fn write_rotation(rotation: &Rotation, out: &mut dyn Write) -> io::Result<()> {
    let (what, name) = match &rotation.algorithm {
        Some(algorithm) => (format!("{algorithm} key"), &rotation.name),
        None => ("version".to_owned(), &rotation.name),
    };
    let word = if rotation.waited { "waits already" } else { "made" };
    writeln!(out, "{word}: {what} {name}, takes over at {}", iso(rotation.active_us))
}

fn write_list(keys: &[KeyInfo], json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        return write_json(&keys.iter().map(as_json).collect(), out);
    }
    let mut table = Table::new(["PURPOSE", "KID OR VERSION", "ALGORITHM", "STATE", "SINCE", "UNTIL"]);
    for key in keys {
        table.row([
            key.purpose.clone(),
            key.name.clone(),
            key.algorithm.clone().unwrap_or_else(|| "-".to_owned()),
            key.state.as_str().to_owned(),
            iso(key.since_us),
            key.until_us.map_or_else(|| "-".to_owned(), iso),
        ]);
    }
    table.write("no keys yet: the first `doorcode serve` makes them", out)
}

/// Names that scripts may rely on.
fn as_json(key: &KeyInfo) -> Value {
    json!({
        "purpose": key.purpose,
        "name": key.name,
        "algorithm": key.algorithm,
        "state": key.state.as_str(),
        "since": iso(key.since_us),
        "until": key.until_us.map(iso),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_actors::KeyState;

    fn keys() -> Vec<KeyInfo> {
        let us = 1_795_399_200_000_000;
        let key = |purpose: &str, name: &str, algorithm: Option<&str>, state, until_us| KeyInfo {
            purpose: purpose.to_owned(),
            name: name.to_owned(),
            algorithm: algorithm.map(str::to_owned),
            state,
            since_us: us,
            until_us,
        };
        vec![
            key("signing", "kPrK", Some("ES256"), KeyState::Retiring, Some(us + 60_000_000)),
            key("refresh_mac", "1", None, KeyState::Active, None),
        ]
    }

    #[test]
    fn a_listing_is_a_table_or_an_array() {
        let mut out = Vec::new();
        write_list(&keys(), false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let row =
            "signing      kPrK            ES256      retiring  2026-11-23T02:00:00Z  2026-11-23T02:01:00Z\n";
        assert!(text.contains(row), "{text}");
        let mut out = Vec::new();
        write_list(&keys(), true, &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value[0]["state"], "retiring");
        assert_eq!((&value[1]["algorithm"], &value[1]["until"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_rotation_says_when() {
        let mut rotation = Rotation {
            name: "kPrK".to_owned(),
            algorithm: Some("ES256".to_owned()),
            active_us: 1_795_399_200_000_000,
            waited: false,
        };
        let told = |rotation: &Rotation| {
            let mut out = Vec::new();
            write_rotation(rotation, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(&rotation), "made: ES256 key kPrK, takes over at 2026-11-23T02:00:00Z\n");
        rotation.waited = true;
        assert!(told(&rotation).starts_with("waits already: "));
    }
}
