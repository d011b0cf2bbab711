//! `GET /v1/customer-auth/session`: who an access token is of, for pages that cannot read it.
//!
//! Decided by the token alone, as every other reader of access tokens does: it is told for as long as the token lives,
//! also after a logout (E9).

use crate::http::filters::{Look, answered, look};
use crate::http::public::Public;
use crate::http::request::cookies::Tag;
use crate::http::request::csrf::Page;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::SESSION;
use doorcode_domain::{AccessClaims, CustomerId, TenantId};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    look(edge, &SESSION).map(|look: Look| answered(session(&look))).boxed()
}

/// Times are seconds since 1970, as in the token.
#[derive(Serialize)]
struct Session {
    customer_id: CustomerId,
    tenant_id: TenantId,
    expires_at: i64,
    auth_time: i64,
    session_id: Uuid,
}

/// The access token that a call shows. One in `Authorization` wins over a cookie, whatever it is worth: never both.
pub(crate) fn presented(look: &Look) -> Option<AccessClaims> {
    match look.headers.contains_key(AUTHORIZATION) {
        true => bearer(&look.headers).and_then(|token| look.edge.service.read_access_token(token)),
        false => of_cookie(look),
    }
}

fn session(look: &Look) -> Result<Response, Problem> {
    let AccessClaims { sub, tenant_id, exp, auth_time, sid, .. } =
        presented(look).ok_or(Problem::WrongAccessToken)?;
    let session = Session { customer_id: sub, tenant_id, expires_at: exp, auth_time, session_id: sid };
    Ok(reply::json(StatusCode::OK, &session))
}

/// RFC 6750 section 2.1; the scheme in any case (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// By the same rules as a refresh; a token in another tenant's cookie is nobody's.
fn of_cookie(look: &Look) -> Option<AccessClaims> {
    let portals = &*look.edge.portals;
    let choice = Page::of(&look.headers, portals)?.choice(&look.headers, portals)?;
    let access = &look.cookies.access;
    let cookie = access.of_tag(choice.tag(access)?)?;
    let claims = look.edge.service.read_access_token(&cookie.token)?;
    (Tag::of(claims.tenant_id) == cookie.tag).then_some(claims)
}
