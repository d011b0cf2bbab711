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
    /// The value of `key`, or, where there is none, its section. `may_show`: the value.
    pub(super) fn of_key(text: &str, key: &str, may_show: bool) -> Option<Self> {
        let root = DeTable::parse(text).ok()?;
        let mut table = root.get_ref();
        let mut names = key.split('.').peekable();
        while let Some(name) = names.next() {
            let (found, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
            match (value.get_ref(), names.peek()) {
                (DeValue::Table(inner), Some(_)) => table = inner,
                // A section that should be a value, or is unknown: its header tells more than its content.
                (DeValue::Table(_), None) => return Some(Self::at(text, found.span(), name_of)),
                (_, None) if may_show => return Some(Self::at(text, value.span(), only_setting_of)),
                (_, None) => return Some(Self::at(text, value.span(), hidden)),
                (_, Some(_)) => return None,
            }
        }
        None
    }

    /// Where the parser gave up. The line is shown only if no secret can stand in it: a header, or a setting of which
    /// `is_open` says that it is known and none. What was misspelt may be a secret.
    pub(super) fn of_syntax_error(
        text: &str,
        span: Option<Range<usize>>,
        is_open: impl Fn(&str) -> bool,
    ) -> Self {
        Self::at(text, span.unwrap_or(0..0), |line, at| {
            let name = name_of(line, at)?;
            let header = name.trim_start_matches(['[', ' ']).trim_end();
            let is_plain = |c: char| c.is_ascii_alphanumeric() || ". _-]".contains(c);
            let is_shown = match name.starts_with('[') {
                true => name == line && header.chars().all(is_plain),
                false => name != line && is_open(header.rsplit('.').next()?.trim()),
            };
            only_setting_of(line, at).filter(|_| is_shown)
        })
    }

    /// `shown` says what of a line is shown, told at which byte of it the place begins.
    fn at(text: &str, span: Range<usize>, shown: impl Fn(&str, usize) -> Option<String>) -> Self {
        let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[begin..].find('\n').map_or(text.len(), |at| begin + at);
        let line = text[..begin].matches('\n').count() + 1;
        let start = text[begin..span.start].chars().count();
        let excerpt = shown(&text[begin..end], span.start - begin).map(|shown| {
            let meant = text[span.start..span.end.min(end).max(span.start)].chars().count();
            let length = if shown.ends_with(HIDDEN) { HIDDEN.len() } else { meant };
            Excerpt { line, text: shown.trim_end().to_owned(), start, length }
        });
        Self { line, column: start + 1, excerpt }
    }

    pub(super) fn origin(&self, path: &str) -> Origin {
        Origin::File { path: path.to_owned(), line: self.line, column: self.column }
    }

    pub(super) fn fault(self, path: &str, key: &str, message: String, default: Option<String>) -> Fault {
        Fault { origin: self.origin(path), key: key.to_owned(), message, excerpt: self.excerpt, default }
    }
}

const HIDDEN: &str = "\"[redacted]\"";

/// What stands before the first value of a line.
fn name_of(line: &str, _: usize) -> Option<String> {
    line.split('=').next().map(str::to_owned)
}

/// A line with one setting at most. In an inline table another one, which may be a secret, stands beside it.
fn only_setting_of(line: &str, _: usize) -> Option<String> {
    (line.matches('=').count() < 2).then(|| line.to_owned())
}

/// A line without its value.
fn hidden(line: &str, at: usize) -> Option<String> {
    only_setting_of(line.get(..at)?, at).map(|before| before + HIDDEN)
}
