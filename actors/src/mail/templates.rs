//! The words of mails: layouts and texts, ours or an operator's, checked when they are loaded.
//!
//! A layout (`code/body.html`) puts texts in order; a text (`[code] life` in `texts/de.toml`) is one sentence in one language,
//! with placeholders of its own. Both are minijinja templates.

use super::message::{Content, Mail, Rendered, Unsendable, Values};
use doorcode_domain::Language;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
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
                tenants.insert(tenant, own.compile()?);
            }
        }
        Ok(Self { common: sources.compile()?, tenants })
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

    fn compile(self) -> Result<TemplateSet, TemplateError> {
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
                .map_err(|error| TemplateError::new(name, format!("is no template: {error}")))
        };
        for (name, source) in self.layouts {
            add(name.to_owned(), source)?;
        }
        let mut languages = Vec::new();
        for (language, table) in Language::all().zip(self.texts) {
            let mut words = Words { months: Vec::new(), keys: BTreeMap::new() };
            for (section, value) in table {
                match value {
                    toml::Value::Table(texts) => {
                        words.keys.insert(section.clone(), texts.keys().cloned().collect());
                        for (key, text) in texts {
                            let name = text_name(language, &section, &key);
                            let text =
                                text.as_str().ok_or_else(|| TemplateError::new(&name, "expected a text"))?;
                            add(name, text.to_owned())?;
                        }
                    }
                    other => words.months = other.try_into().unwrap_or_default(),
                }
            }
            languages.push(words);
        }
        let set = TemplateSet { env, languages };
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
}

struct Words {
    months: Vec<String>,
    /// The texts of each section.
    keys: BTreeMap<String, Vec<String>>,
}

impl TemplateSet {
    fn render(&self, mail: &Mail) -> Result<Rendered, Unsendable> {
        let values = Values::of(mail)?;
        self.fill(mail, &values)
            .map_err(|_| Unsendable::Template("a template asks for a value it is not given"))
    }

    /// The error names the template, never a value.
    fn fill(&self, mail: &Mail, values: &Values) -> Result<Rendered, TemplateError> {
        let (section, layout) = match mail.content {
            Content::Code { .. } => ("code", "code"),
            Content::FailedGuesses => ("failed_guesses", "notice"),
            Content::NewDevice => ("new_device", "notice"),
        };
        let lacking = || TemplateError::new(mail.language.tag(), "lacks texts");
        let words = self.languages.get(mail.language.index()).ok_or_else(lacking)?;
        let month = words.months.get(values.month_index).ok_or_else(lacking)?;
        let values = context! { month, ..values.values.clone() };
        let mut texts = BTreeMap::new();
        for key in words.keys.get(section).ok_or_else(lacking)? {
            let text = self.one(&text_name(mail.language, section, key), &values)?;
            texts.insert(key.as_str(), text);
        }
        let subject = texts.get("subject").ok_or_else(lacking)?.trim().to_owned();
        let values = context! { t => texts, ..values };
        Ok(Rendered {
            subject,
            text: self.one(&format!("{layout}/body.txt"), &values)?.trim_end().to_owned() + "\n",
            html: self.one(&format!("{layout}/body.html"), &values)?,
        })
    }

    fn one(&self, name: &str, values: &Value) -> Result<String, TemplateError> {
        let filled = self.env.get_template(name).and_then(|template| template.render(values));
        filled.map_err(|error| TemplateError::new(name, error.to_string()))
    }

    /// Every template with every kind of value.
    fn check(&self) -> Result<(), TemplateError> {
        for mail in Mail::samples() {
            let values =
                Values::of(&mail).map_err(|error| TemplateError::new("a sample", error.to_string()))?;
            let words = self.fill(&mail, &values)?;
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
