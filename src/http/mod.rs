//! HTTP in and out. The whole public API is [`routes`]; one file per endpoint; nothing here knows an actor or a table.
//!
//! Order of checks, the same for every endpoint: path and method (404, 405), the caller's limit (429), the head's faults
//! (400, 431), the body (408, 413, 415), its fields (422), then the service (429 of the tenant, 401, 503).

mod body;
mod client;
mod cookies;
mod cors;
mod csrf;
mod detail;
mod door;
mod exchange;
mod fields;
pub(crate) mod filters;
mod gcra;
mod head;
mod hosts;
mod json;
mod jwks;
mod limits;
mod login;
mod logout;
mod metrics;
mod portals;
pub(crate) mod preview;
mod refresh;
pub(crate) mod reply;
mod server;
mod session;
mod token;
mod verify;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::{script as tests_script, support as tests_support};

pub use body::BodyLimits;
pub use client::{Cidr, CidrError, TrustedProxies};
pub use door::Door;
pub use exchange::Exchange;
pub use gcra::LimitClock;
pub use hosts::HostAllowlist;
pub use limits::{ClientLimitSettings, ClientLimits};
pub use metrics::HttpMetrics;
pub use portals::{Portals, SameHostOnly};
pub use preview::Preview;
pub use server::{ServerLimits, serve};

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use warp::Filter;
use warp::reply::Response;

/// Everything the public listener needs.
pub struct Public {
    /// The actors' one door.
    pub service: Arc<dyn Door>,
    /// The callers' own limits; run [`ClientLimits::housekeeping`] beside the listener.
    pub limits: Arc<ClientLimits>,
    /// Whose `X-Forwarded-For` and `Forwarded` count. Default: nobody's.
    pub proxies: TrustedProxies,
    /// Which origins and slugs belong to which tenant. Default: none, portals live on the same host.
    pub portals: Arc<dyn Portals>,
    /// How much body, and for how long.
    pub body: BodyLimits,
    /// From the body's end to the answer. Default: 2 s.
    pub deadline: Duration,
    /// Whether to send `Strict-Transport-Security`: only where a proxy in front speaks TLS. Default: false.
    pub hsts: bool,
    /// The development mailbox. Default: none; never in production.
    pub preview: Option<Preview>,
    /// Counts by route and status.
    pub metrics: Arc<HttpMetrics>,
}

impl Public {
    /// With the defaults.
    pub fn new(service: impl Door) -> Self {
        Self {
            service: Arc::new(service),
            limits: Arc::new(ClientLimits::new(ClientLimitSettings::default(), &LimitClock::real())),
            proxies: TrustedProxies::default(),
            portals: Arc::new(SameHostOnly),
            body: BodyLimits::default(),
            deadline: Duration::from_secs(2),
            hsts: false,
            preview: None,
            metrics: Arc::default(),
        }
    }
}

/// The public API.
pub fn routes(
    public: Public,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + Unpin + 'static {
    let edge = Arc::new(public);
    let api = cors::preflight(&edge)
        .or(login::route(&edge)) //    POST /v1/customer-auth/login
        .unify()
        .or(verify::route(&edge)) //   POST /v1/customer-auth/verify
        .unify()
        .or(token::route(&edge)) //    POST /v1/customer-auth/token
        .unify()
        .or(refresh::route(&edge)) //  POST /v1/customer-auth/refresh
        .unify()
        .or(logout::route(&edge)) //   POST /v1/customer-auth/logout
        .unify()
        .or(logout::route_all(&edge)) // POST /v1/customer-auth/logout-all
        .unify()
        .or(session::route(&edge)) //  GET  /v1/customer-auth/session
        .unify()
        .or(jwks::route(&edge)) //     GET  /.well-known/jwks.json
        .unify()
        .or(preview::route(&edge)) //  GET  /dev/mailbox, /dev/mailbox.json (development only)
        .unify()
        .boxed();
    filters::finished(api, edge.metrics.clone(), edge.hsts)
}
