//! `keys`: its words.

use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

/// `keys`
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// List all keys and where they stand; never the keys themselves
    #[command(after_help = "\
A signing key is `next` (published, so that everybody who verifies has it before it signs), `active`, `retiring` \
(published until its last token has expired), then gone.

Examples:
  doorcode keys list
  doorcode keys list --json | jq -r '.[] | select(.purpose == \"signing\") | .name'")]
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Make the key that follows the present one; says when it takes over
    #[command(after_help = "\
Signing keys rotate by themselves (`tokens.key_rotation`); this does it out of turn. Nobody is logged out, no token \
becomes invalid. If a key waits already, nothing is made. A new signing key takes over after `tokens.publish_ahead`; in an \
emergency after 10.5 minutes, before a key that waits: whoever keeps the key set for longer than 300 s then refuses tokens \
until they fetch it anew.

Examples:
  doorcode keys rotate
  doorcode keys rotate --emergency
  doorcode keys rotate --purpose refresh_mac")]
    Rotate {
        /// Which: the key of access tokens, or the one of refresh tokens
        #[arg(long, value_enum, default_value_t = RotatedPurpose::Signing)]
        purpose: RotatedPurpose,
        /// Do not wait for verifiers that keep old key sets
        #[arg(long, conflicts_with = "purpose")]
        emergency: bool,
    },
    /// Wrap every key with a new master key; nobody is logged out
    #[command(after_help = "\
The settings name the master key of now, FILE the new one. Then give the new one to every replica and restart them, one \
after the other: until then a replica goes on with the keys in its memory, and complains in its log.

Example:
  openssl rand -base64 32 > new.key
  doorcode keys rewrap --new-master-key-file new.key")]
    Rewrap {
        /// 32 bytes as base64 or hex
        #[arg(long, value_name = "FILE")]
        new_master_key_file: PathBuf,
    },
    /// Write all keys, wrapped by the master key, for another cell
    #[command(after_help = "\
Cells share purpose keys, and publish each other's signing keys, so that tenants can move between them (docs/SCALING.md). The file \
is worth as much as the master key is secret.

Example:
  doorcode keys export | ssh cell2 doorcode keys import -")]
    Export,
    /// Take over another cell's purpose keys, and publish its signing keys
    #[command(after_help = "\
Once before the first `serve` of a new cell, then at least weekly in both directions, and after `keys rotate`. The master key must \
be the same. In a cell that has tenants, purpose keys must be the same already; new versions are added.

Example:
  doorcode keys import keys.json")]
    Import {
        /// What `keys export` wrote, or - for standard input
        file: PathBuf,
    },
}

/// `keys rotate --purpose`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RotatedPurpose {
    /// Signs access tokens.
    Signing,
    /// Signs refresh tokens.
    RefreshMac,
}
