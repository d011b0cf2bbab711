//! `admin-key`: its words.

use clap::Subcommand;
use doorcode_actors::directory::Scope;

/// `admin-key`
#[derive(Clone, Debug, Subcommand)]
pub enum AdminKeyCommand {
    /// Make a key; it is shown once
    #[command(after_help = "\
Several may live at once: make the new one, give it to your programs, then revoke the old one.

Examples:
  doorcode admin-key add backend --tenant acme
  doorcode admin-key add monitoring --scope read --days 365
  doorcode admin-key add end-to-end-tests --tenant acme --scope codes:issue")]
    Add {
        /// What you call it
        name: String,
        /// read, write or codes:issue; once for each [default: read and write]
        #[arg(long = "scope", value_name = "SCOPE", default_values = ["read", "write"], hide_default_value = true)]
        scopes: Vec<Scope>,
        /// For this tenant alone [default: all, and tenants themselves]
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
        /// It ends by itself after so many days [default: never]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys: scopes, expiry, last use; never the keys themselves
    #[command(
        after_help = "Example:\n  doorcode admin-key list --json | jq -r '.[] | select(.last_used_at == null) | .key_id'"
    )]
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// End a key, from the next request on
    #[command(after_help = "Example:\n  doorcode admin-key revoke 0123456789abcdef")]
    Revoke {
        /// The part between the first two `_` of the key
        key_id: String,
    },
}
