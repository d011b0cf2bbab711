//! `GET /.well-known/jwks.json`: the published keys. The one answer that may be cached.

use super::Public;
use super::filters::{answered, at, only, sound};
use super::reply;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Method, StatusCode};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

const PATH: &str = "/.well-known/jwks.json";

pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    let service = edge.service.clone();
    at(PATH, "jwks")
        .and(only(&[Method::GET, Method::HEAD], "GET, HEAD"))
        .map(move |exchange| answered(sound(&exchange).map(|()| keys(&service.jwks()))))
        .boxed()
}

fn keys(jwks: &str) -> Response {
    let mut response = reply::typed(StatusCode::OK, "application/jwk-set+json", jwks.to_owned());
    // Keys are published this long, and more, before their first use (D11).
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
