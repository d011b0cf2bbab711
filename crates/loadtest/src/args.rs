//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::addresses::Addresses;
use super::client::Target;
use super::driver::Pace;
use super::gcra::Policy;
use super::profile::Profile;
use super::{CodesFrom, LimitOptions, MailLimit, Options, OptionsError};

/// Put load on a login service and report what it bore, or check that its limits are exact.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// What to do.
    #[arg(value_enum)]
    pub scenario: ScenarioName,

    /// The service's public listener.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub target: String,

    /// Allow a target that is not on this machine.
    ///
    /// A load run is an attack on whoever did not agree to it, and the accounts it uses are really written.
    #[arg(long)]
    pub i_own_this_target: bool,

    /// Keep-alive connections; each has one request under way at a time.
    #[arg(short, long, value_name = "N", default_value_t = 64)]
    pub connections: usize,

    /// How long to measure, at most (such as 500ms, 10s, 2m).
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,

    /// How long to run before anything counts.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub warm_up: Duration,

    /// End after so many measured steps (logins, verifies, refreshes, whole journeys), if that comes first.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,

    /// A request without a complete answer after this time has failed.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub timeout: Duration,

    /// The tenant's slug.
    #[arg(long, value_name = "SLUG", default_value = "demo")]
    pub tenant: String,

    /// The customers' addresses; {} stands for a number.
    #[arg(long, value_name = "PATTERN", default_value = "user{}@example.com")]
    pub emails: String,

    /// The first number.
    ///
    /// Each address gets 5 mails at once, then one per 4.8 hours, and none while an unused code is younger than a
    /// minute: give a further run other numbers, or switch that limit off. `verify` needs fresh addresses always.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub email_start: u64,

    /// How many addresses. `verify` prepares one code for each, `limits` mails only to the first.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub email_count: u64,

    /// Read codes from files with "address code" lines (repeatable) instead of from the service's mailbox.
    #[arg(long, value_name = "FILE")]
    pub codes_file: Vec<PathBuf>,

    /// How long to wait for a mail before it counts as missing.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub mail_wait: Duration,

    /// limits: what the service lets one client do, as COUNT/TIME:burst=COUNT, or off.
    ///
    /// The run must be longer than it takes to send the burst and to earn one more.
    #[arg(long, value_name = "LIMIT", default_value = "30/60s:burst=30")]
    pub client_limit: Switchable,

    /// limits: how many mails one address gets, in the same form, or off. The address must be a customer's that
    /// was not mailed in the last day.
    #[arg(long, value_name = "LIMIT", default_value = "5/24h:burst=5")]
    pub mail_limit: Switchable,

    /// limits: time between two mails to one address while its code is unused.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub mail_cool_down: Duration,

    /// Report processor time per request and memory of this process too (repeatable).
    ///
    /// Its descendants count in. For Postgres give the first process, whose id is the first line of
    /// postmaster.pid in the data directory.
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,

    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// Ask for codes, over all addresses in turn.
    Login,
    /// Exchange codes for tokens; the codes are asked for and read before the measurement.
    Verify,
    /// Refresh one session per connection over and over.
    Refresh,
    /// Login, code from the mailbox, verify, refresh, logout, and a refresh that must fail.
    Journey,
    /// Go beyond the client limit and one address's mail limit and count what was let through.
    Limits,
}

impl ScenarioName {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ScenarioName::Login => "login",
            ScenarioName::Verify => "verify",
            ScenarioName::Refresh => "refresh",
            ScenarioName::Journey => "journey",
            ScenarioName::Limits => "limits",
        }
    }
}

/// A limit, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switchable(pub Option<Policy>);

impl FromStr for Switchable {
    type Err = super::gcra::PolicyError;

    fn from_str(text: &str) -> Result<Switchable, Self::Err> {
        if text == "off" { Ok(Switchable(None)) } else { text.parse().map(|policy| Switchable(Some(policy))) }
    }
}

impl LoadArgs {
    /// Checks what can be checked before anything is sent.
    pub fn into_options(self, profile: Profile) -> Result<Options, OptionsError> {
        let LoadArgs { emails, email_start, email_count, mail_cool_down: cool_down, .. } = self;
        let addresses =
            Addresses::new(&emails, email_start, email_count).ok_or(OptionsError::Emails(emails))?;
        let codes =
            if self.codes_file.is_empty() { CodesFrom::Mailbox } else { CodesFrom::Files(self.codes_file) };
        let options = Options {
            profile,
            scenario: self.scenario,
            target: parse_target(&self.target, self.i_own_this_target)?,
            connections: self.connections,
            pace: Pace { warm_up: self.warm_up, duration: self.duration, steps: self.count },
            time_limit: self.timeout,
            tenant: self.tenant,
            addresses,
            codes,
            mail_wait: self.mail_wait,
            limits: LimitOptions {
                client: self.client_limit.0,
                mail: self.mail_limit.0.map(|policy| MailLimit { policy, cool_down }),
            },
            pids: self.pid,
        };
        options.check()?;
        Ok(options)
    }
}

/// `http://HOST:PORT`, of this machine unless `anywhere`.
pub fn parse_target(url: &str, anywhere: bool) -> Result<Target, OptionsError> {
    let bad = || OptionsError::Target(url.to_owned());
    let authority = url.strip_prefix("http://").ok_or_else(bad)?.trim_end_matches('/');
    if authority.contains(['/', '?', '#', '@']) || authority.contains(char::is_whitespace) {
        return Err(bad());
    }
    let mut resolved = match authority.parse::<SocketAddr>() {
        Ok(address) => vec![address],
        Err(_) => authority.to_socket_addrs().map_err(|_| bad())?.collect(),
    };
    // A name such as localhost may have both kinds of address, and the service one.
    resolved.sort_by_key(SocketAddr::is_ipv6);
    let address = *resolved.first().ok_or_else(bad)?;
    if !anywhere && !address.ip().to_canonical().is_loopback() {
        return Err(OptionsError::Foreign(url.to_owned()));
    }
    Ok(Target { authority: authority.to_owned(), address })
}

/// A whole number with `ms`, `s`, `m` or `h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let millis = digits.parse::<u32>().ok().and_then(|count| u64::from(count).checked_mul(unit_ms));
    match millis {
        Some(millis) if unit_ms > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(format!("`{text}` is no time; write a whole number with ms, s, m or h, for example 10s")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn options(args: &str) -> Result<Options, OptionsError> {
        let args = std::iter::once("loadtest").chain(args.split_whitespace());
        Cli::try_parse_from(args).unwrap().load.into_options(crate::tests::profile())
    }

    #[test]
    fn the_defaults_are_a_sound_run() {
        let options = options("login").unwrap();
        assert_eq!(options.target.authority, "127.0.0.1:8080");
        assert_eq!(options.limits.client.unwrap().burst(), 30);
        assert_eq!(options.addresses.at(3), "user3@example.com");
    }

    #[test]
    fn another_machine_needs_the_owners_word() {
        assert!(matches!(options("login --target http://192.0.2.1:80"), Err(OptionsError::Foreign(_))));
        assert!(matches!(options("login --target http://0.0.0.0:80"), Err(OptionsError::Foreign(_))));
        assert!(options("login --target http://192.0.2.1:80 --i-own-this-target").is_ok());
        for local in ["http://[::1]:8080", "http://127.9.9.9:1", "http://localhost:8080/"] {
            assert!(options(&format!("login --target {local}")).is_ok(), "{local}");
        }
        for bad in [
            "https://127.0.0.1:1",
            "127.0.0.1:1",
            "http://127.0.0.1",
            "http://127.0.0.1:1/x",
            "http://a@127.0.0.1:1",
        ] {
            assert!(
                matches!(options(&format!("login --target {bad}")), Err(OptionsError::Target(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn runs_that_cannot_work_are_refused() {
        for bad in [
            "login --connections 0",
            "login --connections 100000",
            "login --duration 2h",
            "login --duration 0s",
            "login --timeout 0s",
            "login --count 0",
            "login --emails nobody",
            "journey --email-count 3 --connections 4",
            "limits --codes-file /tmp/x",
            "limits --client-limit off --mail-limit off",
        ] {
            assert!(options(bad).is_err(), "{bad}");
        }
        assert!(options("limits --client-limit off").unwrap().limits.client.is_none());
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "10", "s", "1.5s", "-1s", "10 s", "10d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
