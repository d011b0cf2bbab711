//! Fuzz targets: what must hold for any bytes that a caller may send. One function each, run two ways: for a short time
//! with the suite, from the corpus and by seed (the tests below), and for as long as one likes by `cargo fuzz` (`fuzz/`).

use crate::config::Config;
use crate::http::fuzzing::{BodyLength, Field, Fields, HeadWatch, Page, Patience, TrustedProxies};
use crate::http::{HostAllowlist, Portals, SameHostOnly};
use bytes::Bytes;
use doorcode_actors::fuzz::texts;
use doorcode_domain::{
    Email, HandoverCode, MacKey, PkceChallenge, RefreshToken, SessionSecret, TenantId, TokenPosition,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt, io};
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

/// A body is read if another reader of JSON finds one object in it, of which no member comes twice; and its fields mean the same.
pub fn json(bytes: &[u8]) {
    let ours = Fields::read(bytes);
    if ours.is_ok() {
        let is_json =
            std::str::from_utf8(bytes).is_ok_and(|it| serde_json::from_str::<IgnoredAny>(it).is_ok());
        assert!(is_json, "what is no JSON was read");
    }
    // Values that nobody uses are skipped unread here; a whole reader may refuse them.
    let Ok(Members(theirs)) = serde_json::from_slice::<Members>(bytes) else { return };
    let is_twice = |(nth, (name, _)): (usize, &(String, _))| theirs[..nth].iter().any(|(it, _)| it == name);
    assert_eq!(ours.is_err(), theirs.iter().enumerate().any(is_twice), "{theirs:?}");
    let Ok(fields) = ours else { return };
    for name in ["code", "email", "tenant_slug", "refresh_token"] {
        let theirs = theirs.iter().find(|(it, _)| it == name).map(|(_, value)| value);
        match fields.get(name) {
            Ok(Field::Text(text)) => assert_eq!(theirs.and_then(|value| value.as_str()), Some(text.as_str())),
            Ok(Field::NotAString) => assert!(theirs.is_some_and(|value| !value.is_string()), "{name}"),
            Ok(Field::Absent) => assert!(theirs.is_none(), "{name}"),
            Err(_) => assert!(theirs.is_none(), "{name} is refused here and read there"),
        }
    }
}

/// An object's members as they come, those that come twice too.
struct Members(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(member) = map.next_entry()? {
            self.0.push(member);
        }
        Ok(self)
    }
}

/// An address that is accepted has the form that mail servers take (RFC 5321, RFC 6531), and is the same one however it is
/// typed: as it was written down, in the domain's Punycode, in capitals.
pub fn email(bytes: &[u8]) {
    let Some(email) = std::str::from_utf8(bytes).ok().and_then(|text| Email::parse(text).ok()) else {
        return;
    };
    let text = email.as_str();
    assert!(!text.chars().any(|c| c.is_control() || c.is_whitespace()), "{text:?}");
    assert_eq!(text.matches('@').count(), 1, "{text:?}");
    let (local, domain) = (email.local(), email.ascii_domain());
    let is_atext = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    assert!(local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)), "{text:?}");
    let is_label = |label: &str| {
        let edges = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len())
            && !edges
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    assert!(domain.contains('.') && domain.split('.').all(is_label), "{text:?}");
    assert!(text.len() <= 254 && domain.len() <= 253, "{text:?}");
    let typed = |text: &str| Email::parse(text).map(|again| again.key().to_owned());
    let key = Ok(email.key().to_owned());
    assert_eq!(typed(text), key, "{text:?} does not read as itself");
    let encoded = format!("{local}@{domain}");
    assert_eq!(typed(&encoded), key, "{encoded:?}");
    // a capital and a mark after it may be one letter, and those are told apart
    if local.is_ascii() {
        assert_eq!(typed(&encoded.to_ascii_uppercase()), key, "{encoded:?} in capitals");
    }
}

/// No text but the one that we wrote reads as a refresh token, or as the code of a handover: not with one letter changed, not
/// in another spelling.
pub fn refresh_token(bytes: &[u8]) {
    let Ok(key) = MacKey::new(&Zeroizing::new(vec![7; MacKey::BYTES])) else { return };
    let (tenant, position) = (TenantId::UNKNOWN, TokenPosition { generation: 3, branch: 1 });
    let secret = SessionSecret::from_random(Zeroizing::new([9; 16]));
    let good = RefreshToken { tenant, secret, position }.encode(1, &key);
    for text in texts(bytes, &good) {
        let read = RefreshToken::decode(&text, |id| (id == 1).then_some(&key));
        assert_eq!(read.is_ok(), text == *good, "{text:?}");
    }
    let Some(challenge) = PkceChallenge::of_verifier(&"v".repeat(43)) else { return };
    let good = HandoverCode { tenant, nonce: [9; 16], end_s: 1 }.encode(1, &key, &challenge);
    for text in texts(bytes, &good) {
        let read = HandoverCode::decode(&text, &challenge, |id| (id == 1).then_some(&key));
        assert_eq!(read.is_some(), text == good, "{text:?}");
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

/// Settings: whatever file and variables say (lines after a NUL), the answer is a configuration that keeps the promises or a
/// list of mistakes, and neither shows a secret, nor what stands where one is expected.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (file, variables) = text.split_once('\0').unwrap_or((text, ""));
    let environment = variables.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        Some((format!("DOORCODE__{name}"), value.to_owned()))
    });
    let path = std::env::temp_dir().join(format!("doorcode-fuzz-{}.toml", std::process::id()));
    let Ok(()) = std::fs::write(&path, file) else { return };
    let told = match Config::load_for_serve(Some(&path), environment) {
        Ok(loaded) => {
            let config = &loaded.config;
            assert!(config.codes.life <= Duration::from_secs(600));
            assert!(config.tokens.retry_window <= Duration::from_secs(600));
            assert!(config.master_key.key.is_some() && config.database.url.is_some());
            format!("{:?} {config:?}", loaded.settings())
        }
        Err(error) => format!("{error} {error:?}"),
    };
    if text.lines().any(|line| line.contains(SECRET)) && text.lines().all(hides_secrets) {
        assert!(!told.contains(SECRET), "{told}");
    }
}

/// What no mistake may show.
const SECRET: &str = "pa55-w0rd";

/// Whether a line has [`SECRET`] as, or in, the value of what is named like one and nowhere else.
fn hides_secrets(line: &str) -> bool {
    let is_held = |at: usize| {
        let (left, _) = line[..at].rsplit_once('=')?;
        let name = left.rsplit(['{', ',', '\0']).next()?.trim().to_ascii_lowercase();
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let names = ["password", "report_secret", "secrets", "value", "database.url", "database__url"];
        Some(is_plain && names.iter().any(|it| name.ends_with(it)))
    };
    let quotes = ["\"\"\"", "'''"].iter().any(|quotes| line.contains(quotes));
    !quotes && line.match_indices(SECRET).all(|(at, _)| is_held(at) == Some(true))
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
