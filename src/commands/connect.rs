//! The way from the settings to the database, for commands that administer it.

use super::CommandError;
use crate::config::Config;
use doorcode_actors::Directory;
use std::path::Path;

/// Opens the directory of the configured database, or of the one that `dev` runs in `data_dir`.
pub(super) async fn directory(config: &Config, data_dir: Option<&Path>) -> Result<Directory, CommandError> {
    let _ = (config, data_dir);
    Err(super::run::not_joined("the directory"))
}
