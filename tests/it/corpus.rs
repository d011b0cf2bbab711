//! Replays the validation corpus over a raw socket (G1): requests recorded against the reference stack, each with the
//! answer doorcode must give. The client limits must be off: the corpus is one caller in a hurry.

use base64::Engine;
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;
use test_peers::http::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CORPUS: &str = include_str!("corpus/validation-corpus.jsonl");

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    path: String,
    content_type: Option<String>,
    body: Option<String>,
    body_base64: Option<String>,
    body_repeat: Option<Repeat>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Repeat {
    Many(Vec<Unit>),
    One(Unit),
}

#[derive(Deserialize)]
struct Unit {
    #[serde(default)]
    prefix: String,
    unit: String,
    count: usize,
    #[serde(default)]
    suffix: String,
}

#[derive(Deserialize)]
struct Expect {
    status: Vec<u16>,
    allow: Option<String>,
    body: Option<Value>,
    detail: Option<Vec<ExpectedDetail>>,
}

#[derive(Deserialize)]
struct ExpectedDetail {
    loc: Vec<String>,
    r#type: Vec<String>,
    msg: Option<String>,
    msg_prefix: Option<String>,
}

/// Sends every case; one line for each that was answered otherwise than it must be.
pub(super) async fn replay(addr: SocketAddr) -> Vec<String> {
    let mut failures = Vec::new();
    for line in CORPUS.lines() {
        let case: Case = serde_json::from_str(line).expect("a case of the corpus");
        let complaints = match send(addr, &case).await {
            Ok(answer) => judge(&case, &answer),
            Err(error) => vec![error],
        };
        failures.extend(complaints.into_iter().map(|complaint| format!("{}: {complaint}", case.name)));
    }
    failures
}

impl Case {
    fn payload(&self) -> Option<Vec<u8>> {
        let text = |unit: &Unit| {
            [&unit.prefix, &unit.unit.repeat(unit.count), &unit.suffix].map(String::as_str).concat()
        };
        let encoded = || base64::engine::general_purpose::STANDARD.decode(self.body_base64.as_ref()?).ok();
        let repeated = || match self.body_repeat.as_ref()? {
            Repeat::One(unit) => Some(text(unit).into_bytes()),
            Repeat::Many(units) => Some(units.iter().map(text).collect::<String>().into_bytes()),
        };
        self.body.as_ref().map(|body| body.clone().into_bytes()).or_else(encoded).or_else(repeated)
    }

    fn request(&self) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", self.method, self.path);
        if let Some(content_type) = &self.content_type {
            head += &format!("Content-Type: {content_type}\r\n");
        }
        let payload = self.payload();
        if let Some(payload) = &payload {
            head += &format!("Content-Length: {}\r\n", payload.len());
        }
        [head.as_bytes(), b"\r\n", &payload.unwrap_or_default()].concat()
    }
}

async fn send(addr: SocketAddr, case: &Case) -> Result<Answer, String> {
    let stream = TcpStream::connect(addr).await.map_err(|error| format!("no connection: {error}"))?;
    let (mut reader, mut writer) = stream.into_split();
    let request = case.request();
    // Beside the reading: an answer to a body that is too large comes before its end.
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&request).await;
        writer
    });
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.map_err(|error| format!("no answer: {error}"))?;
    drop(writing.await);
    Answer::parse(&bytes).ok_or_else(|| format!("no HTTP answer: {:?}", String::from_utf8_lossy(&bytes)))
}

fn judge(case: &Case, answer: &Answer) -> Vec<String> {
    let mut complaints = Vec::new();
    if !case.expect.status.contains(&answer.status) {
        return vec![format!("expected {:?}, got {}", case.expect.status, answer.status)];
    }
    if case.expect.allow.is_some() && case.expect.allow.as_deref() != answer.header("allow") {
        complaints.push(format!("Allow is {:?}", answer.header("allow")));
    }
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if let Some(expected) = &case.expect.body
        && *expected != body
    {
        complaints.push(format!("the body is {body}"));
    }
    if let Some(expected) = &case.expect.detail {
        let got = body["detail"].as_array().map(Vec::as_slice).unwrap_or_default();
        let same =
            got.len() == expected.len() && expected.iter().zip(got).all(|(expected, got)| expected.fits(got));
        if !same {
            complaints.push(format!("the detail is {}", body["detail"]));
        }
    }
    complaints.extend(always(case, answer));
    complaints
}

/// What every answer must have (B6, F1, F6, F13, F14, G10, G11).
fn always(case: &Case, answer: &Answer) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            complaints.push(what.to_owned());
        }
    };
    must(answer.header("cache-control") == Some("no-store"), "not no-store");
    must(answer.header("x-content-type-options") == Some("nosniff"), "not nosniff");
    must(answer.header("x-request-id").is_some_and(|id| id.len() >= 16), "no request id");
    must(answer.header("server").is_none(), "names its server");
    must(answer.header("location").is_none(), "redirects");
    must(
        answer.body.is_empty() || answer.header("content-type") == Some("application/json"),
        "a body that is no JSON",
    );
    must(!case.path.ends_with("/token") || answer.header("set-cookie").is_none(), "/token sets a cookie");
    must(!answer.body.contains("\"input\"") && !answer.body.contains("\"ctx\""), "echoes the input");
    complaints
}

impl ExpectedDetail {
    fn fits(&self, got: &Value) -> bool {
        let r#type = got["type"].as_str().unwrap_or_default();
        let msg = got["msg"].as_str().unwrap_or_default();
        self.fits_loc(r#type, got["loc"].as_array().map(Vec::as_slice).unwrap_or_default())
            && self.r#type.iter().any(|expected| expected == r#type)
            && self.msg.as_ref().is_none_or(|expected| expected == msg)
            && self
                .msg_prefix
                .as_ref()
                .is_none_or(|prefix| msg.starts_with(prefix.as_str()) && msg.len() > prefix.len())
            && got.as_object().is_some_and(|detail| detail.len() == 3)
    }

    /// Exact, but for bad JSON (`["body", <offset>]`) and where the corpus leaves open how bad it is.
    fn fits_loc(&self, r#type: &str, got: &[Value]) -> bool {
        if r#type == "json_invalid" {
            return got.len() == 2 && got[0] == "body" && got[1].is_u64();
        }
        let starts =
            got.len() >= self.loc.len() && self.loc.iter().zip(got).all(|(expected, got)| got == expected);
        starts && (got.len() == self.loc.len() || self.r#type.len() > 1)
    }
}
