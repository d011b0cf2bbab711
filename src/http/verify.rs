//! `POST /v1/customer-auth/verify`: a code for tokens, and for the portal's cookies where the browser may have them.

use super::Public;
use super::fields::CodeBody;
use super::filters::{Call, answered, call, in_time};
use super::limits::Group;
use super::reply::{self, Problem};
use super::{cookies, csrf};
use doorcode_domain::TenantSlug;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub const PATH: &str = "/v1/customer-auth/verify";

pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, PATH, "verify", Group::Code).then(async |call| answered(verify(call).await)).boxed()
}

/// Another site's page gets the tokens it could have had from `/token`, but can neither plant a session in this browser
/// (F10) nor end the one that is there.
async fn verify(call: Call) -> Result<Response, Problem> {
    let body = CodeBody::read(&call.payload)?;
    let caller = call.caller();
    let with_cookies = csrf::may_use_cookies(&call.headers, &*call.edge.portals);
    let presented = if with_cookies { presented(&call, &body.tenant) } else { None };
    let verifying = call.edge.service.verify(&caller, &body.tenant, &body.email, &body.code, presented);
    let login = in_time(&caller, verifying).await?;
    let mut response = reply::tokens(&login);
    if with_cookies {
        cookies::set(&mut response, &login);
    }
    Ok(response)
}

/// The session that this login replaces (E8). The service checks that it is of the same tenant.
fn presented<'c>(call: &'c Call, slug: &TenantSlug) -> Option<&'c str> {
    let cookie = match call.edge.portals.of_slug(slug) {
        Some(tenant) => call.cookies.of_tag(&tenant.cookie_tag()),
        None => call.cookies.only(),
    };
    cookie.map(|cookie| cookie.token.as_str())
}
