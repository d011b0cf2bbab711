//! `POST /v1/customer-auth/token`: a code for tokens, for programs. Never sets a cookie: this file knows none.

use crate::http::filters::{Call, answered, call, in_time};
use crate::http::public::Public;
use crate::http::request::fields::CodeBody;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::TOKEN;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &TOKEN).then(async |call| answered(token(call).await)).boxed()
}

async fn token(call: Call) -> Result<Response, Problem> {
    let body = CodeBody::read(&call.payload, call.edge.special_use)?;
    let caller = call.caller();
    let verifying = call.edge.service.verify(&caller, &body.tenant, &body.email, &body.code, None);
    Ok(reply::tokens(&in_time(&caller, verifying).await?))
}
