//! Delivery over SMTP: one connection to a relay.

use std::sync::Arc;
use std::time::Duration;

use lettre::Message;
use lettre::address::Envelope;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout};

use super::dkim::Dkim;
use super::error::{SendError, Stage};
use super::message::Unsendable;
use super::progress::{Limits, Progress};
use super::wire::{self, Tls};
use crate::settings::{SmtpSettings, TlsMode};

/// "Service not available, closing": the connection's end, whatever was asked.
const CLOSING: &str = "421";

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A password would be readable on the way.
    #[error(
        "a mail login without TLS would send the password in the clear: set tls to \"starttls\" or \"implicit\""
    )]
    LoginInTheClear,
    /// EHLO cannot carry the name.
    #[error("the mail hello name must be a host name such as login.example.com")]
    HelloName,
    /// No certificate can show this name.
    #[error("the mail host must be a host name or an address for TLS to verify it")]
    Host,
    /// There is none.
    #[error("no mail relay is set")]
    NoHost,
    /// A hook's URL.
    #[error("{0}")]
    Url(String),
    /// A hook's secrets.
    #[error("{0}")]
    Secret(String),
    /// A signature's key or name.
    #[error("{0}")]
    Dkim(String),
    /// The cryptographic library.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
}

/// A mail server that can be connected to: checked settings, and the TLS configuration they lead to. Shared by
/// all connections.
pub(crate) struct Relay {
    settings: SmtpSettings,
    host: String,
    /// The name doorcode gives in EHLO: its own fully qualified host name.
    hello_name: String,
    tls: Option<Tls>,
    dkim: Option<Dkim>,
}

impl Relay {
    /// Checks the settings. Connects to nothing. `roots` are whom it trusts where the settings name no file.
    pub(super) fn new(
        mut roots: RootCertStore,
        settings: SmtpSettings,
        hello_name: &str,
    ) -> Result<Self, SetupError> {
        if let Some(file) = &settings.ca_file {
            roots = crate::authorities::of_file(file)
                .map_err(|why| SetupError::Tls(format!("ca_file {}: {why}", file.display())))?;
        }
        Self::trusting(roots, settings, hello_name)
    }

    /// With these root certificates.
    fn trusting(roots: RootCertStore, settings: SmtpSettings, hello_name: &str) -> Result<Self, SetupError> {
        let hello_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':');
        if hello_name.is_empty() || !hello_name.chars().all(hello_char) {
            return Err(SetupError::HelloName);
        }
        let host = settings.host.clone().ok_or(SetupError::NoHost)?;
        let tls = match settings.tls {
            TlsMode::None if settings.password.is_some() && !settings.is_local() => {
                return Err(SetupError::LoginInTheClear);
            }
            TlsMode::None => None,
            TlsMode::StartTls | TlsMode::Implicit => Some(Tls {
                config: Arc::new(client_config(roots)?),
                server: ServerName::try_from(host.clone()).map_err(|_| SetupError::Host)?,
            }),
        };
        let dkim = match (&settings.dkim_selector, &settings.dkim_key_file) {
            (Some(selector), Some(file)) => Some(Dkim::open(selector, file).map_err(SetupError::Dkim)?),
            (None, None) => None,
            _ => return Err(SetupError::Dkim("dkim_selector and dkim_key_file go together".to_owned())),
        };
        Ok(Self { settings, host, hello_name: hello_name.to_owned(), tls, dkim })
    }

    /// Whether the relay can be reached and lets us in. Hands nothing over.
    pub(super) async fn check(&self, limits: Limits) -> Result<(), SendError> {
        let progress = Progress::default();
        let opened = limits.hold(&progress, self.open()).await;
        let mut opened = opened.ok_or_else(|| progress.late(limits))??;
        // The server's answer changes nothing.
        let _ = timeout(Duration::from_secs(1), opened.smtp.quit()).await;
        Ok(())
    }

    /// Connects, protects and introduces itself.
    async fn open(&self) -> Result<OpenConnection, SendError> {
        let tcp = wire::connect(&self.host, self.settings.port).await?;
        let stream: Box<dyn AsyncTokioStream> = match (&self.tls, self.settings.tls) {
            (None, _) => Box::new(tcp),
            (Some(tls), TlsMode::Implicit) => Box::new(wire::implicit_tls(tcp, tls).await?),
            (Some(tls), _) => Box::new(wire::start_tls(tcp, &self.hello_name, tls).await?),
        };
        let hello = ClientId::Domain(self.hello_name.clone());
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &hello)
            .await
            .map_err(|e| SendError::Unreachable { stage: Stage::Hello, what: numbers_or_kind(&e) })?;
        // lettre keeps to itself what it does not use
        let offers = connection.command(Ehlo::new(hello)).await.map_err(|e| failure(Stage::Hello, &e))?;
        let pipelining = offers.message().any(|line| line.trim().eq_ignore_ascii_case("PIPELINING"));
        if let (Some(user), Some(password)) = (&self.settings.username, &self.settings.password) {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            let answer = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            answer.map_err(|e| failure(Stage::Login, &e))?;
        }
        Ok(OpenConnection { smtp: connection, pipelining, is_stuck: false })
    }
}

/// An open connection, and whether commands may be sent ahead of answers (RFC 2920).
struct OpenConnection {
    smtp: AsyncSmtpConnection,
    pipelining: bool,
    /// The server waits for content that must not come.
    is_stuck: bool,
}

/// The machine's. Unreadable ones are left out: a server they vouch for is refused, and the error says so.
pub(super) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

pub(super) fn client_config(roots: RootCertStore) -> Result<rustls::ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| SetupError::Tls(e.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// One connection to a relay: opened when a mail needs it, kept warm, reopened when it went bad. It is taken
/// out while in use, so a send that fails or is cancelled half way leaves no half-spoken connection behind.
pub(super) struct SmtpConnection {
    relay: Arc<Relay>,
    warm: Option<Warm>,
}

struct Warm {
    connection: OpenConnection,
    last_used: Instant,
}

impl SmtpConnection {
    pub(super) fn new(relay: Arc<Relay>) -> Self {
        Self { relay, warm: None }
    }

    /// Sends within its limits, connecting first if need be.
    pub(super) async fn send(&mut self, message: &Message, limits: Limits) -> Result<(), SendError> {
        let progress = Progress::default();
        match limits.hold(&progress, self.try_send(message, &progress)).await {
            Some(outcome) => outcome,
            None => Err(progress.late(limits)),
        }
    }

    /// Takes leave. Without it the server only sees the connection drop.
    pub(super) async fn close(&mut self) {
        if let Some(mut warm) = self.warm.take() {
            // The server's answer changes nothing.
            let _ = timeout(Duration::from_secs(1), warm.connection.smtp.quit()).await;
        }
    }

    async fn try_send(&mut self, message: &Message, progress: &Progress) -> Result<(), SendError> {
        let mut raw = message.formatted();
        if let (Some(dkim), Some(from)) = (&self.relay.dkim, message.envelope().from()) {
            raw = dkim.sign(from.domain(), &raw).map_err(|_| Unsendable::Signature)?;
        }
        if let Some(connection) = self.take_warm() {
            let outcome = self.transact(connection, message.envelope(), &raw, progress).await;
            // The server had hung up in the meantime: that is not this mail's failure.
            let hung_up = progress.stage() == Stage::Sender
                && match &outcome {
                    Err(SendError::Unreachable { .. }) => true,
                    Err(SendError::Transient { reply, .. }) => reply.starts_with(CLOSING),
                    _ => false,
                };
            if !hung_up {
                return outcome;
            }
        }
        progress.reach(Stage::Connect);
        let connection = self.relay.open().await?;
        self.transact(connection, message.envelope(), &raw, progress).await
    }

    fn take_warm(&mut self) -> Option<OpenConnection> {
        let warm = self.warm.take()?;
        (warm.last_used.elapsed() < self.relay.settings.max_idle).then_some(warm.connection)
    }

    /// One mail on an open connection, which is kept if it is still in step afterwards.
    async fn transact(
        &mut self,
        mut connection: OpenConnection,
        envelope: &Envelope,
        raw: &[u8],
        progress: &Progress,
    ) -> Result<(), SendError> {
        let outcome = speak(&mut connection, envelope, raw, progress).await;
        let in_step = match &outcome {
            _ if connection.is_stuck => false,
            Ok(()) | Err(SendError::Unsendable(_)) => true,
            Err(SendError::Transient { reply, .. }) if reply.starts_with(CLOSING) => false,
            Err(
                SendError::Transient { .. } | SendError::Permanent { .. } | SendError::SenderRefused { .. },
            ) => {
                // A refusal is an answer like any other; a new connection per refusal would be dear under TLS.
                connection.smtp.command(Rset).await.is_ok()
            }
            Err(_) => false,
        };
        if in_step {
            self.warm = Some(Warm { connection, last_used: Instant::now() });
        }
        outcome
    }
}

/// The transaction itself. lettre's own `send` hangs up after any refusal and does not tell where it came.
async fn speak(
    connection: &mut OpenConnection,
    envelope: &Envelope,
    raw: &[u8],
    progress: &Progress,
) -> Result<(), SendError> {
    progress.reach(Stage::Sender);
    let mut parameters = Vec::new();
    if !raw.is_ascii() {
        // Only an address can make it so: text is encoded, and domains are in their ASCII form. Never send such
        // an address to a server that would mangle it (STANDARDS H7).
        let offers = |extension| connection.smtp.server_info().supports_feature(extension);
        if !offers(Extension::SmtpUtfEight) || !offers(Extension::EightBitMime) {
            return Err(Unsendable::NeedsSmtpUtf8.into());
        }
        parameters = vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)];
    }
    let international = !parameters.is_empty();
    let mut commands = vec![(Stage::Sender, Mail::new(envelope.from().cloned(), parameters).to_string())];
    let recipients = envelope.to().iter().map(|to| Rcpt::new(to.clone(), Vec::new()));
    commands.extend(recipients.map(|rcpt| (Stage::Recipient, rcpt.to_string())));
    commands.push((Stage::Content, Data.to_string()));
    let opened = if connection.pipelining {
        send_ahead(connection, &commands, progress).await
    } else {
        send_in_turn(&mut connection.smtp, &commands, progress).await
    };
    opened.map_err(|e| match failure(progress.stage(), &e) {
        // Servers may refuse the parameter here: then it is this address's fault, not the sender's.
        SendError::SenderRefused { stage, reply } if international => SendError::Permanent { stage, reply },
        other => other,
    })?;
    progress.reach(Stage::Handover);
    connection.smtp.message(raw).await.map_err(|e| failure(progress.stage(), &e))?;
    Ok(())
}

/// Everything before the content, each command when the one before was answered.
async fn send_in_turn(
    smtp: &mut AsyncSmtpConnection,
    commands: &[(Stage, String)],
    progress: &Progress,
) -> Result<(), smtp::Error> {
    for (at, command) in commands {
        progress.reach(*at);
        smtp.command(command).await?;
    }
    Ok(())
}

/// The same in one breath: one wait instead of three. Every answer is read, the first refusal counts.
async fn send_ahead(
    connection: &mut OpenConnection,
    commands: &[(Stage, String)],
    progress: &Progress,
) -> Result<(), smtp::Error> {
    let group: String = commands.iter().map(|(_, command)| command.as_str()).collect();
    let (smtp, mut refused, mut is_open) = (&mut connection.smtp, None, false);
    for (number, (at, _)) in commands.iter().enumerate() {
        if refused.is_none() {
            progress.reach(*at);
        }
        let answer = if number == 0 { smtp.command(&group).await } else { smtp.read_response().await };
        is_open = answer.is_ok();
        match answer {
            Ok(_) => {}
            Err(error) if error.status().is_some_and(|code| code.to_string() != CLOSING) => {
                refused.get_or_insert(error);
            }
            // no further answer will come
            Err(error) => return Err(refused.unwrap_or(error)),
        }
    }
    // A server may take DATA although it refused the recipient (RFC 2920 section 3.1). Better a connection lost than an
    // empty mail sent.
    connection.is_stuck = refused.is_some() && is_open;
    refused.map_or(Ok(()), Err)
}

/// What a failed command says, and about whom.
fn failure(stage: Stage, error: &smtp::Error) -> SendError {
    let reply = numbers_or_kind(error);
    if error.is_transient() {
        SendError::Transient { stage, reply }
    } else if error.is_permanent() {
        match stage {
            Stage::Recipient | Stage::Content | Stage::Handover => SendError::Permanent { stage, reply },
            _ => SendError::SenderRefused { stage, reply },
        }
    } else if stage == Stage::Login && error.is_client() {
        SendError::SenderRefused { stage, reply: "it offers neither PLAIN nor LOGIN".to_owned() }
    } else {
        SendError::Unreachable { stage, what: reply }
    }
}

/// A reply's code and enhanced code, such as "550 5.1.1", or the kind of the failed read or write.
fn numbers_or_kind(error: &smtp::Error) -> String {
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    if let Some(code) = error.status() {
        let first = text.split_whitespace().next().unwrap_or_default();
        let is_enhanced = first.len() <= 9
            && first.split('.').count() == 3
            && first.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        return if is_enhanced { format!("{code} {first}") } else { code.to_string() };
    }
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    match io {
        Some(io) => io.kind().to_string(),
        None if error.is_response() => "the server closed or does not speak SMTP".to_owned(),
        None => "the connection failed".to_owned(),
    }
}

#[cfg(test)]
mod tests;
