//! `doorcode healthcheck`: for container and process supervisors that can only run a command.

use super::CommandError;
use super::ops_client::{get, reachable};
use crate::config::Config;
use http::StatusCode;
use std::io::Write;

pub(super) async fn run(
    url: Option<String>,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let url = url.unwrap_or_else(|| format!("http://{}/readyz", reachable(config.ops.listen)));
    match get(&url).await {
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
