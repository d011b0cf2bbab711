//! Mail: what mails say, and the ways they leave. No actors here: each mailer owns a [`MailTransport`].

mod breaker;
pub(crate) mod capacity;
pub(crate) mod counts;
pub(crate) mod dispatcher;
mod display_name;
mod dkim;
mod error;
mod factory_remote;
mod hook;
pub(crate) mod mailers;
pub(crate) mod memory;
mod message;
pub(crate) mod note;
pub(crate) mod notifier;
pub(crate) mod outbox;
mod progress;
pub(crate) mod providers;
mod recipients;
pub(crate) mod record;
mod smtp;
mod templates;
pub(crate) mod typed_address;
mod values;
mod wire;

use crate::settings::{MailSettings, ProviderSettings};
use progress::Limits;
use providers::{Bounds, Kind, Provider, Providers};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
pub(crate) use setting_values::Secret;

pub use crate::settings::{SmtpSettings, TlsMode};
pub use error::SendError;
pub use memory::{Mailbox, StoredMail};
pub use message::{Alphabet, Content, Mail, Rendered, Sender};
pub(crate) use message::{TenantLook, Unsendable};
pub(crate) use smtp::Relay;
pub use smtp::SetupError;
pub use templates::{TemplateError, Templates};

/// Where mail goes. One for the whole process; cheap to clone.
#[derive(Clone)]
pub struct Transport(pub(crate) Arc<Providers>);

impl Transport {
    /// By the providers of the settings; `hello_name` is the host that greets mail servers. Checks the settings without
    /// connecting. The error names the section.
    pub fn new(mail: &MailSettings, hello_name: &str) -> Result<Self, (String, SetupError)> {
        let roots = smtp::system_roots();
        let tls = smtp::client_config(roots.clone()).map(Arc::new);
        let mut all = Vec::new();
        for (name, settings) in mail.configured() {
            let at = |error| (name.clone(), error);
            let (kind, bounds) = match &settings {
                ProviderSettings::Smtp(smtp) => {
                    let relay = Relay::new(roots.clone(), smtp.clone(), hello_name).map_err(at)?;
                    (
                        Kind::Smtp(Arc::new(relay)),
                        bounds(smtp.timeout, mail.deadline, smtp.connections, smtp.per_second),
                    )
                }
                ProviderSettings::Hook(hook) => (
                    Kind::Hook(Arc::new(hook::Hook::new(hook, tls.clone().map_err(at)?).map_err(at)?)),
                    bounds(hook.timeout, mail.deadline, hook.connections, hook.per_second),
                ),
            };
            all.push(Provider::new(&name, kind, bounds));
        }
        Ok(Self(Arc::new(Providers::new(all, &mail.order))))
    }

    /// Into memory: `doorcode dev` and tests.
    pub fn memory(mailbox: Mailbox) -> Self {
        let limit = Duration::from_secs(1);
        let bounds = bounds(limit, limit, NonZeroUsize::MAX, 0);
        let provider = Provider::new("memory", Kind::Memory(mailbox), bounds);
        Self(Arc::new(Providers::new(vec![provider], &["memory".to_owned()])))
    }

    /// Which relays take no mail now, without sending any.
    pub async fn check(&self) -> Vec<(String, SendError)> {
        let mut refused = Vec::new();
        for provider in &self.0.all {
            if let Kind::Smtp(relay) = &provider.kind
                && let Err(error) = relay.check(provider.bounds.limits).await
            {
                refused.push((provider.name.clone(), error));
            }
        }
        refused
    }

    /// A transport of its own for one mailer.
    pub fn transport(&self, sender: Sender, templates: Arc<Templates>) -> MailTransport {
        let lines = self.0.all.iter().map(|provider| match &provider.kind {
            Kind::Smtp(relay) => Line::Smtp(Box::new(smtp::SmtpConnection::new(relay.clone()))),
            Kind::Hook(hook) => Line::Hook(Box::new(hook.connection())),
            Kind::Memory(mailbox) => Line::Memory(mailbox.clone()),
        });
        MailTransport { sender, templates, lines: lines.collect(), providers: self.0.clone(), tried: 0 }
    }
}

fn bounds(timeout: Duration, answer: Duration, connections: NonZeroUsize, per_second: u32) -> Bounds {
    // a semaphore's most
    let connections = connections.get().min(tokio::sync::Semaphore::MAX_PERMITS);
    Bounds { limits: Limits { until_content: timeout, answer }, connections, per_second }
}

/// Carries mails, one at a time, by the first provider that takes them.
pub struct MailTransport {
    sender: Sender,
    templates: Arc<Templates>,
    /// One of each provider, in their order.
    lines: Vec<Line>,
    providers: Arc<Providers>,
    /// The place of the one that was tried last.
    tried: usize,
}

enum Line {
    Smtp(Box<smtp::SmtpConnection>),
    Hook(Box<standard_webhooks::Connection>),
    Memory(Mailbox),
}

impl MailTransport {
    /// Delivers a mail by the providers of its tenant, or of everybody, in order. The next one is tried when the one before
    /// certainly did not take the mail, and not when it may have. Safe to cancel. After an error the mail may still have been
    /// delivered; sending it again is right unless [`SendError::is_permanent`].
    pub async fn send(&mut self, mail: &Mail) -> Result<(), SendError> {
        let mut last = SendError::NoProvider;
        for at in self.providers.clone().route(&mail.providers) {
            match self.try_one(at, mail).await {
                Some(Err(error)) if error.is_definite() && !error.is_permanent() => last = error,
                Some(outcome) => return outcome,
                None => {}
            }
        }
        Err(last)
    }

    /// The name of the provider that had the last word.
    pub(crate) fn provider(&self) -> &str {
        self.providers.all.get(self.tried).map_or("", |provider| &provider.name)
    }

    /// Whether this mail goes by the same providers as all others.
    pub(crate) fn is_everybodys(&self, mail: &Mail) -> bool {
        self.providers.is_everybodys(&self.providers.route(&mail.providers))
    }

    /// By one provider; `None`: it takes no mail now.
    async fn try_one(&mut self, at: usize, mail: &Mail) -> Option<Result<(), SendError>> {
        let provider = self.providers.all.get(at)?;
        let line = self.lines.get_mut(at)?;
        let pass = provider.admit().await?;
        self.tried = at;
        let outcome = line.send(mail, &self.sender, &self.templates, provider.bounds.limits).await;
        pass.note(&outcome);
        Some(outcome)
    }

    /// Tries each provider for itself, set aside or not: its name, and how long it took or what went wrong.
    pub async fn try_each(&mut self, mail: &Mail) -> Vec<(String, Result<Duration, SendError>)> {
        let mut outcomes = Vec::new();
        for (provider, line) in self.providers.all.iter().zip(&mut self.lines) {
            let began = std::time::Instant::now();
            let outcome = line.send(mail, &self.sender, &self.templates, provider.bounds.limits).await;
            outcomes.push((provider.name.clone(), outcome.map(|()| began.elapsed())));
        }
        outcomes
    }

    /// Closes what is open, politely. For the end of a mailer's life.
    pub async fn close(&mut self) {
        for line in &mut self.lines {
            if let Line::Smtp(line) = line {
                line.close().await;
            }
        }
    }
}

impl Line {
    async fn send(
        &mut self,
        mail: &Mail,
        sender: &Sender,
        templates: &Templates,
        limits: Limits,
    ) -> Result<(), SendError> {
        match self {
            Self::Smtp(line) => line.send(&message::compose(mail, sender, templates)?, limits).await,
            Self::Hook(line) => hook::post(line, mail, templates.render(mail)?, limits).await,
            Self::Memory(mailbox) => {
                mailbox.push(stored(mail, templates)?);
                Ok(())
            }
        }
    }
}

fn stored(mail: &Mail, templates: &Templates) -> Result<StoredMail, Unsendable> {
    // As strict as SMTP, so that `dev` does not deliver what `serve` cannot.
    message::parse_address(&mail.to)?;
    let Rendered { subject, text, html } = templates.render(mail)?;
    Ok(StoredMail {
        id: mail.message_id.to_string(),
        at: Timestamp::now().to_string(),
        tenant: mail.tenant.slug.clone(),
        to: mail.to.clone(),
        subject,
        text,
        html,
    })
}
