//! The real program: what scripts see of it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::process::{Command, Output};

fn doorcode(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorcode"));
    command.args(arguments).env_clear().envs(env.iter().copied());
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn exit_codes_tell_what_kind_of_failure_it_was() {
    let table = [
        ("--help", "600s", 0),
        ("check-config", "600s", 0),
        ("healthcheck --url http://127.0.0.1:1/", "600s", 1),
        ("sreve", "600s", 2),
        ("check-config", "601s", 64),
        ("serve", "600s", 64),
        ("tenant list --config /no/such/file", "600s", 64),
        ("migrate", "601s", 64),
    ];
    for (arguments, life, code) in table {
        let output = doorcode(&arguments.split(' ').collect::<Vec<_>>(), &[("DOORCODE__CODES__LIFE", life)]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert_eq!(
            output.stderr.is_empty(),
            code == 0,
            "{arguments:?}: failures speak on standard error only"
        );
    }
}

#[test]
fn serve_refuses_the_example_and_says_all_that_is_missing() {
    let output = doorcode(&["serve"], &[]);
    for key in ["public_url", "database.url", "master_key.file", "mail.smtp.host", "mail.from"] {
        assert!(stderr(&output).contains(&format!("{key}: expected")), "{}", stderr(&output));
    }
}

#[test]
fn check_config_prints_settings_and_no_secret() {
    let env = [("DATABASE_URL", "postgres://u:hunter2@h/d"), ("DOORCODE__LIMITS__CLIENT__ENABLED", "false")];
    let output = doorcode(&["check-config"], &env);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[redacted]") && !text.contains("hunter2"), "{text}");
    assert!(text.contains("limits.client is OFF"), "{text}");

    let output = doorcode(&["check-config", "--json"], &env);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let settings = value["settings"].as_array().unwrap();
    let url = settings.iter().find(|setting| setting["key"] == "database.url").unwrap();
    assert_eq!((&url["value"], &url["origin"]["variable"]), (&"[redacted]".into(), &"DATABASE_URL".into()));
    let output = doorcode(&["check-config", "--json"], &[("DOORCODE__HTTP__LISTEN", "x")]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["faults"][0]["key"], "http.listen");
}
