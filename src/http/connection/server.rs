//! The accept loop: hyper's HTTP/1.1 with the limits that `warp::serve` does not have.
//!
//! A connection cap for all, for a client and for a network, a time for the head, for idling and for the answer, a largest head, and a drain
//! with a deadline. TLS is ended by a proxy in front.

use crate::http::connection::carriers::Carriers;
use crate::http::connection::head::{HeadWatch, Overdue, Patience};
use crate::http::connection::places::{Place, Places};
use crate::http::connection::turns::{Line, NextTurn, Turns};
use crate::http::exchange::{Exchange, Fault};
use crate::http::request::client::TrustedProxies;
use crate::http::response::reply;
use doorcode_actors::{RequestId, in_request};
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use uuid::Uuid;
use warp::Filter;
use warp::reply::Response;

/// What a listener bears.
#[derive(Clone, Debug)]
pub(crate) struct ServerLimits {
    /// Open connections; one more is closed at once.
    pub max_connections: usize,
    /// Those of one client (IPv4 address, IPv6 /64); its network has five times as many.
    pub max_per_client: usize,
    /// Peers whose connections are many clients', and count for nobody.
    pub proxies: TrustedProxies,
    /// Counts the connections that were closed at once.
    pub refused: Counter,
    /// What connections waited for their turns.
    pub turn_waits: Histogram,
    /// From a head's first byte (or the connection's) to its end.
    pub header_timeout: Duration,
    /// Between requests; above what load balancers use, so that they close first.
    pub idle_timeout: Duration,
    /// From the shutdown signal until connections are cut.
    pub drain: Duration,
}

/// How a listener's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining,
    Cut,
}

/// From a head's end to the answer's; a backstop above the body's and the request's own times.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of request line and headers: 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// hyper's own limit on heads, for those that never end; ours comes first and answers in full.
const HYPER_BUFFER: usize = 64 * 1024;
/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a caller who is still sending may take to read the answer, and how much of it is thrown away.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// Serves a filter until `shutdown` completes and the connections have drained.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    filter: F,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + Unpin + 'static,
    F::Future: Send,
{
    let places = Places::new(limits.max_connections, limits.max_per_client, limits.proxies.clone());
    let patience = Patience {
        head: limits.header_timeout,
        idle: limits.idle_timeout,
        answer: ANSWER_TIMEOUT,
        max_head_bytes: MAX_HEAD_BYTES,
    };
    let (stage, seen) = watch::channel(Stage::Serving);
    let mut carriers = Carriers::start(&limits.turn_waits);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener) => match accepted {
                Some(accepted) => accepted,
                None => continue,
            },
        };
        let Some(place) = places.take(peer.ip()) else {
            limits.refused.inc();
            continue;
        };
        let is_proxied = limits.proxies.contains(peer.ip());
        let connection = Connection { peer, is_proxied, patience, stage: seen.clone(), _place: place };
        carriers.take(|turn| connection.run(stream, turn, filter.clone()));
    }
    drop(listener);
    stage.send_replace(Stage::Draining);
    if timeout(limits.drain, places.all_free()).await.is_err() {
        let left = places.taken();
        tracing::warn!(left, "the drain deadline passed; the remaining connections are cut");
        stage.send_replace(Stage::Cut);
        places.all_free().await;
    }
    Ok(())
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are one small write each; waiting for more would only delay them.
            let _ = stream.set_nodelay(true);
            Some((stream, peer))
        }
        Err(error) => {
            use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
            if !matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused) {
                tracing::error!(%error, "cannot accept connections; is the descriptor limit too low?");
                sleep(ACCEPT_PAUSE).await;
            }
            None
        }
    }
}

struct Connection {
    peer: SocketAddr,
    /// The peer is a proxy of ours.
    is_proxied: bool,
    patience: Patience,
    stage: watch::Receiver<Stage>,
    _place: Place,
}

impl Connection {
    async fn run<F>(self, stream: TcpStream, turn: NextTurn, filter: F)
    where
        F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + Unpin + 'static,
        F::Future: Send,
    {
        let watch = SharedWatch::new(self.patience);
        let routes = TowerToHyperService::new(warp::service(filter));
        let (peer, is_proxied, answering, turns) = (self.peer, self.is_proxied, watch.clone(), turn.turns());
        let service = service_fn(move |request: Request<Incoming>| {
            let (routes, watch, turns) = (routes.clone(), answering.clone(), turns.clone());
            Box::pin(async move { answer((peer, is_proxied), &watch, &turns, &routes, request).await })
        });
        let io = TokioIo::new(Watched { stream, watch: watch.clone(), complaint: None });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HYPER_BUFFER)
            .serve_connection(io, service);
        self.drive(connection, turn, &watch).await;
    }

    async fn drive<S>(
        mut self,
        mut connection: http1::Connection<TokioIo<Watched>, S>,
        mut next_turn: NextTurn,
        watch: &SharedWatch,
    ) where
        S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Unpin,
        S::Future: Unpin,
    {
        let overdue = loop {
            let (deadline, overdue) = watch.lock().deadline();
            // Look again after a head's time at the latest: an idle connection may have begun a head since.
            let look = deadline.min(tokio::time::Instant::now() + self.patience.head);
            tokio::select! {
                outcome = poll_fn(|cx| {
                    let _turn = ready!(next_turn.poll(watch.lock().waits_in(), cx));
                    let begun = watch.lock().begun();
                    let outcome = connection.poll_without_shutdown(cx);
                    // hyper reads a body only after the handler has asked for it: in the next poll, which had
                    // better not wait for everybody else's
                    if outcome.is_pending() && watch.lock().begun() > begun {
                        return connection.poll_without_shutdown(cx);
                    }
                    outcome
                }) => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, "connection");
                    }
                    break None;
                }
                changed = self.stage.changed() => {
                    if changed.is_err() || *self.stage.borrow() == Stage::Cut {
                        return;
                    }
                    Pin::new(&mut connection).graceful_shutdown();
                }
                () = sleep_until(look) => {
                    if watch.lock().deadline() == (deadline, overdue) && look == deadline {
                        break Some(overdue);
                    }
                }
            }
        };
        // A turn that it was given and never saw is the next one's at once, not after the goodbye.
        drop(next_turn);
        let Watched { mut stream, complaint, .. } = connection.into_parts().io.into_inner();
        let timed_out = (overdue == Some(Overdue::Head)).then_some(StatusCode::REQUEST_TIMEOUT);
        if let Some(status) = timed_out.or(complaint) {
            let _ = timeout(LINGER, stream.write_all(by_hand(status).as_bytes())).await;
        }
        // While draining nothing is waited for that is not owed.
        if *self.stage.borrow() == Stage::Serving {
            tokio::select! {
                () = linger(stream) => {}
                _ = self.stage.changed() => {}
            }
        }
    }
}

/// One request. What the parsed form no longer shows travels in the [`Exchange`].
async fn answer<S>(
    (peer, is_proxied): (SocketAddr, bool),
    watch: &SharedWatch,
    turns: &Arc<Turns>,
    routes: &S,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    let length = request.body().size_hint().exact();
    let fault = watch
        .lock()
        .begin_answer(length)
        .or_else(|| has_no_single_host(&request).then_some(Fault::Malformed));
    if request.uri().path_and_query().is_none() {
        // CONNECT names no path, and warp wants one; this one matches no route.
        *request.uri_mut() = Uri::from_static("*");
    }
    let exchange = Exchange::new(peer.ip(), fault, &request, is_proxied);
    let (id, trail) = (RequestId(exchange.id().as_u128()), exchange.trail());
    request.extensions_mut().insert(exchange);
    let line = || trail.tenant().map(Line::Tenant);
    let mut response = turns.at_work(line, in_request(id, routes.call(request))).await?;
    if watch.lock().end_answer(line().unwrap_or(Line::Nobody)) || fault.is_some() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// HTTP/1.1 wants exactly one host, and a target with a host of its own must name the same one.
fn has_no_single_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next(), request.uri().authority()) {
        (None, _, _) => request.version() == Version::HTTP_11,
        (Some(_), Some(_), _) => true,
        (Some(host), None, Some(authority)) => {
            !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
        }
        (Some(_), None, None) => false,
    }
}

/// The answer to what never became a request; in the same form as any other.
fn by_hand(status: StatusCode) -> String {
    let phrase = reply::phrase(status);
    let body = format!("{{\"detail\":\"{phrase}\"}}");
    format!(
        "HTTP/1.1 {} {phrase}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nx-request-id: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        status.as_u16(),
        Uuid::new_v4().as_simple(),
        body.len()
    )
}

/// Says goodbye and reads what is still being sent: closing with unread bytes would reset the connection and take the
/// answer with it.
async fn linger(mut stream: TcpStream) {
    let _ = timeout(LINGER, async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(LINGER_BYTES), &mut tokio::io::sink()).await
    })
    .await;
}

#[derive(Clone)]
struct SharedWatch(Arc<Mutex<HeadWatch>>);

impl SharedWatch {
    fn new(patience: Patience) -> Self {
        Self(Arc::new(Mutex::new(HeadWatch::new(patience))))
    }

    fn lock(&self) -> MutexGuard<'_, HeadWatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that shows what it reads to a [`HeadWatch`], and keeps back hyper's own complaints about unreadable heads:
/// they have neither a body nor our headers, so [`by_hand`] says the same in full.
struct Watched {
    stream: TcpStream,
    watch: SharedWatch,
    complaint: Option<StatusCode>,
}

impl Watched {
    fn is_complaint(&mut self, bytes: &[u8]) -> bool {
        if self.complaint.is_none() && !self.watch.lock().is_owed() {
            let status = bytes.strip_prefix(b"HTTP/1.1 ").or(bytes.strip_prefix(b"HTTP/1.0 "));
            let status = status.and_then(|rest| StatusCode::from_bytes(rest.get(..3)?).ok());
            self.complaint = status.filter(StatusCode::is_client_error);
        }
        self.complaint.is_some()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(new) = buf.filled().get(before..).filter(|new| !new.is_empty()) {
            self.watch.lock().feed(new);
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_complaint(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_complaint(bytes.first().map_or(&[], |first| first)) {
            return Poll::Ready(Ok(bytes.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        if outcome.is_ready() {
            self.watch.lock().flushed();
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
