//! Names that people chose, made safe to stand in a header and beside a code.

/// Longer names are cut: a name is a name, not a message to the reader.
const MAX_CHARS: usize = 60;

/// Digits in a row that a mail program could take for the code (STANDARDS H13).
pub(super) const LONGEST_DIGIT_RUN: usize = 3;

/// NARROW NO-BREAK SPACE: parts digits for programs, hardly for the eye.
const DIGIT_GAP: char = '\u{202F}';

/// `raw` on one line, without anything that a header, a mail program or a code finder would read as more
/// than a name: no controls, line or paragraph separators, direction marks or invisible characters, no
/// encoded words, no web addresses, no long digit runs (STANDARDS H8, H12, H13).
pub(super) fn one_line(raw: &str) -> String {
    let visible: String = raw.chars().map(|c| if is_visible(c) { c } else { ' ' }).collect();
    // "=?" opens an encoded word (RFC 2047), which readers decode even where we never encoded.
    let inert = visible.replace("=?", "= ?").replace("://", " ");
    let words: Vec<&str> = inert.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(MAX_CHARS).collect();
    break_digit_runs(short.trim_end())
}

fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Inner runs of four and more digits into pairs: "Studio 2025" becomes "Studio 20 25".
pub(super) fn break_digit_runs(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut run = String::new();
    for c in name.chars() {
        if c.is_numeric() {
            run.push(c);
        } else {
            push_run(&mut out, &run);
            run.clear();
            out.push(c);
        }
    }
    push_run(&mut out, &run);
    out
}

fn push_run(out: &mut String, run: &str) {
    let long = run.chars().count() > LONGEST_DIGIT_RUN;
    for (i, c) in run.chars().enumerate() {
        if long && i > 0 && i % 2 == 0 {
            out.push(DIGIT_GAP);
        }
        out.push(c);
    }
}

/// How many digits stand in a row at most.
pub(super) fn longest_digit_run(text: &str) -> usize {
    text.split(|c: char| !c.is_numeric()).map(|run| run.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in [
            "Acme",
            "Müller & Söhne",
            "A/B Testing, Inc.",
            "Booking.com",
            "株式会社アクメ",
            "Studio 54",
            "O'Neil \"X\"",
        ] {
            assert_eq!(one_line(name), name);
        }
    }

    #[test]
    fn h8_nothing_in_a_name_starts_a_new_line_or_hides() {
        assert_eq!(one_line("Acme\r\nBcc: eve@evil.example"), "Acme Bcc: eve@evil.example");
        assert_eq!(one_line("a\0b\u{2028}c\u{2029}d\u{85}e\u{202E}f\u{200B}g\u{FEFF}h"), "a b c d e f g h");
        assert_eq!(one_line("=?utf-8?b?QmNjOiB4?="), "= ?utf-8?b?QmNjOiB4?=");
        assert_eq!(one_line(&"x".repeat(5000)).len(), MAX_CHARS);
        assert_eq!(one_line(" \t\n "), "");
    }

    #[test]
    fn h12_a_name_is_not_a_link() {
        assert_eq!(one_line("https://evil.example/x"), "https evil.example/x");
    }

    #[test]
    fn h13_a_name_has_no_run_of_digits_that_looks_like_a_code() {
        assert_eq!(one_line("Studio 2025"), "Studio 20\u{202F}25");
        assert_eq!(one_line("1234567 x 123"), "12\u{202F}34\u{202F}56\u{202F}7 x 123");
        assert_eq!(one_line("１２３４"), "１２\u{202F}３４");
    }
}
