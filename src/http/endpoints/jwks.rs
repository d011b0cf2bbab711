//! `GET /.well-known/jwks.json`: the published keys. The one answer that may be cached.

use crate::http::filters::{answered, at, sound};
use crate::http::public::Public;
use crate::http::response::reply;
use crate::http::routes::JWKS;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    let service = edge.service.clone();
    at(&JWKS).map(move |exchange| answered(sound(&exchange).map(|()| keys(&service.jwks())))).boxed()
}

fn keys(jwks: &str) -> Response {
    let mut response = reply::typed(StatusCode::OK, "application/jwk-set+json", jwks.to_owned());
    // Keys are published this long, and more, before their first use (D11).
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
