//! `GET /v1/customer-auth/sessions`: a customer's live sessions; `DELETE …/sessions/{session_id}` ends one of them.
//!
//! Whoever asks shows an access token whose session is live: unlike `/session`, a logout ends this at once.

use crate::http::endpoints::session::presented;
use crate::http::filters::{Look, answered, in_time, look};
use crate::http::public::Public;
use crate::http::request::cookies::{self, Tag};
use crate::http::response::reply::{self, Problem};
use crate::http::routes::{OWN_SESSION, OWN_SESSIONS};
use doorcode_domain::SessionKey;
use http::StatusCode;
use http::header::AUTHORIZATION;
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    look(edge, &OWN_SESSIONS).then(async |look| answered(list(look).await)).boxed()
}

pub(crate) fn route_end(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    look(edge, &OWN_SESSION)
        .and(warp::path::full())
        .then(async |look, path: FullPath| answered(end(look, path.as_str()).await))
        .boxed()
}

#[derive(Serialize)]
struct Sessions {
    sessions: Vec<Session>,
}

/// Times are seconds since 1970, as in the token.
#[derive(Serialize)]
struct Session {
    session_id: Uuid,
    created_at: i64,
    /// When its tokens were renewed last.
    last_seen_at: i64,
    client: Option<String>,
    current: bool,
}

async fn list(look: Look) -> Result<Response, Problem> {
    let claims = presented(&look).ok_or(Problem::WrongAccessToken)?;
    let caller = look.caller();
    let own = in_time(&caller, look.edge.service.own_sessions(&caller, &claims)).await?;
    let sessions = own.ok_or(Problem::WrongAccessToken)?.into_iter().map(|session| Session {
        session_id: session.session.0,
        created_at: session.created_us / 1_000_000,
        last_seen_at: session.rotated_us / 1_000_000,
        client: session.browser,
        current: session.session.0 == claims.sid,
    });
    Ok(reply::json(StatusCode::OK, &Sessions { sessions: sessions.collect() }))
}

/// Another customer's session is not found, as one that never was. One's own is a logout: its cookies go too.
async fn end(look: Look, path: &str) -> Result<Response, Problem> {
    let claims = presented(&look).ok_or(Problem::WrongAccessToken)?;
    let id = OWN_SESSION.placeholder(path).and_then(|id| id.parse::<Uuid>().ok()).ok_or(Problem::NotFound)?;
    let caller = look.caller();
    let ending = look.edge.service.end_own_session(&caller, &claims, SessionKey(id));
    if !in_time(&caller, ending).await?.ok_or(Problem::WrongAccessToken)? {
        return Err(Problem::NotFound);
    }
    let mut response = reply::no_content();
    if id == claims.sid && !look.headers.contains_key(AUTHORIZATION) {
        cookies::clear(&mut response, Tag::of(claims.tenant_id));
    }
    Ok(response)
}
