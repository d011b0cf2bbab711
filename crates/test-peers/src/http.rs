//! HTTP/1.1 answers, read byte for byte.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// In the order they came in, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The next answer of a connection, or `None` if it ended before. `Content-Length` alone says where it ends.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let mut answer = Self::of_head(&head)?;
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        answer.body = String::from_utf8(body).expect("a body in UTF-8");
        Some(answer)
    }

    /// All that one connection brought: an answer whose end is the connection's.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let body = String::from_utf8(bytes[end + 4..].to_vec()).ok()?;
        Some(Self { body, ..Self::of_head(&bytes[..end])? })
    }

    fn of_head(head: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let headers =
            pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Some(Self { status, headers, body: String::new() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every `Set-Cookie` line.
    pub fn cookies(&self) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        lines.map(|(_, value)| value.as_str()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// All that could tell one case from another: everything but the clock and the request's id.
    pub fn told(&self) -> String {
        let varies = ["date", "x-request-id"];
        let headers = self.headers.iter().filter(|(name, _)| !varies.contains(&name.as_str()));
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{}\n{headers}\n{}", self.status, self.body)
    }
}
