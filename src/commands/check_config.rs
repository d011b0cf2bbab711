//! `doorcode check-config`

use super::table::{Table, write_json};
use super::{CommandError, environment};
use crate::config::{Config, Loaded};
use serde_json::json;
use std::io::Write;
use std::path::Path;

pub(super) fn run(
    file: Option<&Path>,
    serve: bool,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let loaded = match serve {
        true => Config::load_for_serve(file, environment()),
        false => Config::load(file, environment()),
    };
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
    let unfit = loaded.unfit_for_serve();
    if !unfit.is_empty() {
        writeln!(out, "note: fit for `dev`; `serve` also wants {} (check-config --serve)", unfit.join(", "))?;
    }
    Ok(())
}
