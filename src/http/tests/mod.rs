//! The edge over real sockets.

#[path = "../../../tests/it/corpus.rs"]
mod corpus;
mod limits;
mod requests;
mod smuggling;
pub(crate) mod support;
mod timing;

use support::Edge;

/// G1, G2: the corpus. The service behind this edge does not run, so what reaches it is answered 503; everything else
/// must be answered as recorded.
#[tokio::test]
async fn the_corpus() {
    let edge = Edge::unlimited().await;
    // Falls away by itself when the address parser is the real one.
    let placeholder = doorcode_domain::email::Email::parse("<script>@acme.io").is_ok();
    let reaches = |failure: &String| {
        let expected = failure.split_once(": expected ").and_then(|(_, rest)| rest.strip_suffix(", got 503"));
        match expected {
            Some("[200]" | "[401]" | "[204]") => true,
            Some("[422]") => placeholder && failure.starts_with("email_"),
            _ => false,
        }
    };
    let (reached, failures): (Vec<_>, Vec<_>) =
        corpus::replay(edge.addr).await.into_iter().partition(reaches);
    println!("{} cases reached the service", reached.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
