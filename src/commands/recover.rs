//! `doorcode recover`

use super::CommandError;
use crate::config::Config;
use jiff::Timestamp;
use std::io::Write;
use std::path::Path;

pub(super) async fn run(
    config: &Config,
    data_dir: Option<&Path>,
    restored_to: Timestamp,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let _ = (config, data_dir, restored_to, out);
    Err(super::run::not_joined("recover"))
}
