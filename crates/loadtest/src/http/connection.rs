//! One keep-alive HTTP/1.1 connection, cheap enough to share two cores with the service it measures: one write
//! and one read per exchange, into buffers that are kept.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::wire::{self, Head};
use crate::call::Failure;
use crate::callers::Caller;

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The `Host` header.
    pub authority: String,
    /// The resolved address.
    pub address: SocketAddr,
}

/// The start of a request, up to its body's length: made once, written many times.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint(Arc<[u8]>);

impl Endpoint {
    /// A POST of JSON.
    pub(crate) fn post(target: &Target, path: &str) -> Endpoint {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: login-loadtest\r\ncontent-type: application/json\r\ncontent-length: ",
            target.authority
        );
        Endpoint(head.into_bytes().into())
    }

    /// A GET, whose empty body is announced as such.
    pub(crate) fn get(target: &Target, path: &str) -> Endpoint {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: login-loadtest\r\ncontent-length: ",
            target.authority
        );
        Endpoint(head.into_bytes().into())
    }
}

/// A complete answer; the body stays in the connection's buffer until the next exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// `Retry-After` in whole seconds, where given so.
    pub retry_after: Option<u32>,
    head: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// The value of a header, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        wire::header(self.head, name)
    }
}

/// One connection, made at the first exchange and made again when the server closed it.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Arc<Target>,
    /// The address that the service sees as the client.
    caller: Option<Caller>,
    time_limit: Duration,
    stream: Option<TcpStream>,
    output: Vec<u8>,
    input: Vec<u8>,
}

impl Connection {
    /// No I/O happens yet.
    pub(crate) fn new(target: Arc<Target>, caller: Option<Caller>, time_limit: Duration) -> Connection {
        Connection {
            target,
            caller,
            time_limit,
            stream: None,
            output: Vec::new(),
            input: Vec::with_capacity(4096),
        }
    }

    /// Calls as somebody else from now on; another socket address needs another connection.
    pub(crate) fn call_as(&mut self, caller: Option<Caller>) {
        if caller.and_then(Caller::source) != self.caller.and_then(Caller::source) {
            self.stream = None;
        }
        self.caller = caller;
    }

    /// Sends one request and reads its whole answer, connecting first where necessary, all within the time limit.
    /// After any failure the connection is dropped: what might still arrive on it belongs to nobody.
    pub(crate) async fn exchange(&mut self, endpoint: &Endpoint, body: &[u8]) -> Result<Reply<'_>, Failure> {
        let exchange = tokio::time::timeout(self.time_limit, self.exchange_in_time(endpoint, body));
        let head = exchange.await.map_err(|_| Failure::Timeout)??;
        let (head_bytes, rest) = self.input.split_at(head.head_len);
        Ok(Reply {
            status: head.status,
            retry_after: head.retry_after,
            head: head_bytes,
            body: &rest[..head.body_len],
        })
    }

    async fn exchange_in_time(&mut self, endpoint: &Endpoint, body: &[u8]) -> Result<Head, Failure> {
        self.compose(endpoint, body).map_err(|_| Failure::Protocol)?;
        // Taken out: an exchange that is given up in the middle leaves no connection behind on which its answer comes.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await.map_err(|_| Failure::Connect)?,
        };
        stream.write_all(&self.output).await.map_err(|_| Failure::Closed)?;
        let head = read_answer(&mut stream, &mut self.input).await?;
        self.stream = Some(stream).filter(|_| !head.close);
        Ok(head)
    }

    fn compose(&mut self, endpoint: &Endpoint, body: &[u8]) -> io::Result<()> {
        self.output.clear();
        self.output.extend_from_slice(&endpoint.0);
        write!(self.output, "{}\r\n", body.len())?;
        if let Some(ip) = self.caller.and_then(Caller::forwarded_for) {
            write!(self.output, "x-forwarded-for: {ip}\r\n")?;
        }
        self.output.extend_from_slice(b"\r\n");
        self.output.extend_from_slice(body);
        Ok(())
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = if self.target.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.caller.and_then(Caller::source) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(self.target.address).await?;
        // Without it the kernel may hold a small request back until the last answer is acknowledged.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn read_answer(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<Head, Failure> {
    input.clear();
    let head = loop {
        read_some(stream, input).await?;
        if let Some(head) = wire::read_head(input).map_err(|_| Failure::Protocol)? {
            break head;
        }
    };
    let whole = head.head_len + head.body_len;
    input.reserve(whole.saturating_sub(input.len()));
    while input.len() < whole {
        read_some(stream, input).await?;
    }
    if input.len() > whole {
        return Err(Failure::Protocol);
    }
    Ok(head)
}

async fn read_some(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<(), Failure> {
    input.reserve(1024);
    match stream.read_buf(input).await {
        Ok(0) | Err(_) => Err(Failure::Closed),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// Serves one connection per script; each entry is written after one read (an empty one closes).
    async fn connection_to(scripts: Vec<Vec<&'static str>>) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for script in scripts {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                for answer in script {
                    if answer == "never" {
                        // Until the client goes away.
                        let _ = socket.read(&mut request).await;
                        break;
                    }
                    assert!(socket.read(&mut request).await.unwrap() > 0, "a request");
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            }
            // Hold the port: nothing more is accepted.
            std::future::pending::<()>().await;
        });
        let target = Target { authority: address.to_string(), address };
        Connection::new(Arc::new(target), None, Duration::from_millis(300))
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    async fn outcome(connection: &mut Connection) -> Result<u16, Failure> {
        let endpoint = Endpoint::post(&connection.target.clone(), "/x");
        connection.exchange(&endpoint, b"{}").await.map(|reply| reply.status)
    }

    #[tokio::test]
    async fn one_connection_serves_many_exchanges() {
        let mut connection = connection_to(vec![vec![OK, OK, OK]]).await;
        for _ in 0..3 {
            assert_eq!(outcome(&mut connection).await, Ok(200));
        }
    }

    #[tokio::test]
    async fn a_close_is_a_failure_only_when_an_answer_is_missing() {
        let closing = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let mut connection = connection_to(vec![vec![closing], vec![OK, ""], vec![OK]]).await;
        assert_eq!(outcome(&mut connection).await, Ok(503), "announced: no failure");
        assert_eq!(outcome(&mut connection).await, Ok(200), "a new connection");
        assert_eq!(outcome(&mut connection).await, Err(Failure::Closed));
        assert_eq!(outcome(&mut connection).await, Ok(200), "a new connection again");
    }

    #[tokio::test]
    async fn silence_and_half_an_answer_end_at_the_time_limit() {
        let mut connection =
            connection_to(vec![vec!["HTTP/1.1 200 OK\r\ncontent-le", "never"], vec![OK]]).await;
        assert_eq!(outcome(&mut connection).await, Err(Failure::Timeout));
    }

    #[tokio::test]
    async fn an_exchange_that_is_given_up_leaves_no_answer_behind() {
        let mut connection =
            connection_to(vec![vec!["HTTP/1.1 200 OK\r\ncontent-le", "never"], vec![OK]]).await;
        let given_up = tokio::time::timeout(Duration::from_millis(50), outcome(&mut connection)).await;
        assert!(given_up.is_err());
        assert_eq!(outcome(&mut connection).await, Ok(200), "a new connection");
    }

    #[tokio::test]
    async fn bytes_that_nobody_asked_for_are_an_error() {
        let twice = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK";
        let mut connection = connection_to(vec![vec![twice]]).await;
        assert_eq!(outcome(&mut connection).await, Err(Failure::Protocol));
    }

    #[tokio::test]
    async fn a_closed_port_is_a_connect_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let target = Arc::new(Target { authority: address.to_string(), address });
        let mut connection = Connection::new(target, None, Duration::from_secs(1));
        assert_eq!(outcome(&mut connection).await, Err(Failure::Connect));
    }
}
