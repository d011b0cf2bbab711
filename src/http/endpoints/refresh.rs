//! `POST /v1/customer-auth/refresh`: the next pair of tokens. A token in the body wins over a cookie; never both.

use crate::http::filters::{Call, answered, call, in_time};
use crate::http::public::Public;
use crate::http::request::cookies::{self, TaggedCookie};
use crate::http::request::csrf::Page;
use crate::http::request::fields;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::REFRESH;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &REFRESH).then(async |call| answered(refresh(call).await)).boxed()
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

/// The refresh cookie that a call without a body token means.
fn session_cookie(call: &Call) -> Option<&TaggedCookie> {
    let portals = &*call.edge.portals;
    let choice = Page::of(&call.headers, portals)?.choice(&call.headers, portals)?;
    let refresh = &call.cookies.refresh;
    refresh.of_tag(choice.tag(refresh)?)
}
