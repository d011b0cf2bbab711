//! `doorcode customer`

use super::table::{Table, count, iso, write_json};
use super::{CommandError, import};
use crate::cli::CustomerCommand;
use crate::views;
use doorcode_actors::Directory;
use doorcode_actors::directory::{Customer, ImportReport, Profile};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Customers that one question to the database brings.
const PAGE: u32 = 1_000;
/// Refused lines that people are shown; `--json` has all.
const SHOWN: usize = 20;

pub(super) async fn run(
    directory: &Directory,
    command: CustomerCommand,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    match command {
        CustomerCommand::Add { tenant, emails, external_id, locale, claims } => {
            let profile = Profile { external_id, locale, claims: claims.unwrap_or_default() };
            add(directory, &tenant, emails, &profile, out).await?;
        }
        CustomerCommand::Import { tenant, file, json } => {
            let report = import::run(directory, &tenant, &file).await?;
            write_report(&report, json, out)?;
            refused(&report)?;
        }
        CustomerCommand::List { tenant, limit, json } => list(directory, &tenant, limit, json, out).await?,
        CustomerCommand::TestCode { customer, days, remove: false } => {
            let made = directory.make_test_code(&customer.tenant, &customer.email, days).await?;
            writeln!(out, "{}", made.code.as_str())?;
            writeln!(
                out,
                "for {} until {}, within 10 minutes after each request for a code; shown this once, and no mail goes there",
                customer.email,
                iso(made.expires_us)
            )?;
        }
        CustomerCommand::TestCode { customer, .. } => {
            let found = directory.remove_test_code(&customer.tenant, &customer.email).await?;
            let told = if found { "removed the test code of" } else { "there is no test code of" };
            writeln!(out, "{told} {}", customer.email)?;
        }
        CustomerCommand::Disable(customer) => {
            let ended = directory.disable_customer(&customer.tenant, &customer.email).await?;
            let sessions = count(ended.sessions.unsigned_abs(), "session");
            writeln!(out, "disabled {}; ended {sessions}", customer.email)?;
        }
        CustomerCommand::Enable(customer) => {
            directory.enable_customer(&customer.tenant, &customer.email).await?;
            writeln!(out, "enabled {}", customer.email)?;
        }
        CustomerCommand::Suppressed { tenant, json } => suppressed(directory, &tenant, json, out).await?,
        CustomerCommand::Unsuppress(customer) => {
            let lifted = directory.lift_suppression(&customer.tenant, &customer.email).await?;
            let told = if lifted { "mail goes again to" } else { "mail was not held back from" };
            writeln!(out, "{told} {}", customer.email)?;
        }
        CustomerCommand::Delete(customer) => {
            let ended = directory.delete_customer(&customer.tenant, &customer.email).await?;
            let sessions = count(ended.sessions.unsigned_abs(), "session");
            writeln!(out, "deleted {}; ended {sessions}", customer.email)?;
        }
    }
    Ok(())
}

async fn add(
    directory: &Directory,
    tenant: &str,
    emails: Vec<String>,
    profile: &Profile,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    if profile.external_id.is_some() && emails.len() > 1 {
        return Err(CommandError::failed(
            "an external id belongs to one customer, and several addresses are given",
            "add them one at a time, or import a CSV file with a column external_id",
        ));
    }
    for email in emails {
        let added = directory.add_customer_as(tenant, &email, profile).await?;
        let verb = if added.new { "added" } else { "unchanged" };
        writeln!(out, "{verb} {} with id {}", added.customer.email, added.customer.customer_id.0)?;
    }
    Ok(())
}

/// An import that left lines out has not succeeded.
fn refused(report: &ImportReport) -> Result<(), CommandError> {
    if report.refused.is_empty() {
        return Ok(());
    }
    let refused = count(report.refused.len() as u64, "line");
    Err(CommandError::failed(
        format!("{refused} could not be imported"),
        "the others are customers now; mend these and import again, which changes nothing else",
    ))
}

/// Page by page, so that a million customers need no more memory than a thousand.
async fn list(
    directory: &Directory,
    tenant: &str,
    limit: Option<u32>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut left = limit.unwrap_or(u32::MAX);
    let mut listing = Listing { json, written: 0 };
    let mut after = None;
    loop {
        let page = directory.customers(tenant, after, left.min(PAGE)).await?;
        for customer in &page.customers {
            listing.write(customer, out)?;
        }
        left = left.saturating_sub(u32::try_from(page.customers.len()).unwrap_or(u32::MAX));
        after = page.next;
        if after.is_none() || left == 0 {
            break;
        }
    }
    Ok(listing.end(tenant, out)?)
}

async fn suppressed(
    directory: &Directory,
    tenant: &str,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = directory.suppressions(tenant, after, PAGE).await?;
        all.extend(page.suppressions);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return Ok(write_json(&all.iter().map(views::suppression).collect(), out)?);
    }
    let mut table = Table::new(["REASON", "SINCE", "UNTIL", "EMAIL"]);
    for entry in all {
        table.row([entry.reason, iso(entry.since_us), iso(entry.until_us), entry.email]);
    }
    Ok(table.write("no address is held back", out)?)
}

/// Writes customers one at a time. The address comes last: all other columns have a fixed width.
struct Listing {
    json: bool,
    written: u64,
}

impl Listing {
    fn write(&mut self, customer: &Customer, out: &mut dyn Write) -> io::Result<()> {
        let first = self.written == 0;
        self.written += 1;
        if self.json {
            out.write_all(if first { b"[\n  " } else { b",\n  " })?;
            return Ok(serde_json::to_writer(out, &views::customer(customer))?);
        }
        if first {
            writeln!(out, "{:36}  {:20}  {:8}  EMAIL", "CUSTOMER ID", "CREATED", "STATE")?;
        }
        let state = if customer.disabled { "disabled" } else { "enabled" };
        writeln!(
            out,
            "{}  {}  {state:8}  {}",
            customer.customer_id.0,
            iso(customer.created_us),
            customer.email
        )
    }

    fn end(&self, tenant: &str, out: &mut dyn Write) -> io::Result<()> {
        match (self.json, self.written) {
            (true, 0) => writeln!(out, "[]"),
            (true, _) => writeln!(out, "\n]"),
            (false, 0) => writeln!(out, "no customers yet; `doorcode customer add {tenant} EMAIL` makes one"),
            (false, _) => Ok(()),
        }
    }
}

fn write_report(report: &ImportReport, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        let refused = report.refused.iter().map(|line| json!({ "line": line.line, "reason": line.reason }));
        let refused: Vec<Value> = refused.collect();
        return write_json(
            &json!({ "added": report.added, "existing": report.existing, "refused": refused }),
            out,
        );
    }
    writeln!(out, "added {}, unchanged {}, refused {}", report.added, report.existing, report.refused.len())?;
    for refused in report.refused.iter().take(SHOWN) {
        writeln!(out, "  line {}: {}", refused.line, refused.reason)?;
    }
    match report.refused.len().checked_sub(SHOWN) {
        Some(more @ 1..) => writeln!(out, "  and {more} more; --json lists all"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_actors::directory::RefusedLine;
    use doorcode_domain::CustomerId;

    #[test]
    fn a_listing_is_a_table_or_an_array() {
        let customer = Customer {
            customer_id: CustomerId(uuid::Uuid::from_u128(1)),
            email: "ada@example.com".to_owned(),
            disabled: true,
            created_us: 1_795_399_200_000_000,
            updated_us: 1_795_399_200_000_000,
            profile: Profile::default(),
        };
        for number in 0..3 {
            let (mut text, mut machine) = (Vec::new(), Vec::new());
            for (json, out) in [(false, &mut text), (true, &mut machine)] {
                let mut listing = Listing { json, written: 0 };
                for _ in 0..number {
                    listing.write(&customer, out).unwrap();
                }
                listing.end("acme", out).unwrap();
            }
            let value: Value = serde_json::from_slice(&machine).unwrap();
            assert_eq!(value.as_array().unwrap().len(), number);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text.matches("2026-11-23T02:00:00Z  disabled  ada@example.com").count(), number);
        }
    }

    #[test]
    fn a_report_names_lines_and_stays_short() {
        let refused = (1..=25).map(|line| RefusedLine { line, reason: "no".to_owned() }).collect();
        let report = ImportReport { added: 1, existing: 2, refused };
        let mut out = Vec::new();
        write_report(&report, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("added 1, unchanged 2, refused 25\n  line 1: no\n"), "{text}");
        assert!(text.ends_with("  line 20: no\n  and 5 more; --json lists all\n"), "{text}");
    }
}
