//! Delivery over HTTP: a signed notification of each mail to an operator's own program, which sends it.

use super::error::{SendError, Stage};
use super::message::{Content, Mail, Rendered};
use super::progress::{Limits, Progress};
use super::smtp::SetupError;
use crate::settings::HookSettings;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use standard_webhooks::{Answer, Connection, Endpoint, PostError, SigningSecret};
use std::sync::Arc;

/// A receiver that can be called: checked settings.
pub(super) struct Hook {
    endpoint: Arc<Endpoint>,
    tls: Arc<rustls::ClientConfig>,
    secrets: Arc<[SigningSecret]>,
}

impl Hook {
    pub(super) fn new(settings: &HookSettings, tls: Arc<rustls::ClientConfig>) -> Result<Self, SetupError> {
        let url = settings.url.as_deref().ok_or(SetupError::NoHost)?;
        let endpoint =
            Endpoint::new(url, settings.allow_private).map_err(|error| SetupError::Url(error.to_string()))?;
        let secrets: Vec<SigningSecret> = settings
            .secrets
            .iter()
            .map(|text| text.reveal().parse())
            .collect::<Result<_, _>>()
            .map_err(|error: standard_webhooks::SecretError| SetupError::Secret(error.to_string()))?;
        if secrets.is_empty() {
            return Err(SetupError::Secret(
                "a receiver must be able to tell who calls: at least one secret".to_owned(),
            ));
        }
        Ok(Self { endpoint: Arc::new(endpoint), tls, secrets: secrets.into() })
    }

    pub(super) fn connection(&self) -> Connection {
        Connection::new(self.endpoint.clone(), self.tls.clone(), self.secrets.clone())
    }
}

/// Sends one mail.
pub(super) async fn post(
    connection: &mut Connection,
    mail: &Mail,
    words: Rendered,
    limits: Limits,
) -> Result<(), SendError> {
    let (progress, id) = (Progress::default(), mail.message_id.to_string());
    let posting = connection.post(&id, body(mail, words), |sending| {
        progress.reach(if sending { Stage::Handover } else { Stage::Connect });
    });
    match limits.hold(&progress, posting).await {
        Some(Ok(answer)) => judge(answer),
        Some(Err(PostError::NotSent(what))) => Err(SendError::Unreachable { stage: Stage::Connect, what }),
        Some(Err(PostError::Broken(what))) => Err(SendError::Unreachable { stage: Stage::Handover, what }),
        None => Err(progress.late(limits)),
    }
}

/// What a status means. A receiver that has not handed the mail over says so by any status but 2xx.
fn judge(answer: Answer) -> Result<(), SendError> {
    let reply = format!("HTTP {}", answer.status);
    match answer.status {
        200..=299 => Ok(()),
        410 => Err(SendError::Gone),
        429 | 503 => Err(SendError::Busy { retry_after: answer.retry_after }),
        400..=499 => Err(SendError::Permanent { stage: Stage::Handover, reply }),
        _ => Err(SendError::HookFailed { reply }),
    }
}

/// docs/MAIL.md describes it.
fn body(mail: &Mail, words: Rendered) -> Bytes {
    let time = |us: i64| Timestamp::from_microsecond(us).map(|time| time.to_string()).ok();
    let mut data = json!({
        "mail_id": mail.message_id,
        "tenant": mail.tenant.slug,
        "customer_id": mail.customer_id,
        "to": mail.to,
        "locale": mail.language.tag(),
        "portal_host": mail.tenant.portal_host,
        "subject": words.subject,
        "text": words.text,
        "html": words.html,
    });
    let kind = match &mail.content {
        Content::Code { code, alphabet, expires_us, .. } => {
            data["code"] = code.reveal().into();
            data["alphabet"] = alphabet.name().into();
            data["expires_at"] = time(*expires_us).into();
            "code.issued"
        }
        Content::FailedGuesses => "notice.failed_guesses",
        Content::NewDevice => "notice.new_device",
    };
    Bytes::from(json!({ "type": kind, "timestamp": time(mail.at_us), "data": data }).to_string())
}
