//! `POST /v1/customer-auth/token`: a code for tokens, for programs. Never sets a cookie: this file knows none.

use super::Public;
use super::fields::CodeBody;
use super::filters::{Call, answered, call, in_time};
use super::limits::Group;
use super::reply::{self, Problem};
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub const PATH: &str = "/v1/customer-auth/token";

pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, PATH, "token", Group::Code).then(async |call| answered(token(call).await)).boxed()
}

async fn token(call: Call) -> Result<Response, Problem> {
    let body = CodeBody::read(&call.payload)?;
    let caller = call.caller();
    let verifying = call.edge.service.verify(&caller, &body.tenant, &body.email, &body.code, None);
    Ok(reply::tokens(&in_time(&caller, verifying).await?))
}
