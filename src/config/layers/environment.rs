//! `DOORCODE__SECTION__KEY`, `…_FILE` for secrets, and `DATABASE_URL`.

use super::{Layers, PROVIDERS, SECRETS, is_secret, kind, lookup, unknown, walk};
use crate::config::error::{Fault, Origin};
use toml::{Table, Value};

const PREFIX: &str = "DOORCODE__";

impl Layers {
    /// Lays the variables that are ours over everything else. The others are nobody's business here.
    pub(super) fn lay_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut database_url = None;
        for (variable, text) in environment {
            if variable == "DATABASE_URL" {
                // Last, so that it wins; an empty one is how some platforms say "none".
                database_url = Some(text).filter(|text| !text.is_empty());
            } else if let Some(name) = variable.strip_prefix(PREFIX) {
                let key = name.to_ascii_lowercase().replace("__", ".");
                if let Err(message) = self.lay_variable(&variable, &key, text) {
                    faults.push(Fault {
                        origin: Origin::Env { variable },
                        key: String::new(),
                        message,
                        excerpt: None,
                        default: None,
                    });
                }
            } else if let Some(meant) = self.misspelt(&variable) {
                let message =
                    format!("this sets nothing: did you mean {meant}? Two underscores stand for a dot");
                let origin = Origin::Env { variable };
                faults.push(Fault { origin, key: String::new(), message, excerpt: None, default: None });
            }
        }
        if let Some(url) = database_url {
            self.set("DATABASE_URL", "database.url", Value::String(url));
        }
        faults
    }

    /// The variable that was meant by one which has single underscores where two belong. Only names that are a setting's
    /// but for that: others may be anybody's (Kubernetes makes `DOORCODE_PORT` for a service called doorcode).
    fn misspelt(&self, variable: &str) -> Option<String> {
        let name = variable.strip_prefix("DOORCODE_")?.to_ascii_lowercase().replace("__", "_");
        let mut names = Vec::new();
        walk(&self.defaults, "", &mut |key, _| {
            let spelt = key.replace('.', "__");
            names.extend(is_secret(key).then(|| format!("{spelt}_file")));
            names.push(spelt);
        });
        let meant = names.iter().find(|spelt| spelt.replace("__", "_") == name);
        meant.map(|spelt| format!("{PREFIX}{}", spelt.to_ascii_uppercase()))
    }

    fn lay_variable(&mut self, variable: &str, key: &str, text: String) -> Result<(), String> {
        if let Some(secret) = key.strip_suffix("_file").filter(|key| is_secret(key)) {
            let text =
                std::fs::read_to_string(&text).map_err(|error| format!("{text} cannot be read: {error}"))?;
            let text = text.trim().to_owned();
            let default = lookup(&self.merged, secret).unwrap_or(&Value::Boolean(false)).clone();
            self.set(variable, secret, read_as(&default, text).unwrap_or(Value::Boolean(false)));
            return Ok(());
        }
        // of a provider that the file names, its values may be here
        let named = key.starts_with(PROVIDERS).then(|| lookup(&self.merged, key)).flatten();
        let Some(default) = lookup(&self.defaults, key).or(named).filter(|value| !value.is_table()) else {
            return Err(self.unknown_variable(key));
        };
        let value = read_as(default, text).ok_or_else(|| format!("{key}: expected {}", kind(default)))?;
        self.set(variable, key, value);
        Ok(())
    }

    fn unknown_variable(&self, key: &str) -> String {
        let section = key.rsplit_once('.').map_or("", |(section, _)| section);
        let table = lookup(&self.defaults, section).and_then(Value::as_table).unwrap_or(&self.defaults);
        let prefix = if std::ptr::eq(table, &self.defaults) { String::new() } else { format!("{section}.") };
        let secrets = if key.ends_with("_file") {
            format!(" (_FILE works for {})", SECRETS.join(", "))
        } else {
            String::new()
        };
        format!("{key}: {}{secrets}", unknown(key, table, &prefix))
    }

    fn set(&mut self, variable: &str, key: &str, value: Value) {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table: &mut Table = &mut self.merged;
        for part in section.split('.').filter(|part| !part.is_empty()) {
            match table.get_mut(part) {
                Some(Value::Table(inner)) => table = inner,
                _ => return,
            }
        }
        table.insert(name.to_owned(), value);
        self.env.insert(key.to_owned(), variable.to_owned());
    }
}

/// A variable is text; the default says what the text means.
fn read_as(default: &Value, text: String) -> Option<Value> {
    match default {
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
        _ => Some(Value::String(text)),
    }
}
