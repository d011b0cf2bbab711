//! HTTP in and out. The whole public API is [`service`]; one file per endpoint; nothing here knows an actor or a table.
//!
//! Order of checks, the same for every endpoint: path and method (404, 405), the caller's limit (429), the head's faults
//! (400, 431), the body (408, 413, 415), its fields (422), then the service (429 of the tenant, 401, 503).
//!
//! Files import downwards only: `endpoints` → `filters` → `public` → `response`, `request`, `limits` → `exchange`.

pub(crate) mod connection;
pub(crate) mod endpoints;
pub(crate) mod exchange;
pub(crate) mod filters;
pub(crate) mod limits;
pub(crate) mod login_api;
pub(crate) mod mail_reports;
pub(crate) mod metrics;
pub(crate) mod portals;
pub(crate) mod preview_mailbox;
pub(crate) mod public;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod routes;
pub(crate) mod ticks;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::{script as tests_script, support as tests_support};

pub(crate) use connection::server::{ServerLimits, serve};
pub(crate) use exchange::Exchange;
pub use limits::client_limiter::LimitClock;
pub(crate) use limits::{ClientLimitSettings, ClientLimits};
pub(crate) use login_api::LoginApi;
pub(crate) use mail_reports::MailReports;
pub(crate) use metrics::HttpMetrics;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use portals::{Portals, SameHostOnly};
pub(crate) use preview_mailbox::PreviewMailbox;
pub(crate) use public::Public;
pub(crate) use request::body::{BodyLimits, PUBLIC_BODY_MAX};
pub(crate) use request::client::TrustedProxies;
pub(crate) use request::hosts::HostAllowlist;

/// For the fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    pub(crate) use super::connection::head::{BodyLength, HeadWatch, Patience};
    pub(crate) use super::request::client::TrustedProxies;
    pub(crate) use super::request::csrf::Page;
    pub(crate) use super::request::json::{Field, Fields};
}

use std::convert::Infallible;
use std::sync::Arc;
use warp::Filter;
use warp::reply::Response;

/// The public API: every route of [`routes::PUBLIC`], and preflights.
pub(crate) fn service(
    public: Public,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + Unpin + 'static {
    use endpoints::{
        discovery, exchange, handover, hosted, jwks, login, logout, mail_report, preview, reference, refresh,
        session, sessions, token, verify,
    };
    let edge = Arc::new(public);
    let api = response::cors::preflight(edge.portals.clone())
        .or(login::route(&edge))
        .unify()
        .or(verify::route(&edge))
        .unify()
        .or(token::route(&edge))
        .unify()
        .or(refresh::route(&edge))
        .unify()
        .or(logout::route(&edge))
        .unify()
        .or(logout::route_all(&edge))
        .unify()
        .or(session::route(&edge))
        .unify()
        .or(sessions::route(&edge))
        .unify()
        .or(sessions::route_end(&edge))
        .unify()
        .or(handover::route(&edge))
        .unify()
        .or(exchange::route(&edge))
        .unify()
        .or(mail_report::route(&edge))
        .unify()
        .or(hosted::route(&edge))
        .unify()
        .or(hosted::route_script())
        .unify()
        .or(jwks::route(&edge))
        .unify()
        .or(discovery::route(&edge))
        .unify()
        .or(reference::route())
        .unify()
        .or(preview::route(&edge))
        .unify()
        .boxed();
    filters::finished(api, edge.metrics.clone(), edge.hsts)
}
