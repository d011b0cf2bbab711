//! An HTTP client that says what it is told and shows what it got, byte for byte.

use super::{PATIENCE, openapi};
use serde_json::Value;
use std::net::SocketAddr;
pub(crate) use test_peers::http::Answer;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Request {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), headers: Vec::new(), body: None }
    }

    pub(crate) fn options(path: &str) -> Self {
        Self { method: "OPTIONS", ..Self::get(path) }
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self { method: "DELETE", ..Self::get(path) }
    }

    /// JSON to one of the five: `login`, `verify`, `token`, `refresh`, `logout`.
    pub(crate) fn call(verb: &str, body: &Value) -> Self {
        Self::post(&format!("/v1/customer-auth/{verb}"), body)
    }

    pub(crate) fn post(path: &str, body: &Value) -> Self {
        let path = path.to_owned();
        let body = Some(body.to_string());
        Self { method: "POST", path, headers: Vec::new(), body }.header("Content-Type", "application/json")
    }

    /// Any method; no body for `null`.
    pub(crate) fn with(method: &'static str, path: &str, body: &Value) -> Self {
        if body.is_null() {
            Self { method, ..Self::get(path) }
        } else {
            Self { method, ..Self::post(path, body) }
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with another `Content-Type`, or none.
    pub(crate) fn of_type(mut self, kind: Option<&str>) -> Self {
        self.headers.retain(|(name, _)| name != "Content-Type");
        match kind {
            Some(kind) => self.header("Content-Type", kind),
            None => self,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        } else {
            text += "\r\n";
        }
        text.into_bytes()
    }
}

/// One connection, kept alive.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// Method and path of what was sent last.
    sent: (&'static str, String),
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), sent: ("", String::new()) }
    }

    pub(crate) async fn send(&mut self, request: &Request) -> Answer {
        self.sent = (request.method, request.path.clone());
        self.stream.write_all(&request.bytes()).await.unwrap();
        self.answer().await
    }

    /// Sends all but the last byte: the service cannot begin before [`release`](Self::release).
    pub(crate) async fn hold_back(&mut self, request: &Request) -> u8 {
        self.sent = (request.method, request.path.clone());
        let bytes = request.bytes();
        let (last, first) = bytes.split_last().unwrap();
        self.stream.write_all(first).await.unwrap();
        *last
    }

    /// Sends the last byte and reads the answer.
    pub(crate) async fn release(&mut self, last: u8) -> Answer {
        self.stream.write_all(&[last]).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> Answer {
        let answer = timeout(PATIENCE, Answer::read(&mut self.stream)).await.expect("an answer in time");
        let answer = answer.expect("an answer");
        openapi::check(self.sent.0, &self.sent.1, &answer);
        answer
    }
}
