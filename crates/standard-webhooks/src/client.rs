//! Sends messages: one connection to a receiver, kept while it is used.

use crate::endpoint::Endpoint;
use crate::signature::{ID, SIGNATURE, SigningSecret, TIMESTAMP, sign};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// What is read of an answer's body, so that the connection can be used again. Nobody looks at it.
const BODY_MAX: usize = 64 * 1024;

/// A receiver's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status. Redirects are answers like others: nobody follows them.
    pub status: u16,
    /// `Retry-After` in seconds, if the receiver gave one (RFC 9110 section 10.2.3; dates are not read).
    pub retry_after: Option<Duration>,
}

/// Why there is no answer. Holds nothing of message or answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The receiver has seen nothing of the message.
    #[error("no connection: {0}")]
    NotSent(String),
    /// It may have.
    #[error("the connection broke: {0}")]
    Broken(String),
}

impl PostError {
    /// For a `map_err`.
    fn not_sent(error: impl ToString) -> Self {
        Self::NotSent(error.to_string())
    }
}

/// A connection to a receiver. A call that is cancelled leaves none behind.
pub struct Connection {
    endpoint: Arc<Endpoint>,
    tls: Arc<rustls::ClientConfig>,
    secrets: Arc<[SigningSecret]>,
    warm: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connects to nothing yet.
    pub fn new(
        endpoint: Arc<Endpoint>,
        tls: Arc<rustls::ClientConfig>,
        secrets: Arc<[SigningSecret]>,
    ) -> Self {
        Self { endpoint, tls, secrets, warm: None }
    }

    /// Sends a message. Bring a timeout. `sending` is told `true` when the message may be on its way, `false` when it turns out
    /// not to be; a caller whom it does not matter passes `|_| ()`.
    pub async fn post(&mut self, id: &str, body: Bytes, sending: impl Fn(bool)) -> Result<Answer, PostError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let path = self.endpoint.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.endpoint.uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::post(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(ID, id)
            .header(TIMESTAMP, now)
            .header(SIGNATURE, sign(&self.secrets, id, now, &body))
            .body(Full::new(body))
            .map_err(PostError::not_sent)?;
        let request = match self.warm.take() {
            None => request,
            Some(mut warm) => match try_send(&mut warm, request, &sending).await {
                Ok(answer) => return Ok(self.keep(warm, answer).await),
                // the receiver had hung up before: that is not this message's failure
                Err((_, Some(unsent))) => unsent,
                Err((error, None)) => return Err(error),
            },
        };
        sending(false);
        let mut fresh = self.open().await?;
        match try_send(&mut fresh, request, &sending).await {
            Ok(answer) => Ok(self.keep(fresh, answer).await),
            Err((error, _)) => Err(error),
        }
    }

    async fn keep(
        &mut self,
        warm: SendRequest<Full<Bytes>>,
        answer: hyper::Response<hyper::body::Incoming>,
    ) -> Answer {
        let retry_after =
            answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let said =
            Answer { status: answer.status().as_u16(), retry_after: retry_after.map(Duration::from_secs) };
        if Limited::new(answer.into_body(), BODY_MAX).collect().await.is_ok() {
            self.warm = Some(warm);
        }
        said
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, PostError> {
        let Endpoint { host, port, tls, .. } = &*self.endpoint;
        // whoever chose the URL may be told the error, and is not told which names there are in this network
        let found = lookup_host((host.as_str(), *port)).await;
        let addresses = found.map(|addresses| self.endpoint.callable(addresses)).unwrap_or_default();
        if addresses.is_empty() {
            return Err(PostError::NotSent(
                "the host has no address that may be called; private ones only with allow_private".to_owned(),
            ));
        }
        // one after the other, until one answers
        let tcp = TcpStream::connect(&*addresses).await.map_err(|error| PostError::not_sent(error.kind()))?;
        tcp.set_nodelay(true).map_err(|error| PostError::not_sent(error.kind()))?;
        match tls {
            None => spoken(tcp).await,
            Some(server) => {
                let stream = TlsConnector::from(self.tls.clone()).connect(server.clone(), tcp).await;
                spoken(stream.map_err(|error| PostError::NotSent(format!("TLS: {error}")))?).await
            }
        }
    }
}

async fn spoken<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, PostError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(PostError::not_sent)?;
    // ends with the sender; its errors are the sender's too
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

type Unsent = Option<Request<Full<Bytes>>>;

async fn try_send(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    sending: &impl Fn(bool),
) -> Result<hyper::Response<hyper::body::Incoming>, (PostError, Unsent)> {
    if let Err(error) = sender.ready().await {
        return Err((PostError::not_sent(error), Some(request)));
    }
    sending(true);
    sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
        Some(request) => (PostError::not_sent(error.error()), Some(request)),
        None => (PostError::Broken(error.error().to_string()), None),
    })
}
