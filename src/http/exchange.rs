//! What one request and its answer know of each other: made by the server, filled by the filters, read at the end.

use http::{HeaderMap, HeaderValue};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;
use uuid::Uuid;

/// One request's notebook. Travels as a request extension; cheap to clone.
#[derive(Clone, Debug)]
pub struct Exchange(Arc<Notes>);

#[derive(Debug)]
struct Notes {
    id: Uuid,
    peer: IpAddr,
    began: Instant,
    fault: Option<Fault>,
    trace: Option<String>,
    route: OnceLock<&'static str>,
    rate: OnceLock<RateFields>,
    origin: OnceLock<HeaderValue>,
    upstream_id: Option<Box<str>>,
}

/// What the server saw in a request's head that no later reader of the parsed request can see any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
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
    pub(super) fn new(peer: IpAddr, fault: Option<Fault>, headers: &HeaderMap, is_proxied: bool) -> Self {
        Self(Arc::new(Notes {
            id: Uuid::new_v4(),
            peer,
            began: Instant::now(),
            fault,
            trace: trace_id(headers),
            route: OnceLock::new(),
            rate: OnceLock::new(),
            origin: OnceLock::new(),
            upstream_id: upstream_id(headers).filter(|_| is_proxied).map(Box::from),
        }))
    }

    /// `X-Request-Id`.
    pub(crate) fn id(&self) -> Uuid {
        self.0.id
    }

    /// The trace that the caller says this is part of, for the log only: 32 hexadecimal digits.
    pub(crate) fn trace(&self) -> Option<&str> {
        self.0.trace.as_deref()
    }

    /// What a trusted proxy calls this request (`X-Request-Id`), for the log only.
    pub(crate) fn upstream_id(&self) -> Option<&str> {
        self.0.upstream_id.as_deref()
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
