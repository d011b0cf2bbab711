//! A caller that keeps its connection and writes plain HTTP: fast enough to put load on the real program.

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What came back, and how long it took.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub took: Duration,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// One field of the body.
    pub(crate) fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {self:?}")).to_owned()
    }

    /// `Retry-After` in seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }

    /// G13: refused as callers can bear it.
    pub(crate) fn assert_unavailable(&self) {
        assert_eq!(self.status, 503, "{self:?}");
        assert!(self.retry_after().is_some_and(|seconds| seconds >= 1), "{self:?}");
        assert_eq!(self.json(), json!({"detail": "Service Unavailable"}));
    }
}

/// One connection, made when it is needed and made anew after a failure.
pub(crate) struct Wire {
    target: SocketAddr,
    headers: Vec<(&'static str, &'static str)>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Wire {
    pub(crate) fn to(target: SocketAddr) -> Self {
        Self { target, headers: Vec::new(), sender: None }
    }

    /// With this header in every request.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.send(Request::get(path), Bytes::new()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Answer, String> {
        self.send(
            Request::post(path).header(header::CONTENT_TYPE, "application/json"),
            body.to_string().into(),
        )
        .await
    }

    /// `/login` at a tenant.
    pub(crate) async fn login(&mut self, slug: &str, email: &str) -> Result<Answer, String> {
        self.post("/v1/customer-auth/login", &json!({"email": email, "tenant_slug": slug})).await
    }

    /// `/token`: as `/verify`, without cookies.
    pub(crate) async fn token(&mut self, slug: &str, email: &str, code: &str) -> Result<Answer, String> {
        let body = json!({"code": code, "email": email, "tenant_slug": slug});
        self.post("/v1/customer-auth/token", &body).await
    }

    pub(crate) async fn refresh(&mut self, token: &str) -> Result<Answer, String> {
        self.post("/v1/customer-auth/refresh", &json!({"refresh_token": token})).await
    }

    pub(crate) async fn logout(&mut self, token: &str) -> Result<Answer, String> {
        self.post("/v1/customer-auth/logout", &json!({"refresh_token": token})).await
    }

    async fn send(&mut self, request: http::request::Builder, body: Bytes) -> Result<Answer, String> {
        let mut request = request;
        if !self.headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(header::HOST, format!("localhost:{}", self.target.port()));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let began = Instant::now();
        let answered = self.exchange(request).await;
        if answered.is_err() {
            self.sender = None;
        }
        let (head, body) = answered?.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, took: began.elapsed() })
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<http::Response<Bytes>, String> {
        let reused = match self.sender.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let sender = match reused {
            Some(sender) => self.sender.insert(sender),
            None => self.sender.insert(connect(self.target).await?),
        };
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(http::Response::from_parts(head, body))
    }
}

async fn connect(target: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(target).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}
