//! One mail: what it is about, and the message that carries it. Its words are in [`Templates`].

use std::time::{Duration, SystemTime};

use doorcode_domain::Language;
use lettre::address::Envelope;
use lettre::message::header::{self, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use uuid::Uuid;

use super::Secret;
use super::display_name;
use super::templates::Templates;

/// What a code is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Six decimal digits.
    Digits,
    /// Six characters of Crockford base32, in either case.
    Base32,
}

impl Alphabet {
    /// As a hook is told.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Base32 => "base32",
        }
    }
}

/// A mail on its way to a customer: everything that it says, and nothing else.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The address stored for the customer, never the spelling somebody typed (STANDARDS H1).
    pub to: String,
    /// Whose portal it is.
    pub tenant: TenantLook,
    /// What it is written in.
    pub language: Language,
    /// What it is about.
    pub content: Content,
    /// When the code was asked for, or what it tells of happened: microseconds since 1970.
    pub at_us: i64,
    /// Names of providers, in order. Empty: as everybody's.
    pub providers: Vec<String>,
    /// Whose mail it is; `None`: somebody's who is no customer yet.
    pub customer_id: Option<Uuid>,
    /// From where that was, roughly: `203.0.113.x`.
    pub network: Option<String>,
    /// One per mail: equal for every try to deliver it, so a mail delivered twice is shown once; another for
    /// the next mail of the same code, or mail programs would hide that one.
    pub message_id: Uuid,
}

/// How a tenant appears in its mails: from its row, never from a request (STANDARDS H9).
#[derive(Clone, Debug, Default)]
pub struct TenantLook {
    /// As its owner wrote it; made safe here.
    pub name: String,
    /// Stands in for an empty name.
    pub slug: String,
    /// The host of its portal.
    pub portal_host: Option<String>,
    /// `#rrggbb`.
    pub colour: Option<String>,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<String>,
}

/// What a mail is about.
#[derive(Clone, Debug)]
pub enum Content {
    /// A login code.
    Code {
        /// The code.
        code: Secret,
        /// What it is written with.
        alphabet: Alphabet,
        /// How many minutes it has left to live.
        minutes: u32,
        /// When it dies, in microseconds since 1970.
        expires_us: i64,
    },
    /// Somebody typed wrong codes again and again.
    FailedGuesses,
    /// A login from a device that was never seen before.
    NewDevice,
}

impl Mail {
    /// One of each kind in each language, as templates are tried and shown with.
    pub fn samples() -> impl Iterator<Item = Self> {
        const AT_US: i64 = 1_936_163_289_000_000; // 2031-05-10 07:08:09 UTC
        let code = |code: &str, alphabet, minutes| Content::Code {
            code: code.into(),
            alphabet,
            minutes,
            expires_us: AT_US + i64::from(minutes) * 60_000_000,
        };
        Language::all().flat_map(move |language| {
            let mail = move |content, network: Option<&str>| Self {
                to: "ada@example.com".to_owned(),
                tenant: TenantLook {
                    name: "Acme".to_owned(),
                    slug: "acme".to_owned(),
                    portal_host: network.map(|_| "portal.acme.example".to_owned()),
                    colour: Some("#2450c8".to_owned()),
                    reply_to: None,
                },
                language,
                content,
                at_us: AT_US,
                providers: Vec::new(),
                customer_id: None,
                network: network.map(str::to_owned),
                message_id: Uuid::nil(),
            };
            [
                mail(code("042917", Alphabet::Digits, 10), Some("203.0.113.x")),
                mail(code("K7M2QX", Alphabet::Base32, 1), Some("fd00:db8:7::x")),
                mail(code("314159", Alphabet::Digits, 3), None),
                mail(Content::FailedGuesses, None),
                mail(Content::NewDevice, Some("203.0.113.x")),
            ]
        })
    }
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
    /// DKIM.
    #[error("the mail could not be signed; check dkim_key_file")]
    Signature,
    /// The mail holds a value that the templates cannot show, such as an impossible time.
    #[error("the mail could not be composed: {0}")]
    Template(&'static str),
}

/// The message on the wire. The same mail gives the same bytes each time.
pub(super) fn compose(mail: &Mail, sender: &Sender, templates: &Templates) -> Result<Message, Unsendable> {
    let words = templates.render(mail)?;
    let to = parse_address(&mail.to)?;
    let envelope = Envelope::new(Some(sender.address.clone()), vec![to.clone()])
        .map_err(|_| Unsendable::BadRecipient)?;
    let own_name = sender.name.as_deref().map(display_name::one_line).filter(|name| !name.is_empty());
    let shown_name = own_name.unwrap_or_else(|| tenant_name(&mail.tenant));
    let asked = SystemTime::UNIX_EPOCH + Duration::from_micros(mail.at_us.max(0).unsigned_abs());

    let mut message = Message::builder();
    if let Some(reply_to) = mail.tenant.reply_to.as_deref() {
        message = message.reply_to(Mailbox::new(None, parse_address(reply_to)?));
    }
    message
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

/// As its owner wrote it, made safe.
pub(super) fn tenant_name(tenant: &TenantLook) -> String {
    let name = display_name::one_line(&tenant.name);
    if name.is_empty() { display_name::one_line(&tenant.slug) } else { name }
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

#[cfg(test)]
mod tests;
