//! The documents name only what is there: every back-ticked path of this repository and every relative link.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders and files of the top level that a back-ticked word must begin with to be taken for a path.
const TOP: [&str; 14] = [
    "src/",
    "actors/",
    "domain/",
    "sql/",
    "tests/",
    "docs/",
    "bin/",
    "benches/",
    "deploy/",
    "clients/",
    "openapi/",
    "examples/",
    ".ci/",
    "./bin/",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and the other words of the top level, `docs/**/*.md`, `sql/README.md`.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "sql/README.md"]
        .iter()
        .map(|name| root().join(name))
        .collect();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// Text between single back-ticks, outside of fenced blocks.
fn back_ticked(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (at, block) in text.split("```").enumerate() {
        if at % 2 == 0 {
            words.extend(block.split('`').skip(1).step_by(2));
        }
    }
    words
}

/// A back-ticked word that looks like a path of this repository; patterns and placeholders do not.
fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
    let placeholder = ["NNNN", "TABLE", "VERB"].iter().any(|name| word.contains(name));
    word.chars().all(plain) && !placeholder && TOP.iter().any(|top| word.starts_with(top))
}

/// Targets of `[text](target)` that are neither addresses nor anchors.
fn relative_links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| {
            !target.contains("://") && !target.starts_with('#') && !target.starts_with("mailto:")
        })
        .map(|target| target.split('#').next().unwrap_or(target))
        .collect()
}

#[test]
fn documents_name_only_what_exists() {
    let (mut checked, mut missing) = (0, BTreeSet::new());
    for document in documents() {
        let text =
            fs::read_to_string(&document).unwrap_or_else(|error| panic!("{}: {error}", document.display()));
        let here = document.parent().unwrap();
        let paths =
            back_ticked(&text).into_iter().filter(|word| is_path(word)).map(|word| (word, root().join(word)));
        let links = relative_links(&text).into_iter().map(|link| (link, here.join(link)));
        for (word, path) in paths.chain(links) {
            checked += 1;
            if !path.exists() {
                missing.insert(format!("{}: {word}", document.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} paths were found: is this test still reading the documents?");
    assert!(missing.is_empty(), "not there:\n{}", missing.into_iter().collect::<Vec<_>>().join("\n"));
}

/// Every decision has its three parts, and the numbers have no gaps.
#[test]
fn decisions_are_numbered_and_whole() {
    let mut names: Vec<String> = fs::read_dir(root().join("docs/adr"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md") && name.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    names.sort();
    for (at, name) in names.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}-", at + 1)), "{name} is number {}", at + 1);
        let text = fs::read_to_string(root().join("docs/adr").join(name)).unwrap();
        for part in ["## Context", "## Decision", "## Consequence"] {
            assert!(text.contains(part), "{name} lacks {part}");
        }
    }
}

#[test]
fn words_and_links_are_told_apart() {
    let text = "`src/main.rs` and [a](docs/x.md#y), [b](https://z), [c](#d)\n```\n`src/not.rs`\n```\n`sql/queries/TABLE/VERB.sql` `a b`";
    let paths: Vec<&str> = back_ticked(text).into_iter().filter(|word| is_path(word)).collect();
    assert_eq!(paths, ["src/main.rs"]);
    assert_eq!(relative_links(text), ["docs/x.md"]);
}

/// The lines of the requirements that need a test or a reason.
fn requirements() -> BTreeSet<String> {
    let numbers = [15, 13, 6, 13, 14, 16, 14, 19, 4, 2, 4, 5];
    let lines: Vec<_> =
        ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"].into_iter().zip(numbers).collect();
    lines.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}"))).collect()
}

/// Every requirement has a row in docs/SECURITY.md, and every test that a row names exists where it says.
#[test]
fn every_requirement_has_a_test_or_a_reason() {
    let text = fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let (_, table) = text.split_once("## Requirements and their tests").unwrap();
    let mut seen = BTreeSet::new();
    for row in table.lines().filter_map(|line| line.strip_prefix("| ")) {
        let (id, what) = row.split_once(" | ").unwrap();
        if !requirements().contains(id) {
            continue;
        }
        assert!(seen.insert(id.to_owned()), "{id} stands twice");
        let mut tests = 0;
        for part in what.split('`').skip(1).collect::<Vec<_>>().chunks_exact(2) {
            let (path, name) = (part[0], part[1].split([';', '|', '.', ',']).next().unwrap_or("").trim());
            let source =
                fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{id}: {path}: {error}"));
            let is_test_name =
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if is_test_name {
                assert!(source.contains(&format!("fn {name}(")), "{id}: {path} has no test {name}");
                tests += 1;
            }
        }
        assert!(tests > 0 || what.len() > 60, "{id} has neither a test nor a reason");
    }
    let missing: Vec<_> = requirements().difference(&seen).cloned().collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
}
