//! `GET /.well-known/openid-configuration` and, the same, `/.well-known/oauth-authorization-server` (RFC 8414): where the
//! keys are, for middleware that is given the issuer's URL alone.

use crate::http::filters::{answered, at, sound};
use crate::http::public::Public;
use crate::http::response::reply;
use crate::http::routes::{AUTHORIZATION_SERVER, OPENID_CONFIGURATION};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    let service = edge.service.clone();
    at(&OPENID_CONFIGURATION)
        .or(at(&AUTHORIZATION_SERVER))
        .unify()
        .map(move |exchange| {
            answered(sound(&exchange).map(|()| reply::cacheable("application/json", service.metadata())))
        })
        .boxed()
}
