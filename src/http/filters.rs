//! The filters that every route is made of.

use crate::http::exchange::{Exchange, Fault};
use crate::http::metrics::HttpMetrics;
use crate::http::public::Public;
use crate::http::request::body::{Payload, payload};
use crate::http::request::browser;
use crate::http::request::cookies::PortalCookies;
use crate::http::request::language;
use crate::http::response::cors;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::Route;
use doorcode_actors::{Caller, Refusal, Trail};
use futures_util::future::ready;
use http::{HeaderMap, Method};
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

/// A route's path in its very spelling, by one of its methods. Names the route for log and metrics.
pub(crate) fn at(route: &'static Route) -> impl Filter<Extract = (Exchange,), Error = Rejection> + Clone {
    // The server gives every request a path (warp's full() would panic without one).
    let here = warp::path::full()
        .and_then(move |full: FullPath| {
            ready(if route.matches(full.as_str()) { Ok(()) } else { Err(warp::reject::not_found()) })
        })
        .untuple_one();
    here.and(warp::ext::get::<Exchange>()).and(warp::method()).and_then(
        move |exchange: Exchange, method: Method| {
            exchange.enter(route.name);
            let refused = || warp::reject::custom(Problem::MethodNotAllowed(route.methods.names()));
            ready(if route.methods.allow(&method) { Ok(exchange) } else { Err(refused()) })
        },
    )
}

/// A request to one of the five endpoints that passed every check which does not need its meaning.
pub(crate) struct Call {
    pub edge: Arc<Public>,
    /// When the request's head had arrived.
    pub began: Instant,
    pub headers: HeaderMap,
    pub client: IpAddr,
    pub trail: Trail,
    pub payload: Payload,
    pub cookies: PortalCookies,
}

/// `POST` to an endpoint of the API.
pub(crate) fn call(
    edge: &Arc<Public>,
    route: &'static Route,
) -> impl Filter<Extract = (Call,), Error = Rejection> + Clone + use<> {
    let (admitting, calling) = (edge.clone(), edge.clone());
    at(route)
        .and(warp::header::headers_cloned())
        .and_then(move |exchange: Exchange, headers: HeaderMap| {
            ready(
                admit(&admitting, route, &exchange, &headers)
                    .map(|client| (exchange, client, headers))
                    .map_err(Rejection::from),
            )
        })
        .untuple_one()
        .and(payload(edge.body))
        .map(move |exchange: Exchange, client, headers: HeaderMap, payload| {
            let (began, trail) = (exchange.began(), exchange.trail());
            let cookies = PortalCookies::read(&headers);
            Call { edge: calling.clone(), began, headers, client, trail, payload, cookies }
        })
}

/// A `GET`, `HEAD` or `DELETE` of the API that passed the same checks; there is no body to check.
pub(crate) struct Look {
    pub edge: Arc<Public>,
    pub headers: HeaderMap,
    pub client: IpAddr,
    pub trail: Trail,
    pub cookies: PortalCookies,
}

/// `GET` or `DELETE` to an endpoint of the API.
pub(crate) fn look(
    edge: &Arc<Public>,
    route: &'static Route,
) -> impl Filter<Extract = (Look,), Error = Rejection> + Clone + use<> {
    let edge = edge.clone();
    at(route).and(warp::header::headers_cloned()).and_then(move |exchange: Exchange, headers: HeaderMap| {
        let cookies = PortalCookies::read(&headers);
        let admitted = admit(&edge, route, &exchange, &headers);
        ready(
            admitted
                .map(|client| Look { edge: edge.clone(), headers, client, trail: exchange.trail(), cookies })
                .map_err(Rejection::from),
        )
    })
}

/// The caller's limit, then the faults of the head.
fn admit(edge: &Public, route: &Route, exchange: &Exchange, headers: &HeaderMap) -> Result<IpAddr, Problem> {
    let client = edge.proxies.client(exchange.peer(), headers);
    exchange.set_client(client);
    cors::note(exchange, headers, &*edge.portals);
    if let Some(group) = route.limit {
        let verdict = edge.limits.check(group, client);
        if let Some(fields) = verdict.fields {
            exchange.set_rate(fields);
        }
        if let Some(retry_after_s) = verdict.retry_after_s {
            return Err(Problem::ClientLimited { retry_after_s });
        }
    }
    sound(exchange)?;
    Ok(client)
}

/// What the server saw of the head.
pub(crate) fn sound(exchange: &Exchange) -> Result<(), Problem> {
    match exchange.fault() {
        None => Ok(()),
        Some(Fault::Malformed) => Err(Problem::Malformed),
        Some(Fault::HeadTooLarge) => Err(Problem::HeadTooLarge),
    }
}

/// Beyond the deadline the service has given up by itself; this is for the day when it has not.
const GRACE: Duration = Duration::from_millis(250);

impl Call {
    /// Who calls, and until when the answer is of use: the clock starts when the request is complete, so a slow
    /// uplink does not use up the service's time.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            deadline: Instant::now() + self.edge.deadline,
            client: self.client,
            language: language::of(&self.headers),
            device_cookies: self.cookies.device.clone(),
            browser: browser::of(&self.headers),
            trail: self.trail.clone(),
        }
    }
}

impl Look {
    /// As [`Call::caller`]; a look logs nobody in.
    pub(crate) fn caller(&self) -> Caller {
        let deadline = Instant::now() + self.edge.deadline;
        let (client, trail) = (self.client, self.trail.clone());
        Caller { deadline, client, language: None, device_cookies: Vec::new(), browser: None, trail }
    }
}

/// The service's answer, or [`Refusal::Late`].
pub(crate) async fn in_time<T, E: From<Refusal>>(
    caller: &Caller,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout_at(caller.deadline + GRACE, work).await.unwrap_or_else(|_| Err(Refusal::Late.into()))
}

/// The answer of a handler, whichever way it went.
pub(crate) fn answered(outcome: Result<Response, Problem>) -> Response {
    outcome.unwrap_or_else(Problem::into_response)
}

/// Ends every listener's filter: rejections become answers in one place, every answer gets what all answers carry, and is
/// counted and logged.
pub(crate) fn finished(
    routes: BoxedFilter<(Response,)>,
    metrics: Arc<HttpMetrics>,
    hsts: bool,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + Unpin + 'static {
    let answers = routes.recover(reply::recover).unify();
    warp::ext::optional::<Exchange>().and(answers).map(
        move |exchange: Option<Exchange>, response: Response| {
            if let Some(exchange) = &exchange {
                metrics.record(exchange, response.status());
            }
            reply::finish(exchange.as_ref(), hsts, response)
        },
    )
}
