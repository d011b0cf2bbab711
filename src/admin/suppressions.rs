//! Addresses that get no mail for a time.

use super::problem::AdminProblem;
use super::{Call, page};
use crate::http::response::reply;
use crate::views;
use doorcode_domain::AddressKey;
use uuid::Uuid;
use warp::reply::Response;

pub(super) async fn list(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let after = match call.parameter("page_token") {
        None => None,
        Some(token) => Some(AddressKey(Uuid::try_parse(&token).map_err(|_| {
            AdminProblem::invalid("invalid_query", "page_token is what next_page_token said")
        })?)),
    };
    let size = call.number("page_size", 100, 1_000)?;
    let found = call.directory.suppressions(&tenant.slug, after, size).await?;
    let next = found.next.map(|key| key.0.to_string());
    Ok(page(found.suppressions.iter().map(views::suppression).collect(), next))
}

/// 204 also where there was nothing to lift.
pub(super) async fn lift(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    call.directory.lift_suppression(&tenant.slug, call.name(1)).await?;
    Ok(reply::no_content())
}
