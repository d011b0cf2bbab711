//! `POST /v1/customer-auth/handover`: the hosted page's login, on its way to the portal's server.

use crate::http::filters::{Call, answered, call, in_time};
use crate::http::public::Public;
use crate::http::request::cookies;
use crate::http::request::csrf::Page;
use crate::http::request::fields::{HandoverBody, RETURN_TO};
use crate::http::response::detail::Detail;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::HANDOVER;
use doorcode_actors::HostedPage;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &HANDOVER).then(async |call| answered(handover(call).await)).boxed()
}

#[derive(Serialize)]
struct HandedOver {
    location: String,
}

/// No tokens: the browser is on its way to a site that keeps its own.
async fn handover(call: Call) -> Result<Response, Problem> {
    let body = HandoverBody::read(&call.payload, call.edge.special_use)?;
    let code = &body.code;
    let page = call.edge.portals.page(&code.tenant).filter(|page| knows(page, &body.return_to));
    if page.is_none() {
        return Err(Problem::Invalid(vec![Detail::not_valid(RETURN_TO, "a return URL of this tenant")]));
    }
    let caller = call.caller();
    let handing =
        call.edge.service.hand_over(&caller, &code.tenant, &code.email, &code.code, &body.challenge);
    let handed = in_time(&caller, handing).await?;
    let location = back_to(&body.return_to, Some(&handed.code), body.state.as_deref());
    let mut response = reply::json(StatusCode::OK, &HandedOver { location });
    if Page::of(&call.headers, &*call.edge.portals).is_some_and(|page| page.may_use(handed.tenant_id)) {
        cookies::set_device(&mut response, handed.tenant_id, &handed.device_cookie);
    }
    Ok(response)
}

/// Exactly: no prefix, no other spelling (RFC 9700 section 2.1).
pub(crate) fn knows(page: &HostedPage, return_to: &str) -> bool {
    page.return_urls.iter().any(|url| url == return_to)
}

/// A registered URL with what it is told. It has no fragment.
pub(crate) fn back_to(return_to: &str, code: Option<&str>, state: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("code", code), ("state", state)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    let joint = match () {
        () if query.is_empty() => "",
        () if return_to.contains('?') => "&",
        () => "?",
    };
    format!("{return_to}{joint}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_url_keeps_its_query() {
        assert_eq!(back_to("https://a.b/c", None, None), "https://a.b/c");
        assert_eq!(
            back_to("https://a.b/c", Some("dch_x"), Some("s&t=#")),
            "https://a.b/c?code=dch_x&state=s%26t%3D%23"
        );
        assert_eq!(back_to("https://a.b/c?d=1", None, Some("s")), "https://a.b/c?d=1&state=s");
    }
}
