//! Bad and odd requests: each gets the answer that the reference stack gave, or the one decided on.

use crate::corpus;
use crate::support::TestApp;

/// F6, G1, G2, G10, G11, G14: all 212 cases through the whole service.
#[tokio::test]
async fn g1_the_corpus_through_the_whole_service() {
    let app = TestApp::spawn().await;
    let failures = corpus::replay(app.public()).await;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    app.finish().await;
}

/// G1: the corpus here is all of it.
#[test]
fn g1_the_corpus_is_complete() {
    let cases = include_str!("corpus/validation-corpus.jsonl").lines().count();
    assert_eq!(cases, 212);
}
