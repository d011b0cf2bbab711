//! `POST /v1/customer-auth/verify`: a code for tokens, and for the portal's cookies where the browser may have them.

use crate::http::filters::{Call, answered, call, in_time};
use crate::http::public::Public;
use crate::http::request::cookies::{self, Tag};
use crate::http::request::csrf::Page;
use crate::http::request::fields::CodeBody;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::VERIFY;
use doorcode_domain::TenantSlug;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &VERIFY).then(async |call| answered(verify(call).await)).boxed()
}

/// Cookies are set unless a foreign page asks. Another site's page, or another tenant's, gets the tokens it could have had
/// from `/token`, but can neither plant a session in this browser (F10) nor end the one that is there.
async fn verify(call: Call) -> Result<Response, Problem> {
    let body = CodeBody::read(&call.payload, call.edge.special_use)?;
    let caller = call.caller();
    let page = Page::of_login(&call.headers, &*call.edge.portals);
    let presented = page.and_then(|page| presented(&call, page, &body.tenant));
    let verifying = call.edge.service.verify(&caller, &body.tenant, &body.email, &body.code, presented);
    let login = in_time(&caller, verifying).await?;
    let mut response = reply::tokens(&login);
    if page.is_some_and(|page| page.may_use(login.tenant_id)) {
        cookies::set(&mut response, &login);
    }
    Ok(response)
}

/// The session that this login replaces (E8). The service checks that it is of the same tenant.
fn presented<'c>(call: &'c Call, page: Page, slug: &TenantSlug) -> Option<&'c str> {
    let tenant = call.edge.portals.of_slug(slug).filter(|tenant| page.may_use(*tenant))?;
    let cookie = call.cookies.refresh.of_tag(Tag::of(tenant))?;
    Some(cookie.token.as_str())
}
