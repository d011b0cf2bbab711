//! The shape of the source tree (docs/ARCHITECTURE.md, "Imports"): files of different folders import in one direction, and
//! no file or function is longer than a reader keeps in mind.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines of a file.
const FILE_MAX: usize = 400;
/// Lines of a function: a screen.
const FUNCTION_MAX: usize = 75;
/// Lines that 95 of 100 functions have at most.
const FUNCTION_P95: usize = 50;

/// The source trees of all packages; each is a `crate` of its own.
fn packages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates =
        std::fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path().join("src"));
    ["src", "actors/src", "domain/src"].map(|path| root.join(path)).into_iter().chain(crates).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Tests look at everything and are looked at by nothing.
fn is_test(file: &Path) -> bool {
    let stem = file.file_stem().unwrap().to_string_lossy();
    file.components().any(|part| part.as_os_str() == "tests")
        || stem.ends_with("tests")
        || ["test_cluster", "test_settings"].contains(&&*stem)
}

/// A file's code without its own tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

type Module = Vec<String>;

/// `src/http/mod.rs` and `src/http.rs` are `http`, `lib.rs` is the root.
fn module_of(source: &Path, file: &Path) -> Module {
    let inside = file.strip_prefix(source).unwrap().with_extension("");
    let mut module: Module = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        module.pop();
    }
    module
}

struct Import {
    path: Vec<String>,
    /// `pub use`: a name handed on, not one that is needed here.
    handed_on: bool,
}

/// The paths of `use` items outside the file's own tests, their braces multiplied out.
fn imports(text: &str) -> Vec<Import> {
    let code: Vec<&str> =
        production(text).lines().map(|line| line.split("//").next().unwrap().trim()).collect();
    let items = code.join(" ");
    let mut found = Vec::new();
    for (at, _) in items.match_indices("use ") {
        let before = items[..at].trim_end();
        if !items[..at].is_empty() && before.len() == at {
            continue;
        }
        let handed_on = before.rsplit([';', '{', '}']).next().unwrap().trim_start().starts_with("pub");
        let tree = items[at + 4..].split(';').next().unwrap();
        found.extend(expand(&[], tree).into_iter().map(|path| Import { path, handed_on }));
    }
    found
}

/// `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn expand(prefix: &[String], tree: &str) -> Vec<Vec<String>> {
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, Some(group.rsplit_once('}').map_or(group, |(group, _)| group))),
        None => (tree.split(" as ").next().unwrap(), None),
    };
    let parts = head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    let path: Vec<String> = prefix.iter().cloned().chain(parts).collect();
    let Some(group) = group else { return if path.len() > prefix.len() { vec![path] } else { Vec::new() } };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(expand(&path, &group[start..at]));
                start = (at + 1).min(group.len());
            }
            _ => {}
        }
    }
    found
}

/// The modules of a package, and the names that they hand on.
struct Package {
    modules: BTreeMap<Module, PathBuf>,
    handed_on: BTreeMap<Vec<String>, Vec<String>>,
}

/// A path from the package's root; none if it leads to another package.
fn absolute(modules: &BTreeMap<Module, PathBuf>, from: &Module, path: &[String]) -> Option<Vec<String>> {
    let mut base = from.clone();
    let mut rest = path;
    if path.first()? == "crate" {
        (base, rest) = (Vec::new(), &path[1..]);
    } else if !["super", "self"].contains(&path[0].as_str()) {
        let child: Module = from.iter().chain(path.first()).cloned().collect();
        modules.get(&child)?;
    }
    while let Some(first) = rest.first().filter(|first| ["super", "self"].contains(&first.as_str())) {
        if first == "super" {
            base.pop();
        }
        rest = &rest[1..];
    }
    Some(base.into_iter().chain(rest.iter().cloned()).collect())
}

impl Package {
    /// The file that a path means: that of its longest part which is a module, behind every hand that it went through.
    fn file(&self, path: &[String]) -> Option<&PathBuf> {
        let mut path = path.to_vec();
        while let Some(real) = (1..=path.len()).find_map(|length| self.handed_on.get(&path[..length])) {
            if *real == path {
                break;
            }
            path.clone_from(real);
        }
        (0..=path.len()).rev().find_map(|length| self.modules.get(&path[..length]))
    }
}

type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

fn graph(source: &Path) -> Imports {
    let files = files(source).into_iter().filter(|file| !is_test(file));
    let modules: BTreeMap<Module, PathBuf> = files.map(|file| (module_of(source, &file), file)).collect();
    let mut needed = Vec::new();
    let mut handed_on = BTreeMap::new();
    for (module, file) in &modules {
        for import in imports(&std::fs::read_to_string(file).unwrap()) {
            let Some(path) = absolute(&modules, module, &import.path) else { continue };
            if import.handed_on {
                let name = path.last().cloned();
                handed_on.insert(module.iter().cloned().chain(name).collect(), path);
            } else {
                needed.push((file.clone(), path));
            }
        }
    }
    let mut graph: Imports = modules.values().map(|file| (file.clone(), BTreeSet::new())).collect();
    let package = Package { modules, handed_on };
    for (file, path) in needed {
        let target = package.file(&path).filter(|target| **target != file).cloned();
        graph.get_mut(&file).unwrap().extend(target);
    }
    graph
}

fn reachable(graph: &Imports, from: &Path) -> BTreeSet<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(file) = open.pop() {
        for next in &graph[&file] {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

/// The folders that a file belongs to: `src/config.rs` lies in `src` and is the head of `src/config`.
fn folders(file: &Path) -> Vec<PathBuf> {
    let own = file.with_extension("");
    file.parent().map(Path::to_owned).into_iter().chain(own.is_dir().then_some(own)).collect()
}

fn share_a_folder(one: &Path, other: &Path) -> bool {
    let others = folders(other);
    folders(one).iter().any(|folder| others.contains(folder))
}

/// Pairs of files of different folders that reach each other.
fn circles(graph: &Imports) -> BTreeSet<(PathBuf, PathBuf)> {
    let reach: BTreeMap<&PathBuf, _> = graph.keys().map(|file| (file, reachable(graph, file))).collect();
    let pairs = graph.keys().flat_map(|one| reach[one].iter().map(move |other| (one, other)));
    pairs
        .filter(|(one, other)| one < other && !share_a_folder(one, other) && reach[other].contains(*one))
        .map(|(one, other)| (one.clone(), other.clone()))
        .collect()
}

#[test]
fn no_import_circle_between_folders() {
    for source in packages() {
        let graph = graph(&source);
        let edges: usize = graph.values().map(BTreeSet::len).sum();
        assert!(
            graph.len() < 5 || edges >= graph.len() / 2,
            "{} is hardly read: {edges} imports",
            source.display()
        );
        let circles = circles(&graph);
        assert!(circles.is_empty(), "these files of different folders import each other: {circles:#?}");
    }
}

#[test]
fn no_file_is_too_long() {
    let lines = |file: &Path| std::fs::read_to_string(file).unwrap().lines().count();
    let long: Vec<_> = packages()
        .iter()
        .flat_map(|source| files(source))
        .filter(|file| !is_test(file) && lines(file) > FILE_MAX)
        .collect();
    assert!(long.is_empty(), "longer than {FILE_MAX} lines: {long:#?}");
}

/// Name and length of each function of more than one line, read by rustfmt's layout: its end is a brace as far in as its
/// beginning.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = production(text).lines().collect();
    let named = lines.iter().enumerate().filter_map(|(at, line)| {
        let code = line.trim_start();
        let (before, name) = code.split_once("fn ")?;
        let qualifiers = ["pub", "const", "async", "extern", "\"C\""];
        let is_item =
            before.split_whitespace().all(|word| qualifiers.contains(&word.split('(').next().unwrap()));
        let is_whole = code.ends_with([';', '}']);
        let name = name.split(['(', '<']).next().unwrap();
        (is_item && !is_whole).then_some((at, line.len() - code.len(), name))
    });
    named
        .filter_map(|(at, indent, name)| {
            let rest = lines[at..].iter().position(|line| {
                line.len() - line.trim_start().len() == indent && line.ends_with(['}', ';'])
            })?;
            Some((name.to_owned(), rest + 1))
        })
        .collect()
}

#[test]
fn no_function_is_too_long() {
    let sources = packages();
    let files = sources.iter().flat_map(|source| files(source)).filter(|file| !is_test(file));
    let mut found: Vec<(usize, String)> = files
        .flat_map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            functions(&text)
                .into_iter()
                .map(move |(name, lines)| (lines, format!("{}: {name}", file.display())))
        })
        .collect();
    found.sort();
    assert!(found.len() > 1_000, "the tree is hardly read: {} functions", found.len());
    let long: Vec<_> = found.iter().filter(|(lines, _)| *lines > FUNCTION_MAX).collect();
    assert!(long.is_empty(), "longer than {FUNCTION_MAX} lines: {long:#?}");
    let p95 = found[found.len() * 95 / 100].0;
    assert!(p95 <= FUNCTION_P95, "more than 5 of 100 functions are longer than {FUNCTION_P95} lines: {p95}");
}

#[test]
fn functions_are_read_whole() {
    let text = "fn one() {\n    two(|| {\n    });\n}\n\nimpl A {\n    pub(crate) async fn three<T>(\n        a: T,\n    ) -> \
                fn() {\n        a\n    }\n\n    fn four();\n}\n\n#[cfg(test)]\nmod tests {\n    fn five() {\n    }\n}\n";
    assert_eq!(functions(text), [("one".to_owned(), 4), ("three".to_owned(), 5)]);
}

/// A module is where its name says: nobody looks for it at another path.
#[test]
fn no_module_names_its_path() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["src", "actors", "domain", "crates", "tests", "benches"].map(|folder| root.join(folder));
    let named = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().any(|line| line.trim_start().starts_with("#[path"))
    };
    let named: Vec<PathBuf> = sources.iter().flat_map(|source| files(source)).filter(named).collect();
    // an example of the documentation, compiled as readers copy it
    assert_eq!(named, [root.join("tests/it/verifying.rs")]);
}

/// The reader above reads what it claims to read.
#[test]
fn imports_are_read_whole() {
    let text = "//! use crate::no;\nuse crate::a::{\n    b, // use crate::no;\n    c::{d as x, self},\n};\npub use super::e;\n";
    let read: Vec<String> = imports(text).iter().map(|import| import.path.join("::")).collect();
    assert_eq!(read, ["crate::a::b", "crate::a::c::d", "crate::a::c::self", "super::e"]);
    assert_eq!(
        imports(text).iter().map(|import| import.handed_on).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    let file = |name: &str| PathBuf::from(name);
    let edge = |from: &str, to: &[&str]| (file(from), to.iter().map(|to| file(to)).collect());
    let graph = Imports::from([
        edge("a/1", &["b/2"]),
        edge("b/2", &["b/3"]),
        edge("b/3", &["a/1"]),
        edge("a/4", &["a/1"]),
    ]);
    let pairs = [("a/1", "b/2"), ("a/1", "b/3")].map(|(one, other)| (file(one), file(other)));
    assert_eq!(circles(&graph), BTreeSet::from(pairs));
}
