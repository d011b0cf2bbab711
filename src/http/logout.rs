//! `POST /v1/customer-auth/logout`: ends a session. 204 whatever the token was; nothing is learned from it.

use super::Public;
use super::filters::{Call, answered, call, in_time};
use super::limits::Group;
use super::refresh::session_cookie;
use super::reply::{self, Problem};
use super::{cookies, csrf, fields};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub const PATH: &str = "/v1/customer-auth/logout";

pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, PATH, "logout", Group::Session).then(async |call| answered(logout(call).await)).boxed()
}

/// A token in the body ends its own session and touches no other's cookies (E12); the cookie that holds the very same
/// token goes with it. A page that may not use cookies changes nothing (F11).
async fn logout(call: Call) -> Result<Response, Problem> {
    let caller = call.caller();
    let body_token = fields::refresh_token(&call.payload)?;
    let cookie = match &body_token {
        Some(token) => csrf::may_use_cookies(&call.headers, &*call.edge.portals)
            .then(|| call.cookies.holding(token))
            .flatten(),
        None => session_cookie(&call),
    };
    let token = body_token.as_deref().or(cookie.map(|cookie| &*cookie.token));
    if let Some(token) = token {
        in_time(&caller, call.edge.service.logout(&caller, token)).await?;
    }
    let mut response = reply::no_content();
    if let Some(cookie) = cookie {
        cookies::clear(&mut response, &cookie.tag);
    }
    Ok(response)
}
