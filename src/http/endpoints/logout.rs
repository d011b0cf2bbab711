//! `POST /v1/customer-auth/logout` ends a session, `…/logout-all` all of its customer's: 204 whatever the token was;
//! nothing is learned from it.

use crate::http::filters::{Call, answered, call, in_time};
use crate::http::public::Public;
use crate::http::request::cookies::{self, Tag};
use crate::http::request::csrf::Page;
use crate::http::request::fields;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::{LOGOUT, LOGOUT_ALL};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

#[derive(Clone, Copy)]
enum Reach {
    /// The token's session.
    One,
    /// All sessions of its customer.
    All,
}

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &LOGOUT).then(async |call| answered(logout(call, Reach::One).await)).boxed()
}

pub(crate) fn route_all(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &LOGOUT_ALL).then(async |call| answered(logout(call, Reach::All).await)).boxed()
}

/// A token in the body ends its own session and touches no other's cookies (E12); the cookie that holds the very same
/// token goes with it. A page that may not use cookies changes nothing (F11).
async fn logout(call: Call, reach: Reach) -> Result<Response, Problem> {
    let caller = call.caller();
    let body_token = fields::refresh_token(&call.payload)?;
    let tag = match &body_token {
        Some(token) => tag_holding(&call, token),
        None => tag_chosen(&call),
    };
    let cookie = tag.and_then(|tag| call.cookies.refresh.of_tag(tag));
    if let Some(token) = body_token.as_deref().or(cookie.map(|cookie| &*cookie.token)) {
        let service = &call.edge.service;
        let ending = match reach {
            Reach::One => service.logout(&caller, token),
            Reach::All => service.logout_all(&caller, token),
        };
        in_time(&caller, ending).await?;
    }
    let mut response = reply::no_content();
    if let Some(tag) = tag {
        cookies::clear(&mut response, tag);
    }
    Ok(response)
}

fn tag_holding(call: &Call, token: &str) -> Option<Tag> {
    let page = Page::of(&call.headers, &*call.edge.portals)?;
    let tag = call.cookies.refresh.holding(token)?.tag;
    page.may_use_tag(tag).then_some(tag)
}

/// Also where no refresh cookie came along, if the call names its tenant: what is left of a session goes (E10).
fn tag_chosen(call: &Call) -> Option<Tag> {
    let portals = &*call.edge.portals;
    let choice = Page::of(&call.headers, portals)?.choice(&call.headers, portals)?;
    choice.tag(&call.cookies.refresh)
}
