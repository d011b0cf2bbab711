//! What the public listener works with.

use crate::http::limits::ClientLimits;
use crate::http::login_api::LoginApi;
use crate::http::mail_reports::MailReports;
use crate::http::metrics::HttpMetrics;
use crate::http::portals::{Portals, SameHostOnly};
use crate::http::preview_mailbox::PreviewMailbox;
use crate::http::request::body::BodyLimits;
use crate::http::request::client::TrustedProxies;
use doorcode_domain::SpecialUse;
use std::sync::Arc;
use std::time::Duration;

/// Everything the public listener needs.
pub struct Public {
    /// The actors' one way in.
    pub service: Arc<dyn LoginApi>,
    /// The callers' own limits; run [`ClientLimits::housekeeping`] beside the listener.
    pub limits: Arc<ClientLimits>,
    /// Whose `X-Forwarded-For` and `Forwarded` count. Default: nobody's.
    pub proxies: TrustedProxies,
    /// Which origins and slugs belong to which tenant. Default: none, portals live on the same host.
    pub portals: Arc<dyn Portals>,
    /// How much body, and for how long.
    pub body: BodyLimits,
    /// Special-use domains whose addresses are taken. Default: none.
    pub special_use: SpecialUse,
    /// From the body's end to the answer. Default: 2 s.
    pub deadline: Duration,
    /// `200` answers of `/login` leave at its multiples, counted from the request's arrival; zero: at once. Default: 20 ms.
    pub login_grid: Duration,
    /// Whether to send `Strict-Transport-Security`: only where a proxy in front speaks TLS. Default: false.
    pub hsts: bool,
    /// The development mailbox. Default: none; never in production.
    pub preview: Option<PreviewMailbox>,
    /// Who may report bounces. Default: nobody.
    pub mail_reports: Option<MailReports>,
    /// Counts by route and status.
    pub metrics: Arc<HttpMetrics>,
}

impl Public {
    /// With the defaults.
    pub fn new(service: impl LoginApi, limits: Arc<ClientLimits>) -> Self {
        Self {
            service: Arc::new(service),
            limits,
            proxies: TrustedProxies::default(),
            portals: Arc::new(SameHostOnly),
            body: BodyLimits::default(),
            special_use: SpecialUse::default(),
            deadline: Duration::from_secs(2),
            login_grid: Duration::from_millis(20),
            hsts: false,
            preview: None,
            mail_reports: None,
            metrics: Arc::default(),
        }
    }
}
