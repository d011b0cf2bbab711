//! `GET /.well-known/jwks.json`: the published keys.

use crate::http::filters::{answered, at, sound};
use crate::http::public::Public;
use crate::http::response::reply;
use crate::http::routes::JWKS;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    let service = edge.service.clone();
    let keys = move || reply::cacheable("application/jwk-set+json", service.jwks().to_string());
    at(&JWKS).map(move |exchange| answered(sound(&exchange).map(|()| keys()))).boxed()
}
