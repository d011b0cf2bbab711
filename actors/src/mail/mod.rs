//! Mail: what mails say, and the ways it leaves. No actors here: each mailer owns a [`MailTransport`].

pub(crate) mod capacity;
pub(crate) mod counts;
pub(crate) mod dispatcher;
mod display_name;
mod error;
pub(crate) mod mailers;
pub mod memory;
mod message;
pub(crate) mod note;
pub(crate) mod outbox;
mod recipients;
pub(crate) mod record;
mod smtp;
mod templates;
pub(crate) mod typed_address;
mod wire;

use crate::settings::MailSettings;
use std::sync::Arc;

use jiff::Timestamp;
pub(crate) use setting_values::Secret;

pub use crate::settings::{SmtpSettings, TlsMode};
pub use error::SendError;
pub use memory::{Mailbox, StoredMail};
pub use message::{Alphabet, Content, Mail, Rendered, Sender, TenantLook, Unsendable};
pub use smtp::{Relay, SetupError};
pub use templates::{TemplateError, Templates};

/// Where mail goes. One for the whole process; cheap to clone.
#[derive(Clone)]
pub enum Transport {
    /// To a mail server.
    Smtp(Arc<Relay>),
    /// Into memory: `doorcode dev` and tests.
    Memory(Mailbox),
}

impl Transport {
    /// Mail over SMTP, from the host of this public URL. Checks the settings without connecting.
    pub fn smtp(mail: &MailSettings, hello_name: &str) -> Result<Self, SetupError> {
        Ok(Self::Smtp(Arc::new(Relay::new(mail.smtp.clone(), hello_name, mail.deadline)?)))
    }

    /// Whether mail can leave now, without sending any.
    pub async fn check(&self) -> Result<(), SendError> {
        match self {
            Self::Smtp(relay) => relay.check().await,
            Self::Memory(_) => Ok(()),
        }
    }

    /// A transport of its own for one mailer.
    pub fn transport(&self, sender: Sender, templates: Arc<Templates>) -> MailTransport {
        let route = match self {
            Self::Smtp(relay) => Route::Smtp(Box::new(smtp::SmtpConnection::new(relay.clone()))),
            Self::Memory(mailbox) => Route::Memory(mailbox.clone()),
        };
        MailTransport { sender, templates, route }
    }
}

/// Carries mails, one at a time. Several providers with a breaker fit in here: a list of routes, walked while
/// [`SendError::blames_provider`].
pub struct MailTransport {
    sender: Sender,
    templates: Arc<Templates>,
    route: Route,
}

enum Route {
    Smtp(Box<smtp::SmtpConnection>),
    Memory(Mailbox),
}

impl MailTransport {
    /// Delivers a mail, or says why not. Safe to cancel. After an error the mail may still have been
    /// delivered; sending it again is right unless [`SendError::is_permanent`].
    pub async fn send(&mut self, mail: &Mail) -> Result<(), SendError> {
        match &mut self.route {
            Route::Smtp(line) => line.send(&message::compose(mail, &self.sender, &self.templates)?).await,
            Route::Memory(mailbox) => {
                mailbox.push(stored(mail, &self.templates)?);
                Ok(())
            }
        }
    }

    /// Closes what is open, politely. For the end of a mailer's life.
    pub async fn close(&mut self) {
        if let Route::Smtp(line) = &mut self.route {
            line.close().await;
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
