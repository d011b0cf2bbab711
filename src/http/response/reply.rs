//! The only place where an outcome becomes a status. Bodies are JSON, always; nothing here knows a secret but [`tokens`].

use crate::http::exchange::Exchange;
use crate::http::response::detail::Detail;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorcode_actors::{Login, RefreshError, Refusal, VerifyError};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, PRAGMA, REFERRER_POLICY, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use std::convert::Infallible;
use warp::reject::{Reject, Rejection};
use warp::reply::Response;

/// Why a request gets no success.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// No such path.
    NotFound,
    /// The path lives, by these methods.
    MethodNotAllowed(&'static str),
    /// Two readers could disagree about the request.
    Malformed,
    /// Too large a head.
    HeadTooLarge,
    /// The caller's own limit.
    ClientLimited {
        /// Seconds, at least 1.
        retry_after_s: u64,
    },
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body never ended as promised: the caller is gone or lies.
    BodyBroken,
    /// Too large a body.
    BodyTooLarge,
    /// A compressed body.
    Encoded,
    /// A body that says the wrong thing.
    Invalid(Vec<Detail>),
    /// The one answer to every code that is not the right one.
    WrongCode,
    /// The one answer to every refresh token that is not good.
    WrongRefreshToken,
    /// The one answer to every access token that is not good.
    WrongAccessToken,
    /// What the service will not, or cannot, do now.
    Refused(Refusal),
    /// Another site's page, or no way to tell.
    Forbidden,
    /// A host name that this listener does not go by.
    UnknownHost,
}

impl Reject for Problem {}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem::Refused(refusal)
    }
}

impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Rejected => Problem::WrongCode,
            VerifyError::Refused(refusal) => Problem::Refused(refusal),
        }
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Rejected => Problem::WrongRefreshToken,
            RefreshError::Refused(refusal) => Problem::Refused(refusal),
        }
    }
}

impl Problem {
    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Problem::NotFound => StatusCode::NOT_FOUND,
            Problem::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Problem::Malformed | Problem::BodyBroken => StatusCode::BAD_REQUEST,
            Problem::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Problem::ClientLimited { .. } | Problem::Refused(Refusal::TenantLimited { .. }) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Problem::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Problem::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Problem::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Problem::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Problem::WrongCode | Problem::WrongRefreshToken | Problem::WrongAccessToken => {
                StatusCode::UNAUTHORIZED
            }
            Problem::Refused(Refusal::Overloaded | Refusal::Unavailable | Refusal::Late) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Problem::Forbidden => StatusCode::FORBIDDEN,
            Problem::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    /// Seconds after which another try makes sense: at least 1.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Problem::ClientLimited { retry_after_s } => Some((*retry_after_s).max(1)),
            Problem::Refused(Refusal::TenantLimited { retry_after_s }) => {
                Some(u64::from(*retry_after_s).max(1))
            }
            Problem::Refused(Refusal::Overloaded | Refusal::Unavailable | Refusal::Late) => Some(1),
            _ => None,
        }
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response {
        let status = self.status();
        let retry_after = self.retry_after_s();
        let mut response = match &self {
            Problem::Invalid(details) => json(status, &Body { detail: details }),
            Problem::WrongCode => json(status, &Body { detail: "Invalid or expired code" }),
            Problem::WrongRefreshToken => json(status, &Body { detail: "Invalid refresh token" }),
            Problem::WrongAccessToken => json(status, &Body { detail: "Invalid access token" }),
            _ => json(status, &Body { detail: phrase(status) }),
        };
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            Problem::MethodNotAllowed(allow) => drop(headers.insert(ALLOW, HeaderValue::from_static(allow))),
            Problem::WrongCode | Problem::WrongRefreshToken | Problem::WrongAccessToken => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What is left of such a request cannot be told from the next one.
            Problem::Malformed | Problem::BodyBroken | Problem::BodyTimeout | Problem::HeadTooLarge => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// The status's standard phrase (RFC 9110).
pub(crate) fn phrase(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}

#[derive(Serialize)]
struct Body<D> {
    detail: D,
}

/// Any JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Serialising our own types cannot fail: no maps with odd keys, no readers behind them.
    typed(status, "application/json", serde_json::to_vec(body).unwrap_or_default())
}

/// An answer with a body of some type.
pub(crate) fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<bytes::Bytes>,
) -> Response {
    let body: bytes::Bytes = body.into();
    let mut response = warp::reply::Reply::into_response(body.to_vec());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What everybody may keep for 300 s. Keys are published this long, and more, before their first use (D11).
pub(crate) fn cacheable(content_type: &'static str, body: String) -> Response {
    let mut response = typed(StatusCode::OK, content_type, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// A file that is compiled in, the same for everybody: to be cached for 5 minutes, then asked for by its tag.
pub(crate) struct Asset {
    content_type: &'static str,
    bytes: &'static [u8],
    tag: String,
}

impl Asset {
    /// Tagged by its hash.
    pub(crate) fn new(content_type: &'static str, bytes: &'static [u8]) -> Self {
        let tag = format!("\"{}\"", STANDARD.encode(digest(&SHA256, bytes)));
        Self { content_type, bytes, tag }
    }

    /// The file, or that it is still the one the caller has. Any origin may read it.
    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response {
        let fresh = asked.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == self.tag.as_bytes());
        let mut response = match fresh {
            true => typed(StatusCode::NOT_MODIFIED, self.content_type, ""),
            false => typed(StatusCode::OK, self.content_type, self.bytes),
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        );
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(ETAG, tag);
        }
        response
    }
}

/// 204.
pub(crate) fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[derive(Serialize)]
struct Tokens<'a> {
    access_token: &'a str,
    customer_id: doorcode_domain::CustomerId,
    expires_in: i64,
    refresh_token: &'a str,
    tenant_id: doorcode_domain::TenantId,
    token_type: &'static str,
}

/// 200 with tokens.
pub(crate) fn tokens(login: &Login) -> Response {
    let body = Tokens {
        access_token: &login.access_token,
        customer_id: login.customer_id,
        expires_in: login.expires_in_s,
        refresh_token: &login.refresh_token,
        tenant_id: login.tenant_id,
        token_type: "bearer",
    };
    let mut response = json(StatusCode::OK, &body);
    // RFC 6749 section 5.1 asks for it beside no-store.
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// Turns whatever the filters rejected into its answer. Routes exclude each other by path, so at most one [`Problem`]
/// can be in there; none means that no path matched.
pub(crate) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let problem = rejection.find::<Problem>().cloned().unwrap_or(Problem::NotFound);
    Ok(problem.into_response())
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What every answer carries, and its line of the access log.
pub(crate) fn finish(exchange: Option<&Exchange>, hsts: bool, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    let Some(exchange) = exchange else { return response };
    if let Some(fields) = exchange.rate() {
        headers.insert(RATELIMIT_POLICY, fields.policy.clone());
        headers.insert(RATELIMIT, fields.state.clone());
    }
    if let Some(origin) = exchange.origin() {
        crate::http::response::cors::allow(headers, origin);
    }
    let mut id = [0; uuid::fmt::Simple::LENGTH];
    let id: &str = exchange.id().as_simple().encode_lower(&mut id);
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, value);
    }
    exchange.log(response.status());
    response
}

/// A page of ours: self-contained, never in a frame, loads nothing from elsewhere.
pub(crate) fn page(page: &'static str) -> Response {
    let mut response = typed(StatusCode::OK, "text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B5, F15: what each refusal must carry.
    #[test]
    fn refusals_say_when_to_come_back_and_how() {
        let headers = |problem: Problem| problem.into_response().headers().clone();
        let zero = Refusal::TenantLimited { retry_after_s: 0 };
        assert_eq!(headers(zero.into())[RETRY_AFTER], "1");
        assert_eq!(headers(Problem::ClientLimited { retry_after_s: 18 })[RETRY_AFTER], "18");
        for refusal in [Refusal::Overloaded, Refusal::Unavailable, Refusal::Late] {
            assert_eq!(Problem::from(refusal).status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(headers(refusal.into())[RETRY_AFTER], "1");
        }
        assert_eq!(headers(Problem::WrongCode)[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(headers(Problem::MethodNotAllowed("POST"))[ALLOW], "POST");
    }

    /// F14: JSON, errors too.
    #[test]
    fn every_problem_is_json() {
        for problem in [Problem::NotFound, Problem::BodyTooLarge, Problem::Encoded, Problem::Malformed] {
            assert_eq!(problem.into_response().headers()[CONTENT_TYPE], "application/json");
        }
    }
}
