//! One login-code mail: what it says, and the message that carries it.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use jiff::{Timestamp, tz::TimeZone};
use lettre::address::Envelope;
use lettre::message::header::{self, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use uuid::Uuid;

use super::Secret;
use super::display_name;

const SUBJECT: &str = "login_code/subject.txt";
const TEXT: &str = "login_code/body.txt";
const HTML: &str = "login_code/body.html";

/// Compiled once. An error here is a template that does not parse; a test keeps it out of releases.
static TEMPLATES: LazyLock<Result<Environment<'static>, minijinja::ErrorKind>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    // Debug information of an error quotes the variables, and one of them is the code.
    env.set_debug(false);
    env.set_auto_escape_callback(
        |name| if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None },
    );
    for (name, source) in [
        (SUBJECT, include_str!("templates/login_code/subject.txt")),
        (TEXT, include_str!("templates/login_code/body.txt")),
        (HTML, include_str!("templates/login_code/body.html")),
    ] {
        env.add_template(name, source).map_err(|e| e.kind())?;
    }
    Ok(env)
});

/// What a code is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Six decimal digits.
    Digits,
    /// Six characters of Crockford base32, in either case.
    Base32,
}

/// A code on its way to a customer: everything that a mail says, and nothing else.
#[derive(Clone, Debug)]
pub struct LoginMail {
    /// The address stored for the customer, never the spelling somebody typed (STANDARDS H1).
    pub to: String,
    /// The tenant's name as its owner wrote it; made safe here.
    pub tenant_name: String,
    /// The tenant's slug; stands in for an empty name.
    pub tenant_slug: String,
    /// The code.
    pub code: Secret,
    /// What the code is written with.
    pub alphabet: Alphabet,
    /// How many minutes the code has left to live.
    pub minutes: u32,
    /// When the code was asked for, in microseconds since 1970.
    pub requested_at: i64,
    /// The host of the tenant's portal, from configuration, never from a request (STANDARDS H9).
    pub portal_host: Option<String>,
    /// One per mail: equal for every try to deliver it, so a mail delivered twice is shown once; another for
    /// the next mail of the same code, or mail programs would hide that one.
    pub message_id: Uuid,
}

/// Who the mails are from.
#[derive(Clone, Debug)]
pub struct Sender {
    /// `From`, and the envelope's sender too, so that SPF and DMARC align (STANDARDS H17).
    pub address: Address,
    /// The name shown beside it; the tenant's own name when there is none.
    pub name: Option<String>,
}

impl Sender {
    /// `address` is a plain address, such as `login@example.com`.
    pub fn new(address: &str, name: Option<String>) -> Result<Self, Unsendable> {
        let address = parse_address(address).map_err(|_| Unsendable::BadSender)?;
        Ok(Self { address, name })
    }
}

/// The words of a mail. Holds the code in the clear, so it has no `Debug`.
pub struct Rendered {
    /// The subject, with the code once, in front.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// Why a mail can never be sent, whoever carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The stored address cannot stand in an SMTP command.
    #[error("the customer's address cannot be used in SMTP; correct it with `doorcode customer`")]
    BadRecipient,
    /// The configured sender is no plain address.
    #[error("the sender must be a plain address such as login@example.com; correct it in the mail settings")]
    BadSender,
    /// The mail server takes ASCII addresses only.
    #[error(
        "the address needs SMTPUTF8 and 8BITMIME, which the mail server does not offer; use one that does"
    )]
    NeedsSmtpUtf8,
    /// The mail holds a value that the templates cannot show, such as an impossible time.
    #[error("the mail could not be composed: {0}")]
    Template(&'static str),
}

/// Fills the templates.
pub fn render(mail: &LoginMail) -> Result<Rendered, Unsendable> {
    let asked = Timestamp::from_microsecond(mail.requested_at)
        .map_err(|_| Unsendable::Template("the time of the request is out of range"))?
        .to_zoned(TimeZone::UTC);
    let values = context! {
        code => mail.code.reveal(),
        tenant => tenant_name(mail),
        letters => mail.alphabet == Alphabet::Base32,
        life => if mail.minutes == 1 { "minute".to_owned() } else { format!("{} minutes", mail.minutes) },
        // Without the year: four digits in a row could be taken for the code.
        day => asked.strftime("%-d %B").to_string(),
        time => asked.strftime("%H:%M").to_string(),
        portal_host => mail.portal_host.as_deref().filter(|host| is_bindable_host(host)),
    };
    let env = TEMPLATES.as_ref().map_err(|_| Unsendable::Template("a template does not parse"))?;
    let fill = |name| {
        env.get_template(name)
            .and_then(|template| template.render(&values))
            .map_err(|_| Unsendable::Template("a template asks for a value it is not given"))
    };
    Ok(Rendered {
        subject: fill(SUBJECT)?.trim().to_owned(),
        text: fill(TEXT)?.trim_end().to_owned() + "\n",
        html: fill(HTML)?,
    })
}

/// The message on the wire. The same mail gives the same bytes each time.
pub fn compose(mail: &LoginMail, sender: &Sender) -> Result<Message, Unsendable> {
    let words = render(mail)?;
    let to = parse_address(&mail.to)?;
    let envelope = Envelope::new(Some(sender.address.clone()), vec![to.clone()])
        .map_err(|_| Unsendable::BadRecipient)?;
    let own_name = sender.name.as_deref().map(display_name::one_line).filter(|name| !name.is_empty());
    let shown_name = own_name.unwrap_or_else(|| tenant_name(mail));
    let asked = SystemTime::UNIX_EPOCH + Duration::from_micros(mail.requested_at.max(0).unsigned_abs());

    Message::builder()
        .envelope(envelope)
        .date(asked)
        .message_id(Some(format!("<{}@{}>", mail.message_id, sender.address.domain())))
        .from(Mailbox::new(Some(shown_name), sender.address.clone()))
        .to(Mailbox::new(None, to))
        .subject(words.subject)
        // Keeps vacation notices and other robots quiet (RFC 3834, and Exchange's own header).
        .raw_header(fixed_header("Auto-Submitted", "auto-generated"))
        .raw_header(fixed_header("X-Auto-Response-Suppress", "All"))
        .multipart(
            MultiPart::alternative()
                .boundary(format!("=_{}", mail.message_id.simple()))
                .singlepart(SinglePart::builder().header(header::ContentType::TEXT_PLAIN).body(words.text))
                .singlepart(SinglePart::builder().header(header::ContentType::TEXT_HTML).body(words.html)),
        )
        .map_err(|_| Unsendable::Template("the headers do not fit together"))
}

fn fixed_header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn tenant_name(mail: &LoginMail) -> String {
    let name = display_name::one_line(&mail.tenant_name);
    if name.is_empty() { display_name::one_line(&mail.tenant_slug) } else { name }
}

/// An address for SMTP commands and headers. The domain goes out in its ASCII form, so that only a local part
/// beyond ASCII needs a server with SMTPUTF8.
pub(super) fn parse_address(address: &str) -> Result<Address, Unsendable> {
    let (local, domain) = address.rsplit_once('@').ok_or(Unsendable::BadRecipient)?;
    let domain = idna::domain_to_ascii(domain).map_err(|_| Unsendable::BadRecipient)?;
    // A quoted local part may hold anything; stored addresses never have one.
    let unsafe_char = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\u{2028}' | '\u{2029}')
    };
    if local.contains(unsafe_char) {
        return Err(Unsendable::BadRecipient);
    }
    Address::new(local, domain).map_err(|_| Unsendable::BadRecipient)
}

/// Whether the last line may bind the code to this host. A host with a long run of digits would compete with
/// the code for the reader's eye and the mail program's, so such portals go without the line.
fn is_bindable_host(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    !host.is_empty()
        && host.chars().all(plain)
        && display_name::longest_digit_run(host) <= display_name::LONGEST_DIGIT_RUN
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
