//! What one request and its answer know of each other: made by the server, filled by the filters, read at the end.

use http::HeaderValue;
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
    route: OnceLock<&'static str>,
    rate: OnceLock<RateFields>,
    origin: OnceLock<HeaderValue>,
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
    /// Begins now. The id is ours: a caller's `X-Request-Id` is neither read nor echoed.
    pub(super) fn new(peer: IpAddr, fault: Option<Fault>) -> Self {
        Self(Arc::new(Notes {
            id: Uuid::new_v4(),
            peer,
            began: Instant::now(),
            fault,
            route: OnceLock::new(),
            rate: OnceLock::new(),
            origin: OnceLock::new(),
        }))
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
