//! What single requests get.

use super::support::{Edge, LOGIN, post};
use crate::http::ServerLimits;

/// Each endpoint answers in its own way.
#[tokio::test]
async fn all_endpoints_answer() {
    let edge = Edge::unlimited().await;
    let code = r#"{"code":"123456","email":"ann@acme.io","tenant_slug":"acme"}"#;
    for (path, body, status) in [
        (LOGIN, r#"{"email":"ann@acme.io","tenant_slug":"acme"}"#, 200),
        ("/v1/customer-auth/verify", code, 200),
        ("/v1/customer-auth/token", code, 200),
        ("/v1/customer-auth/refresh", r#"{"refresh_token":"good"}"#, 200),
        ("/v1/customer-auth/refresh", "", 401),
        ("/v1/customer-auth/logout", r#"{"refresh_token":"x"}"#, 204),
        ("/v1/customer-auth/logout", "", 204),
    ] {
        let answer = edge.post(path, "", body).await;
        assert_eq!(answer.status, status, "{path} {answer:?}");
    }
    let keys = edge.send(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((keys.status, keys.body.as_str()), (200, "{\"keys\":[]}"));
    assert_eq!(keys.header("cache-control"), Some("public, max-age=300"), "D12");
    assert_eq!(keys.header("content-type"), Some("application/jwk-set+json"), "D9");
    for path in ["openid-configuration", "oauth-authorization-server"] {
        let said = edge
            .send(format!("GET /.well-known/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
            .await;
        assert_eq!((said.status, said.body.as_str()), (200, r#"{"issuer":"x"}"#), "{path}");
        assert_eq!(said.header("cache-control"), Some("public, max-age=300"), "{path}");
        assert_eq!(said.header("content-type"), Some("application/json"), "{path}");
    }
}

/// Targets that name no plain path.
#[tokio::test]
async fn odd_targets() {
    let edge = Edge::unlimited().await;
    for (head, status) in [
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", 404),
        ("CONNECT evil.example:25 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET http://localhost/v1/customer-auth/login HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (
            "POST http://evil.example/v1/customer-auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            400,
        ),
        ("POST /v1/customer-auth/login HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST /v1/customer-auth/login HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST /v1/customer-auth/login?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 422),
    ] {
        let answer = edge.send(head.as_bytes()).await;
        assert_eq!(answer.status, status, "{head:?}");
        assert!(answer.header("x-request-id").is_some());
    }
}

/// F16: only true preflights are answered, and nobody's origin is allowed by being asked for.
#[tokio::test]
async fn options() {
    let edge = Edge::unlimited().await;
    let ask = |more: &str| format!("OPTIONS {LOGIN} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let plain = edge.send(ask("Origin: https://evil.example\r\n").as_bytes()).await;
    assert_eq!((plain.status, plain.header("allow")), (405, Some("POST")));
    let true_one = ask("Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n");
    let preflight = edge.send(true_one.as_bytes()).await;
    assert_eq!((preflight.status, preflight.header("vary")), (204, Some("Origin")));
    assert_eq!(preflight.header("access-control-allow-origin"), None, "F12");
}

/// G6: bytes are counted as they come; compressed bodies are not opened.
#[tokio::test]
async fn large_and_compressed_bodies() {
    let edge = Edge::unlimited().await;
    let large = edge.post(LOGIN, "", &"x".repeat(8 * 1024 + 1)).await;
    assert_eq!((large.status, large.body.as_str()), (413, r#"{"detail":"Content Too Large"}"#));
    assert_eq!(edge.post(LOGIN, "", &"x".repeat(8 * 1024)).await.status, 422);
    assert_eq!(edge.post(LOGIN, "Content-Encoding: gzip\r\n", "x").await.status, 415);

    let chunked = format!("POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut client = edge.connect().await;
    client.write(chunked.as_bytes()).await;
    for _ in 0..9 {
        client.write(format!("400\r\n{}\r\n", "x".repeat(1024)).as_bytes()).await;
    }
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    client.ended().await;
}

/// Special-use addresses are taken where the network routes them.
#[tokio::test]
async fn special_use_addresses_are_a_setting() {
    let body = r#"{"email":"ann@acme.test","tenant_slug":"acme"}"#;
    let refused = Edge::unlimited().await.post(LOGIN, "", body).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("special-use"), "the true reason: {}", refused.body);
    let taken = doorcode_domain::SpecialUse::of(["test"]).unwrap();
    let edge = Edge::with(|public| public.special_use = taken, ServerLimits::default()).await;
    assert_eq!(edge.post(LOGIN, "", body).await.status, 200);
}

/// The caller's request id is neither kept nor echoed.
#[tokio::test]
async fn request_ids_are_ours() {
    let edge = Edge::unlimited().await;
    let id = "X-Request-Id: mine\r\n";
    let (one, two) = (edge.post(LOGIN, id, "{}").await, edge.post(LOGIN, id, "{}").await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    assert_ne!(one.header("x-request-id"), Some("mine"));
}

/// G14: nothing of the inside shows on the public port.
#[tokio::test]
async fn the_inside_is_not_public() {
    let edge = Edge::unlimited().await;
    for path in
        ["/metrics", "/livez", "/readyz", "/actors", "/dev/mailbox", "/dev/mailbox.json", "/v1/admin/tenants"]
    {
        let answer = edge.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        assert_eq!((answer.status, answer.header("server")), (404, None), "{path}");
    }
}

/// Requests on one connection, one after the other and all at once.
#[tokio::test]
async fn connections_are_kept() {
    let edge = Edge::unlimited().await;
    let mut client = edge.connect().await;
    for _ in 0..3 {
        client.write(post(LOGIN, "", "{}").as_bytes()).await;
        assert_eq!(client.answer().await.unwrap().status, 422);
    }
    client.write(post(LOGIN, "", "{}").repeat(3).as_bytes()).await;
    for _ in 0..3 {
        assert_eq!(client.answer().await.unwrap().status, 422);
    }
}
