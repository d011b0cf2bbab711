//! Speaks to the ops listener of a running doorcode.

use super::CommandError;
use crate::config::Config;
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// For all of it. Supervisors that ask every 10 s or so must not pile up.
const PATIENCE: Duration = Duration::from_secs(3);
/// A thousand rows fit.
const LONGEST_ANSWER: usize = 2 * 1024 * 1024;

/// The ops listener of these settings, or another one.
pub(super) fn base(url: Option<String>, config: &Config) -> String {
    let url = url.unwrap_or_else(|| format!("http://{}", reachable(config.ops.listen)));
    url.trim_end_matches('/').to_owned()
}

/// A listener on all addresses is asked on loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Status and text of an answer.
pub(super) async fn get(url: &str) -> Result<(StatusCode, String), String> {
    within(ask(url, Method::GET, String::new())).await
}

/// The same, with JSON to say.
pub(super) async fn post(url: &str, body: &Value) -> Result<(StatusCode, String), String> {
    within(ask(url, Method::POST, body.to_string())).await
}

/// What a listing shows.
pub(super) async fn json(url: &str) -> Result<Value, CommandError> {
    let unreachable = |why: String| {
        CommandError::failed(
            format!("{url}: {why}"),
            "does it run, and is `ops.listen` the same here as there? --url asks another place",
        )
    };
    match get(url).await.map_err(unreachable)? {
        (StatusCode::OK, body) => serde_json::from_str(&body).map_err(|error| unreachable(error.to_string())),
        (status, body) => Err(unreachable(format!("{status}: {}", body.trim().escape_debug()))),
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

async fn ask(url: &str, method: Method, body: String) -> Result<(StatusCode, String), String> {
    let uri: Uri = url.parse().map_err(|_| "this is not a URL".to_owned())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
    let authority = authority.ok_or("expected a URL that starts with http://")?.clone();
    let stream =
        TcpStream::connect((authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80)));
    let stream = stream.await.map_err(|error| error.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(&method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str());
    if method == Method::POST {
        // shows that no other site's page sent this
        request =
            request.header(header::CONTENT_TYPE, "application/json").header("sec-fetch-site", "same-origin");
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
