//! `doorcode healthcheck`: for container and process supervisors that can only run a command.

use super::CommandError;
use crate::config::Config;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// For all of it. Supervisors that ask every 10 s or so must not pile up.
const PATIENCE: Duration = Duration::from_secs(3);
/// A reason that is longer is no reason.
const LONGEST_ANSWER: usize = 64 * 1024;

pub(super) async fn run(
    url: Option<String>,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let url = url.unwrap_or_else(|| format!("http://{}/readyz", reachable(config.ops.listen)));
    let asked = tokio::time::timeout(PATIENCE, ask(&url)).await;
    let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
    match answer {
        Ok((StatusCode::OK, _)) => Ok(writeln!(out, "ready")?),
        Ok((status, body)) => Err(CommandError::failed(
            format!("{url} answers {status}: {}", body.trim().escape_debug()),
            "the answer names the part that is not ready",
        )),
        Err(reason) => Err(CommandError::failed(
            format!("{url}: {reason}"),
            "does it run, and is `ops.listen` the same here as there? --url asks another place",
        )),
    }
}

/// A listener on all addresses is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(url: &str) -> Result<(StatusCode, String), String> {
    let uri: Uri = url.parse().map_err(|_| "this is not a URL".to_owned())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
    let authority = authority.ok_or("expected a URL that starts with http://")?.clone();
    let stream =
        TcpStream::connect((authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80)));
    let stream = stream.await.map_err(|error| error.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one connection with `answer`, and gives back what was asked.
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (url, asked)
    }

    async fn check(url: &str) -> Result<String, CommandError> {
        let config = Config::load(None, []).unwrap().config;
        let mut out = Vec::new();
        run(Some(url.to_owned()), &config, &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn ready_is_ready_and_everything_else_is_an_error() {
        let (url, asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        assert_eq!(check(&url).await.unwrap(), "ready\n");
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:"), "{asked}");

        let (url, _asked) =
            server("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 6\r\n\r\nledger").await;
        let report = check(&url).await.unwrap_err().report();
        assert!(report.contains("503") && report.contains("ledger"), "{report}");

        let closed = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
        assert!(check(&format!("http://{closed}/readyz")).await.unwrap_err().report().contains("--url"));
        assert!(check("https://x/").await.unwrap_err().report().contains("http://"));
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()).to_string(), "127.0.0.1:1");
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(reachable("10.0.0.7:1".parse().unwrap()).to_string(), "10.0.0.7:1");
    }
}
