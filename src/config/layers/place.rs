//! Where in the file a setting stands, and the line that shows it, without ever showing a secret.

use crate::config::error::{Excerpt, Fault, Origin};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A place in the file.
pub(super) struct Place {
    line: usize,
    column: usize,
    excerpt: Option<Excerpt>,
}

impl Place {
    /// The value of `key`, or, where there is none, its section.
    pub(super) fn of_key(text: &str, key: &str, is_secret: bool) -> Option<Self> {
        let root = DeTable::parse(text).ok()?;
        let mut table = root.get_ref();
        let mut names = key.split('.').peekable();
        while let Some(name) = names.next() {
            let (found, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
            match (value.get_ref(), names.peek()) {
                (DeValue::Table(inner), Some(_)) => table = inner,
                // A section that should be a value, or is unknown: its header tells more than its content.
                (DeValue::Table(_), None) => return Some(Self::at(text, found.span(), false)),
                (_, None) => return Some(Self::at(text, value.span(), is_secret)),
                (_, Some(_)) => return None,
            }
        }
        None
    }

    /// Where the parser gave up. The line is shown only if no secret can stand in it.
    pub(super) fn of_syntax_error(text: &str, span: Option<Range<usize>>, secrets: &[&str]) -> Self {
        let mut place = Self::at(text, span.unwrap_or(0..0), false);
        let may_show = place.excerpt.as_ref().is_some_and(|excerpt| {
            let name = excerpt.text.split('=').next().unwrap_or_default().trim();
            let names_secret =
                secrets.iter().any(|secret| secret.rsplit('.').next().is_some_and(|s| name.contains(s)));
            let in_the_open = excerpt.text.contains('=') || excerpt.text.trim_start().starts_with('[');
            in_the_open && !names_secret
        });
        if !may_show {
            place.excerpt = None;
        }
        place
    }

    fn at(text: &str, span: Range<usize>, secret: bool) -> Self {
        let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[begin..].find('\n').map_or(text.len(), |at| begin + at);
        let line = text[..begin].matches('\n').count() + 1;
        let start = text[begin..span.start].chars().count();
        let (shown, length) = if secret {
            (format!("{}\"[redacted]\"", &text[begin..span.start]), 12)
        } else {
            (
                text[begin..end].trim_end().to_owned(),
                text[span.start..span.end.min(end).max(span.start)].chars().count(),
            )
        };
        Self { line, column: start + 1, excerpt: Some(Excerpt { line, text: shown, start, length }) }
    }

    pub(super) fn origin(&self, path: &str) -> Origin {
        Origin::File { path: path.to_owned(), line: self.line, column: self.column }
    }

    pub(super) fn fault(self, path: &str, key: &str, message: String, default: Option<String>) -> Fault {
        Fault { origin: self.origin(path), key: key.to_owned(), message, excerpt: self.excerpt, default }
    }
}
