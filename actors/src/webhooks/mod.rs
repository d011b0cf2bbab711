//! Events sent to webhooks: each has a cursor into the events and is sent them one after the other, by one replica at a time.
//!
//! A round notes how far deliveries have come and begins others, so that at most one connection to the database is used. A
//! delivery runs beside the rounds and has its own place: one that hangs holds up nobody else's. What is lost with a replica is a
//! lease; another one goes on from the last note, so that an event may be sent twice, under the same id.

pub(crate) mod counts;
mod delivery;

use crate::keys::Keys;
use crate::store::Store;
use crate::store::events::EventQuery;
use crate::store::webhooks::{ClaimedWebhook, WebhookProgress};
use actor_runtime::{Failure, PeriodicTask, Rhythm};
use arc_swap::ArcSwap;
use counts::WebhookCounts;
use delivery::Delivery;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) const RHYTHM: Rhythm = Rhythm { interval: Duration::from_secs(1), limit: Duration::from_secs(30) };
/// While deliveries run, what has ended is noted this often.
const SOON: Duration = Duration::from_millis(200);
/// Deliveries at once: so many receivers that hang for [`delivery::TRY_MAX`] are needed to keep others waiting.
const AT_ONCE: usize = 64;
/// Longer than a delivery takes (`delivery::BEGIN_WITHIN` and `delivery::TRY_MAX`), or two replicas would send the same events.
const LEASE: Duration = Duration::from_secs(60);
/// Events of one delivery: 64 times these are in memory at most, some 600 bytes each.
const EVENTS: usize = 200;
/// A webhook that took nothing for this long, though there was something to send, is disabled. Its events are kept for 30 days.
const PATIENCE: Duration = Duration::from_secs(3 * 86_400);

/// TLS that trusts the system's roots. It fails where the library knows no protocol version, which is never; then rounds do.
pub(crate) fn tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    // one that the library cannot read only means that receivers under it are not called
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Sends events.
pub(crate) struct Webhooks {
    pub(crate) store: Store,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    pub(crate) tls: Result<Arc<rustls::ClientConfig>, rustls::Error>,
    /// Whether URLs may lead into this network.
    pub(crate) allow_private: bool,
    pub(crate) counts: Arc<WebhookCounts>,
    /// Dropped with the actor; their leases end.
    pub(crate) running: JoinSet<WebhookProgress>,
}

impl PeriodicTask for Webhooks {
    async fn run(&mut self) -> Result<Option<Duration>, Failure> {
        let mut ended = Vec::new();
        while let Some(delivery) = self.running.try_join_next() {
            // of one that panicked the lease ends
            ended.extend(delivery);
        }
        self.settle(ended).await?;
        let mut passed = Vec::new();
        for webhook in self.store.claim_webhooks(AT_ONCE - self.running.len(), LEASE).await? {
            passed.extend(self.begin(webhook).await?);
        }
        let more = !self.running.is_empty() || !passed.is_empty();
        self.settle(passed).await?;
        Ok(more.then_some(SOON))
    }
}

impl Webhooks {
    /// Begins a delivery; or says how far the cursor moves, if no event is meant.
    async fn begin(&mut self, webhook: ClaimedWebhook) -> Result<Option<WebhookProgress>, Failure> {
        let query = EventQuery {
            after: webhook.after,
            tenant: webhook.tenant,
            types: webhook.types.clone(),
            limit: EVENTS,
        };
        let page = self.store.events(&query).await?;
        let mut progress = WebhookProgress::of(&webhook);
        if page.events.is_empty() {
            progress.after = page.after;
            progress.attempts = 0;
            return Ok(Some(progress));
        }
        let delivery = Delivery {
            secret_key: self.keys.load().webhook_secret.clone(),
            tls: self.tls.clone()?,
            allow_private: self.allow_private,
            counts: self.counts.clone(),
            webhook,
            page,
            progress,
        };
        self.running.spawn(delivery.run());
        Ok(None)
    }

    async fn settle(&self, ended: Vec<WebhookProgress>) -> Result<(), Failure> {
        if ended.is_empty() {
            return Ok(());
        }
        for (webhook, why) in self.store.settle_webhooks(PATIENCE, &ended).await? {
            self.counts.disabled.fetch_add(1, Relaxed);
            tracing::warn!(%webhook, why, "a webhook is disabled");
        }
        Ok(())
    }
}
