//! The body, counted as it is read: at most 8 KiB, in time, not compressed, JSON by its type.

use crate::http::request::json::Fields;
use crate::http::response::detail::{Detail, Loc};
use crate::http::response::reply::Problem;
use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;
use warp::{Filter, Rejection};
use zeroize::Zeroizing;

/// Bytes of a body on the public listener.
pub(crate) const PUBLIC_BODY_MAX: usize = 8 * 1024;

/// How much body, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Bytes, counted as they are read: a chunked body cannot lie about its length.
    pub max_bytes: usize,
    /// From the head's end to the body's: 408 after it.
    pub timeout: Duration,
}

/// A body in memory, wiped when dropped: it holds codes and tokens.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    bytes: Zeroizing<Vec<u8>>,
    is_json: bool,
}

/// Reads the body of any request that got this far.
pub(crate) fn payload(limits: BodyLimits) -> impl Filter<Extract = (Payload,), Error = Rejection> + Clone {
    warp::header::headers_cloned().and(warp::body::stream()).and_then(move |headers, stream| async move {
        read(limits, &headers, stream).await.map_err(warp::reject::custom)
    })
}

async fn read<S, B>(limits: BodyLimits, headers: &HeaderMap, stream: S) -> Result<Payload, Problem>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.max_bytes as u64) {
        return Err(Problem::BodyTooLarge);
    }
    let encodings = headers.get_all(CONTENT_ENCODING);
    if encodings.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::Encoded);
    }
    let bytes = timeout(limits.timeout, collect(limits.max_bytes, stream))
        .await
        .map_err(|_| Problem::BodyTimeout)??;
    Ok(Payload { bytes, is_json: is_json(headers) })
}

async fn collect<S, B>(max_bytes: usize, stream: S) -> Result<Zeroizing<Vec<u8>>, Problem>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut stream = pin!(stream);
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(chunk) = stream.next().await {
        let mut chunk = chunk.map_err(|_| Problem::BodyBroken)?;
        if bytes.len() + chunk.remaining() > max_bytes {
            return Err(Problem::BodyTooLarge);
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            bytes.extend_from_slice(part);
            let read = part.len();
            chunk.advance(read);
        }
    }
    Ok(bytes)
}

/// `application/json` or `application/*+json`, with any parameters: only these cannot be sent by a plain form (F9).
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

impl Payload {
    /// The fields of a body that must be there.
    pub(crate) fn required(&self) -> Result<Fields<'_>, Detail> {
        if self.bytes.is_empty() { Err(Detail::missing(Loc::Body)) } else { self.fields() }
    }

    /// The fields of a body that may be left out: zero bytes, of whatever type, mean `{}`. White space is no JSON.
    pub(crate) fn optional(&self) -> Result<Fields<'_>, Detail> {
        if self.bytes.is_empty() { Ok(Fields::default()) } else { self.fields() }
    }

    /// The bytes of a body that says it is JSON.
    pub(crate) fn json(&self) -> Option<&[u8]> {
        self.is_json.then_some(&self.bytes[..])
    }

    fn fields(&self) -> Result<Fields<'_>, Detail> {
        if self.is_json { Fields::read(&self.bytes) } else { Err(Detail::not_an_object()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// F9: what a form can send is no JSON.
    #[test]
    fn content_types() {
        let check = |value: &'static str| {
            is_json(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        for good in ["application/json", "Application/JSON; charset=latin1", "application/vnd.api+json"] {
            assert!(check(good), "{good}");
        }
        for bad in
            ["text/plain", "", "json", "text/json", "application/x-www-form-urlencoded", "application/jsonx"]
        {
            assert!(!check(bad), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
