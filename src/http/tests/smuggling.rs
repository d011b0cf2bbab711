//! G8: requests that two readers could cut in two places. Each gets a 400 and the end of its connection.

use super::support::{Edge, LOGIN};

#[tokio::test]
async fn ambiguous_requests_end_their_connection() {
    let edge = Edge::unlimited().await;
    let ok = "Host: localhost\r\nContent-Type: application/json\r\n";
    let smuggled = format!("GET {LOGIN} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (what, head) in [
        ("CL and TE", format!("{ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("TE and CL", format!("{ok}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")),
        ("two CL", format!("{ok}Content-Length: 0\r\nContent-Length: 5\r\n\r\n")),
        ("the same CL twice", format!("{ok}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}")),
        ("CL list", format!("{ok}Content-Length: 2, 2\r\n\r\n{{}}")),
        ("CL with zeros", format!("{ok}Content-Length: {}2\r\n\r\n{{}}", "0".repeat(48))),
        ("one zero", format!("{ok}Content-Length: 02\r\n\r\n{{}}")),
        ("padded CL", format!("{ok}Content-Length: {}2\r\n\r\n{{}}", " ".repeat(60))),
        ("signed CL", format!("{ok}Content-Length: +2\r\n\r\n{{}}")),
        (
            "TE chunked twice",
            format!("{ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("TE identity", format!("{ok}Transfer-Encoding: identity\r\n\r\n")),
        ("TE xchunked", format!("{ok}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
        ("bare LF", "Host: localhost\nContent-Length: 0\r\n\r\n".to_owned()),
        ("bare LF at the end", "Host: localhost\r\nContent-Length: 0\r\n\n".to_owned()),
        ("obs-fold", format!("{ok}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n")),
        ("space before the colon", format!("{ok}Content-Length : 0\r\n\r\n")),
        ("NUL", format!("{ok}X-A: b\0c\r\nContent-Length: 0\r\n\r\n")),
        ("bare CR", format!("{ok}X-A: b\rc\r\nContent-Length: 0\r\n\r\n")),
    ] {
        let mut client = edge.connect().await;
        client.write(format!("POST {LOGIN} HTTP/1.1\r\n{head}{smuggled}").as_bytes()).await;
        let answer = client.answer().await;
        let answer = answer.unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!((answer.status, answer.body.as_str()), (400, r#"{"detail":"Bad Request"}"#), "{what}");
        for (name, value) in
            [("cache-control", "no-store"), ("content-type", "application/json"), ("connection", "close")]
        {
            assert_eq!(answer.header(name), Some(value), "{what}");
        }
        assert!(answer.header("x-request-id").is_some(), "{what}");
        assert!(client.answer().await.is_none(), "{what}: a second answer");
    }
}

/// The same on a connection that has served before.
#[tokio::test]
async fn later_requests_are_watched_too() {
    let edge = Edge::unlimited().await;
    let mut client = edge.connect().await;
    let first = format!("POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}");
    let second = format!("POST {LOGIN} HTTP/1.1\r\nHost: localhost\nContent-Length: 0\r\n\r\n");
    client.write(first.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 422);
    client.write(second.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 400);
    client.ended().await;

    let mut client = edge.connect().await;
    for _ in 0..3 {
        client.write(first.as_bytes()).await;
        assert_eq!(client.answer().await.unwrap().status, 422);
    }
    client.write(b"no request at all\r\n\r\n").await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (400, r#"{"detail":"Bad Request"}"#));
    client.ended().await;
}

/// G7: a large head gets its own answer, in full up to four times the limit.
#[tokio::test]
async fn large_heads() {
    let edge = Edge::unlimited().await;
    let large = |bytes: usize| {
        format!("POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nX-A: {}\r\n\r\n", "x".repeat(bytes))
    };
    let answer = edge.send(large(20_000).as_bytes()).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (431, r#"{"detail":"Request Header Fields Too Large"}"#)
    );
    let endless = edge.send(large(200_000).as_bytes()).await;
    assert_eq!((endless.status, &endless.body), (431, &answer.body));
    let many = format!("POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(200));
    assert_eq!(edge.send(many.as_bytes()).await.body, answer.body);
}
