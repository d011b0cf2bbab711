//! Replays what pydantic and email-validator answered (tests/corpus.py says how it was asked).

use std::fs;
use std::io::{BufRead, BufReader};

use email_address::Email;
use serde_json::Value;

/// `None` where both agree, else what differs.
fn difference(case: &Value) -> Option<String> {
    let text = |field: &str| case[field].as_str();
    let address = text("address")?;
    match (Email::parse(address), text("normalized")) {
        (Ok(ours), Some(theirs)) => (ours.as_str() != theirs
            || Some(ours.ascii_domain()) != text("ascii_domain"))
        .then(|| format!("{address:?}: {:?}, {:?}", ours.as_str(), ours.ascii_domain())),
        (Err(_), None) => None,
        (Ok(ours), None) => Some(format!("{address:?}: accepted as {:?}", ours.as_str())),
        (Err(ours), Some(_)) => Some(format!("{address:?}: refused: {ours}")),
    }
}

/// `EMAIL_CORPUS` names a larger file made by the same script.
#[test]
fn h2_h4_h6_answers_as_the_reference_stack_does() {
    let path = std::env::var("EMAIL_CORPUS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus.jsonl").to_owned());
    let (mut cases, mut same_reason, mut refused) = (0, 0, 0);
    let mut differences = Vec::new();
    for line in BufReader::new(fs::File::open(&path).unwrap()).lines() {
        let case: Value = serde_json::from_str(&line.unwrap()).unwrap();
        cases += 1;
        differences.extend(difference(&case).map(|ours| format!("{ours}\n    theirs: {case}")));
        if let (Some(theirs), Err(ours)) =
            (case["reason"].as_str(), Email::parse(case["address"].as_str().unwrap()))
        {
            refused += 1;
            same_reason += usize::from(ours.to_string() == theirs);
            if std::env::var_os("EMAIL_REASONS").is_some() && ours.to_string() != theirs {
                println!("{ours}\n    theirs: {case}");
            }
        }
    }
    println!("{cases} cases; {refused} refused, {same_reason} in the same words");
    assert!(cases >= 300, "only {cases} cases in {path}");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
