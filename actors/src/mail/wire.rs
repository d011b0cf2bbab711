//! The byte stream under SMTP: TCP without Nagle's delay, and TLS that is never negotiated away.
//!
//! lettre would do STARTTLS too, but it keeps what it read ahead of the handshake and takes it for answers that
//! came after (the response injection of CVE-2011-0411's kin), and it reports a failed handshake like any
//! other lost connection. So the few lines in the clear are spoken here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::error::{SendError, Stage};

/// More than any server's greeting or list of extensions.
const MAX_REPLY: usize = 8 * 1024;

/// Connects. Small writes go out at once: SMTP is a dialogue, and Nagle's algorithm against delayed
/// acknowledgements costs 40 ms a mail.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, SendError> {
    let tcp = TcpStream::connect((host, port)).await.map_err(|e| unreachable(Stage::Connect, &e))?;
    tcp.set_nodelay(true).map_err(|e| unreachable(Stage::Connect, &e))?;
    Ok(tcp)
}

/// TLS from the first byte.
pub(super) async fn implicit_tls(tcp: TcpStream, tls: &Tls) -> Result<TlsWire, SendError> {
    Ok(TlsWire { replay: b"", stream: tls.handshake(tcp).await? })
}

/// TLS after the server agreed to it in the clear (RFC 3207). Without its consent nothing more is said.
pub(super) async fn start_tls(mut tcp: TcpStream, hello_name: &str, tls: &Tls) -> Result<TlsWire, SendError> {
    expect(read_reply(&mut tcp).await?, "220", Stage::Hello)?;
    let extensions = ask(&mut tcp, &format!("EHLO {hello_name}\r\n")).await?;
    let offered = extensions
        .lines()
        .any(|l| l.get(4..).is_some_and(|word| word.trim_end().eq_ignore_ascii_case("STARTTLS")));
    expect(extensions, "250", Stage::Hello)?;
    if !offered {
        return Err(SendError::TlsRefused { what: "the mail server does not offer STARTTLS".to_owned() });
    }
    let answer = ask(&mut tcp, "STARTTLS\r\n").await?;
    if !answer.starts_with("220") {
        return Err(SendError::TlsRefused {
            what: format!("the mail server answers STARTTLS by {}", numbers(&answer)),
        });
    }
    // lettre opens every connection by reading a greeting; the server's was read above and does not come again.
    Ok(TlsWire { replay: b"220 over TLS\r\n", stream: tls.handshake(tcp).await? })
}

/// What it takes to trust a server.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<rustls::ClientConfig>,
    pub(super) server: ServerName<'static>,
}

impl Tls {
    async fn handshake(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>, SendError> {
        TlsConnector::from(self.config.clone()).connect(self.server.clone(), tcp).await.map_err(|e| {
            match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(refusal) => SendError::TlsRefused { what: format!("the handshake failed: {refusal}") },
                None => unreachable(Stage::Tls, &e),
            }
        })
    }
}

fn unreachable(stage: Stage, error: &io::Error) -> SendError {
    SendError::Unreachable { stage, what: error.kind().to_string() }
}

async fn ask(tcp: &mut TcpStream, command: &str) -> Result<String, SendError> {
    tcp.write_all(command.as_bytes()).await.map_err(|e| unreachable(Stage::Hello, &e))?;
    read_reply(tcp).await
}

fn expect(reply: String, code: &str, stage: Stage) -> Result<(), SendError> {
    if reply.starts_with(code) {
        return Ok(());
    }
    Err(SendError::Unreachable { stage, what: format!("the server answers {}", numbers(&reply)) })
}

/// The reply's code, without its text.
fn numbers(reply: &str) -> &str {
    reply
        .get(..3)
        .filter(|code| code.bytes().all(|b| b.is_ascii_digit()))
        .unwrap_or("something that is not SMTP")
}

/// One whole reply. A server speaks when it is spoken to: whatever follows the reply was put there by somebody
/// else and must not be taken for an answer given under TLS.
async fn read_reply(tcp: &mut TcpStream) -> Result<String, SendError> {
    let broken = |what: &str| SendError::Unreachable { stage: Stage::Hello, what: what.to_owned() };
    let mut reply = Vec::with_capacity(512);
    loop {
        if tcp.read_buf(&mut reply).await.map_err(|e| unreachable(Stage::Hello, &e))? == 0 {
            return Err(broken("closed"));
        }
        if let Some(end) = end_of_reply(&reply) {
            if end < reply.len() {
                return Err(SendError::TlsRefused {
                    what: "something spoke ahead of the TLS handshake".to_owned(),
                });
            }
            return String::from_utf8(reply).map_err(|_| broken("the server does not speak SMTP"));
        }
        if reply.len() > MAX_REPLY {
            return Err(broken("the server does not speak SMTP"));
        }
    }
}

/// Where the last line of a reply ends: "250-…" goes on, "250 …" and "250" do not.
fn end_of_reply(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n")) {
        end += line.len();
        if line.get(3) != Some(&b'-') {
            return Some(end);
        }
    }
    None
}

/// A TLS stream as lettre wants it, opened by a greeting to replay.
pub(super) struct TlsWire {
    replay: &'static [u8],
    stream: TlsStream<TcpStream>,
}

impl std::fmt::Debug for TlsWire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsWire")
    }
}

impl AsyncTokioStream for TlsWire {
    fn peer_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

impl AsyncRead for TlsWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.replay.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let (now, later) = self.replay.split_at(self.replay.len().min(buf.remaining()));
        buf.put_slice(now);
        self.replay = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsWire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
