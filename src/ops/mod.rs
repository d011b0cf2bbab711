//! The ops listener: what operators and their machines look at. Loopback by default, never the public port.
//!
//! A browser on the same machine can reach loopback too, so only known host names are answered (DNS rebinding), and
//! nothing here changes anything unless the page is ours or the caller holds the admin key.

mod exposition;
mod faults;
mod history;
mod live;
mod metrics;
mod process;

pub(crate) use faults::Faults;
pub(crate) use history::History;

use crate::http::endpoints::reference;
use crate::http::filters::{at, finished};
use crate::http::response::reply::{self, Problem};
use crate::http::routes::{ACTOR_ROWS, ACTORS, LIVEZ, METRICS, READYZ};
use crate::http::{ClientLimits, HostAllowlist, HttpMetrics, LoginApi};
use futures_util::future::ready;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use prometheus_client::registry::Registry;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::timeout;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

/// Probes give up after a few seconds; a readiness that hangs is none.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Everything the ops listener needs.
pub(crate) struct Ops {
    /// The actors' one way in.
    pub service: Arc<dyn LoginApi>,
    /// The public listener's counters.
    pub http: Arc<HttpMetrics>,
    /// The public listener's limits: how many callers they hold.
    pub limits: Arc<ClientLimits>,
    /// Host names beside loopback's. Default: none.
    pub hosts: HostAllowlist,
    /// The admin API under `/v1/admin/`, guarded here against other sites' pages, authorised by itself. Default: none,
    /// or at an address of its own ([`admin_service`]).
    pub admin: Option<BoxedFilter<(Response,)>>,
    /// What the live page draws. Default: nothing.
    pub history: Arc<History>,
    /// The process has been told to stop: not ready, whatever the actors say. Default: false.
    pub draining: Arc<AtomicBool>,
    /// Faults on demand. Default: none; never in production.
    pub faults: Option<Faults>,
}

impl Ops {
    /// Without an admin API.
    pub(crate) fn new(service: impl LoginApi, http: Arc<HttpMetrics>, limits: Arc<ClientLimits>) -> Self {
        Self {
            service: Arc::new(service),
            http,
            limits,
            hosts: HostAllowlist::default(),
            admin: None,
            history: Arc::default(),
            draining: Arc::default(),
            faults: None,
        }
    }
}

/// The whole ops listener.
pub(crate) fn service(
    ops: Ops,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + Unpin + 'static {
    let nothing = || warp::any().and_then(async || Err(warp::reject::not_found())).boxed();
    let admin = ops.admin.clone().unwrap_or_else(nothing);
    let faults = ops.faults.as_ref().map_or_else(nothing, Faults::route);
    let admin = under("/v1/admin/").and(guard()).and(faults.or(admin).unify()).boxed();
    let known = live::routes(&ops.history)
        .or(livez())
        .unify()
        .or(readyz(&ops))
        .unify()
        .or(actors(&ops))
        .unify()
        .or(actor_rows(&ops))
        .unify()
        .or(prometheus(&ops))
        .unify()
        .or(reference::route_admin())
        .unify()
        .or(admin)
        .unify();
    finished(ops.hosts.filter().and(known).boxed(), ops.http, false)
}

/// A listener for the admin API alone.
pub(crate) fn admin_service(
    admin: BoxedFilter<(Response,)>,
    hosts: &HostAllowlist,
    http: Arc<HttpMetrics>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + Unpin + 'static {
    let guarded = under("/v1/admin/").and(guard()).and(admin);
    let known = guarded.or(reference::route_admin()).unify();
    finished(hosts.filter().and(known).boxed(), http, false)
}

/// `GET /livez`: the process answers; nothing else is asked.
fn livez() -> BoxedFilter<(Response,)> {
    at(&LIVEZ).map(|_| state(StatusCode::OK, "alive", &[])).boxed()
}

/// `GET /readyz`: every actor is asked.
fn readyz(ops: &Ops) -> BoxedFilter<(Response,)> {
    let (service, draining) = (ops.service.clone(), ops.draining.clone());
    at(&READYZ)
        .then(move |_| {
            let (service, draining) = (service.clone(), draining.load(Relaxed));
            async move {
                match draining {
                    true => state(StatusCode::SERVICE_UNAVAILABLE, "draining", &[]),
                    false => readiness(&*service).await,
                }
            }
        })
        .boxed()
}

async fn readiness(service: &dyn LoginApi) -> Response {
    match timeout(READY_WITHIN, service.ready()).await {
        // all replicas share the database: to leave the balancer would help nobody, and take the keys from who checks tokens
        Ok(Ok(remarks)) => state(StatusCode::OK, "ready", &remarks),
        Ok(Err(reasons)) => state(StatusCode::SERVICE_UNAVAILABLE, "not ready", &reasons),
        Err(_) => {
            let slow = "the actors did not answer in time".to_owned();
            state(StatusCode::SERVICE_UNAVAILABLE, "not ready", &[slow])
        }
    }
}

#[derive(Serialize)]
struct State<'a> {
    status: &'a str,
    reasons: &'a [String],
}

fn state(code: StatusCode, status: &str, reasons: &[String]) -> Response {
    reply::json(code, &State { status, reasons })
}

/// `GET /actors`: the supervision tree.
fn actors(ops: &Ops) -> BoxedFilter<(Response,)> {
    let service = ops.service.clone();
    at(&ACTORS).map(move |_| reply::json(StatusCode::OK, &service.snapshot())).boxed()
}

/// Rows of one page, by default and at most.
const ROWS: (usize, usize) = (100, 1_000);

/// `GET /actors/rows?kind=issuer&offset=0&limit=100`: actors one by one, those that need a look first.
fn actor_rows(ops: &Ops) -> BoxedFilter<(Response,)> {
    let service = ops.service.clone();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    at(&ACTOR_ROWS)
        .and(query)
        .map(move |_, query: String| {
            let text = |name: &str| {
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
            };
            let number = |name: &str| text(name).and_then(|value| value.parse::<usize>().ok());
            let limit = number("limit").unwrap_or(ROWS.0).min(ROWS.1);
            let rows = service.actor_rows(text("kind"), number("offset").unwrap_or(0), limit);
            reply::json(StatusCode::OK, &rows)
        })
        .boxed()
}

/// `GET /metrics`.
fn prometheus(ops: &Ops) -> BoxedFilter<(Response,)> {
    let mut registry = Registry::default();
    ops.http.register(&mut registry);
    metrics::register(&mut registry, ops.service.clone(), ops.limits.clone());
    let registry = Arc::new(registry);
    at(&METRICS)
        .and(warp::header::headers_cloned())
        .map(move |_, headers: HeaderMap| metrics::answer(&registry, &headers))
        .boxed()
}

/// Every path that begins so.
fn under(prefix: &'static str) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::path::full()
        .and_then(move |full: FullPath| {
            ready(if full.as_str().starts_with(prefix) { Ok(()) } else { Err(warp::reject::not_found()) })
        })
        .untuple_one()
}

/// What may change something: JSON, from a page of this listener or from a holder of an admin key. Whether the key is
/// right is for the admin API to say; that there is one shows that no other site's page sent it.
fn guard() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::method()
        .and(warp::header::headers_cloned())
        .and_then(|method: Method, headers: HeaderMap| {
            let harmless = method == Method::GET || method == Method::HEAD;
            let keyed = headers.contains_key(AUTHORIZATION);
            // no form sends a DELETE, and it has no body whose type could be asked for
            let meant =
                method == Method::DELETE && keyed || is_json(&headers) && (keyed || is_same_origin(&headers));
            ready(if harmless || meant { Ok(()) } else { Err(warp::reject::custom(Problem::Forbidden)) })
        })
        .untuple_one()
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|value| value == "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests_script::{Mood, Script};
    use crate::http::tests_support::{Answer, client_limits, raw};
    use crate::http::{LimitClock, ServerLimits, serve};
    use doorcode_actors::Refusal;
    use tokio::net::TcpListener;

    async fn ops(mood: Mood, admin: Option<BoxedFilter<(Response,)>>) -> std::net::SocketAddr {
        let limits = Arc::new(ClientLimits::new(client_limits(), &LimitClock::real()));
        let ops = Ops { admin, ..Ops::new(Script::new(mood), Arc::default(), limits) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, service(ops), ServerLimits::default(), std::future::pending()));
        addr
    }

    async fn get(addr: std::net::SocketAddr, path: &str) -> Answer {
        raw(addr, format!("GET {path} HTTP/1.1\r\nHost: localhost:8081\r\n\r\n").as_bytes()).await
    }

    #[tokio::test]
    async fn probes_and_views() {
        let addr = ops(Mood::Sound, None).await;
        assert_eq!(get(addr, "/livez").await.status, 200);
        assert_eq!(get(addr, "/readyz").await.body, r#"{"status":"ready","reasons":[]}"#);
        assert!(get(addr, "/actors").await.body.starts_with(r#"{"actors":[]"#));
        for query in ["", "?offset=1&limit=2", "?limit=none&x"] {
            let rows = get(addr, &format!("/actors/rows{query}")).await;
            assert_eq!((rows.status, rows.body.as_str()), (200, r#"{"total":0,"offset":0,"rows":[]}"#));
        }
        let page = get(addr, "/").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.header("content-security-policy").is_some(), "F13");
        assert_eq!(get(addr, "/v1/admin/tenants").await.status, 404);
        let metrics = get(addr, "/metrics").await;
        for line in [
            "doorcode_http_requests_total{route=\"livez\",status=\"200\"} 1",
            "doorcode_client_limit_callers 0",
        ] {
            assert!(metrics.body.contains(line), "{line} in\n{}", metrics.body);
        }
    }

    /// Readiness is asked of the actors: one that is silent, or all of them, is told.
    #[tokio::test]
    async fn silent_actors_are_not_ready() {
        let refusing = ops(Mood::Refuses(Refusal::Unavailable), None).await;
        let answer = get(refusing, "/readyz").await;
        assert_eq!((answer.status, answer.body.contains("ledger.login")), (503, true), "{answer:?}");
        let hanging = ops(Mood::Hangs, None).await;
        assert_eq!(get(hanging, "/readyz").await.status, 503);
        assert_eq!(get(hanging, "/livez").await.status, 200);
    }

    /// A name that another site's page made up is not answered.
    #[tokio::test]
    async fn unknown_hosts_are_refused() {
        let addr = ops(Mood::Sound, None).await;
        for host in ["evil.example", "evil.example:8081"] {
            let answer = raw(addr, format!("GET /actors HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
            assert_eq!(answer.status, 421, "{host}");
        }
    }

    /// F7 for the admin API: another site's page cannot post to it, ours and programs can.
    #[tokio::test]
    async fn posts_must_be_meant() {
        let admin = warp::any().map(reply::no_content).boxed();
        let addr = ops(Mood::Sound, Some(admin)).await;
        let post = async |lines: &str| {
            let head =
                format!("POST /v1/admin/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{lines}\r\n");
            raw(addr, head.as_bytes()).await.status
        };
        let json = "Content-Type: application/json\r\n";
        assert_eq!(post("").await, 403);
        assert_eq!(post(json).await, 403);
        assert_eq!(post("Authorization: Bearer x\r\nContent-Type: text/plain\r\n").await, 403);
        assert_eq!(post(&format!("{json}Sec-Fetch-Site: cross-site\r\n")).await, 403);
        assert_eq!(post(&format!("{json}Sec-Fetch-Site: same-origin\r\n")).await, 204);
        assert_eq!(post(&format!("{json}Authorization: Bearer x\r\n")).await, 204);
        let delete = async |lines: &str| {
            let head = format!("DELETE /v1/admin/x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
            raw(addr, head.as_bytes()).await.status
        };
        assert_eq!(delete("").await, 403);
        assert_eq!(delete("Authorization: Bearer x\r\n").await, 204);
    }
}
