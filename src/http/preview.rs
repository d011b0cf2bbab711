//! The development mailbox: the mails that would have been sent, with their codes. Only `dev` puts it there.

use super::Public;
use super::filters::{at, only};
use super::hosts::HostAllowlist;
use super::reply;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

const PAGE: &str = include_str!("preview.html");

type ListMails = dyn Fn(Option<&str>) -> Vec<Value> + Send + Sync;

/// Where the page finds its mails.
#[derive(Clone)]
pub struct Preview {
    list: Arc<ListMails>,
    hosts: HostAllowlist,
}

impl Preview {
    /// `list` gives the mails, newest first, all or those to one address. Other hosts than `hosts` get nothing.
    pub fn new(
        list: impl Fn(Option<&str>) -> Vec<Value> + Send + Sync + 'static,
        hosts: HostAllowlist,
    ) -> Self {
        Self { list: Arc::new(list), hosts }
    }
}

#[derive(Default, Deserialize)]
struct Query {
    to: Option<String>,
}

/// Nothing at all where there is no preview.
pub fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    let Some(preview) = edge.preview.clone() else {
        return warp::any().and_then(async || Err(warp::reject::not_found())).boxed();
    };
    let get = only(&[Method::GET, Method::HEAD], "GET, HEAD").and(preview.hosts.filter());
    let page = at("/dev/mailbox", "mailbox").and(get.clone()).map(|_| html(PAGE));
    let list = at("/dev/mailbox.json", "mailbox.json")
        .and(get)
        .and(warp::query::<Query>().or(warp::any().map(Query::default)).unify())
        .map(move |_, query: Query| reply::json(StatusCode::OK, &(preview.list)(query.to.as_deref())));
    page.or(list).unify().boxed()
}

/// A page of ours: self-contained, never in a frame, loads nothing from elsewhere.
pub fn html(page: &'static str) -> Response {
    let mut response = reply::typed(StatusCode::OK, "text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
