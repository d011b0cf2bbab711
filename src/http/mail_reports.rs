//! What providers report of addresses, and which of them may.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use doorcode_actors::Directory;
use std::collections::HashMap;
use std::time::Duration;

/// Who may report, and where reports go.
pub(crate) struct MailReports {
    /// Where.
    pub directory: Directory,
    /// For how long an address gets no mail then.
    pub suppression: Duration,
    /// SHA-256 of each provider's secret, by its name.
    secrets: HashMap<String, [u8; 32]>,
}

impl MailReports {
    /// Of these providers, by name and secret.
    pub(crate) fn new<'s>(
        directory: Directory,
        suppression: Duration,
        secrets: impl Iterator<Item = (String, &'s str)>,
    ) -> Self {
        let secrets = secrets.map(|(name, secret)| (name, hashed(secret))).collect();
        Self { directory, suppression, secrets }
    }

    /// Whether somebody who shows this secret speaks for this provider.
    pub(crate) fn may_report(&self, provider: &str, secret: &str) -> bool {
        let known = self.secrets.get(provider);
        known.is_some_and(|known| verify_slices_are_equal(known, &hashed(secret)).is_ok())
    }
}

fn hashed(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}
