//! `POST /v1/admin/faults`: makes an actor, the database's link or the mail relay fail, to see what then happens.
//! In `dev`, tests, and where `serve --allow-faults` says so.

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
pub(crate) struct Faults(FaultInjector);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    /// A kind from `/actors`, `issuer/<slug or id of a tenant>`, an id from `/actors/rows`, `database` or `mail`.
    actor: String,
    /// `panic`, `error`, `hang` or `slow`; of `database`: `drop`; of `mail`: `slow` or `refuse`.
    fault: String,
    /// How much longer everything takes, of `slow` (0 ends it); how long it lasts, of `drop` and `refuse`.
    #[serde(default)]
    ms: u64,
}

impl Faults {
    /// Over the running actors.
    pub(crate) fn new(injector: FaultInjector) -> Self {
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
                    match injector.inject(&fault.actor, &fault.fault, fault.ms).await {
                        Ok(()) => reply::json(StatusCode::OK, &json!({})),
                        Err(why) => reply::json(StatusCode::CONFLICT, &json!({ "detail": why })),
                    }
                }
            })
            .boxed()
    }
}
