//! `doorcode keys`

use super::CommandError;
use crate::cli::KeysCommand;
use crate::config::Config;
use std::io::Write;
use std::path::Path;

pub(super) async fn run(
    config: &Config,
    data_dir: Option<&Path>,
    command: KeysCommand,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let _ = (config, data_dir, command, out);
    Err(super::run::not_joined("keys"))
}
