//! The client limits over the wire.

use super::support::{Edge, LOGIN};
use std::time::Duration;

/// B5–B8, B10: refused requests count like good ones; the 31st is told exactly when to come back.
#[tokio::test]
async fn the_31st_login_of_a_minute() {
    let (edge, clock) = Edge::limited().await;
    for sent in 1..=30 {
        let answer = edge.post(LOGIN, "", "{}").await;
        assert_eq!(answer.status, 422);
        let state = answer.header("ratelimit").unwrap().to_owned();
        assert!(state.starts_with(&format!("\"login-minute\";r={};t=2", 30 - sent)), "{state}");
        assert_eq!(
            answer.header("ratelimit-policy").unwrap(),
            "\"login-minute\";q=30;w=60, \"login-hour\";q=200;w=3600"
        );
        assert!(
            answer
                .headers
                .iter()
                .all(|(name, _)| !name.starts_with("ratelimit-l") && !name.starts_with("x-ratelimit"))
        );
    }
    let refused = edge.post(LOGIN, "", "{}").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("2")));
    assert_eq!(refused.header("cache-control"), Some("no-store"), "B6");
    assert_eq!(refused.body, r#"{"detail":"Too Many Requests"}"#);
    clock.advance(Duration::from_secs(1));
    assert_eq!(edge.post(LOGIN, "", "{}").await.status, 429);
    clock.advance(Duration::from_secs(1));
    assert_eq!(edge.post(LOGIN, "", "{}").await.status, 422);
}

/// The order of checks: path and method before the limit, the limit before the body.
#[tokio::test]
async fn the_limit_comes_after_the_path_and_before_the_body() {
    let (edge, _) = Edge::limited().await;
    for _ in 0..30 {
        edge.post("/v1/customer-auth/verify", "", "{}").await;
    }
    assert_eq!(
        edge.post("/v1/customer-auth/token", "", &"x".repeat(9_000)).await.status,
        429,
        "they share one limit"
    );
    assert_eq!(edge.post("/v1/customer-auth/token/", "", "{}").await.status, 404);
    let get = edge.send(b"GET /v1/customer-auth/token HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((get.status, get.header("ratelimit")), (405, None));
    assert_eq!(edge.post(LOGIN, "", "{}").await.status, 422, "another group");
}

/// F6: no cookie from `/token`, on a 429 either.
#[tokio::test]
async fn a_limited_token_call_sets_no_cookie() {
    let (edge, _) = Edge::limited().await;
    for _ in 0..32 {
        let answer = edge.post("/v1/customer-auth/token", "Cookie: a=b\r\n", "{}").await;
        assert_eq!(answer.header("set-cookie"), None);
    }
}
