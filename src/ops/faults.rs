//! `POST /v1/admin/faults`: makes an actor crash, to see what then happens. In `dev` and tests only.

use crate::http::filters::at;
use crate::http::response::reply;
use crate::http::routes::FAULTS;
use doorcode_actors::FaultInjector;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// What can be told to fail.
#[derive(Clone)]
pub struct Faults(FaultInjector);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    /// A kind from `/actors`, or `issuer/<tenant id>`.
    actor: String,
    /// `panic`, `error` or `hang`.
    fault: String,
}

impl Faults {
    /// Over the running actors.
    pub fn new(injector: FaultInjector) -> Self {
        Self(injector)
    }

    /// Answers 200 once the actor has read the message; it fails right after.
    pub(super) fn route(&self) -> BoxedFilter<(Response,)> {
        let injector = self.0.clone();
        at(&FAULTS)
            .and(warp::body::content_length_limit(1_024))
            .and(warp::body::json())
            .then(move |_, fault: Fault| {
                let injector = injector.clone();
                async move {
                    match injector.inject(&fault.actor, &fault.fault).await {
                        Ok(()) => reply::json(StatusCode::OK, &json!({})),
                        Err(why) => reply::json(StatusCode::CONFLICT, &json!({ "detail": why })),
                    }
                }
            })
            .boxed()
    }
}
