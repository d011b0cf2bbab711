//! What the public listener works with.

use crate::http::limits::ClientLimits;
use crate::http::login_api::LoginApi;
use crate::http::mail_reports::MailReports;
use crate::http::metrics::HttpMetrics;
use crate::http::portals::Portals;
use crate::http::preview_mailbox::PreviewMailbox;
use crate::http::request::body::BodyLimits;
use crate::http::request::client::TrustedProxies;
use doorcode_domain::SpecialUse;
use std::sync::Arc;
use std::time::Duration;

/// Everything the public listener needs.
pub(crate) struct Public {
    /// The actors' one way in.
    pub service: Arc<dyn LoginApi>,
    /// The callers' own limits; run [`ClientLimits::housekeeping`] beside the listener.
    pub limits: Arc<ClientLimits>,
    /// Whose `X-Forwarded-For` and `Forwarded` count.
    pub proxies: TrustedProxies,
    /// Which origins and slugs belong to which tenant.
    pub portals: Arc<dyn Portals>,
    /// How much body, and for how long.
    pub body: BodyLimits,
    /// Special-use domains whose addresses are taken.
    pub special_use: SpecialUse,
    /// From the body's end to the answer.
    pub deadline: Duration,
    /// `200` answers of `/login` leave at its multiples, counted from the request's arrival; zero: at once.
    pub login_grid: Duration,
    /// Whether to send `Strict-Transport-Security`: only where a proxy in front speaks TLS.
    pub hsts: bool,
    /// The development mailbox; never in production.
    pub preview: Option<PreviewMailbox>,
    /// Who may report bounces; without: nobody.
    pub mail_reports: Option<MailReports>,
    /// Counts by route and status.
    pub metrics: Arc<HttpMetrics>,
}
