//! The words of mails: layouts and texts, ours or an operator's, checked when they are loaded.
//!
//! A layout (`code/body.html`) puts texts in order; a text (`[code] life` in `texts/de.toml`) is one sentence in one language,
//! with placeholders of its own. Both are minijinja templates.

use super::message::{Content, Mail, Rendered, Unsendable};
use super::values::{Common, Values};
use doorcode_domain::Language;
use minijinja::value::{Enumerator, Object};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use toml::Table;

macro_rules! built_in {
    ($($path:literal)*) => { [$(($path, include_str!(concat!("templates/", $path)))),*] };
}

const LAYOUTS: [(&str, &str); 5] =
    built_in!("code/body.txt" "code/body.html" "notice/body.txt" "notice/body.html" "page/body.html");

/// In the order of [`Language::all`].
const TEXTS: [(&str, &str); 10] = built_in!(
    "texts/en.toml" "texts/de.toml" "texts/fr.toml" "texts/es.toml" "texts/pt-BR.toml"
    "texts/it.toml" "texts/nl.toml" "texts/pl.toml" "texts/ja.toml" "texts/zh-CN.toml"
);

/// An operator's templates of one tenant lie in `tenants/SLUG/`.
const TENANTS: &str = "tenants";

/// Why templates cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct TemplateError {
    file: String,
    what: String,
}

impl TemplateError {
    fn new(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into() }
    }
}

/// The words of all mails.
pub struct Templates {
    common: TemplateSet,
    /// Of tenants with templates of their own, by slug.
    tenants: HashMap<String, TemplateSet>,
}

impl Templates {
    /// Ours, and what a folder has instead: the same files, as many as shall be others.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut sources = Sources::built_in()?;
        let mut tenants = HashMap::new();
        if let Some(folder) = folder {
            sources.lay(folder, true)?;
            for tenant in entries(&folder.join(TENANTS))? {
                let mut own = sources.clone();
                own.lay(&folder.join(TENANTS).join(&tenant), false)?;
                tenants.insert(tenant, own.compile(MAX_FILLED_OWN)?);
            }
        }
        Ok(Self { common: sources.compile(MAX_FILLED)?, tenants })
    }

    /// Fills the templates.
    pub fn render(&self, mail: &Mail) -> Result<Rendered, Unsendable> {
        self.tenants.get(&mail.tenant.slug).unwrap_or(&self.common).render(mail)
    }
}

/// Files before they are compiled.
#[derive(Clone)]
struct Sources {
    layouts: BTreeMap<&'static str, String>,
    texts: Vec<Table>,
}

impl Sources {
    fn built_in() -> Result<Self, TemplateError> {
        let layouts = LAYOUTS.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        let texts = TEXTS.iter().map(|(name, text)| parse(name, text)).collect::<Result<_, _>>()?;
        Ok(Self { layouts, texts })
    }

    /// Lays an operator's files over these. A file that would not be used is a mistake.
    fn lay(&mut self, folder: &Path, may_have_tenants: bool) -> Result<(), TemplateError> {
        for part in entries(folder)? {
            if may_have_tenants && part == TENANTS {
                continue;
            }
            for file in entries(&folder.join(&part))? {
                self.lay_file(folder, &format!("{part}/{file}"))?;
            }
        }
        Ok(())
    }

    fn lay_file(&mut self, folder: &Path, name: &str) -> Result<(), TemplateError> {
        let path = folder.join(name);
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| TemplateError::new(&shown, format!("cannot be read: {error}")))?;
        if let Some(layout) = self.layouts.get_mut(name) {
            *layout = text;
            return Ok(());
        }
        let Some(place) = TEXTS.iter().position(|(known, _)| *known == name) else {
            let known: Vec<&str> = LAYOUTS.iter().chain(&TEXTS).map(|(known, _)| *known).collect();
            let known = known.join(", ");
            return Err(TemplateError::new(shown, format!("is used for nothing: expected {known}")));
        };
        for (section, value) in parse(&shown, &text)? {
            let base = self.texts[place].get_mut(&section);
            match (base, value) {
                (Some(toml::Value::Table(base)), toml::Value::Table(over)) => {
                    for (key, value) in over {
                        if !base.contains_key(&key) {
                            let have: Vec<&str> = base.keys().map(String::as_str).collect();
                            let what = format!(
                                "there is no text {section}.{key}; {section} has {}",
                                have.join(", ")
                            );
                            return Err(TemplateError::new(shown, what));
                        }
                        base.insert(key, value);
                    }
                }
                (Some(base @ toml::Value::Array(_)), value @ toml::Value::Array(_)) => *base = value,
                _ => return Err(TemplateError::new(shown, format!("there is no section {section}"))),
            }
        }
        Ok(())
    }

    fn compile(self, max_filled: usize) -> Result<TemplateSet, TemplateError> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        // Debug information of an error quotes the variables, and one of them is the code.
        env.set_debug(false);
        env.set_auto_escape_callback(|name| match name.ends_with(".html") {
            true => AutoEscape::Html,
            false => AutoEscape::None,
        });
        // Templates live as long as the process.
        let mut add = |name: String, source: String| {
            let (name, source): (&'static str, &'static str) = (name.leak(), source.leak());
            env.add_template(name, source)
                .map_err(|error| TemplateError::new(name, format!("is no template: {error}")))?;
            Ok(name)
        };
        for (name, source) in self.layouts {
            add(name.to_owned(), source)?;
        }
        let mut languages = Vec::new();
        for (language, table) in Language::all().zip(self.texts) {
            let mut words = Words { months: Vec::new(), sections: BTreeMap::new() };
            for (section, value) in table {
                match value {
                    toml::Value::Table(texts) => {
                        let mut names = Vec::new();
                        for (key, text) in texts {
                            let name = text_name(language, &section, &key);
                            let text =
                                text.as_str().ok_or_else(|| TemplateError::new(&name, "expected a text"))?;
                            let name = add(name, text.to_owned())?;
                            names.push(TextName { key: key.into(), name });
                        }
                        words.sections.insert(section, names);
                    }
                    other => words.months = other.try_into().unwrap_or_default(),
                }
            }
            languages.push(words);
        }
        let set = TemplateSet { env, languages, filled: Filled { kept: Mutex::default(), max: max_filled } };
        set.check()?;
        Ok(set)
    }
}

/// The names in a folder that is there; hidden ones are nobody's.
fn entries(folder: &Path) -> Result<Vec<String>, TemplateError> {
    if folder.file_name().is_some_and(|name| name == TENANTS) && !folder.exists() {
        return Ok(Vec::new());
    }
    let unreadable = |error: std::io::Error| {
        TemplateError::new(folder.display().to_string(), format!("cannot be read: {error}"))
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !name.starts_with('.'));
    Ok(names)
}

fn parse(name: &str, text: &str) -> Result<Table, TemplateError> {
    text.parse().map_err(|error: toml::de::Error| TemplateError::new(name, error.to_string()))
}

fn text_name(language: Language, section: &str, key: &str) -> String {
    format!("texts/{}.toml {section}.{key}", language.tag())
}

/// Compiled templates.
struct TemplateSet {
    env: Environment<'static>,
    /// In the order of [`Language::all`].
    languages: Vec<Words>,
    filled: Filled,
}

struct Words {
    months: Vec<String>,
    sections: BTreeMap<String, Vec<TextName>>,
}

struct TextName {
    /// In its section.
    key: Arc<str>,
    name: &'static str,
}

/// Texts that mails have in common, by section: in a burst most texts are filled once a minute.
struct Filled {
    kept: Mutex<HashMap<(&'static str, Common), Arc<Texts>>>,
    /// Tenants, languages and minutes whose texts are kept, some 1 KB each. At that many all are forgotten.
    max: usize,
}

/// Texts by key.
#[derive(Default)]
struct Texts(HashMap<Arc<str>, Value>);

impl Object for Texts {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// Without the texts: some hold the code.
impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}

/// What is kept of templates that all tenants share, and of a tenant's own.
const MAX_FILLED: usize = 256;
const MAX_FILLED_OWN: usize = 16;

impl Filled {
    fn get(&self, key: &(&'static str, Common)) -> Option<Arc<Texts>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: (&'static str, Common), texts: Texts) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.max {
            kept.clear();
        }
        kept.insert(key, texts.into());
    }
}

impl TemplateSet {
    fn render(&self, mail: &Mail) -> Result<Rendered, Unsendable> {
        let (words, values) = self.values(mail)?;
        self.fill(mail, words, values)
            .map_err(|_| Unsendable::Template("a template asks for a value it is not given"))
    }

    fn values(&self, mail: &Mail) -> Result<(&Words, Values), Unsendable> {
        let words = self.languages.get(mail.language.index());
        let words = words.ok_or(Unsendable::Template("its language lacks texts"))?;
        Ok((words, Values::of(mail, &words.months)?))
    }

    /// The error names the template, never a value.
    fn fill(&self, mail: &Mail, words: &Words, values: Values) -> Result<Rendered, TemplateError> {
        let (section, layout) = match mail.content {
            Content::Code { .. } => ("code", "code"),
            Content::FailedGuesses => ("failed_guesses", "notice"),
            Content::NewDevice => ("new_device", "notice"),
        };
        let lacking = || TemplateError::new(mail.language.tag(), "lacks texts");
        let values = Arc::new(values);
        let shown = Value::from_dyn_object(values.clone());
        let texts = self.texts(section, words.sections.get(section).ok_or_else(lacking)?, &values, &shown)?;
        let subject = texts.0.get("subject").and_then(Value::as_str).ok_or_else(lacking)?.trim().to_owned();
        values.show_texts(Value::from_object(texts));
        Ok(Rendered {
            subject,
            text: self.one(&format!("{layout}/body.txt"), &shown)?.trim_end().to_owned() + "\n",
            html: self.one(&format!("{layout}/body.html"), &shown)?,
        })
    }

    /// A section's texts by key. What shows nothing of its own is taken from an earlier mail that had the rest in common.
    fn texts(
        &self,
        section: &'static str,
        names: &[TextName],
        values: &Values,
        shown: &Value,
    ) -> Result<Texts, TemplateError> {
        let key = (section, values.common.clone());
        let filled = self.filled.get(&key);
        let (mut common, mut texts) = (Texts::default(), Texts::default());
        for TextName { key, name } in names {
            let text = match filled.as_ref().and_then(|filled| filled.0.get(key)) {
                Some(text) => text.clone(),
                None => {
                    values.take_own_shown();
                    let text = Value::from(self.one(name, shown)?);
                    if !values.take_own_shown() {
                        common.0.insert(key.clone(), text.clone());
                    }
                    text
                }
            };
            texts.0.insert(key.clone(), text);
        }
        if filled.is_none() {
            self.filled.put(key, common);
        }
        Ok(texts)
    }

    fn one(&self, name: &str, values: &Value) -> Result<String, TemplateError> {
        let filled = self.env.get_template(name).and_then(|template| template.render(values));
        filled.map_err(|error| TemplateError::new(name, error.to_string()))
    }

    /// Every template with every kind of value.
    fn check(&self) -> Result<(), TemplateError> {
        for mail in Mail::samples() {
            let (words, values) =
                self.values(&mail).map_err(|error| TemplateError::new("a sample", error.to_string()))?;
            let words = self.fill(&mail, words, values)?;
            if let Content::Code { code, .. } = &mail.content {
                let (code, text) = (code.reveal(), text_name(mail.language, "code", "first"));
                if !words.subject.starts_with(code) || !words.text.starts_with(code) {
                    return Err(TemplateError::new(text, "subject and first line must begin with the code"));
                }
            }
            if words.subject.lines().count() != 1 {
                return Err(TemplateError::new(mail.language.tag(), "a subject must be one line"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
