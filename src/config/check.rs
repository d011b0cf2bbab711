//! Rules that hold between settings, and the ones that only production has.

use super::error::Problem;
use super::{Config, MasterKey};
use doorcode_actors::{DatabaseUrl, ProviderSettings, SmtpSettings, TlsMode};
use doorcode_domain::{Email, EmailError};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Characters of a secret that is shown as a bearer token.
const REPORT_SECRET_MIN: usize = 32;
/// The longest life of a code (STANDARDS A3); also where NIST SP 800-63B-4 draws the line.
const LONGEST_CODE_LIFE: Duration = Duration::from_secs(600);
/// A code is mailed again only with 120 s to live; below this it could hardly ever be.
const SHORTEST_CODE_LIFE: Duration = Duration::from_secs(180);
/// Below this the published key set would grow long.
const SHORTEST_KEY_LIFE: Duration = Duration::from_secs(3_600);
/// Above what a key must be published before it signs, whoever keeps the key set no longer than told.
const SHORTEST_PUBLISH_AHEAD: Duration = Duration::from_secs(660);
/// An access token lives an hour: this leaves a repeated refresh most of it.
const LONGEST_RETRY_WINDOW: Duration = Duration::from_secs(600);
/// What stays of a lease after the longest try: the try's end is noted in it, by a clock that may differ.
const SHORTEST_LEASE_REST: Duration = Duration::from_secs(1);
/// PostgreSQL takes its timeouts as 32 bits of ms; far below.
const LONGEST_REQUEST: Duration = Duration::from_secs(600);
/// Per second, minute or hour.
const FINEST_RATE: u32 = 1_000_000;
const LONGEST_TENANT_REFILL_S: u64 = 86_400;
const LONGEST_ADDRESS_REFILL: Duration = Duration::from_secs(365 * 86_400);
/// A tenant is three series; a Prometheus that keeps all replicas' should not notice them.
const MOST_TENANT_METRICS: usize = 100;
const NIST_SESSION: Duration = Duration::from_secs(30 * 86_400);

impl Config {
    /// What cannot be meant, in any mode.
    pub(super) fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Problems(Vec::new());
        self.check_listeners(&mut problems);
        self.check_times(&mut problems);
        self.check_mail(&mut problems);
        self.check_providers(&mut problems);
        self.check_tokens(&mut problems);
        self.check_rates(&mut problems);
        problems.unless(
            (SHORTEST_CODE_LIFE..=LONGEST_CODE_LIFE).contains(&self.codes.life),
            "codes.life",
            "expected 180s to 600s: no code may live longer than 10 minutes",
        );
        problems.unless(
            self.database.max_in_flight < self.database.pool_size,
            "database.max_in_flight",
            "expected fewer than database.pool_size: mail and refreshes need connections too",
        );
        problems.0
    }

    fn check_listeners(&self, problems: &mut Problems) {
        problems.unless(
            self.http.listen != self.ops.listen || self.http.listen.port() == 0,
            "ops.listen",
            "expected an address of its own: the ops listener never shares the public port",
        );
        let taken = |address: SocketAddr| {
            (address == self.http.listen || address == self.ops.listen) && address.port() != 0
        };
        problems.unless(
            !self.admin.listen.is_some_and(taken),
            "admin.listen",
            "expected an address of its own, or \"\" for the ops listener's",
        );
        problems.unless(
            self.ops.tenant_metrics <= MOST_TENANT_METRICS,
            "ops.tenant_metrics",
            "expected 0 to 100: each tenant is three series of every replica",
        );
        problems.unless(
            !covers_the_internet(&self.http.trusted_proxies),
            "http.trusted_proxies",
            "expected your proxies' own networks: these cover so much of the internet that clients choose their own \
             address, and so their own limits",
        );
    }

    fn check_mail(&self, problems: &mut Problems) {
        problems.unless(
            self.mail.deadline.saturating_add(SHORTEST_LEASE_REST) <= self.mail.lease,
            "mail.deadline",
            "expected less than mail.lease by a second or more: a mail handed over after its lease is sent twice",
        );
        problems.unless(
            self.mail.workers <= self.mail.workers_max,
            "mail.workers",
            "expected at most mail.workers_max",
        );
        let from =
            self.mail.from.as_deref().map(|from| Email::parse_with(from, self.mail.special_use_domains));
        if let Some(Err(reason)) = from {
            let more = if reason == EmailError::SpecialUse {
                " mail.special_use_domains takes some of them"
            } else {
                ""
            };
            let expected = "expected a plain address such as login@acme.com, without a name";
            problems.unless(false, "mail.from", &format!("{expected}: {reason}{more}"));
        }
    }

    fn check_providers(&self, problems: &mut Problems) {
        let configured = self.mail.configured();
        for name in &self.mail.order {
            let is_known =
                ["smtp", "hook"].contains(&name.as_str()) || self.mail.providers.contains_key(name);
            problems.unless(
                is_known,
                "mail.order",
                "expected names of providers: smtp, hook, or of [mail.providers.NAME]",
            );
        }
        check_relay("mail.smtp", &self.mail.smtp, problems);
        for (name, settings) in &self.mail.providers {
            if let ProviderSettings::Smtp(smtp) = settings {
                check_relay(&format!("mail.providers.{name}"), smtp, problems);
            }
        }
        for (name, settings) in configured {
            let timeout = match &settings {
                ProviderSettings::Smtp(smtp) => smtp.timeout,
                ProviderSettings::Hook(hook) => hook.timeout,
            };
            let section = if name == "smtp" || name == "hook" { name } else { format!("providers.{name}") };
            problems.unless(
                timeout <= self.mail.deadline,
                &format!("mail.{section}.timeout"),
                "expected at most mail.deadline: a mail is given up then",
            );
            problems.unless(
                settings.report_secret().is_none_or(|secret| secret.reveal().len() >= REPORT_SECRET_MIN),
                &format!("mail.{section}.report_secret"),
                "expected 32 characters or more: `openssl rand -base64 32` makes some",
            );
        }
    }

    fn check_tokens(&self, problems: &mut Problems) {
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
            self.tokens.retry_window <= LONGEST_RETRY_WINDOW,
            "tokens.retry_window",
            "expected at most 10m: a repeat gets the first answer again, whose access token ages meanwhile, and a stolen \
             token is noticed only after it",
        );
        problems.unless(
            self.tokens.key_rotation >= SHORTEST_KEY_LIFE,
            "tokens.key_rotation",
            "expected at least 1h: every key is published for more than an hour after it has signed",
        );
        problems.unless(
            (SHORTEST_PUBLISH_AHEAD..=self.tokens.key_rotation).contains(&self.tokens.publish_ahead),
            "tokens.publish_ahead",
            "expected 11m to tokens.key_rotation: verifiers have a key before it signs, and it is followed while it does",
        );
    }

    /// What a request waits for ends while somebody waits.
    fn check_times(&self, problems: &mut Problems) {
        problems.unless(
            self.http.request_deadline <= LONGEST_REQUEST,
            "http.request_deadline",
            "expected at most 10m: nobody waits longer, and what is in flight holds memory and a place",
        );
        problems.unless(
            self.http.login_grid <= self.http.request_deadline,
            "http.login_grid",
            "expected at most http.request_deadline: 20ms is enough where logins take less",
        );
        for (key, time) in [
            ("database.statement_timeout", self.database.statement_timeout),
            ("database.lock_timeout", self.database.lock_timeout),
            ("database.wait_timeout", self.database.wait_timeout),
        ] {
            problems.unless(
                time <= self.http.request_deadline,
                key,
                "expected at most http.request_deadline: nobody waits for a later answer",
            );
        }
    }

    /// Rates that the clocks can tell apart, and budgets whose sums fit: time is counted in µs.
    fn check_rates(&self, problems: &mut Problems) {
        let (client, tenant, address) = (&self.limits.client, &self.limits.tenant, &self.limits.address);
        problems.unless(
            tenant.per_second.get() <= FINEST_RATE,
            "limits.tenant.per_second",
            "expected at most 1000000: one a microsecond. limits.tenant.enabled = false is no limit",
        );
        problems.unless(
            u64::from(tenant.burst.get()) <= u64::from(tenant.per_second.get()) * LONGEST_TENANT_REFILL_S,
            "limits.tenant.burst",
            "expected at most what limits.tenant.per_second refills within a day",
        );
        problems.unless(
            address.refill.checked_mul(address.burst.get()).is_some_and(|all| all <= LONGEST_ADDRESS_REFILL),
            "limits.address.burst",
            "expected a burst that limits.address.refill refills within a year: an address's row is kept until then",
        );
        problems.unless(
            address.cooldown <= address.refill,
            "limits.address.cooldown",
            "expected at most limits.address.refill",
        );
        for (key, rate) in [
            ("limits.client.login_per_minute", client.login_per_minute),
            ("limits.client.login_per_hour", client.login_per_hour),
            ("limits.client.verify_per_minute", client.verify_per_minute),
            ("limits.client.refresh_per_minute", client.refresh_per_minute),
        ] {
            problems.unless(
                rate.checked_mul(client.site_factor).is_some_and(|rate| rate.get() <= FINEST_RATE),
                key,
                "expected at most 1000000 together with limits.client.site_factor. limits.client.enabled = false is no limit",
            );
        }
    }

    /// What `dev` makes itself and `serve` must be given, and given well.
    pub(super) fn unfit_for_serve(&self) -> Vec<Problem> {
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
            self.master_key.key.as_ref().is_none_or(MasterKey::looks_random),
            if self.master_key.file.is_some() { "master_key.file" } else { "master_key.value" },
            "expected 32 random bytes: these are text, zeros or a pattern, which can be guessed. `openssl rand -base64 32` \
             makes one; `doorcode keys rewrap` takes a database from this one to it",
        );
        problems.unless(
            self.mail.configured().iter().any(|(name, _)| self.mail.order.contains(name)),
            "mail.smtp.host",
            "expected a mail relay (or mail.hook.url): without one nobody gets a code. Set it, or DOORCODE__MAIL__SMTP__HOST",
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
        for (name, provider) in self.mail.configured() {
            if let ProviderSettings::Smtp(smtp) = provider
                && smtp.tls == TlsMode::None
                && !smtp.is_local()
            {
                warnings.push(format!(
                    "tls of the mail provider {name} is \"none\": codes travel to the relay in the clear"
                ));
            }
        }
        if let Some(path) = self.master_key.file.as_deref().filter(|path| everybody_reads(path)) {
            warnings.push(format!("{} can be read by everybody: chmod 400 it", path.display()));
        }
        if !is_private(self.ops.listen.ip()) {
            warnings.push(format!(
                "ops.listen is {}: whoever reaches it reads metrics and actors, and no key is asked for. Listen on loopback \
                 or on a private address, or let a firewall admit your monitoring alone",
                self.ops.listen
            ));
        }
        if self.database.url.as_ref().is_some_and(DatabaseUrl::is_exposed) {
            warnings.push(
                "database.url does not verify the server and its host is another machine: add sslmode=verify-full (and \
                 sslrootcert=FILE for a private authority), or whoever is between them can read and change everything"
                    .to_owned(),
            );
        }
        warnings
    }
}

fn check_relay(section: &str, smtp: &SmtpSettings, problems: &mut Problems) {
    problems.unless(
        smtp.username.is_some() == smtp.password.is_some(),
        &format!("{section}.{}", if smtp.username.is_some() { "password" } else { "username" }),
        "expected username and password, or neither",
    );
    problems.unless(
        smtp.tls != TlsMode::None || smtp.password.is_none() || smtp.is_local(),
        &format!("{section}.tls"),
        "expected \"starttls\" or \"implicit\": a password would travel in the clear",
    );
}

/// Loopback, or a network that the internet does not reach (RFC 1918, RFC 4193, link-local).
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Together more than four /8 of IPv4 or one /16 of IPv6, private networks aside: more than any proxy's operator has.
fn covers_the_internet(networks: &[IpNet]) -> bool {
    let public: Vec<IpNet> = networks.iter().copied().filter(|net| !is_private_network(*net)).collect();
    let (mut v4, mut v6) = (0_u64, 0_u64);
    for network in IpNet::aggregate(&public) {
        match network {
            // in /32 and in /64
            IpNet::V4(network) => v4 = v4.saturating_add(1 << (32 - network.prefix_len())),
            IpNet::V6(network) => {
                v6 = v6.saturating_add(
                    1_u64.checked_shl(64_u32.saturating_sub(network.prefix_len().into())).unwrap_or(u64::MAX),
                );
            }
        }
    }
    v4 > 4 << 24 || v6 > 1 << 48
}

fn is_private_network(network: IpNet) -> bool {
    is_private(network.network()) && is_private(network.broadcast())
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
