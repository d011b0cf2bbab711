//! Other origins: those that tenants own may call with credentials; nobody else learns anything. Never `*`, never an echo.

use super::exchange::Exchange;
use super::portals::Portals;
use super::reply;
use super::{Public, login, logout, refresh, token, verify};
use futures_util::future::ready;
use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

const PATHS: [&str; 5] = [login::PATH, verify::PATH, token::PATH, refresh::PATH, logout::PATH];

/// True preflights (`Origin` and `Access-Control-Request-Method`) of the five endpoints. Any other `OPTIONS` is a 405.
pub fn preflight(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    let edge = edge.clone();
    warp::options()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Exchange>())
        .and_then(move |path: FullPath, headers: HeaderMap, exchange: Exchange| {
            let is_preflight = PATHS.contains(&path.as_str())
                && headers.contains_key(ORIGIN)
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
            if !is_preflight {
                return ready(Err(warp::reject::not_found()));
            }
            exchange.enter("preflight");
            note(&exchange, &headers, &*edge.portals);
            ready(Ok(answer(exchange.origin().is_some())))
        })
        .boxed()
}

fn answer(allowed: bool) -> Response {
    let mut response = reply::no_content();
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type, x-tenant-slug"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Remembers a tenant's origin for the answer, whatever it will be: an error that scripts cannot read helps nobody.
pub fn note(exchange: &Exchange, headers: &HeaderMap, portals: &dyn Portals) {
    let Some(origin) = headers.get(ORIGIN) else { return };
    let owned = origin.to_str().is_ok_and(|origin| portals.of_origin(origin).is_some());
    if owned {
        exchange.set_origin(origin.clone());
    }
}

/// Lets the noted origin read the answer.
pub fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    let readable = "retry-after, ratelimit, ratelimit-policy, x-request-id";
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(readable));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
}
