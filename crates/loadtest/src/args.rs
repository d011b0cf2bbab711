//! The command line.

use crate::callers::CallerMode;
use crate::customers::Customers;
use crate::driver::{Load, Pace};
use crate::http::Target;
use crate::limits::Expectations;
use crate::mail::{Sink, SmtpFaults};
use crate::options::{CodesFrom, Options, OptionsError, ScenarioName};
use crate::profile::Profile;
use crate::schedule::Shape;
use crate::threshold::Threshold;
use crate::units;
use clap::Args;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Put load on a login service and report what it bore, or prove its limits.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// What to do.
    #[arg(value_enum)]
    pub scenario: ScenarioName,

    /// The service's public listener; repeated, its replicas, to which every client goes in turn.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub target: Vec<String>,

    /// Where the service shows its metrics (repeatable); `off` reads none.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub metrics: Vec<String>,

    /// Allow a target that is not on this machine.
    ///
    /// A load run is an attack on whoever did not agree to it, and the accounts it uses are really written.
    #[arg(long)]
    pub i_own_this_target: bool,

    /// Open load: begin so many steps a second, whatever the service does.
    ///
    /// Without it, each connection begins its next step when its last has ended (closed load).
    #[arg(short, long, value_name = "N", help_heading = "Load")]
    pub rate: Option<f64>,

    /// How an open load's rate runs over the duration.
    #[arg(long, value_enum, default_value = "constant", help_heading = "Load", requires = "rate")]
    pub shape: Shape,

    /// Keep-alive connections; each has one request under way at a time.
    #[arg(short, long, value_name = "N", default_value_t = 64, help_heading = "Load")]
    pub connections: usize,

    /// How long to measure, at most (such as 500ms, 10s, 2m) [default: 10s; 30s for limits].
    #[arg(short, long, value_name = "TIME", value_parser = units::duration, help_heading = "Load")]
    pub duration: Option<Duration>,

    /// How long to run before anything counts.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::duration, help_heading = "Load")]
    pub warm_up: Duration,

    /// End after so many measured steps (logins, verifies, refreshes, whole journeys), if that comes first.
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub count: Option<u64>,

    /// A request without a complete answer after this time has failed.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration, help_heading = "Load")]
    pub timeout: Duration,

    /// The tenant's slug; {} stands for a number, with --tenant-count.
    #[arg(long, value_name = "SLUG", default_value = "demo", help_heading = "Customers")]
    pub tenant: String,

    /// How many tenants; customers belong to them in turn.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Customers")]
    pub tenant_count: u64,

    /// The customers' addresses; {} stands for a number.
    #[arg(long, value_name = "PATTERN", default_value = "user{}@example.com", help_heading = "Customers")]
    pub emails: String,

    /// The first number.
    ///
    /// A service that limits mails by address needs fresh addresses for each run, or that limit switched off.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Customers")]
    pub email_start: u64,

    /// How many addresses. `verify` prepares one code for each, `limits` mails to the first twelve.
    #[arg(long, value_name = "N", default_value_t = 10_000, help_heading = "Customers")]
    pub email_count: u64,

    /// Come from so many client addresses, each in a network of its own [default: this machine's own].
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Customers")]
    pub clients: usize,

    /// How another client address is taken [default: socket for targets at 127.0.0.1, else own].
    #[arg(long, value_enum, help_heading = "Customers")]
    pub clients_by: Option<CallerMode>,

    /// Be the service's mail relay: listen here for SMTP, time every mail and read its code.
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Mails")]
    pub smtp_sink: Option<SocketAddr>,

    /// Wait so long before each SMTP reply.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = units::duration, help_heading = "Mails", requires = "smtp_sink")]
    pub smtp_delay: Duration,

    /// Let SMTP go wrong for one in N mails: tempfail=N, reject=N, hangup=N, separated by commas.
    #[arg(long, value_name = "FAULTS", help_heading = "Mails", requires = "smtp_sink")]
    pub smtp_fault: Option<SmtpFaults>,

    /// Read codes from files with "address code" lines (repeatable) instead of from the service's mailbox.
    #[arg(long, value_name = "FILE", help_heading = "Mails", conflicts_with = "smtp_sink")]
    pub codes_file: Vec<PathBuf>,

    /// How long to wait for a mail before it counts as lost.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration, help_heading = "Mails")]
    pub mail_wait: Duration,

    /// limits: what a limit should be, over what the settings say, as KEY=LIMIT or KEY=off (repeatable).
    ///
    /// Keys: client.login client.code client.session network.login network.code network.session tenant tenant.lease
    /// mail mail.cooldown mail.network guesses.code guesses.lane guesses.network. Limits are COUNT/TIME or
    /// COUNT/TIME:burst=COUNT, several with commas: client.login=30/60s,200/1h.
    #[arg(long, value_name = "KEY=LIMIT", help_heading = "Limits")]
    pub expect: Vec<String>,

    /// limits: a file of such lines.
    #[arg(long, value_name = "FILE", help_heading = "Limits")]
    pub expect_file: Option<PathBuf>,

    /// limits: a shell command that restarts the service, to see whether it forgets.
    #[arg(long, value_name = "COMMAND", help_heading = "Limits")]
    pub restart: Option<String>,

    /// Exit code 1 if this holds at the end, and for no other figure of the load (repeatable).
    ///
    /// WHAT.FIGURE with > >= < or <=: login.p99>250ms, verify.failed>0, login.rate<500, login.error_rate>0.1%,
    /// mail.lost>0, mail.p99>2s, steps.unsent>0. Without any, every call that fails makes the run fail.
    #[arg(long, value_name = "CONDITION", help_heading = "Report")]
    pub fail_if: Vec<Threshold>,

    /// Write the report as a page that needs nothing but itself.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub html: Option<PathBuf>,

    /// Print the report as JSON.
    #[arg(long, help_heading = "Report")]
    pub json: bool,

    /// Report processor time per request and memory of this process too (repeatable).
    ///
    /// Its descendants count in. For Postgres give the first process, whose id is the first line of
    /// postmaster.pid in the data directory.
    #[arg(long, value_name = "PID", help_heading = "Report")]
    pub pid: Vec<u32>,
}

impl LoadArgs {
    /// Checks what can be checked before anything is sent. `expected` is what the settings say.
    pub fn into_options(self, profile: Profile, expected: Expectations) -> Result<Options, OptionsError> {
        let customers = self.customers().ok_or_else(|| OptionsError::Customers(self.emails.clone()))?;
        let expected = self.expectations(expected).map_err(OptionsError::Expectation)?;
        let targets = parse_targets(&self.target, self.i_own_this_target)?;
        let metrics = match &self.metrics[..] {
            [off] if off == "off" => Vec::new(),
            urls => parse_targets(urls, self.i_own_this_target)?,
        };
        let addresses: Vec<SocketAddr> = targets.iter().map(|target| target.address).collect();
        let codes = match self.smtp_sink {
            Some(listen) => {
                let faults = self.smtp_fault.unwrap_or_default();
                CodesFrom::Sink(Sink { listen, delay: self.smtp_delay, faults })
            }
            None if self.codes_file.is_empty() => CodesFrom::Mailbox,
            None => CodesFrom::Files(self.codes_file),
        };
        let options = Options {
            profile,
            scenario: self.scenario,
            targets,
            metrics,
            connections: self.connections,
            pace: Pace {
                load: self.rate.map_or(Load::Closed, |rate| Load::Open(rate, self.shape)),
                warm_up: self.warm_up,
                duration: self.duration.unwrap_or(match self.scenario {
                    ScenarioName::Limits => Duration::from_secs(30),
                    _ => Duration::from_secs(10),
                }),
                steps: self.count,
            },
            time_limit: self.timeout,
            customers,
            callers: self.clients_by.unwrap_or_else(|| CallerMode::for_targets(&addresses)),
            clients: self.clients,
            codes,
            mail_wait: self.mail_wait,
            expected,
            restart: self.restart,
            thresholds: self.fail_if,
            pids: self.pid,
        };
        options.check()
    }

    /// Who logs in.
    pub fn customers(&self) -> Option<Customers> {
        Customers::new(&self.tenant, self.tenant_count, &self.emails, self.email_start, self.email_count)
    }

    fn expectations(&self, mut expected: Expectations) -> Result<Expectations, String> {
        if let Some(file) = &self.expect_file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            expected.set_all(&text)?;
        }
        self.expect.iter().try_for_each(|assignment| expected.set(assignment))?;
        Ok(expected)
    }
}

fn parse_targets(urls: &[String], anywhere: bool) -> Result<Vec<Target>, OptionsError> {
    urls.iter().map(|url| parse_target(url, anywhere)).collect()
}

/// `http://HOST:PORT`, of this machine unless `anywhere`.
fn parse_target(url: &str, anywhere: bool) -> Result<Target, OptionsError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn options(args: &str) -> Result<Options, OptionsError> {
        let args = std::iter::once("loadtest").chain(args.split_whitespace());
        let mut expected = Expectations::default();
        expected.set("client.login=30/60s").unwrap();
        Cli::try_parse_from(args).unwrap().load.into_options(crate::tests::profile(), expected)
    }

    #[test]
    fn the_defaults_are_a_sound_run() {
        let options = options("login").unwrap();
        assert_eq!(options.targets[0].authority, "127.0.0.1:8080");
        assert_eq!(options.callers == CallerMode::Socket, cfg!(target_os = "linux"));
        assert_eq!(options.customers.at(3).email, "user3@example.com");
        assert!(matches!(options.pace.load, Load::Closed));
    }

    #[test]
    fn another_machine_needs_the_owners_word() {
        assert!(matches!(options("login --target http://192.0.2.1:80"), Err(OptionsError::Foreign(_))));
        assert!(matches!(options("login --target http://0.0.0.0:80"), Err(OptionsError::Foreign(_))));
        assert!(matches!(options("login --metrics http://192.0.2.1:80"), Err(OptionsError::Foreign(_))));
        let owned = options("login --target http://192.0.2.1:80 --i-own-this-target").unwrap();
        assert_eq!(owned.callers, CallerMode::Own);
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
            "login --rate 0",
            "login --emails nobody",
            "login --tenant-count 2",
            "login --clients 65",
            "login --clients 2 --clients-by own",
            "journey --email-count 3 --connections 4",
            "limits --rate 5",
            "limits --expect client.login=off",
            "limits --expect mail=5/24h --email-count 3",
            "limits --expect nonsense",
        ] {
            assert!(options(bad).is_err(), "{bad}");
        }
        assert!(options("login --rate 5 --shape soak --duration 2h").is_ok());
        assert!(options("login --clients 1000 --clients-by header").is_ok());
        assert!(options("login --tenant t{} --tenant-count 2").is_ok());
    }
}
