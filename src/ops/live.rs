//! The live page, for people: one page, one style sheet, one script, and what the script asks for.

use super::history::History;
use crate::http::filters::at;
use crate::http::response::reply;
use crate::http::routes::{EVENTS, HISTORY, OPS_PAGE, OPS_SCRIPT, OPS_STYLE};
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};
use std::sync::Arc;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Reply};

const PAGE: &str = include_str!("page/page.html");
const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");
/// Everything from here, nothing inline, in no frame. `data:` is the icon.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// All of it.
pub(super) fn routes(history: &Arc<History>) -> BoxedFilter<(Response,)> {
    let (past, newest) = (history.clone(), history.clone());
    at(&OPS_PAGE)
        .map(|_| page())
        .or(at(&OPS_SCRIPT).map(|_| reply::typed(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT)))
        .unify()
        .or(at(&OPS_STYLE).map(|_| reply::typed(StatusCode::OK, "text/css; charset=utf-8", STYLE)))
        .unify()
        .or(at(&HISTORY).map(move |_| reply::json(StatusCode::OK, &past.past())))
        .unify()
        .or(at(&EVENTS).map(move |_| match newest.events() {
            Some(events) => warp::sse::reply(events).into_response(),
            None => {
                let detail = serde_json::json!({"detail": "too many pages listen"});
                reply::json(StatusCode::SERVICE_UNAVAILABLE, &detail)
            }
        }))
        .unify()
        .boxed()
}

fn page() -> Response {
    let mut response = reply::typed(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
