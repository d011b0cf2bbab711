//! Rules that hold between settings, and the ones that only production has.

use super::Config;
use super::error::Problem;
use doorcode_actors::TlsMode;
use doorcode_domain::Email;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// The longest life of a code (STANDARDS A3); also where NIST SP 800-63B-4 draws the line.
const LONGEST_CODE_LIFE: Duration = Duration::from_secs(600);
/// A code is mailed again only with 120 s to live; below this it could hardly ever be.
const SHORTEST_CODE_LIFE: Duration = Duration::from_secs(180);
/// Below this the published key set would grow long.
const SHORTEST_KEY_LIFE: Duration = Duration::from_secs(3_600);
const NIST_SESSION: Duration = Duration::from_secs(30 * 86_400);

impl Config {
    /// What cannot be meant, in any mode.
    pub(super) fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Problems(Vec::new());
        problems.unless(
            (SHORTEST_CODE_LIFE..=LONGEST_CODE_LIFE).contains(&self.codes.life),
            "codes.life",
            "expected 180s to 600s: no code may live longer than 10 minutes",
        );
        problems.unless(
            self.http.listen != self.ops.listen || self.http.listen.port() == 0,
            "ops.listen",
            "expected an address of its own: the ops listener never shares the public port",
        );
        problems.unless(
            self.database.statement_timeout <= self.http.request_deadline,
            "database.statement_timeout",
            "expected at most http.request_deadline: nobody waits for a later answer",
        );
        problems.unless(
            self.http.login_grid <= self.http.request_deadline,
            "http.login_grid",
            "expected at most http.request_deadline: 20ms is enough where logins take less",
        );
        problems.unless(
            self.database.max_in_flight < self.database.pool_size,
            "database.max_in_flight",
            "expected fewer than database.pool_size: mail and refreshes need connections too",
        );
        problems.unless(
            self.mail.deadline < self.mail.lease,
            "mail.deadline",
            "expected less than mail.lease: a mail handed over after its lease is sent twice",
        );
        problems.unless(
            self.mail.workers <= self.mail.workers_max,
            "mail.workers",
            "expected at most mail.workers_max",
        );
        problems.unless(
            self.tokens.refresh_idle <= self.tokens.refresh_absolute,
            "tokens.refresh_idle",
            "expected at most tokens.refresh_absolute",
        );
        problems.unless(
            self.tokens.retry_window < self.tokens.refresh_idle,
            "tokens.retry_window",
            "expected less than tokens.refresh_idle",
        );
        problems.unless(
            self.tokens.key_rotation >= SHORTEST_KEY_LIFE,
            "tokens.key_rotation",
            "expected at least 1h: every key is published for more than an hour after it has signed",
        );
        problems.unless(
            self.limits.address.cooldown <= self.limits.address.refill,
            "limits.address.cooldown",
            "expected at most limits.address.refill",
        );
        let from = self.mail.from.as_deref();
        problems.unless(
            from.is_none_or(|from| Email::parse(from).is_ok()),
            "mail.from",
            "expected a plain address such as login@acme.com, without a name",
        );
        self.check_relay(&mut problems);
        problems.0
    }

    fn check_relay(&self, problems: &mut Problems) {
        let smtp = &self.mail.smtp;
        problems.unless(
            smtp.username.is_some() == smtp.password.is_some(),
            if smtp.username.is_some() { "mail.smtp.password" } else { "mail.smtp.username" },
            "expected username and password, or neither",
        );
        problems.unless(
            smtp.tls != TlsMode::None || smtp.password.is_none() || self.mail.smtp.is_local(),
            "mail.smtp.tls",
            "expected \"starttls\" or \"implicit\": a password would travel in the clear",
        );
    }

    /// What `dev` makes itself and `serve` must be given.
    pub(super) fn missing_for_serve(&self) -> Vec<Problem> {
        let mut problems = Problems(Vec::new());
        problems.unless(
            !self.public_url.is_example(),
            "public_url",
            "expected your own host: this one is an example. Set it, or DOORCODE__PUBLIC_URL",
        );
        problems.unless(
            self.database.url.is_some(),
            "database.url",
            "expected where Postgres is, such as postgres://user:password@host:5432/doorcode. Set it, or DATABASE_URL",
        );
        problems.unless(
            self.master_key.key.is_some(),
            "master_key.file",
            "expected the master key: set this, or DOORCODE__MASTER_KEY__VALUE. `openssl rand -base64 32` makes one",
        );
        problems.unless(
            self.mail.smtp.host.is_some(),
            "mail.smtp.host",
            "expected a mail relay: without one nobody gets a code. Set it, or DOORCODE__MAIL__SMTP__HOST",
        );
        problems.unless(
            self.mail.from.is_some(),
            "mail.from",
            "expected the sender's address, such as login@acme.com. Set it, or DOORCODE__MAIL__FROM",
        );
        problems.0
    }

    /// What is allowed but must be said aloud at every start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let limits = [
            ("client", self.limits.client.enabled),
            ("tenant", self.limits.tenant.enabled),
            ("address", self.limits.address.enabled),
        ];
        for (name, _) in limits.iter().filter(|(_, enabled)| !enabled) {
            warnings.push(format!("limits.{name} is OFF: for load runs only, never in front of customers"));
        }
        if self.http.login_grid.is_zero() {
            warnings.push(
                "http.login_grid is OFF: whoever measures answers of /login can tell who is a customer"
                    .to_owned(),
            );
        }
        if self.tokens.refresh_absolute > NIST_SESSION {
            warnings.push(
                "tokens.refresh_absolute is above 30 days, the most that NIST SP 800-63B-4 advises"
                    .to_owned(),
            );
        }
        if self.mail.smtp.tls == TlsMode::None && !self.mail.smtp.is_local() {
            warnings.push("mail.smtp.tls is \"none\": codes travel to the relay in the clear".to_owned());
        }
        if let Some(path) = self.master_key.file.as_deref().filter(|path| everybody_reads(path)) {
            warnings.push(format!("{} can be read by everybody: chmod 400 it", path.display()));
        }
        if self.http.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
            warnings
                .push("http.trusted_proxies trusts everybody: clients choose their own address".to_owned());
        }
        warnings
    }
}

fn everybody_reads(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
}

struct Problems(Vec<Problem>);

impl Problems {
    fn unless(&mut self, holds: bool, key: &str, message: &str) {
        if !holds {
            self.0.push(Problem::new(key, message));
        }
    }
}
