//! `POST /v1/customer-auth/exchange`: what a hosted page handed over, for tokens. Never sets a cookie: this file knows none.

use crate::http::filters::{Call, answered, call, in_time};
use crate::http::public::Public;
use crate::http::request::fields::ExchangeBody;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::EXCHANGE;
use doorcode_actors::RefreshError;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &EXCHANGE).then(async |call| answered(exchange(call).await)).boxed()
}

async fn exchange(call: Call) -> Result<Response, Problem> {
    let body = ExchangeBody::read(&call.payload)?;
    let caller = call.caller();
    let exchanging = call.edge.service.exchange(&caller, &body.code, &body.verifier);
    let login = in_time(&caller, exchanging).await.map_err(|error| match error {
        RefreshError::Rejected => Problem::WrongCode,
        RefreshError::Refused(refusal) => Problem::Refused(refusal),
    })?;
    Ok(reply::tokens(&login))
}
