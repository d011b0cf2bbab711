//! What happened, and who holds keys.

use super::problem::AdminProblem;
use super::{Call, page};
use crate::http::response::reply;
use crate::views;
use doorcode_actors::directory::{EventPage, EventQuery};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use uuid::Uuid;
use warp::reply::Response;

const NEXT_AFTER: HeaderName = HeaderName::from_static("doorcode-next-after");
const MORE: HeaderName = HeaderName::from_static("doorcode-more");

/// JSON, or for `Accept: application/x-ndjson` one event a line.
pub(super) async fn list(call: &Call) -> Result<Response, AdminProblem> {
    let after = match call.parameter("after") {
        None => Uuid::nil(),
        Some(id) => Uuid::try_parse(&id)
            .map_err(|_| AdminProblem::invalid("invalid_query", "after is the id of an event"))?,
    };
    let types = call.parameter("types").unwrap_or_default();
    let query = EventQuery {
        after,
        tenant: call.holder.tenant,
        types: types.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect(),
        limit: usize::try_from(call.number("limit", 100, 1_000)?).unwrap_or(100),
    };
    let EventPage { events, after, more } = call.directory.events(&query).await?;
    if !call.jsonl {
        return Ok(reply::json(
            StatusCode::OK,
            &json!({ "items": events, "next_after": after, "more": more }),
        ));
    }
    let mut lines = Vec::new();
    for event in &events {
        lines.extend(serde_json::to_vec(event).unwrap_or_default());
        lines.push(b'\n');
    }
    let mut response = reply::typed(StatusCode::OK, "application/x-ndjson", lines);
    let headers = response.headers_mut();
    if let Ok(after) = HeaderValue::try_from(after.to_string()) {
        headers.insert(NEXT_AFTER, after);
    }
    headers.insert(MORE, HeaderValue::from_static(if more { "true" } else { "false" }));
    Ok(response)
}

/// Never their secrets, which nobody has.
pub(super) async fn keys(call: &Call) -> Result<Response, AdminProblem> {
    let keys = call.directory.admin_keys(call.holder.tenant).await?;
    Ok(page(keys.iter().map(views::admin_key).collect(), None))
}
