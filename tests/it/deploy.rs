//! What is in `deploy/` names only settings that there are, and gives them values that they take.

use crate::support::process::Scratch;
use doorcode::config::Config;
use std::path::Path;

fn deploy(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// Reads settings as `check-config` does, with a master key that there is.
fn check(scratch: &Scratch, name: &str, settings: &str, secrets: &[(&str, &str)]) {
    let (file, key) = (scratch.path().join("doorcode.toml"), scratch.path().join("master.key"));
    std::fs::write(&file, settings).unwrap();
    std::fs::write(&key, "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=").unwrap();
    let key = ("DOORCODE__MASTER_KEY__FILE".to_owned(), key.display().to_string());
    let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    if let Err(error) = Config::load(Some(&file), secrets.chain([key])) {
        panic!("deploy/{name}: {error}");
    }
}

#[test]
fn settings_of_deployments_are_settings() {
    let scratch = Scratch::new("deploy");
    std::fs::create_dir_all(scratch.path()).unwrap();
    check(&scratch, "doorcode.toml", &deploy("doorcode.toml"), &[]);
    let manifests = deploy("kubernetes/doorcode.yaml");
    let (_, map) = manifests.split_once("doorcode.toml: |\n").unwrap();
    let map: Vec<&str> = map.lines().map_while(|line| line.strip_prefix("    ")).collect();
    check(
        &scratch,
        "kubernetes/doorcode.yaml",
        &map.join("\n"),
        &[("DOORCODE__MAIL__SMTP__PASSWORD", "secret")],
    );

    let mut seen = 0;
    for name in ["doorcode.service", "kubernetes/doorcode.yaml", "compose/compose.yaml", "Containerfile"] {
        let text = deploy(name);
        for part in text.split("DOORCODE__").skip(1).filter(|part| !part.starts_with("SECTION")) {
            let end = part.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap();
            let variable = format!("DOORCODE__{}", &part[..end]);
            let said = match Config::load(None, [(variable.clone(), "?".to_owned())]) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            };
            assert!(!said.contains("no such setting"), "deploy/{name}: {variable}: {said}");
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen} variables");
}
