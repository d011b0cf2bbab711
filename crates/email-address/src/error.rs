//! Why an address was refused, in the words of the reference stack.

use std::fmt;

/// Why an address was refused.
///
/// `Display` is the reason that follows "value is not a valid email address: ", in email-validator's words. It never
/// holds the address: at most single offending characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmailError {
    /// More than 2048 characters: not even looked at.
    #[error("Length must not exceed 2048 characters")]
    Oversized,
    /// A carriage return or line feed, even at the ends: header injection.
    #[error("Carriage return and line feed characters are not allowed")]
    LineBreak,
    /// No `@` outside quotes.
    #[error("An email address must have an @-sign.")]
    NoAt,
    /// No `@`, but its full-width look-alike.
    #[error("The email address has the \"full-width\" at-sign (@) character instead of a regular at-sign.")]
    FullWidthAt,
    /// No `@`, but its small look-alike.
    #[error("The email address has the \"small commercial at\" character instead of a regular at-sign.")]
    SmallAt,
    /// `Ann <ann@acme.io>` or `<ann@acme.io>`. The reference stack takes these; here every key and log sees one spelling.
    #[error("A display name and angle brackets around the email address are not permitted here.")]
    DisplayName,
    /// `<` without `>`.
    #[error(
        "An open angle bracket at the start of the email address has to be followed by a close angle bracket at the end."
    )]
    OpenAngle,
    /// Text after the `>`.
    #[error("There can't be anything after the email address.")]
    AfterAngle,
    /// Nothing before the `@`.
    #[error("There must be something before the @-sign.")]
    NoLocal,
    /// A quoted local part, `"ann lee"@acme.io`.
    #[error("Quoting the part before the @-sign is not allowed here.")]
    QuotedLocal,
    /// ASCII that is not `atext` before the `@`.
    #[error("The email address contains invalid characters before the @-sign: {0}.")]
    LocalChars(AsciiSet),
    /// A local part that normalises (NFC) to something with characters that are not `atext`.
    #[error(
        "After Unicode normalization: The email address contains invalid characters before the @-sign: {0}."
    )]
    NormalizedLocalChars(AsciiSet),
    /// `.ann@`
    #[error("An email address cannot start with a period.")]
    LocalStartsWithDot,
    /// `ann.@`
    #[error("An email address cannot have a period immediately before the @-sign.")]
    LocalEndsWithDot,
    /// `..`, on either side.
    #[error("An email address cannot have two periods in a row.")]
    DoubleDot,
    /// An invisible, unassigned or private character, or a leading combining mark, on either side.
    #[error("The email address contains unsafe characters: {}.", Named(*.0))]
    Unsafe(char),
    /// Nothing after the `@`.
    #[error("There must be something after the @-sign.")]
    NoDomain,
    /// `ann@[127.0.0.1]`
    #[error("A bracketed IP address after the @-sign is not allowed here.")]
    DomainLiteral,
    /// ASCII after the `@` that no host name may have.
    #[error("The part after the @-sign contains invalid characters: {0}.")]
    DomainChars(AsciiSet),
    /// A character after the `@` that would expand to something with a dot.
    #[error("The part after the @-sign contains invalid characters: '{0}'.")]
    DomainDotLike(char),
    /// A domain that maps (UTS 46) to something with ASCII that no host name may have.
    #[error("The part after the @-sign contains invalid characters after Unicode normalization: {0}.")]
    MappedDomainChars(AsciiSet),
    /// `@.acme.io`
    #[error("An email address cannot have a period immediately after the @-sign.")]
    DomainStartsWithDot,
    /// `@acme.io.`
    #[error("An email address cannot end with a period.")]
    DomainEndsWithDot,
    /// `@-acme.io`
    #[error("An email address cannot have a hyphen immediately after the @-sign.")]
    DomainStartsWithHyphen,
    /// `@acme.io-`
    #[error("An email address cannot end with a hyphen.")]
    DomainEndsWithHyphen,
    /// `@acme-.io`, `@acme.-io`
    #[error("An email address cannot have a period and a hyphen next to each other.")]
    DotHyphen,
    /// `@ab--c.io`: reserved for future encodings (RFC 5890).
    #[error(
        "An email address cannot have two letters followed by two dashes immediately after the @-sign or after a period, except Punycode."
    )]
    ReservedLabel,
    /// A domain over 253 characters, as typed.
    #[error("The email address is too long after the @-sign ({} too many).", Count(*.0, "character"))]
    DomainTooLong(usize),
    /// A domain over 253 octets once encoded.
    #[error("The email address is too long after the @-sign ({} too many after IDNA encoding).", Count(*.0, "byte"))]
    EncodedDomainTooLong(usize),
    /// A label over 63 octets.
    #[error(
        "After the @-sign, periods cannot be separated by so many characters ({} too many).",
        Count(*.0, "character")
    )]
    LabelTooLong(usize),
    /// A domain of one label.
    #[error("The part after the @-sign is not valid. It should have a period.")]
    NoDot,
    /// A top-level domain that does not end with a letter: IP addresses among others.
    #[error("The part after the @-sign is not valid. It is not within a valid top-level domain.")]
    Tld,
    /// `.test`, `.local` and their like.
    #[error("The part after the @-sign is a special-use or reserved name that cannot be used with email.")]
    SpecialUse,
    /// A Unicode domain that IDNA 2008 refuses.
    #[error("The part after the @-sign is invalid ({0}).")]
    Idna(IdnaFault),
    /// An `xn--` domain that IDNA 2008 refuses.
    #[error("The part after the @-sign is not valid IDNA ({0}).")]
    Punycode(IdnaFault),
    /// Over 254 octets as typed; between `least` and `most` characters have to go.
    #[error("The email address is too long ({}).", TooMany { least: *.least, most: *.most })]
    TooLong {
        /// The fewest characters that may do.
        least: usize,
        /// The number of characters that surely does: the octets in excess.
        most: usize,
    },
    /// Over 254 octets once normalised.
    #[error("The email address is too long after normalization ({} too many).", Count(*.0, "byte"))]
    NormalizedTooLong(usize),
    /// Over 254 octets with the domain in Punycode.
    #[error(
        "The email address is too long when the part after the @-sign is converted to IDNA ASCII ({} too many).",
        Count(*.0, "byte")
    )]
    EncodedTooLong(usize),
}

/// The IDNA 2008 rule that a domain breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdnaFault {
    /// Not a character for domain names (emoji, symbols).
    #[error("Codepoint U+{:04X} not allowed", u32::from(*.0))]
    Codepoint(char),
    /// A character that needs other neighbours (RFC 5892 appendix A).
    #[error("Codepoint U+{:04X} not allowed in this place", u32::from(*.0))]
    Context(char),
    /// Hyphens where only an A-label has them.
    #[error("Label has disallowed hyphens in 3rd and 4th position")]
    Hyphens,
    /// Over 63 octets once encoded.
    #[error("Label too long")]
    TooLong,
    /// No mapping, broken Punycode, a leading combining mark, or text direction (RFC 5893).
    #[error("Label breaks a rule of IDNA 2008")]
    Rule,
}

/// A set of ASCII characters, shown one by one as email-validator shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsciiSet(u128);

impl AsciiSet {
    /// The ASCII characters of `text` that `allowed` refuses.
    pub(super) fn refused(text: &str, allowed: impl Fn(u8) -> bool) -> Self {
        let refused = text.bytes().filter(|&byte| byte.is_ascii() && !allowed(byte));
        Self(refused.fold(0, |set, byte| set | 1 << byte))
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for AsciiSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown: Vec<String> = (0..128u8)
            .filter(|byte| self.0 >> byte & 1 == 1)
            .map(|byte| Named(byte.into()).to_string())
            .collect();
        shown.sort_unstable();
        f.write_str(&shown.join(", "))
    }
}

/// A character by its quoted self, its name if it is one people meet by accident, or its number.
struct Named(char);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            '\\' => "\"\\\"",
            '\'' => "\"'\"",
            visible if visible.is_ascii_graphic() => return write!(f, "'{visible}'"),
            ' ' => "SPACE",
            '\u{a0}' => "NO-BREAK SPACE",
            '\u{ad}' => "SOFT HYPHEN",
            '\u{300}' => "COMBINING GRAVE ACCENT",
            '\u{301}' => "COMBINING ACUTE ACCENT",
            '\u{308}' => "COMBINING DIAERESIS",
            '\u{200b}' => "ZERO WIDTH SPACE",
            '\u{200c}' => "ZERO WIDTH NON-JOINER",
            '\u{200d}' => "ZERO WIDTH JOINER",
            '\u{200e}' => "LEFT-TO-RIGHT MARK",
            '\u{200f}' => "RIGHT-TO-LEFT MARK",
            '\u{2028}' => "LINE SEPARATOR",
            '\u{2029}' => "PARAGRAPH SEPARATOR",
            '\u{202a}' => "LEFT-TO-RIGHT EMBEDDING",
            '\u{202b}' => "RIGHT-TO-LEFT EMBEDDING",
            '\u{202c}' => "POP DIRECTIONAL FORMATTING",
            '\u{202d}' => "LEFT-TO-RIGHT OVERRIDE",
            '\u{202e}' => "RIGHT-TO-LEFT OVERRIDE",
            '\u{2060}' => "WORD JOINER",
            '\u{3000}' => "IDEOGRAPHIC SPACE",
            '\u{feff}' => "ZERO WIDTH NO-BREAK SPACE",
            nameless if u32::from(nameless) < 0xffff => return write!(f, "U+{:04X}", u32::from(nameless)),
            nameless => return write!(f, "U+{:08X}", u32::from(nameless)),
        };
        f.write_str(name)
    }
}

/// `1 byte`, `2 bytes`.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// `1 character too many`, `3-9 characters too many`.
struct TooMany {
    least: usize,
    most: usize,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least != self.most {
            write!(f, "{}-", self.least)?;
        }
        write!(f, "{} too many", Count(self.most, "character"))
    }
}
