//! The command line: its words and its help. What the commands do is in [`commands`](crate::commands).

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use login_loadtest::LoadArgs;
use std::net::SocketAddr;
use std::path::PathBuf;

mod admin_key;
mod customer;
mod keys;
mod mail;
mod tenant;

pub use admin_key::AdminKeyCommand;
pub use customer::{Customer, CustomerCommand};
pub use keys::{KeysCommand, RotatedPurpose};
pub use mail::MailCommand;
pub use tenant::{TenantCommand, TenantSetting};

/// With commit and date in what `bin/release` builds.
const VERSION: &str = match option_env!("DOORCODE_VERSION") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (not a release)"),
};

/// doorcode: emailed login codes for customer portals.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "doorcode",
    version = VERSION,
    max_term_width = 120,
    after_help = "\
Try it:
  doorcode dev                                     everything on this machine, mails in the browser

Run it:
  openssl rand -base64 32 > master.key
  doorcode check-config --serve --config doorcode.toml
  doorcode migrate --config doorcode.toml
  doorcode serve --config doorcode.toml
  doorcode tenant add acme --name 'Acme Ltd' --origin https://portal.acme.com
  doorcode customer import acme customers.csv

Exit codes: 0 done, 1 failed, 2 wrong usage, 64 bad configuration, 70 gave up after too many crashes.
Every command has more to say: doorcode COMMAND --help."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Settings that differ from the defaults, in TOML [every one: `doorcode check-config`]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where `doorcode dev` keeps its database and keys; lets other commands find a running one
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: a private Postgres, a demo tenant, mails kept for reading
    #[command(after_help = "\
Starts a Postgres of its own (or uses DATABASE_URL), migrates it, makes the tenant `demo` with the customers \
ada@example.com and grace@example.com, and prints one line that starts with `ready` when it serves.

Examples:
  doorcode dev
  doorcode dev --listen 127.0.0.1:9000 --ops-listen 127.0.0.1:9001
  doorcode dev --data-dir /tmp/try

Then:
  curl -i http://127.0.0.1:8080/v1/customer-auth/login \\
       -H 'content-type: application/json' -d '{\"email\":\"ada@example.com\",\"tenant_slug\":\"demo\"}'
  open http://127.0.0.1:8080/dev/mailbox")]
    Dev(DevArgs),
    /// Run in production: needs Postgres, a master key, a mail relay and a public URL
    #[command(after_help = "\
Examples:
  doorcode serve --config /etc/doorcode.toml
  DOORCODE__MASTER_KEY__VALUE_FILE=/run/secrets/master doorcode serve

SIGTERM and Ctrl-C drain: nothing new is accepted, what was admitted is finished, mail that is due waits for the next start.")]
    Serve {
        /// Take faults on demand (`doorcode fault`): whoever reaches the ops listener can break this replica. For trials only
        #[arg(long)]
        allow_faults: bool,
    },
    /// Bring the database's schema up to this version
    #[command(after_help = "\
Safe to run at any time and from many machines at once: one of them does the work. A database that is newer than this \
program is refused.

Example:
  DATABASE_URL=postgres://doorcode@db/doorcode doorcode migrate")]
    Migrate {
        /// Also give this role the settings that `serve` needs, for a pooler that passes none on (PgBouncer)
        #[arg(long)]
        role_settings: bool,
    },
    /// Print every setting in force and where it comes from, or what is wrong
    #[command(after_help = "\
Secrets are never printed. With --serve, also whatever would keep `serve` from starting is an error (exit code 64).

Examples:
  doorcode check-config
  doorcode check-config --serve --config /etc/doorcode.toml
  DOORCODE__HTTP__LISTEN=0.0.0.0:8080 doorcode check-config --json")]
    CheckConfig {
        /// Demand what `serve` demands
        #[arg(long)]
        serve: bool,
        /// As JSON: {"settings": [...], "warnings": [...]} or {"faults": [...]}
        #[arg(long)]
        json: bool,
    },
    /// Ask a running service whether it is ready: exit code 0 or 1
    #[command(after_help = "\
Examples:
  doorcode healthcheck
  doorcode healthcheck --url http://10.0.0.7:8081/readyz")]
    Healthcheck {
        /// What to ask [default: /readyz on `ops.listen`]
        #[arg(long)]
        url: Option<String>,
    },
    /// Show the actors of a running service one by one: state, message in hand, mailbox, restarts, last failure
    #[command(after_help = "\
Those that need a look come first: between two lives, longest busy, deepest mailbox, latest failure. AT is the message in \
hand; FOR is how long it has been, or how long until the next life begins; ALIVE is the age of this life; DEPTH counts \
messages that wait. A tenant's issuer is shown as issuer/SLUG. docs/OPERATIONS.md explains every field.

Examples:
  doorcode actors --watch
  doorcode actors --json --url http://10.0.0.7:8081")]
    Actors(ActorsArgs),
    /// Make an actor of a running `dev` fail, to see what then happens
    #[command(after_help = "\
`panic` and `error` end it, and it is started anew; with `hang` it reads no more messages until it is ended for it, within \
12 s; with `slow` each message takes longer. Look on with `doorcode actors --watch`. `doorcode serve` takes faults only \
with --allow-faults.

Examples:
  doorcode fault ledger.verify panic
  doorcode fault issuer/demo hang
  doorcode fault minter slow --ms 50
  doorcode fault database drop --ms 10000
  doorcode fault mail refuse --ms 60000")]
    Fault(FaultArgs),
    /// Portals: add, list, show, set, disable, enable; freeze, export, import, delete
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// People who may log in: add, import, list, disable, enable, delete
    #[command(subcommand)]
    Customer(CustomerCommand),
    /// Who is logged in: list, revoke
    #[command(subcommand)]
    Session(SessionCommand),
    /// Keys of the admin API: add, list, revoke
    #[command(subcommand)]
    AdminKey(AdminKeyCommand),
    /// Keys that sign and check tokens: list, rotate, rewrap, export, import
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Mails: preview, test
    #[command(subcommand)]
    Mail(MailCommand),
    /// After the database was restored from a backup: end all sessions, codes and mails that are due
    #[command(after_help = "\
What was ended after the backup was made would be alive again: sessions that were logged out, codes that were used. So \
all of them end, and refresh tokens of before are worth nothing. Everybody logs in again; nothing else is lost.

Stop every replica first, and start them when this is done. What else happened after TIME has to be repeated by hand: \
customers and tenants that were added, disabled or deleted. See docs/KEYS.md.

Example:
  doorcode recover --restored-to 2026-11-23T04:00:00Z")]
    Recover {
        /// To which moment the database was restored, with its zone
        #[arg(long, value_name = "TIME")]
        restored_to: Timestamp,
    },
    /// Put load on a running doorcode and report what it bore, or prove its limits
    #[command(after_long_help = "\
Examples. From nothing to the first report, in two terminals:
  ./bin/dev
  cargo run --release -- loadtest journey --create --rate 20 --clients 64 --html report.html
  xdg-open report.html

What it bears, and the processor time that a request costs process 4711:
  DOORCODE__LIMITS__CLIENT__ENABLED=false DOORCODE__LIMITS__TENANT__ENABLED=false \\
    DOORCODE__LIMITS__ADDRESS__ENABLED=false doorcode dev
  doorcode loadtest login --create --connections 256 --duration 30s --pid 4711

Where it bends, with a threshold for the exit code (latency counts from when a request was due):
  doorcode loadtest login --create --rate 2000 --shape step --duration 60s --fail-if 'login.p99>250ms'

Whether its limits are exact, as the settings (--config, environment) say; in under two minutes:
  doorcode loadtest limits --create --html limits.html

`serve` with this run as its mail relay (mail.smtp.host = \"127.0.0.1\", port = 2525, tls = \"none\"), which times every mail:
  doorcode loadtest journey --create --rate 50 --smtp-sink 127.0.0.1:2525 --smtp-delay 20ms --fail-if 'mail.lost>0'

A fleet: every client goes to the replicas in turn; a limit that each replica keeps for itself is found:
  doorcode loadtest limits --create --target http://127.0.0.1:8080 --target http://127.0.0.1:9080

Exit code 1: a call failed, a --fail-if holds, or a limit is broken. docs/LOADTEST.md explains every part.")]
    Loadtest(Box<LoadtestArgs>),
}

/// `actors`
#[derive(Clone, Debug, Args)]
pub struct ActorsArgs {
    /// Look again every second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// As JSON: {"total": N, "offset": 0, "rows": [...]}
    #[arg(long)]
    pub json: bool,
    /// Actors at most
    #[arg(long, default_value_t = 40)]
    pub limit: usize,
    /// Ops listener [default: `ops.listen`]
    #[arg(long)]
    pub url: Option<String>,
}

/// `fault`
#[derive(Clone, Debug, Args)]
pub struct FaultArgs {
    /// A kind such as `ledger.login`, `issuer/SLUG`, an id (`doorcode actors` shows them), `database` or `mail`
    pub actor: String,
    /// panic, error, hang or slow; of `database`: drop (its link); of `mail`: slow or refuse
    #[arg(value_parser = ["panic", "error", "hang", "slow", "drop", "refuse"])]
    pub fault: String,
    /// How much longer everything takes, of `slow` (0 ends it); how long it lasts, of `drop` and `refuse`; in milliseconds
    #[arg(long, default_value_t = 0)]
    pub ms: u64,
    /// Ops listener [default: `ops.listen`]
    #[arg(long)]
    pub url: Option<String>,
}

/// `loadtest`
#[derive(Clone, Debug, Args)]
pub struct LoadtestArgs {
    /// What the driver does
    #[command(flatten)]
    pub load: LoadArgs,
    /// Make tenants of its own and their customers first, in the database of the settings or of the running `dev`;
    /// so that no run meets what another has used up (replaces --tenant)
    #[arg(long, help_heading = "Customers")]
    pub create: bool,
}

/// `dev`
#[derive(Clone, Debug, Default, Args)]
pub struct DevArgs {
    /// Public listener [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Health, metrics and actors [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR:PORT")]
    pub ops_listen: Option<SocketAddr>,
    /// Listen beyond loopback although everybody who reaches /dev/mailbox reads every code
    #[arg(long)]
    pub expose_codes: bool,
}

/// `session`
#[derive(Clone, Debug, Subcommand)]
pub enum SessionCommand {
    /// List a customer's live sessions
    #[command(after_help = "Example:\n  doorcode session list acme ada@example.com")]
    List {
        /// The tenant's slug
        tenant: String,
        /// The customer's address
        email: String,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// End one session, or all of a customer
    #[command(after_help = "\
With an address, all sessions of the customer end and its devices are no longer known. Access tokens that are out \
stay valid until they expire, for at most an hour.

Examples:
  doorcode session revoke acme ada@example.com
  doorcode session revoke acme 5f0c2f0e-8a55-4a3e-9f2e-0d9f5a3c1b7d")]
    Revoke {
        /// The tenant's slug
        tenant: String,
        /// The customer's address, or a session's id (the `sid` claim of its access tokens)
        #[arg(value_name = "EMAIL|SESSION-ID")]
        whom: String,
    },
}

#[cfg(test)]
mod tests;
