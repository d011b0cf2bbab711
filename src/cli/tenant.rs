//! `tenant`: its words and the settings that it takes.

use clap::Subcommand;
use doorcode_actors::directory::{Colour, Origin, PortalHost, ReturnUrl, Signup, StepUp, TokenClaim};
use doorcode_domain::{Email, Language};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// `tenant`
#[derive(Clone, Debug, Subcommand)]
pub enum TenantCommand {
    /// Make a tenant
    #[command(after_help = "\
The slug is what portals send as `tenant_slug`: a-z, 0-9 and '-', never changed later. Origins are the web pages whose \
cookies and cross-origin calls belong to this tenant; each belongs to one tenant only.

Examples:
  doorcode tenant add acme --name 'Acme Ltd'
  doorcode tenant add acme --name 'Acme Ltd' --origin https://portal.acme.com
  doorcode tenant add acme --name 'Acme Ltd' --portal-host portal.acme.com")]
    Add {
        /// What portals send
        slug: String,
        /// What mails say
        #[arg(long)]
        name: String,
        /// A portal's origin; may be given many times
        #[arg(long = "origin", value_name = "URL")]
        origins: Vec<Origin>,
        /// The host in a mail's last line, for browsers that fill in codes
        #[arg(long, value_name = "HOST")]
        portal_host: Option<PortalHost>,
        /// What follows when guesses are spent [default: `codes.step_up`]
        #[arg(long, value_name = "base32|digits", value_parser = parse_step_up)]
        step_up: Option<StepUp>,
    },
    /// List all tenants
    #[command(after_help = "Example:\n  doorcode tenant list --json | jq -r '.[].slug'")]
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show one tenant with its origins and how many customers and sessions it has
    #[command(after_help = "Example:\n  doorcode tenant show acme")]
    Show {
        /// Which
        slug: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a tenant
    #[command(after_help = "\
Keys: name, portal_host, step_up (base32 or digits), origins and return_urls (all of them, separated by commas), colour \
(#2450c8), locale (of mails: de), reply_to and mail_providers (names, separated \
by commas). An empty one takes it away, but for name and step_up. \
new_device_notice=true mails whoever logs in on a device that is new. With a return URL the tenant has a hosted \
login page, /t/SLUG/login (docs/PORTALS.md). token_claims is what access tokens say of a customer, at most ten of email, \
external_id, locale and claims.NAME (in the token: NAME), separated by commas (docs/VERIFYING.md). signup says who becomes a \
customer by a first login: closed (nobody), open (whoever reads the mail), or domains separated by commas.

Examples:
  doorcode tenant set acme 'name=Acme International'
  doorcode tenant set acme signup=acme.com,acme.de
  doorcode tenant set acme token_claims=external_id,claims.plan
  doorcode tenant set acme step_up=digits origins=https://portal.acme.com,https://acme.com")]
    Set {
        /// Which
        slug: String,
        /// What shall be another
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = parse_tenant_setting)]
        settings: Vec<TenantSetting>,
    },
    /// Close a tenant: nobody logs in or refreshes, until it is enabled
    #[command(after_help = "Example:\n  doorcode tenant disable acme")]
    Disable {
        /// Which
        slug: String,
    },
    /// Open a tenant again; its sessions go on
    #[command(after_help = "Example:\n  doorcode tenant enable acme")]
    Enable {
        /// Which
        slug: String,
    },
    /// Answer all calls of a tenant with 503, and write nothing of it, until it is unfrozen
    #[command(after_help = "Example:\n  doorcode tenant freeze acme")]
    Freeze {
        /// Which
        slug: String,
    },
    /// Let a frozen tenant go on: the way back from an export that was imported nowhere
    #[command(after_help = "\
Never where the tenant lives in another cell: there would be two, each with all budgets, and each with sessions that the other one \
does not know. This cell cannot know that, so it has to be said. Delete the file of the export, too: imported later, it would bring spent \
guesses back.

Example:
  doorcode tenant unfreeze acme --not-imported-elsewhere")]
    Unfreeze {
        /// Which
        slug: String,
        /// No other cell has imported it, and none will
        #[arg(long)]
        not_imported_elsewhere: bool,
    },
    /// Freeze a tenant and write all that belongs to it, for another cell
    #[command(after_help = "\
Customers, sessions, codes and budgets, settings, origins, test codes, held back addresses, webhooks and admin keys, as lines of \
JSON. No key is in it, and no code or token that could be used; addresses are. The file is readable by its owner only. The tenant \
stays frozen: calls get 503 until the proxy sends them to the new cell, or until `doorcode tenant unfreeze`. The steps, from keys \
to the proxy: docs/SCALING.md.

Examples:
  doorcode tenant export acme --output acme.jsonl
  doorcode tenant export acme | ssh cell2 doorcode tenant import -")]
    Export {
        /// Which
        slug: String,
        /// A new file [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take over a tenant that another cell has exported, all of it or nothing
    #[command(after_help = "\
Both cells must run the same version, have the same public_url and know each other's keys (`doorcode keys import`). Repeating it is \
safe: a tenant that is here already stays as it is.

Examples:
  doorcode tenant import acme.jsonl
  cat acme.jsonl | doorcode tenant import -")]
    Import {
        /// What `tenant export` wrote, or - for standard input
        file: PathBuf,
    },
    /// Delete a frozen tenant with all that belongs to it, once it lives in another cell
    #[command(after_help = "\
Wait until no proxy sends its calls here (they would be refused as unknown, which logs customers out) and its last mails have left \
(10 minutes). Events stay, as long as all events do.

Example:
  doorcode tenant delete acme")]
    Delete {
        /// Which
        slug: String,
    },
}

/// One `KEY=VALUE` of `tenant set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantSetting {
    /// `name=`
    Name(String),
    /// `portal_host=`
    PortalHost(Option<PortalHost>),
    /// `step_up=`
    StepUp(StepUp),
    /// `origins=`
    Origins(Vec<Origin>),
    /// `return_urls=`
    ReturnUrls(Vec<ReturnUrl>),
    /// `colour=`
    Colour(Option<Colour>),
    /// `signup=`
    Signup(Signup),
    /// `token_claims=`
    TokenClaims(Vec<TokenClaim>),
    /// `locale=`
    Locale(Option<Language>),
    /// `reply_to=`
    ReplyTo(Option<Email>),
    /// `new_device_notice=`
    NewDeviceNotice(bool),
    /// `mail_providers=`
    MailProviders(Vec<String>),
}

fn parse_step_up(text: &str) -> Result<StepUp, String> {
    match text {
        "base32" => Ok(StepUp::Base32),
        "digits" => Ok(StepUp::Digits),
        _ => Err("expected base32 or digits".to_owned()),
    }
}

pub(super) fn parse_tenant_setting(text: &str) -> Result<TenantSetting, String> {
    const KEYS: &str = "expected one of name=, portal_host=, step_up=, origins=, return_urls=, colour=, token_claims=, \
        locale=, reply_to=, signup=, mail_providers=, new_device_notice=";
    let (key, value) = text.split_once('=').ok_or(KEYS)?;
    match key {
        "name" => Ok(TenantSetting::Name(value.to_owned())),
        "portal_host" => parse_optional(value).map(TenantSetting::PortalHost),
        "step_up" => parse_step_up(value).map(TenantSetting::StepUp),
        "origins" => parse_list(value).map(TenantSetting::Origins),
        "return_urls" => parse_list(value).map(TenantSetting::ReturnUrls),
        "signup" => value.parse().map(TenantSetting::Signup).map_err(|e| format!("{e}")),
        "token_claims" => parse_list(value).map(TenantSetting::TokenClaims),
        "colour" => parse_optional(value).map(TenantSetting::Colour),
        "locale" => parse_optional(value).map(TenantSetting::Locale),
        "reply_to" => parse_optional(value).map(TenantSetting::ReplyTo),
        "new_device_notice" => {
            value.parse().map(TenantSetting::NewDeviceNotice).map_err(|_| "expected true or false".to_owned())
        }
        "mail_providers" => parse_list(value).map(TenantSetting::MailProviders),
        _ => Err(KEYS.to_owned()),
    }
}

/// Nothing takes the value away.
fn parse_optional<T: FromStr<Err: Display>>(value: &str) -> Result<Option<T>, String> {
    (!value.is_empty()).then(|| value.parse()).transpose().map_err(|error: T::Err| error.to_string())
}

fn parse_list<T: FromStr<Err: Display>>(value: &str) -> Result<Vec<T>, String> {
    let parts = value.split(',').filter(|part| !part.is_empty());
    parts.map(str::parse).collect::<Result<_, _>>().map_err(|error: T::Err| error.to_string())
}
