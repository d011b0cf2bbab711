//! `POST /v1/customer-auth/login`: mail me a code. The same answer for every address and portal, at the same time.

use crate::http::filters::{Call, answered, call, in_time};
use crate::http::public::Public;
use crate::http::request::fields::LoginBody;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::LOGIN;
use crate::http::ticks::wait_until;
use http::StatusCode;
use serde::Serialize;
use std::num::NonZeroU128;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    call(edge, &LOGIN).then(async |call| answered(login(call).await)).boxed()
}

/// `{}`.
#[derive(Serialize)]
struct Sent {}

async fn login(call: Call) -> Result<Response, Problem> {
    let body = LoginBody::read(&call.payload, call.edge.special_use)?;
    let caller = call.caller();
    in_time(&caller, call.edge.service.request_code(&caller, &body.tenant, &body.email)).await?;
    if !call.edge.login_grid.is_zero() {
        wait_until(on_grid(call.began, call.edge.login_grid, Instant::now()).into_std()).await;
    }
    Ok(reply::json(StatusCode::OK, &Sent {}))
}

/// When an answer that is ready `now` may leave: at the next multiple of `grid` after the request's arrival. What the work
/// took, and so what it was, shows only where it crosses a multiple (C4). Permits were given back before; refusals, which
/// say nothing of an account, do not wait.
fn on_grid(arrival: Instant, grid: Duration, now: Instant) -> Instant {
    let Some(grid_ns) = NonZeroU128::new(grid.as_nanos()) else { return now };
    let steps = now.duration_since(arrival).as_nanos().div_ceil(grid_ns.get()).max(1);
    arrival + grid * u32::try_from(steps).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_at_multiples() {
        let (arrival, ms) = (Instant::now(), Duration::from_millis);
        for (took, leaves) in [(0, 20), (1, 20), (19, 20), (20, 20), (21, 40), (2_000, 2_000), (2_001, 2_020)]
        {
            assert_eq!(on_grid(arrival, ms(20), arrival + ms(took)), arrival + ms(leaves), "{took} ms");
        }
        assert_eq!(on_grid(arrival, Duration::ZERO, arrival + ms(7)), arrival + ms(7), "off");
    }
}
