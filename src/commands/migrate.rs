//! `doorcode migrate`

use super::CommandError;
use crate::config::Config;
use std::io::Write;
use std::path::Path;

pub(super) async fn run(
    config: &Config,
    data_dir: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let _ = (config, data_dir, out);
    Err(super::run::not_joined("migrate"))
}
