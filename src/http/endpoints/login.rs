//! `POST /v1/customer-auth/login`: mail me a code. The same answer for every address and portal.

use crate::http::filters::{Call, answered, call, in_time};
use crate::http::public::Public;
use crate::http::request::fields::LoginBody;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::LOGIN;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &LOGIN).then(async |call| answered(login(call).await)).boxed()
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
