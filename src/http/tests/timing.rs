//! C4: when answers leave. G7: slow callers, too many callers, and the end of service.

use super::script::{Mood, Script};
use super::support::{Client, Edge, LOGIN, post};
use crate::http::ServerLimits;
use doorcode_actors::Refusal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

const SHORT: Duration = Duration::from_millis(300);

fn short() -> ServerLimits {
    ServerLimits { header_timeout: SHORT, ..Default::default() }
}

/// C4: a login that went well is answered on the grid; what says nothing of the account is answered at once.
#[tokio::test]
async fn good_logins_wait_for_the_grid() {
    const GOOD: &str = r#"{"email":"ada@example.com","tenant_slug":"acme"}"#;
    for (mood, body, status, on_grid) in [
        (Mood::Sound, GOOD, 200, true),
        (Mood::Sound, "{}", 422, false),
        (Mood::Refuses(Refusal::Unavailable), GOOD, 503, false),
        (Mood::Refuses(Refusal::TenantLimited { retry_after_s: 1 }), GOOD, 429, false),
    ] {
        let change = |public: &mut crate::http::Public| {
            public.service = Arc::new(Script::new(mood));
            public.login_grid = SHORT;
        };
        let edge = Edge::with(change, ServerLimits::default()).await;
        let mut client = edge.connect().await;
        let began = Instant::now();
        client.write(post(LOGIN, "", body).as_bytes()).await;
        assert_eq!(client.answer().await.unwrap().status, status);
        assert_eq!(began.elapsed() >= SHORT, on_grid, "{status} after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn silent_callers_are_let_go() {
    let edge = Edge::with(|_| {}, short()).await;
    let began = Instant::now();
    edge.connect().await.ended().await;
    assert!(began.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_head_that_drips_gets_408() {
    let edge = Edge::with(|_| {}, short()).await;
    let mut client = edge.connect().await;
    client.write(b"POST / HTTP/1.1\r\nHost: ").await;
    tokio::time::sleep(SHORT / 2).await;
    client.write(b"localhost\r\nX-A:").await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (408, r#"{"detail":"Request Timeout"}"#));
    client.ended().await;
}

/// A slow head has less time than an idle connection, also after a first request.
#[tokio::test]
async fn idle_connections_outlive_slow_heads() {
    let edge = Edge::with(|_| {}, ServerLimits { idle_timeout: 4 * SHORT, ..short() }).await;
    let mut client = edge.connect().await;
    client.write(post(LOGIN, "", "{}").as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 422);
    tokio::time::sleep(2 * SHORT).await;
    client.write(b"POST / HTTP").await;
    assert_eq!(client.answer().await.unwrap().status, 408);

    let mut client = edge.connect().await;
    client.write(post(LOGIN, "", "{}").as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 422);
    let began = Instant::now();
    client.ended().await;
    assert!(began.elapsed() >= 3 * SHORT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_that_drips_gets_408() {
    let edge = Edge::with(|public| public.body.timeout = SHORT, ServerLimits::default()).await;
    let mut client = edge.connect().await;
    client
        .write(
            format!("POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{").as_bytes(),
        )
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    client.ended().await;
}

/// Above the cap, callers are closed at once, and served as soon as a place is free.
#[tokio::test]
async fn connections_are_capped() {
    let edge = Edge::with(|_| {}, ServerLimits { max_connections: 2, ..Default::default() }).await;
    let (mut one, mut two) = (edge.connect().await, edge.connect().await);
    for client in [&mut one, &mut two] {
        client.write(post(LOGIN, "", "{}").as_bytes()).await;
        assert_eq!(client.answer().await.unwrap().status, 422);
    }
    let began = Instant::now();
    edge.connect().await.ended().await;
    assert!(began.elapsed() < SHORT, "closed after {:?}", began.elapsed());
    drop(one);
    tokio::time::sleep(SHORT / 3).await;
    assert_eq!(edge.post(LOGIN, "", "{}").await.status, 422);
}

/// One client's sockets leave places for everybody else: its own share is all it gets.
#[tokio::test]
async fn a_client_cannot_hold_every_place() {
    let server = ServerLimits { max_connections: 20, max_per_client: 3, ..Default::default() };
    let edge = Edge::with(|_| {}, server).await;
    let from = async |address: [u8; 4]| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        Client { stream: socket.connect(edge.addr).await.unwrap() }
    };
    let is_served = async |client: &mut Client| {
        let _ = client.stream.write_all(post(LOGIN, "", "{}").as_bytes()).await;
        client.answer().await.is_some_and(|answer| answer.status == 422)
    };
    let mut held = Vec::new();
    let mut served = Vec::new();
    for client in [1, 2, 3, 4, 5, 6, 7] {
        for _ in 0..4 {
            let mut connection = from([127, 0, 0, client]).await;
            if is_served(&mut connection).await {
                served.push(client);
                held.push(connection);
            }
        }
    }
    assert_eq!(served, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5], "three a client, fifteen a network");
    assert!(is_served(&mut from([127, 0, 1, 1]).await).await, "another network");
}

/// Draining: nobody new, idle connections end, what has begun is answered.
#[tokio::test]
async fn draining_finishes_what_has_begun() {
    let mut edge = Edge::unlimited().await;
    let (mut idle, mut busy) = (edge.connect().await, edge.connect().await);
    idle.write(post(LOGIN, "", "{}").as_bytes()).await;
    assert_eq!(idle.answer().await.unwrap().status, 422);
    let request = post(LOGIN, "Expect: 100-continue\r\n", "{}");
    let (head, body) = request.split_at(request.len() - 2);
    busy.write(head.as_bytes()).await;
    assert_eq!(busy.answer().await.unwrap().status, 100, "the request has reached the body filter");
    edge.stop.take().unwrap().send(()).unwrap();
    idle.ended().await;
    assert!(TcpStream::connect(edge.addr).await.is_err(), "a new connection while draining");
    busy.write(body.as_bytes()).await;
    let answer = busy.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (422, Some("close")));
    drop(busy);
    edge.done.await.unwrap().unwrap();
}

/// The drain has an end, whatever callers do.
#[tokio::test]
async fn the_drain_deadline_cuts() {
    let mut edge = Edge::with(|_| {}, ServerLimits { drain: SHORT, ..Default::default() }).await;
    let mut stuck = edge.connect().await;
    stuck.write(format!("POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n").as_bytes()).await;
    assert_eq!(stuck.answer().await.unwrap().status, 100);
    edge.stop.take().unwrap().send(()).unwrap();
    let began = Instant::now();
    edge.done.await.unwrap().unwrap();
    assert!(began.elapsed() >= SHORT && began.elapsed() < 10 * SHORT, "{:?}", began.elapsed());
}

/// G7: 2,000 callers that never finish their heads do not delay one that does: twenty times, or for as many seconds as
/// `DOORCODE_HALF_OPEN_S` says (the standard has 60).
#[tokio::test]
async fn half_open_callers_delay_nobody() {
    let asked = std::env::var("DOORCODE_HALF_OPEN_S").ok().and_then(|text| text.parse().ok());
    let hold = Duration::from_secs(asked.unwrap_or(0));
    let header_timeout = 10 * SHORT + hold;
    let edge = Edge::with(|_| {}, ServerLimits { header_timeout, ..Default::default() }).await;
    let mut half_open = Vec::new();
    crate::descriptors::raise_limit();
    for _ in 0..2_000 {
        let mut client = edge.connect().await;
        client.write(b"POST /v1/customer-auth/login HTTP/1.1\r\nHost:").await;
        half_open.push(client);
    }
    let begun = Instant::now();
    while {
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(edge.post(LOGIN, "", "{}").await.status, 422);
        }
        assert!(began.elapsed() < 5 * SHORT, "{:?}", began.elapsed());
        begun.elapsed() < hold
    } {}
    assert_eq!(half_open.pop().unwrap().answer().await.unwrap().status, 408, "and they are let go in time");
}
