//! Fuzz targets: what must hold for any bytes that a caller may send. One function each, run two ways: for a short time
//! with the suite, from the corpus and by seed (the tests below), and for as long as one likes by `cargo fuzz` (`fuzz/`).

use crate::config::Config;
use crate::http::fuzzing::{BodyLength, Field, Fields, HeadWatch, Page, Patience, TrustedProxies};
use crate::http::{HostAllowlist, Portals, SameHostOnly};
use bytes::Bytes;
use doorcode_actors::fuzz::texts;
use doorcode_domain::{Email, MacKey, RefreshToken, SessionSecret, TenantId, TokenPosition};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use zeroize::Zeroizing;

/// Whatever the watch finds sound, hyper reads alike: as many requests, each with a body of the same length.
pub fn framing(bytes: &[u8]) {
    let patience = Duration::from_secs(1);
    let mut watch =
        HeadWatch::new(Patience { head: patience, idle: patience, answer: patience, max_head_bytes: 16_384 });
    watch.feed(bytes);
    let sound = watch.is_sound();
    for (nth, length) in by_hyper(bytes).into_iter().enumerate() {
        let fault = watch.begin_answer(length);
        assert!(!sound || fault.is_none(), "request {nth}: hyper means a body of {length:?}");
        // A chunked request is its connection's last.
        if fault.is_some() || length.is_none() {
            return;
        }
    }
}

/// The body lengths of the requests that hyper makes of a connection's bytes.
fn by_hyper(bytes: &[u8]) -> Vec<BodyLength> {
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let seen = lengths.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.body().size_hint().exact());
        Box::pin(async move {
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        })
    });
    let io = Wire { bytes: bytes.to_vec(), read: 0 };
    let mut connection = http1::Builder::new().header_read_timeout(None).serve_connection(io, service);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if Pin::new(&mut connection).poll(&mut context).is_ready() {
            break;
        }
    }
    let lengths = lengths.lock().unwrap_or_else(PoisonError::into_inner);
    lengths.clone()
}

/// A connection whose other end has sent all it will, and reads everything.
struct Wire {
    bytes: Vec<u8>,
    read: usize,
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let length = (self.bytes.len() - self.read).min(buffer.remaining());
        buffer.put_slice(&self.bytes[self.read..self.read + length]);
        self.read += length;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A body that is read means what another reader of JSON finds in it.
pub fn json(bytes: &[u8]) {
    let Ok(fields) = Fields::read(bytes) else { return };
    // Values that nobody uses are skipped unread; a whole reader may refuse them.
    let Ok(other) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    for name in ["code", "email", "tenant_slug", "refresh_token"] {
        let theirs = other.get(name);
        match fields.get(name) {
            Ok(Field::Text(text)) => assert_eq!(theirs.and_then(|value| value.as_str()), Some(text.as_str())),
            Ok(Field::NotAString) => assert!(theirs.is_some_and(|value| !value.is_string()), "{name}"),
            Ok(Field::Absent) => assert!(theirs.is_none(), "{name}"),
            Err(_) => assert!(theirs.is_none(), "{name} is refused here and read there"),
        }
    }
}

/// An address that is accepted is one line without spaces, and reads again as itself.
pub fn email(bytes: &[u8]) {
    let Ok(email) =
        std::str::from_utf8(bytes).map_err(|_| ()).and_then(|text| Email::parse(text).map_err(|_| ()))
    else {
        return;
    };
    let text = email.as_str();
    assert!(!text.chars().any(|c| c.is_control() || c.is_whitespace()), "{text:?}");
    assert_eq!(text.matches('@').count(), 1, "{text:?}");
    assert!(email.ascii_domain().is_ascii(), "{text:?}");
    let again = Email::parse(text);
    assert_eq!(again.as_ref().map(|again| again.key()), Ok(email.key()), "{text:?} does not read as itself");
}

/// No text but the one that we wrote reads as a token: not with one letter changed, not in another spelling. The input is
/// taken as a text of its own, and as pairs of place and letter that change a good one.
pub fn refresh_token(bytes: &[u8]) {
    let Ok(key) = MacKey::new(&Zeroizing::new(vec![7; MacKey::BYTES])) else { return };
    let position = TokenPosition { generation: 3, branch: 1 };
    let secret = SessionSecret::from_random(Zeroizing::new([9; 16]));
    let good = RefreshToken { tenant: TenantId::UNKNOWN, secret, position }.encode(1, &key);
    for text in texts(bytes, &good) {
        let read = RefreshToken::decode(&text, |id| (id == 1).then_some(&key));
        assert_eq!(read.is_ok(), text == *good, "{text:?}");
    }
}

/// Who calls: nobody but a trusted proxy is believed, and what stands left of the first stranger changes nothing.
pub fn client(bytes: &[u8]) {
    let headers = headers(bytes);
    let (proxy, stranger) = (Ipv4Addr::new(10, 0, 0, 1).into(), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)));
    let Ok(ours) = "10.0.0.0/8".parse() else { return };
    let proxies = TrustedProxies::new(vec![ours]);
    assert_eq!(proxies.client(stranger, &headers), stranger);
    let client = proxies.client(proxy, &headers);
    assert_eq!(client, client.to_canonical());
    let listed = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let (Some(listed), false) = (listed, headers.contains_key("forwarded")) else { return };
    if headers.get_all("x-forwarded-for").iter().count() == 1 && !proxies.contains(client) {
        let prefixed = HeaderValue::from_str(&format!("203.0.113.66, {listed}"));
        let mut lied = headers.clone();
        prefixed.map(|value| lied.insert("x-forwarded-for", value)).ok();
        assert_eq!(proxies.client(proxy, &lied), client, "a fake in front was believed");
    }
}

/// Which page calls: none of another site, and none that does not say so, may use cookies.
pub fn page(bytes: &[u8]) {
    let headers = headers(bytes);
    let portals: &dyn Portals = &SameHostOnly;
    let page = Page::of(&headers, portals);
    let said = |name: &str| headers.get_all(name).iter().collect::<Vec<_>>();
    let (sites, origins) = (said("sec-fetch-site"), said("origin"));
    if page.is_some() {
        assert!(sites.iter().all(|site| *site == "same-origin" || *site == "same-site"), "{headers:?}");
        assert!(sites.len() + origins.len() >= 1 && sites.len() < 2 && origins.len() < 2, "{headers:?}");
        assert!(origins.iter().all(|origin| *origin != "null"), "{headers:?}");
    }
    let planted = Page::of_login(&headers, portals);
    assert_eq!(planted.is_some(), page.is_some() || (sites.is_empty() && origins.is_empty()), "{headers:?}");
}

/// Which name a listener is called by: an address, `localhost` or a name of ours, in one header, and nothing that only
/// looks like one.
pub fn host(bytes: &[u8]) {
    let headers = headers(bytes);
    let hosts = HostAllowlist::new(vec!["ops.internal".to_owned()]);
    if !hosts.allows(&headers) {
        return;
    }
    let said: Vec<_> = headers.get_all("host").iter().filter_map(|value| value.to_str().ok()).collect();
    assert_eq!(said.len(), 1, "{headers:?}");
    let authority = said[0].to_ascii_lowercase();
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if !authority.ends_with(']') => {
            assert!(port.bytes().all(|byte| byte.is_ascii_digit()), "{headers:?}");
            name
        }
        _ => &authority,
    };
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    assert!(is_address || name == "localhost" || name == "ops.internal", "{headers:?}");
}

/// Settings: whatever file and variables say (lines after a NUL), the answer is a configuration or a list of mistakes, and
/// neither shows a secret.
pub fn config(bytes: &[u8]) {
    const SECRET: &str = "pa55-w0rd";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (file, variables) = text.split_once('\0').unwrap_or((text, ""));
    let environment = variables.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        Some((format!("DOORCODE__{name}"), value.to_owned()))
    });
    let path = std::env::temp_dir().join(format!("doorcode-fuzz-{}.toml", std::process::id()));
    let Ok(()) = std::fs::write(&path, file) else { return };
    let loaded = Config::load_for_serve(Some(&path), environment);
    let told = match loaded {
        Ok(loaded) => loaded.settings().iter().map(|setting| setting.shown()).collect(),
        Err(error) => format!("{error}"),
    };
    let table: toml::Table = toml::from_str(file).unwrap_or_default();
    let password = table.get("mail").and_then(|mail| mail.get("smtp")?.get("password")?.as_str());
    if password.is_some_and(|it| it.contains(SECRET)) && text.matches(SECRET).count() == 1 {
        assert!(!told.contains(SECRET), "{told}");
    }
}

pub use doorcode_actors::fuzz::{access_token, device_cookie};

/// `name: value` lines; what is no header is left out, as hyper would refuse it.
fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests;
