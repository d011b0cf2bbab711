//! What one request and its answer know of each other: made by the server, filled by the filters, read at the end.

use doorcode_actors::{Trail, network_of};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;
use uuid::Uuid;

/// One request's notebook. Travels as a request extension; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Exchange(Arc<Notes>);

#[derive(Debug)]
struct Notes {
    id: Uuid,
    peer: IpAddr,
    method: &'static str,
    began: Instant,
    fault: Option<Fault>,
    trace: Option<String>,
    route: OnceLock<&'static str>,
    rate: OnceLock<RateFields>,
    origin: OnceLock<HeaderValue>,
    upstream_id: Option<Box<str>>,
    client: OnceLock<IpAddr>,
    trail: Trail,
    logged: AtomicBool,
}

/// What the server saw in a request's head that no later reader of the parsed request can see any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Two readers could disagree about it (request smuggling), or it names no host: 400 and the connection ends.
    Malformed,
    /// More bytes than allowed: 431 and the connection ends.
    HeadTooLarge,
}

/// `RateLimit-Policy` and `RateLimit`, ready to send.
#[derive(Clone, Debug)]
pub(super) struct RateFields {
    pub policy: HeaderValue,
    pub state: HeaderValue,
}

impl Exchange {
    /// Begins now. The id is ours: a caller's `X-Request-Id` never takes its place.
    pub(super) fn new<B>(peer: IpAddr, fault: Option<Fault>, request: &Request<B>, is_proxied: bool) -> Self {
        let headers = request.headers();
        Self(Arc::new(Notes {
            method: known_method(request.method()),
            id: Uuid::new_v4(),
            peer,
            began: Instant::now(),
            fault,
            trace: trace_id(headers),
            route: OnceLock::new(),
            rate: OnceLock::new(),
            origin: OnceLock::new(),
            upstream_id: upstream_id(headers).filter(|_| is_proxied).map(Box::from),
            client: OnceLock::new(),
            trail: Trail::default(),
            logged: AtomicBool::new(false),
        }))
    }

    /// Who calls, as far as proxies are believed: of this the log has the network.
    pub(super) fn set_client(&self, client: IpAddr) {
        let _ = self.0.client.set(client);
    }

    /// What the service notes of the call, for the log.
    pub(crate) fn trail(&self) -> Trail {
        self.0.trail.clone()
    }

    /// The one line of the access log: no body, no query, no address.
    pub(super) fn log(&self, status: StatusCode) {
        self.0.log(status.as_u16());
    }

    /// `X-Request-Id`.
    pub(crate) fn id(&self) -> Uuid {
        self.0.id
    }

    /// The socket's other end.
    pub(crate) fn peer(&self) -> IpAddr {
        self.0.peer
    }

    /// When the request's head had arrived.
    pub(crate) fn began(&self) -> Instant {
        self.0.began
    }

    /// See [`Fault`].
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.fault
    }

    /// Names the route for the access log and the metrics: from our table, never from the request.
    pub(crate) fn enter(&self, route: &'static str) {
        let _ = self.0.route.set(route);
    }

    /// The route, or `none` where no path matched.
    pub(crate) fn route(&self) -> &'static str {
        self.0.route.get().copied().unwrap_or("none")
    }

    /// Leaves the rate limit's fields for the answer, whatever it will be.
    pub(super) fn set_rate(&self, fields: RateFields) {
        let _ = self.0.rate.set(fields);
    }

    /// See [`Exchange::set_rate`].
    pub(super) fn rate(&self) -> Option<&RateFields> {
        self.0.rate.get()
    }

    /// Leaves an allowed origin for the answer.
    pub(super) fn set_origin(&self, origin: HeaderValue) {
        let _ = self.0.origin.set(origin);
    }

    /// See [`Exchange::set_origin`].
    pub(super) fn origin(&self) -> Option<&HeaderValue> {
        self.0.origin.get()
    }
}

/// The caller went before the answer: as nginx says it.
const GONE: u16 = 499;

impl Notes {
    fn log(&self, status: u16) {
        if self.logged.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut id = [0; uuid::fmt::Simple::LENGTH];
        let id: &str = self.id.as_simple().encode_lower(&mut id);
        let micros = self.began.elapsed().as_micros() as u64;
        let route = self.route.get().copied().unwrap_or("none");
        let trail = &self.trail;
        tracing::info!(
            target: "doorcode::access", method = self.method, route, status, micros, request_id = id,
            upstream_request_id = self.upstream_id.as_deref(), trace_id = self.trace.as_deref(),
            network = self.client.get().copied().map(network_of).map(display),
            tenant = trail.tenant().map(display), subject = trail.subject().map(display),
            session = trail.session().map(display), outcome = trail.outcome(),
        );
    }
}

/// A guess is evaluated whether or not its caller waits: it is in the log all the same.
impl Drop for Notes {
    fn drop(&mut self) {
        self.log(GONE);
    }
}

/// A caller may send any word as a method; logs and metrics know nine.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "OTHER",
    }
}

/// The trace id of `traceparent` (<https://www.w3.org/TR/trace-context/>); anything that is not one is nobody's.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
    };
    let known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let whole = known && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    (whole && trace.bytes().any(|c| c != b'0') && parent.bytes().any(|c| c != b'0')).then(|| trace.to_owned())
}

/// `X-Request-Id`, of at most 128 characters that need no quoting.
fn upstream_id(headers: &HeaderMap) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=/+".contains(&byte);
    let id = headers.get("x-request-id")?.to_str().ok()?;
    ((1..=128).contains(&id.len()) && id.bytes().all(plain)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_traceparent_names_a_trace() {
        let id = |text: &'static str| {
            trace_id(&HeaderMap::from_iter([(
                http::HeaderName::from_static("traceparent"),
                HeaderValue::from_static(text),
            )]))
        };
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(), Some(trace));
        assert_eq!(
            id("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").as_deref(),
            Some(trace)
        );
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
