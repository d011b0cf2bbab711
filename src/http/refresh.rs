//! `POST /v1/customer-auth/refresh`: the next pair of tokens. A token in the body wins over a cookie; never both.

use super::Public;
use super::cookies::{self, RefreshCookie};
use super::filters::{Call, answered, call, in_time};
use super::limits::Group;
use super::reply::{self, Problem};
use super::{csrf, fields};
use doorcode_domain::TenantSlug;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub const PATH: &str = "/v1/customer-auth/refresh";

pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, PATH, "refresh", Group::Session).then(async |call| answered(refresh(call).await)).boxed()
}

async fn refresh(call: Call) -> Result<Response, Problem> {
    let caller = call.caller();
    if let Some(token) = fields::refresh_token(&call.payload)? {
        let login = in_time(&caller, call.edge.service.refresh(&caller, &token)).await?;
        return Ok(reply::tokens(&login));
    }
    let cookie = session_cookie(&call).ok_or(Problem::WrongRefreshToken)?;
    let login = in_time(&caller, call.edge.service.refresh(&caller, &cookie.token)).await?;
    let mut response = reply::tokens(&login);
    cookies::set(&mut response, &login);
    Ok(response)
}

/// The refresh cookie that a call without a body token means, if its page may use cookies at all: of the tenant named by
/// `X-Tenant-Slug`, else of the tenant that owns the `Origin`, else the only one.
pub fn session_cookie(call: &Call) -> Option<&RefreshCookie> {
    if !csrf::may_use_cookies(&call.headers, &*call.edge.portals) {
        return None;
    }
    if let Some(slug) = call.headers.get("x-tenant-slug") {
        let slug = TenantSlug::parse(slug.to_str().ok()?).ok()?;
        return call.cookies.of_tag(&call.edge.portals.of_slug(&slug)?.cookie_tag());
    }
    let origin = csrf::allowed_origin(&call.headers, &*call.edge.portals);
    match origin.and_then(|origin| call.edge.portals.of_origin(origin)) {
        Some(tenant) => call.cookies.of_tag(&tenant.cookie_tag()),
        None => call.cookies.only(),
    }
}
