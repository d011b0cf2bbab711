//! Other origins: those that tenants own may call with credentials; nobody else learns anything. Never `*`, never an echo.

use crate::http::exchange::Exchange;
use crate::http::portals::Portals;
use crate::http::request::csrf;
use crate::http::response::reply;
use crate::http::routes;
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

/// True preflights (`Origin` and `Access-Control-Request-Method`) of what other origins may call. Any other `OPTIONS` is a 405.
pub(crate) fn preflight(portals: Arc<dyn Portals>) -> BoxedFilter<(Response,)> {
    warp::options()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Exchange>())
        .and_then(move |path: FullPath, headers: HeaderMap, exchange: Exchange| {
            let is_preflight =
                headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
            let known =
                routes::PUBLIC.iter().find(|known| known.cross_origin && known.matches(path.as_str()));
            let Some(route) = known.filter(|_| is_preflight) else {
                return ready(Err(warp::reject::not_found()));
            };
            exchange.enter("preflight");
            note(&exchange, &headers, &*portals);
            ready(Ok(answer(exchange.origin().is_some().then(|| route.methods.for_preflight()))))
        })
        .boxed()
}

fn answer(allowed: Option<&'static str>) -> Response {
    let mut response = reply::no_content();
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(method) = allowed {
        let named = "authorization, content-type, x-tenant-slug";
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(method));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(named));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Remembers a tenant's origin for the answer, whatever it will be: an error that scripts cannot read helps nobody.
pub(crate) fn note(exchange: &Exchange, headers: &HeaderMap, portals: &dyn Portals) {
    let owned = csrf::owner_of_origin(headers, portals).is_some();
    if let Some(origin) = headers.get(ORIGIN).filter(|_| owned) {
        exchange.set_origin(origin.clone());
    }
}

/// Lets the noted origin read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    let readable = "retry-after, ratelimit, ratelimit-policy, x-request-id";
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(readable));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
}
