//! Who may become a customer of a tenant by a first login.

use super::DirectoryError;
use doorcode_domain::Email;
use std::str::FromStr;

const DOMAINS_MAX: usize = 50;

/// `closed` (the default), `open`, or domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Signup {
    /// Customers are made by administrators alone.
    #[default]
    Closed,
    /// Whoever reads the mail of an address.
    Open,
    /// Whoever reads the mail of an address at one of these domains, normalised; no sub-domains.
    Domains(Vec<String>),
}

impl Signup {
    pub(super) fn to_sql(&self) -> Option<Vec<String>> {
        match self {
            Self::Closed => None,
            Self::Open => Some(vec!["*".to_owned()]),
            Self::Domains(domains) => Some(domains.clone()),
        }
    }

    pub(super) fn from_sql(domains: Option<Vec<String>>) -> Self {
        match domains {
            None => Self::Closed,
            Some(all) if all == ["*"] => Self::Open,
            Some(domains) => Self::Domains(domains),
        }
    }
}

impl std::fmt::Display for Signup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Open => f.write_str("open"),
            Self::Domains(domains) => f.write_str(&domains.join(",")),
        }
    }
}

impl FromStr for Signup {
    type Err = DirectoryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "closed" => return Ok(Self::Closed),
            "open" => return Ok(Self::Open),
            _ => {}
        }
        let refused = || DirectoryError::BadSignup { given: text.to_owned() };
        // as an address has it: lower case, IDNA
        let domain = |name: &str| {
            let email = Email::parse(&format!("a@{name}")).ok()?;
            Some(email.as_str().strip_prefix("a@")?.to_owned())
        };
        let domains: Option<Vec<String>> = text.split(',').map(|name| domain(name.trim())).collect();
        let domains = domains.filter(|domains| domains.len() <= DOMAINS_MAX).ok_or_else(refused)?;
        Ok(Self::Domains(domains))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_domains() {
        let read = |text: &str| text.parse::<Signup>();
        assert_eq!(read("closed").unwrap(), Signup::Closed);
        assert_eq!(read("open").unwrap(), Signup::Open);
        let domains = Signup::Domains(vec!["acme.com".to_owned(), "bücher.de".to_owned()]);
        assert_eq!(read("Acme.com, xn--bcher-kva.de").unwrap(), domains);
        for signup in [Signup::Closed, Signup::Open, domains] {
            assert_eq!(read(&signup.to_string()).unwrap(), signup);
            assert_eq!(Signup::from_sql(signup.to_sql()), signup);
        }
        for bad in ["", "*", "acme", "a@acme.com", "acme.com,", "localhost", "a b.com"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
