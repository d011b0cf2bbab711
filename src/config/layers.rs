//! Defaults, file and environment laid over each other, and the way back from a setting to where it was given.
//!
//! The defaults are the schema: a key exists if it stands in `config.toml`, and a value is of the kind that stands
//! there. So unknown keys and wrong kinds are found here, before any type is asked.

use super::error::{ConfigError, Fault, Origin, Problem};
use super::{Config, DEFAULTS};
use place::Place;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

mod environment;
mod place;

/// Never printed: not in `check-config`, not in an error's excerpt.
const SECRETS: [&str; 6] = [
    "database.url",
    "master_key.value",
    "mail.smtp.password",
    "mail.smtp.report_secret",
    "mail.hook.secrets",
    "mail.hook.report_secret",
];
/// The section whose sections have names of the operator's choice.
const PROVIDERS: &str = "mail.providers.";

/// One setting as it is in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// `http.listen`
    pub key: String,
    /// As TOML would have it; `"[redacted]"` for a secret that is set.
    pub value: Value,
    /// Who set it.
    pub origin: Origin,
}

impl Setting {
    /// The value as the file would have it.
    pub fn shown(&self) -> String {
        shown(&self.value)
    }
}

/// The sources, kept so that errors can point into them.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    merged: Table,
    defaults: Table,
    file: Option<File>,
    /// Which variable set which key.
    env: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct File {
    path: String,
    text: String,
}

impl Layers {
    /// All layers as far as they can be read, and what is wrong with them.
    pub(super) fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Fault>), ConfigError> {
        let defaults: Table = toml::from_str(DEFAULTS).map_err(|error| plain("", &error.to_string()))?;
        let mut layers = Self { merged: defaults.clone(), defaults, file: None, env: BTreeMap::new() };
        let mut faults = match file {
            Some(path) => layers.lay_file(path)?,
            None => Vec::new(),
        };
        faults.extend(layers.lay_environment(environment));
        Ok((layers, faults))
    }

    /// The typed settings, with the default in place of each value that its type refuses: those are the problems.
    pub(super) fn build(&self) -> Result<(Config, Vec<Problem>), ConfigError> {
        let (mut table, mut problems) = (self.merged.clone(), Vec::new());
        loop {
            let refused = match serde_path_to_error::deserialize(Value::Table(table.clone())) {
                Ok(config) => return Ok((config, problems)),
                Err(error) => error,
            };
            let key = key_of(refused.path());
            problems.push(Problem::new(&key, refused.into_inner().message()));
            // a value that is refused as it stands in `config.toml` cannot be mended here
            if !restore(&mut table, &self.defaults, &key) {
                return Err(self.locate(problems));
            }
        }
    }

    /// Finds the place of each problem: environment over file over defaults.
    pub(super) fn locate(&self, problems: Vec<Problem>) -> ConfigError {
        self.report(Vec::new(), problems)
    }

    /// The same, beside faults that have their place already.
    pub(super) fn report(&self, mut faults: Vec<Fault>, problems: Vec<Problem>) -> ConfigError {
        faults.extend(problems.into_iter().map(|problem| self.fault(problem)));
        // Those of the file in its order; the sort is stable, so the others keep theirs.
        faults.sort_by_key(|fault| match fault.origin {
            Origin::File { line, .. } => line,
            _ => usize::MAX,
        });
        ConfigError { faults }
    }

    pub(super) fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        walk(&self.merged, "", &mut |key, value| {
            let value = if is_secret(key) { redacted(value) } else { value.clone() };
            settings.push(Setting { key: key.to_owned(), value, origin: self.origin(key).0 });
        });
        settings
    }

    fn lay_file(&mut self, path: &Path) -> Result<Vec<Fault>, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| plain(&shown, &format!("the file cannot be read: {error}")))?;
        let table: Table = match toml::from_str(&text) {
            Ok(table) => table,
            Err(error) => {
                let place = Place::of_syntax_error(&text, error.span(), |name| self.is_open(name));
                let message = format!("this is not TOML: {}", error.message());
                return Err(ConfigError { faults: vec![place.fault(&shown, "", message, None)] });
            }
        };
        self.file = Some(File { path: shown, text });
        let mut problems = Vec::new();
        overlay(&mut self.merged, &self.defaults, table, "", &mut problems);
        Ok(self.locate(problems).faults)
    }

    fn fault(&self, problem: Problem) -> Fault {
        let default = lookup(&self.defaults, &problem.key)
            .filter(|value| !value.is_table() && value.as_str() != Some(""))
            .map(shown);
        let (origin, place) = self.origin(&problem.key);
        match (place, &self.file) {
            (Some(place), Some(file)) => place.fault(&file.path, &problem.key, problem.message, default),
            _ => Fault { origin, key: problem.key, message: problem.message, excerpt: None, default },
        }
    }

    fn origin(&self, key: &str) -> (Origin, Option<Place>) {
        if let Some(variable) = self.env.get(key) {
            return (Origin::Env { variable: variable.clone() }, None);
        }
        let found = self
            .file
            .as_ref()
            .and_then(|file| Some((file, Place::of_key(&file.text, key, self.may_show(key))?)));
        match found {
            Some((file, place)) => (place.origin(&file.path), Some(place)),
            None => (Origin::Default, None),
        }
    }

    /// Whether errors may show a setting's value: of a known one that is no secret, or what has the name of one.
    fn may_show(&self, key: &str) -> bool {
        let name = key.rsplit('.').next().unwrap_or(key);
        !is_secret(key) && (lookup(&self.defaults, key).is_some() || self.is_open(name))
    }

    /// Whether this is the last name of settings, none of which is a secret.
    fn is_open(&self, name: &str) -> bool {
        let mut keys = Vec::new();
        walk(&self.defaults, "", &mut |key, _| keys.push(key.to_owned()));
        let mut named = keys.iter().filter(|key| key.rsplit('.').next() == Some(name)).peekable();
        name == "kind" || (named.peek().is_some() && named.all(|key| !is_secret(key)))
    }
}

/// Lays `over` on `base`. What `defaults` does not have, or has of another kind, becomes a problem instead.
fn overlay(base: &mut Table, defaults: &Table, over: Table, prefix: &str, problems: &mut Vec<Problem>) {
    for (name, value) in over {
        let key = format!("{prefix}{name}");
        match (defaults.get(&name), value) {
            (None, Value::Table(mut table)) if prefix == PROVIDERS => {
                let kind = table.remove("kind").unwrap_or_else(|| Value::String("smtp".to_owned()));
                let Some(template) = kind.as_str().and_then(provider) else {
                    problems.push(Problem::new(&format!("{key}.kind"), "expected \"smtp\" or \"hook\""));
                    continue;
                };
                let mut inner = template.clone();
                overlay(&mut inner, &template, table, &format!("{key}."), problems);
                inner.insert("kind".to_owned(), kind);
                base.insert(name, Value::Table(inner));
            }
            (None, _) => problems.push(Problem::new(&key, unknown(&key, defaults, prefix))),
            (Some(Value::Table(inner)), Value::Table(table)) => {
                if let Some(Value::Table(base)) = base.get_mut(&name) {
                    overlay(base, inner, table, &format!("{key}."), problems);
                }
            }
            (Some(default), value) if default.same_type(&value) => {
                base.insert(name, value);
            }
            (Some(default), value) => {
                let message = format!("expected {}, found {}", kind(default), kind(&value));
                problems.push(Problem::new(&key, message));
            }
        }
    }
}

/// What a provider of this kind is made of.
fn provider(kind: &str) -> Option<Table> {
    let defaults = toml::from_str::<Table>(DEFAULTS).ok()?;
    let is_kind = matches!(kind, "smtp" | "hook");
    lookup(&defaults, &format!("mail.{kind}")).filter(|_| is_kind)?.as_table().cloned()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string in quotes",
        Value::Integer(_) => "a whole number without quotes",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list in [ ]",
        Value::Table(_) => "a section",
    }
}

/// Names the nearest key of all, or what the section does have.
fn unknown(key: &str, section: &Table, prefix: &str) -> String {
    let mut known = Vec::new();
    if let Ok(defaults) = toml::from_str::<Table>(DEFAULTS) {
        walk(&defaults, "", &mut |key, _| {
            known.extend(key.match_indices('.').map(|(dot, _)| key[..dot].to_owned()));
            known.push(key.to_owned());
        });
    }
    let last = |key: &str| key.rsplit('.').next().map_or(String::new(), str::to_owned);
    let near = nearest(key, last(key).len() / 3, known.iter().map(String::as_str))
        // Begun and not finished; or the right name in the wrong section.
        .or_else(|| known.iter().map(String::as_str).find(|candidate| candidate.starts_with(key)))
        .or_else(|| known.iter().map(String::as_str).find(|candidate| last(candidate) == last(key)));
    match near {
        Some(near) => format!("there is no such setting; did you mean {near}?"),
        None => {
            let names: Vec<&str> = section.keys().map(String::as_str).collect();
            let section = if prefix.is_empty() { "the top level" } else { prefix.trim_end_matches('.') };
            format!("there is no such setting; {section} has {}", names.join(", "))
        }
    }
}

/// The word that was meant by a misspelt one, within so many steps, at least one.
pub(crate) fn nearest<'a>(
    typed: &str,
    steps: usize,
    words: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = words.map(|word| (distance(typed, word), word)).min();
    near.filter(|(away, _)| *away <= steps.max(1)).map(|(_, word)| word)
}

/// Levenshtein's: how many characters to add, drop or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// As the file would have it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Datetime(date) => date.to_string(),
        Value::Table(_) => "a section".to_owned(),
    }
}

fn walk(table: &Table, prefix: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, value) in table {
        match value {
            Value::Table(inner) => walk(inner, &format!("{prefix}{name}."), visit),
            value => visit(&format!("{prefix}{name}"), value),
        }
    }
}

fn lookup<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    let mut names = key.split('.');
    let first = table.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

/// Puts the default back; `false` if it stands there already.
fn restore(table: &mut Table, defaults: &Table, key: &str) -> bool {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    match (table.get_mut(first), defaults.get(first)) {
        (Some(Value::Table(inner)), Some(Value::Table(defaults))) => restore(inner, defaults, rest),
        (Some(value), Some(default)) if value != default => {
            *value = default.clone();
            true
        }
        _ => false,
    }
}

fn is_secret(key: &str) -> bool {
    let of_provider = || [".password", ".secrets", ".report_secret"].iter().any(|end| key.ends_with(end));
    SECRETS.contains(&key) || (key.starts_with(PROVIDERS) && of_provider())
}

fn redacted(value: &Value) -> Value {
    match value.as_str() {
        Some("") => value.clone(),
        _ => Value::String("[redacted]".to_owned()),
    }
}

fn key_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let names = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        _ => None,
    });
    names.collect::<Vec<_>>().join(".")
}

fn plain(path: &str, message: &str) -> ConfigError {
    let message = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
    let fault = Fault { origin: Origin::Default, key: String::new(), message, excerpt: None, default: None };
    ConfigError { faults: vec![fault] }
}
