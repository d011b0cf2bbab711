//! The development mailbox: the mails that would have been sent, with their codes. Only `dev` puts it there.

use crate::http::filters::at;
use crate::http::public::Public;
use crate::http::response::reply;
use crate::http::routes::{MAILBOX, MAILBOX_JSON};
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

const PAGE: &str = include_str!("preview.html");

#[derive(Default, Deserialize)]
struct Query {
    to: Option<String>,
}

/// Nothing at all where there is no preview.
pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    let Some(preview) = edge.preview.clone() else {
        return warp::any().and_then(async || Err(warp::reject::not_found())).boxed();
    };
    let page = at(&MAILBOX).and(preview.hosts.filter()).map(|_| reply::page(PAGE));
    let list = at(&MAILBOX_JSON)
        .and(preview.hosts.filter())
        .and(warp::query::<Query>().or(warp::any().map(Query::default)).unify())
        .map(move |_, query: Query| reply::json(StatusCode::OK, &(preview.list)(query.to.as_deref())));
    page.or(list).unify().boxed()
}
