//! `POST /v1/customer-auth/login`: mail me a code. The same answer for every address and portal.

use super::Public;
use super::fields::LoginBody;
use super::filters::{Call, answered, call, in_time};
use super::limits::Group;
use super::reply::{self, Problem};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub const PATH: &str = "/v1/customer-auth/login";

pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, PATH, "login", Group::Login).then(async |call| answered(login(call).await)).boxed()
}

/// `{}`.
#[derive(Serialize)]
struct Sent {}

async fn login(call: Call) -> Result<Response, Problem> {
    let body = LoginBody::read(&call.payload)?;
    let caller = call.caller();
    in_time(&caller, call.edge.service.request_code(&caller, &body.tenant, &body.email)).await?;
    Ok(reply::json(StatusCode::OK, &Sent {}))
}
