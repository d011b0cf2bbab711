//! What surrounds a request: proxies, the access log, the mailbox page.

use super::support::{Answer, Edge, LOGIN, client_limits};
use crate::http::{
    ClientLimits, HostAllowlist, LimitClock, PreviewMailbox, Public, ServerLimits, TrustedProxies,
};
use governor::clock::FakeRelativeClock;
use serde_json::json;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// J1, J2: behind a trusted proxy the limit is the caller's own; without one, headers buy nothing.
#[tokio::test]
async fn limits_go_by_the_real_caller() {
    for (proxies, other_caller) in [(vec!["127.0.0.0/8".parse().unwrap()], 422), (vec![], 429)] {
        let change = |public: &mut Public| {
            public.proxies = TrustedProxies::new(proxies);
            let clock = LimitClock::Manual(FakeRelativeClock::default());
            public.limits = Arc::new(ClientLimits::new(client_limits(), &clock));
        };
        let edge = Edge::with(change, ServerLimits::default()).await;
        for fake in 0..31 {
            let line = format!("X-Forwarded-For: 192.0.2.{fake}, ::ffff:203.0.113.7\r\n");
            let answer = edge.post(LOGIN, &line, "{}").await;
            assert_eq!(answer.status, if fake < 30 { 422 } else { 429 }, "the 31st, whatever it pretends");
        }
        let other = edge.post(LOGIN, "X-Forwarded-For: 203.0.113.8\r\n", "{}").await;
        assert_eq!(other.status, other_caller);
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A11, K2, K3: one line a request, with its route and nothing that a caller wrote.
#[tokio::test]
async fn the_access_log_holds_nothing_of_the_caller() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    // For the whole process: other tests' lines come along, and are told apart by their request ids.
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    let edge = Edge::unlimited().await;
    let body = r#"{"code":"918273","email":"secret-ann@acme.io","tenant_slug":"acme"}"#;
    let lines = "X-Evil: secret-line\r\nCookie: __Host-portal_refresh_0123456789=dcr_secret\r\n";
    let path = "/v1/customer-auth/token";
    let posted = edge.post(&format!("{path}?email=secret-query"), lines, body).await;
    let shouted =
        edge.send(format!("SECRETVERB {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;

    let names =
        "X-Request-Id: secret-id\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    edge.post(LOGIN, names, "{}").await;
    let proxies = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let proxied = Edge::with(|_| {}, ServerLimits { proxies, ..ServerLimits::default() }).await;
    let named = proxied.post(LOGIN, &names.replace("secret-id", "edge-7/a"), "{}").await;
    let odd = proxied.post(LOGIN, "X-Request-Id: secret id\r\ntraceparent: 00-SECRET-ID-01\r\n", "{}").await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let access = |answer: &Answer| -> Vec<serde_json::Value> {
        let id = answer.header("x-request-id").unwrap();
        text.lines()
            .filter(|line| line.contains(id))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let [line] = access(&posted).try_into().unwrap();
    let fields = line["fields"].as_object().unwrap();
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        ["method", "micros", "network", "request_id", "route", "status"]
    );
    assert_eq!(
        (&fields["method"], &fields["route"], &fields["status"]),
        (&"POST".into(), &"token".into(), &401.into())
    );
    assert_eq!(access(&shouted)[0]["fields"]["method"], "OTHER");
    let [line] = access(&named).try_into().unwrap();
    let upstream = (&line["fields"]["upstream_request_id"], &line["fields"]["trace_id"]);
    assert_eq!(
        upstream,
        (&"edge-7/a".into(), &"4bf92f3577b34da6a3ce929d0e0e4736".into()),
        "a proxy's are kept"
    );
    assert_eq!(access(&odd)[0]["fields"].as_object().unwrap().len(), 6);
    for secret in [
        "918273",
        "secret-ann",
        "secret-query",
        "dcr_secret",
        "secret-line",
        "secret-id",
        "secret id",
        "SECRET-ID",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// F13: behind a proxy that speaks TLS, browsers are told to stay with it.
#[tokio::test]
async fn strict_transport_security_is_a_setting() {
    let edge = Edge::with(|public| public.hsts = true, ServerLimits::default()).await;
    let answer = edge.post(LOGIN, "", "{}").await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(Edge::unlimited().await.post(LOGIN, "", "{}").await.header("strict-transport-security"), None);
}

/// The development mailbox: a page that loads nothing from elsewhere, a list that takes any address, loopback names only.
#[tokio::test]
async fn the_mailbox() {
    let list = |to: Option<&str>| vec![json!({"id": "1", "to": to.unwrap_or("everybody")})];
    let preview = PreviewMailbox::new(list, HostAllowlist::default());
    let edge = Edge::with(|public| public.preview = Some(preview), ServerLimits::default()).await;
    let get = async |path: &str, host: &str| {
        edge.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await
    };
    let page = get("/dev/mailbox", "localhost").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "loads from elsewhere");
    for (query, to) in [
        ("", "everybody"),
        ("?to=ada@example.com", "ada@example.com"),
        ("?to=ada%2Bb%40example.com", "ada+b@example.com"),
        ("?other=x", "everybody"),
    ] {
        let answer = get(&format!("/dev/mailbox.json{query}"), "127.0.0.1:8080").await;
        assert_eq!(answer.body, format!(r#"[{{"id":"1","to":"{to}"}}]"#), "{query}");
    }
    assert_eq!(get("/dev/mailbox.json", "evil.example").await.status, 421);
    assert_eq!(get("/dev/mailbox/", "localhost").await.status, 404);
    assert_eq!(edge.post("/dev/mailbox", "", "").await.status, 405);
}
