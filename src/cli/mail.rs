//! `mail`: its words.

use clap::Subcommand;
use std::path::PathBuf;

/// `mail`
#[derive(Clone, Debug, Subcommand)]
pub enum MailCommand {
    /// Send a sample mail by each provider, and say how far it came
    #[command(after_help = "\
The code in it is worth nothing. What went wrong names the step: name and TCP, TLS, greeting, login, sender, recipient, \
content; of a hook: connection or status.

Example:
  doorcode mail test you@acme.com --config doorcode.toml")]
    Test {
        /// Who gets it
        to: String,
    },
    /// Write every mail in every language as files, with a page that shows all of them
    #[command(after_help = "\
With `mail.templates` set, your own templates, checked as `serve` checks them.

Example:
  doorcode mail preview /tmp/mails
  xdg-open /tmp/mails/index.html")]
    Preview {
        /// Made if it is not there; files in it are overwritten
        dir: PathBuf,
        /// Whose templates, and the name in the mails
        #[arg(long, value_name = "SLUG", default_value = "acme")]
        tenant: String,
    },
}
