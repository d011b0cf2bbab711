//! Questions about single characters.

use unicode_normalization::char::is_combining_mark;

use super::codepoints::{GREEK, HEBREW, KANA_HAN, LABEL, UNSAFE};
use super::error::EmailError;

/// Refuses what would hide, reorder or attach itself to other text when the address is shown.
pub(super) fn check_safe(text: &str) -> Result<(), EmailError> {
    let leading_mark = text.chars().next().filter(|&first| is_combining_mark(first));
    let hidden = text.chars().filter(|&c| !c.is_ascii() && contains(&UNSAFE, c));
    match hidden.chain(leading_mark).min() {
        Some(worst) => Err(EmailError::Unsafe(worst)),
        None => Ok(()),
    }
}

/// Characters that UTS 46 would turn into text with a dot: they could move a label boundary.
/// The three other full stops (U+3002, U+FF0E, U+FF61) are proper separators and map to one dot.
pub(super) fn is_dot_like(c: char) -> bool {
    matches!(
        c,
        '\u{2024}'..='\u{2026}'
            | '\u{2488}'..='\u{249b}'
            | '\u{33c2}'
            | '\u{33c7}'
            | '\u{33d8}'
            | '\u{fe12}'
            | '\u{fe19}'
            | '\u{fe30}'
            | '\u{fe52}'
            | '\u{1f100}'
    )
}

/// May stand anywhere in a domain label (IDNA 2008 PVALID).
pub(super) fn is_label_char(c: char) -> bool {
    match c {
        'a'..='z' | '0'..='9' | '-' => true,
        c => !c.is_ascii() && contains(&LABEL, c),
    }
}

pub(super) fn is_greek(c: char) -> bool {
    contains(&GREEK, c)
}

pub(super) fn is_hebrew(c: char) -> bool {
    contains(&HEBREW, c)
}

pub(super) fn is_kana_or_han(c: char) -> bool {
    contains(&KANA_HAN, c)
}

/// `flips` holds the code points where membership changes: after an odd number of them we are inside.
fn contains(flips: &[u32], c: char) -> bool {
    flips.partition_point(|&flip| flip <= u32::from(c)) % 2 == 1
}
