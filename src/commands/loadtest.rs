//! `doorcode loadtest`: what the driver (`crates/loadtest`) must know of doorcode.

use super::{CommandError, connect};
use crate::cli::LoadtestArgs;
use crate::config::{Config, Limits};
use doorcode_actors::Directory;
use doorcode_actors::directory::{ImportRow, NewTenant, StepUp};
use login_loadtest::{
    Expectations, GuessLimit, Hints, LoadArgs, MailLimit, Metrics, Panel, Paths, PerGroup, Policy, Profile,
    Progress, Reading, TenantLimit,
};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

const PROFILE: Profile = Profile {
    paths: Paths {
        login: "/v1/customer-auth/login",
        verify: "/v1/customer-auth/verify",
        token: "/v1/customer-auth/token",
        refresh: "/v1/customer-auth/refresh",
        logout: "/v1/customer-auth/logout",
        mailbox: "/dev/mailbox.json?to=",
    },
    metrics: Metrics {
        path: "/metrics",
        panels: &[
            Panel {
                title: "Actor depth: messages accepted and not yet answered",
                by: "kind",
                reading: Reading::Gauge("doorcode_actor_mailbox_depth"),
            },
            Panel {
                title: "Batch size: rows in a statement",
                by: "kind",
                reading: Reading::Ratio("doorcode_ledger_batch_rows_sum", "doorcode_ledger_batch_rows_count"),
            },
            Panel {
                title: "Actors: messages handled a second",
                by: "kind",
                reading: Reading::Rate("doorcode_actor_busy_seconds_count"),
            },
            Panel {
                title: "Mails a second, by what became of them",
                by: "outcome",
                reading: Reading::Rate("doorcode_mails_finished_total"),
            },
            Panel {
                title: "Statements that wait for a database connection",
                by: "none",
                reading: Reading::Gauge("doorcode_database_waiting"),
            },
        ],
        answers: ("doorcode_http_requests_total", "status"),
    },
    hints: Hints {
        unreachable: "start the service (`doorcode dev`) or name it with --target",
        no_mail: "no mail came: is the address a customer's? its mails may be spent (5, then one per 4.8 h; none \
                  within a minute of an unused code): --create makes fresh customers",
        no_metrics: "name the ops listener with --metrics, or switch this off with --metrics off",
        statuses: &[
            (
                429,
                "429 is a limit at work: come from more addresses with --clients, or switch limits.client and \
                 limits.tenant off for load runs",
            ),
            (
                404,
                "404: the mailbox exists only in `doorcode dev`; is --target its public listener? With `serve`, be \
                 its relay: --smtp-sink",
            ),
            (503, "503: the service sheds load; a lower --rate or fewer --connections show what it serves"),
        ],
    },
};

/// The life of a tenant's lease (actors, `quota`): the imprecision that the contract allows.
const LEASE: Duration = Duration::from_secs(1);
/// Guesses per code, per strangers' lane in digits, and of them by one network: fixed by the contract, no settings.
const GUESSES: GuessLimit = GuessLimit { per_code: 5, per_lane: Some(20), per_network: Some(15) };

pub(super) async fn run(
    args: LoadtestArgs,
    config: &Config,
    data_dir: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::failed(error.to_string(), "");
    let LoadtestArgs { mut load, create } = args;
    if create {
        use_own_tenants(&mut load);
    }
    let (json, html) = (load.json, load.html.clone());
    let customers = load.customers();
    let options = load.into_options(PROFILE, expected(&config.limits)).map_err(|error| failed(&error))?;
    // Opened first: a report that cannot be written is known before the run, not after it.
    let html = match html {
        Some(path) => Some(File::create(&path).map_err(|error| {
            CommandError::failed(format!("{} cannot be written: {error}", path.display()), "")
        })?),
        None => None,
    };
    if let (true, Some(customers)) = (create, customers) {
        let directory = connect::directory(config, data_dir).await?;
        for (tenant, emails) in customers.by_tenant() {
            make_tenant(&directory, tenant, emails).await?;
        }
    }
    // The driver has a runtime of its own.
    let report = tokio::task::spawn_blocking(move || login_loadtest::run(options, Progress::stderr()))
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    if let Some(file) = html {
        let mut file = BufWriter::new(file);
        report.write_html(&mut file)?;
        file.flush()?;
    }
    if json {
        report.write_json(out)?
    } else {
        report.write_text(out)?
    }
    if report.ok { Ok(()) } else { Err(CommandError::failed("the run did not pass", "the report says why")) }
}

/// Tenants that no run used before, whose limits and budgets are at rest.
fn use_own_tenants(load: &mut LoadArgs) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    load.tenant = format!("load-{}-{{}}", now.as_millis());
}

async fn make_tenant(
    directory: &Directory,
    slug: String,
    emails: impl Iterator<Item = String>,
) -> Result<(), CommandError> {
    let name = format!("Load run {slug}");
    let new = NewTenant { slug, name, portal_host: None, step_up: StepUp::Base32, origins: Vec::new() };
    let tenant = directory.add_tenant(&new).await?;
    // The driver's iterator borrows its pattern; rows must be Send.
    let rows: Vec<_> = (1..)
        .zip(emails)
        .map(|(line, email)| Ok(ImportRow { line, email, ..ImportRow::default() }))
        .collect();
    let report = directory.import_customers(&tenant.slug, rows.into_iter()).await?;
    match report.refused.first() {
        Some(refused) => Err(CommandError::failed(
            format!("{} customers could not be made: {}", report.refused.len(), refused.reason),
            "do --emails give addresses that can be mailed?",
        )),
        None => Ok(()),
    }
}

/// What the settings promise.
fn expected(limits: &Limits) -> Expectations {
    let minute = |count: u32| Policy::per(count, Duration::from_secs(60));
    let hour = |count: u32| Policy::per(count, Duration::from_secs(3_600));
    let client = &limits.client;
    let factor = client.site_factor.get();
    let client_limits = PerGroup {
        login: vec![minute(client.login_per_minute.get()), hour(client.login_per_hour.get())],
        code: vec![minute(client.verify_per_minute.get())],
        session: vec![minute(client.refresh_per_minute.get())],
    };
    let wider = |policies: &[Policy]| {
        policies.iter().map(|policy| Policy::per(policy.count * factor, policy.window)).collect()
    };
    let network = PerGroup {
        login: wider(&client_limits.login),
        code: wider(&client_limits.code),
        session: wider(&client_limits.session),
    };
    let (tenant, address) = (&limits.tenant, &limits.address);
    let per_second = Policy::per(tenant.per_second.get(), Duration::from_secs(1));
    let budget = Policy { burst: address.burst.get(), count: 1, window: address.refill };
    Expectations {
        client: if client.enabled { client_limits } else { PerGroup::default() },
        network: if client.enabled { network } else { PerGroup::default() },
        tenant: tenant
            .enabled
            .then(|| TenantLimit { policy: per_second.burst(tenant.burst.get()), lease: LEASE }),
        mail: address.enabled.then_some(MailLimit {
            budget,
            cool_down: Some(address.cooldown),
            per_network: Some(4),
        }),
        guesses: Some(GUESSES),
    }
}
