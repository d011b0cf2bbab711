//! `doorcode customer`

use clap::{Args, Subcommand};
use doorcode_actors::directory::{Claims, ExternalId, Locale};
use std::path::PathBuf;

/// `customer`
#[derive(Clone, Debug, Subcommand)]
pub enum CustomerCommand {
    /// Make customers
    #[command(after_help = "\
An address that is a customer already stays as it is.

Examples:
  doorcode customer add acme ada@example.com grace@example.com
  doorcode customer add acme linus@example.com --external-id user_42 --locale pt-BR --claims '{\"plan\":\"pro\"}'")]
    Add {
        /// The tenant's slug
        tenant: String,
        /// Where codes go
        #[arg(required = true, value_name = "EMAIL")]
        emails: Vec<String>,
        /// The customer's id in your own system, 1 to 128 visible ASCII characters without @
        #[arg(long, value_name = "ID")]
        external_id: Option<ExternalId>,
        /// The language of its mails, such as de or pt-BR
        #[arg(long, value_name = "TAG")]
        locale: Option<Locale>,
        /// What tokens may say of it: a JSON object of at most 2 KiB
        #[arg(long, value_name = "JSON")]
        claims: Option<Claims>,
    },
    /// Make customers of a CSV file's lines: 100,000 in seconds
    #[command(after_help = "\
One address a line, or columns named by a header line: `email`; `customer_id` (a UUID) to keep ids that exist \
elsewhere; `external_id`, `locale` and `claims` as `customer add` has them. Lines that cannot be customers are reported by number and the others are taken; the exit code is 1 if there \
were any. Repeating an import changes nothing.

Examples:
  doorcode customer import acme customers.csv
  psql -c 'COPY (SELECT email FROM users) TO STDOUT' shop | doorcode customer import acme -")]
    Import {
        /// The tenant's slug
        tenant: String,
        /// The file, or - for standard input
        file: PathBuf,
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
    /// List a tenant's customers
    #[command(
        after_help = "Example:\n  doorcode customer list acme --json | jq -r '.[] | select(.disabled) | .email'"
    )]
    List {
        /// The tenant's slug
        tenant: String,
        /// Not more than so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Make a fixed code for an address whose mail nobody reads: app reviewers, end-to-end tests
    #[command(after_help = "\
Six letters and digits, at random, shown once; for that address only, at most 90 days, at most five at a tenant. It works for \
10 minutes after each request for a code, any number of times, within the address's budgets. The address gets no mail \
meanwhile.

Examples:
  doorcode customer test-code acme reviewer@acme.com --days 30
  doorcode customer test-code acme reviewer@acme.com --remove")]
    TestCode {
        /// Whose
        #[command(flatten)]
        customer: Customer,
        /// How long it lives
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
        days: u32,
        /// Take it away instead
        #[arg(long, conflicts_with = "days")]
        remove: bool,
    },
    /// Let a customer in no more, and end its sessions
    #[command(after_help = "Example:\n  doorcode customer disable acme ada@example.com")]
    Disable(Customer),
    /// Let a disabled customer in again
    #[command(after_help = "Example:\n  doorcode customer enable acme ada@example.com")]
    Enable(Customer),
    /// List whose addresses get no mail for a time: a provider reported a bounce or a complaint
    #[command(after_help = "Example:\n  doorcode customer suppressed acme")]
    Suppressed {
        /// The tenant's slug
        tenant: String,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Let mail to such an address out again
    #[command(after_help = "Example:\n  doorcode customer unsuppress acme ada@example.com")]
    Unsuppress(Customer),
    /// Delete a customer and its sessions
    #[command(after_help = "\
What the address has spent of its guesses and mails stays spent, in a form that does not hold the address.

Example:
  doorcode customer delete acme ada@example.com")]
    Delete(Customer),
}

/// Which customer.
#[derive(Clone, Debug, Args)]
pub struct Customer {
    /// The tenant's slug
    pub tenant: String,
    /// The customer's address
    pub email: String,
}
