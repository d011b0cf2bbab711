//! `doorcode check-config`

use super::table::{Table, write_json};
use super::{CommandError, environment};
use crate::config::{Config, ConfigError, Loaded};
use serde_json::json;
use std::io::Write;
use std::path::Path;

pub(super) fn run(
    file: Option<&Path>,
    serve: bool,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let loaded = Config::load(file, environment()).and_then(|loaded| {
        if serve {
            loaded.check_for_serve()?;
        }
        Ok(loaded)
    });
    match loaded {
        Ok(loaded) => write(&loaded, json, out),
        Err(error) => {
            if json {
                write_json(&json!(error), out)?;
            }
            Err(error.into())
        }
    }
}

fn write(loaded: &Loaded, json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
    let warnings = loaded.config.warnings();
    if json {
        return Ok(write_json(&json!({ "settings": loaded.settings(), "warnings": warnings }), out)?);
    }
    let mut table = Table::new(["SETTING", "VALUE", "FROM"]);
    for setting in loaded.settings() {
        table.row([setting.key.clone(), setting.shown(), setting.origin.to_string()]);
    }
    table.write("", out)?;
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    if let Err(ConfigError { faults }) = loaded.check_for_serve() {
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        writeln!(out, "note: fit for `dev`; `serve` also wants {} (check-config --serve)", keys.join(", "))?;
    }
    Ok(())
}
