//! `doorcode loadtest` against the real program: its limits are proven, and one more or one less of each is found.

use crate::support::process::{Scratch, Setup};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A `dev` in `home` with these settings, and what `limits` says of it, which expects the defaults. A run in which the
/// service, pressed by other tests, did not answer a call proves nothing and is repeated.
async fn limits(home: &Path, settings: &[(&str, &str)]) -> (i32, BTreeMap<String, Value>) {
    let mut setup = Setup::dev_in(home)
        .set("DOORCODE__LIMITS__CLIENT__ENABLED", "true")
        .set("DOORCODE__LIMITS__TENANT__ENABLED", "true")
        .set("DOORCODE__LIMITS__ADDRESS__COOLDOWN", "5s");
    for (name, value) in settings {
        setup = setup.set(name, value);
    }
    let program = setup.start().await;
    let (target, metrics) = (format!("http://{}", program.api), format!("http://{}", program.ops));
    let home = home.display().to_string();
    // The tenant's limit wants a quick machine; the driver's own tests have it.
    let words = "loadtest limits --create --duration 5s --mail-wait 5s --expect mail.cooldown=5s --expect tenant=off --json";
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend(["--target", &target, "--metrics", &metrics, "--data-dir", &home]);
    for _ in 0..3 {
        let output = Setup::of(&words).run().await;
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let failed = |call: &Value| call["failed"].as_object().is_some_and(|failed| !failed.is_empty());
        if report["calls"].as_array().unwrap().iter().any(failed) {
            continue;
        }
        program.stop().await;
        let limits = report["limits"].as_array().unwrap().iter();
        let by_name =
            limits.map(|limit| (limit["limit"].as_str().unwrap().to_owned(), limit.clone())).collect();
        return (output.status.code().unwrap(), by_name);
    }
    panic!("three times the service left calls unanswered");
}

const CLIENT: [&str; 3] = ["client.login", "client.code", "client.session"];
const MAIL: [&str; 2] = ["mail.stranger", "mail.known"];

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_running_dev_are_proven() {
    let scratch = Scratch::new("loadtest-right");
    let (exit_code, found) = limits(scratch.path(), &[]).await;
    assert_eq!(exit_code, 0, "{found:#?}");
    // The others' bursts come back too soon for a debug build beside other tests.
    for name in CLIENT[..2].iter().chain(&MAIL) {
        let measured = found[*name]["measured"].as_array().unwrap();
        assert!(!measured.is_empty(), "the burst is measured: {:#}", found[*name]);
    }
    for name in ["guesses.code", "guesses.lane", "metrics"] {
        assert_eq!(found[name]["status"], "exact", "{:#}", found[name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_are_one_off_are_found() {
    let more = [
        ("DOORCODE__LIMITS__CLIENT__LOGIN_PER_MINUTE", "31"),
        ("DOORCODE__LIMITS__CLIENT__VERIFY_PER_MINUTE", "31"),
        ("DOORCODE__LIMITS__CLIENT__REFRESH_PER_MINUTE", "125"),
        ("DOORCODE__LIMITS__ADDRESS__BURST", "6"),
        ("DOORCODE__LIMITS__ADDRESS__COOLDOWN", "4s"),
    ];
    let less = [
        ("DOORCODE__LIMITS__CLIENT__LOGIN_PER_MINUTE", "29"),
        ("DOORCODE__LIMITS__CLIENT__VERIFY_PER_MINUTE", "29"),
        ("DOORCODE__LIMITS__CLIENT__REFRESH_PER_MINUTE", "115"),
        ("DOORCODE__LIMITS__ADDRESS__BURST", "4"),
        // By more than an answer takes in a debug build beside other tests.
        ("DOORCODE__LIMITS__ADDRESS__COOLDOWN", "8s"),
    ];
    for (what, settings) in [("one too many", more), ("one too few", less)] {
        let scratch = Scratch::new("loadtest-off");
        let (exit_code, found) = limits(scratch.path(), &settings).await;
        assert_eq!(exit_code, 1, "{found:#?}");
        // Half a second decides whether the second mail comes too early; a busy machine may not be able to tell.
        let cool_down = &found["mail.cooldown"];
        let told = cool_down["status"] == "broken"
            || (what == "one too many" && cool_down["status"] == "unmeasured");
        assert!(told, "{cool_down:#}");
        for name in CLIENT.iter().chain(&MAIL) {
            let complaint = found[*name]["complaints"][0].as_str().unwrap_or_default();
            assert!(complaint.contains(what), "{what}: {:#}", found[*name]);
            assert!(complaint.contains("X-Request-Id") || MAIL.contains(name), "the request: {complaint}");
        }
    }
}
