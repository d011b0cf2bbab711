//! An email address as typed, normalised, and in the form in which addresses compare. (The real parser lands next.)
/// An address.
#[derive(Clone, Debug)]
pub struct Email(String);
/// Why a text is not an address.
#[derive(Clone, Debug, thiserror::Error)]
#[error("An email address must have an @-sign.")]
pub struct EmailError;
impl Email {
    /// Parses.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        if text.contains('@') { Ok(Self(text.trim().to_ascii_lowercase())) } else { Err(EmailError) }
    }
    /// Normalised.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Comparison form.
    pub fn key(&self) -> &str {
        &self.0
    }
}
