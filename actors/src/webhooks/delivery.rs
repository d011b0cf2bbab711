//! One delivery: some events of one webhook, in their order, until one is not taken.

use super::counts::WebhookCounts;
use crate::keys::webhook_secret;
use crate::store::events::{Event, EventPage};
use crate::store::webhooks::{ClaimedWebhook, WebhookProgress};
use bytes::Bytes;
use doorcode_domain::MacKey;
use jiff::Timestamp;
use standard_webhooks::{Answer, Connection, Endpoint, EndpointError, PostError, SigningSecret};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// For one try, connecting included.
pub(super) const TRY_MAX: Duration = Duration::from_secs(15);
/// After this time no other event is begun.
const BEGIN_WITHIN: Duration = Duration::from_secs(20);
/// First and longest wait between two tries; it doubles in between.
const WAIT: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// An event that its receiver answered with an error so often, over some ten hours, is left out. One that it never saw is not.
const TRIES: i32 = 20;
/// Characters of an error that are kept: of TLS it names what the receiver's certificate is for.
const ERROR_MAX: usize = 300;

pub(super) struct Delivery {
    pub(super) secret_key: MacKey,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) allow_private: bool,
    pub(super) counts: Arc<WebhookCounts>,
    pub(super) webhook: ClaimedWebhook,
    pub(super) page: EventPage,
    pub(super) progress: WebhookProgress,
}

/// What a try came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// 410: the receiver wants no more.
    Gone,
    /// 429, 503, or nobody there: another time.
    Later(String, Option<Duration>),
    /// It answered, and not by a success.
    Refused(String),
}

impl Delivery {
    /// Ends within [`BEGIN_WITHIN`] and [`TRY_MAX`].
    pub(super) async fn run(mut self) -> WebhookProgress {
        let begun = Instant::now();
        let mut connection = match self.endpoint() {
            Ok(endpoint) => Connection::new(Arc::new(endpoint), self.tls.clone(), self.secrets()),
            Err(error) => {
                self.fail(Uuid::nil(), Outcome::Later(error.to_string(), None));
                return self.progress;
            }
        };
        for event in std::mem::take(&mut self.page.events) {
            if begun.elapsed() > BEGIN_WITHIN {
                return self.progress;
            }
            match post(&mut connection, &event).await {
                Outcome::Taken => self.taken(&event),
                outcome => {
                    self.fail(event.id, outcome);
                    return self.progress;
                }
            }
        }
        self.progress.after = self.page.after;
        self.progress
    }

    /// Checked anew each time: the setting may have changed, and the addresses behind a name do.
    fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        Endpoint::new(&self.webhook.url, self.allow_private)
    }

    fn secrets(&self) -> Arc<[SigningSecret]> {
        let ClaimedWebhook { id, secret_version, former, .. } = &self.webhook;
        let versions = [Some(*secret_version), former.then(|| secret_version - 1)];
        let secrets = versions.into_iter().flatten();
        secrets.filter_map(|version| webhook_secret(&self.secret_key, *id, version).parse().ok()).collect()
    }

    fn taken(&mut self, event: &Event) {
        (self.progress.after, self.progress.attempts) = (event.id, 0);
        (self.progress.sent, self.progress.error) = (true, None);
        self.counts.delivered.fetch_add(1, Relaxed);
        let delay = Timestamp::now().as_millisecond() - event.occurred_ms();
        self.counts.delay.record(Duration::from_millis(delay.unsigned_abs()));
    }

    fn fail(&mut self, event: Uuid, outcome: Outcome) {
        self.counts.failed.fetch_add(1, Relaxed);
        let progress = &mut self.progress;
        progress.attempts += 1;
        progress.wait = wait(progress.attempts);
        match outcome {
            Outcome::Refused(error) if progress.attempts >= TRIES => {
                self.counts.skipped.fetch_add(1, Relaxed);
                tracing::warn!(webhook = %self.webhook.id, %event, error, "an event is left out");
                (progress.after, progress.attempts, progress.wait) = (event, 0, WAIT);
                progress.error = Some(error);
            }
            Outcome::Refused(error) | Outcome::Later(error, None) => progress.error = Some(error),
            Outcome::Later(error, Some(asked)) => {
                progress.error = Some(error);
                progress.wait = asked.clamp(WAIT, WAIT_MAX);
            }
            Outcome::Gone => {
                progress.error = Some("HTTP 410".to_owned());
                progress.gone = true;
            }
            Outcome::Taken => {}
        }
    }
}

async fn post(connection: &mut Connection, event: &Event) -> Outcome {
    let body = Bytes::from(serde_json::to_vec(event).unwrap_or_default());
    let id = event.id.to_string();
    match timeout(TRY_MAX, connection.post(&id, body, |_| ())).await {
        Ok(Ok(answer)) => judge(answer),
        Ok(Err(PostError::NotSent(why) | PostError::Broken(why))) => {
            Outcome::Later(why.chars().take(ERROR_MAX).collect(), None)
        }
        Err(_) => Outcome::Later(format!("no answer within {} s", TRY_MAX.as_secs()), None),
    }
}

/// As Standard Webhooks advises. Redirects are errors: nobody checked where they lead.
fn judge(Answer { status, retry_after }: Answer) -> Outcome {
    let error = format!("HTTP {status}");
    match status {
        200..=299 => Outcome::Taken,
        410 => Outcome::Gone,
        429 | 503 => Outcome::Later(error, retry_after),
        _ => Outcome::Refused(error),
    }
}

/// Doubles with each failed try, spread over half of it, so that webhooks that failed at once do not come back at once.
fn wait(attempts: i32) -> Duration {
    let doubled = WAIT.saturating_mul(1 << u32::try_from(attempts - 1).unwrap_or(0).min(20));
    let jitter = f64::from(Uuid::new_v4().as_bytes()[0]) / 510.0;
    doubled.min(WAIT_MAX).mul_f64(0.75 + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        for (attempts, seconds) in [(1, 5.0), (2, 10.0), (10, 2_560.0), (11, 3_600.0), (1_000, 3_600.0)] {
            let wait = wait(attempts).as_secs_f64();
            assert!((0.75 * seconds..=1.25 * seconds).contains(&wait), "{attempts}: {wait}");
        }
    }

    #[test]
    fn what_an_answer_means() {
        let judged = |status| judge(Answer { status, retry_after: None });
        assert_eq!(judged(204), Outcome::Taken);
        assert_eq!(judged(410), Outcome::Gone);
        for status in [301, 308, 400, 404, 500, 502] {
            assert!(matches!(judged(status), Outcome::Refused(_)), "{status}");
        }
        for status in [429, 503] {
            let wait = Some(Duration::from_secs(7));
            assert!(matches!(judge(Answer { status, retry_after: wait }), Outcome::Later(_, w) if w == wait));
        }
    }
}
