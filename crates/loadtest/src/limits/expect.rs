//! What a service's limits should be: stated by its owner, never taken from the service's own word.

use super::policy::Policy;
use crate::units;
use std::time::Duration;

/// Calls that share a client's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// `login`.
    Login,
    /// `verify` and `token` together.
    Code,
    /// `refresh` and `logout` together.
    Session,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 3] = [Group::Login, Group::Code, Group::Session];

    /// As in reports and in `--expect`.
    pub fn name(self) -> &'static str {
        match self {
            Group::Login => "login",
            Group::Code => "code",
            Group::Session => "session",
        }
    }
}

/// Limits by [`Group`]; none is not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerGroup {
    /// `login`.
    pub login: Vec<Policy>,
    /// `verify` and `token` together.
    pub code: Vec<Policy>,
    /// `refresh` and `logout` together.
    pub session: Vec<Policy>,
}

impl PerGroup {
    /// Those of one group.
    pub fn of(&self, group: Group) -> &[Policy] {
        match group {
            Group::Login => &self.login,
            Group::Code => &self.code,
            Group::Session => &self.session,
        }
    }
}

/// Calls of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLimit {
    /// Over all replicas.
    pub policy: Policy,
    /// For how long a replica may use up what it took from the limit: its share of imprecision.
    pub lease: Duration,
}

/// Mails to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailLimit {
    /// Mails in each lane (strangers, known clients).
    pub budget: Policy,
    /// Between two mails while a code is unused.
    pub cool_down: Option<Duration>,
    /// Of a strangers' budget, the most that one network gets.
    pub per_network: Option<u32>,
}

/// Wrong guesses at one address's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuessLimit {
    /// For one code.
    pub per_code: u32,
    /// For all codes of strangers, until they get another kind of code.
    pub per_lane: Option<u32>,
    /// Of those, the most that one network gets.
    pub per_network: Option<u32>,
}

/// All limits; what is `None` (or empty) is not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations {
    /// Of one client address.
    pub client: PerGroup,
    /// Of one network of clients (/24).
    pub network: PerGroup,
    /// Of one tenant.
    pub tenant: Option<TenantLimit>,
    /// Of one address, silent.
    pub mail: Option<MailLimit>,
    /// Of one address, silent.
    pub guesses: Option<GuessLimit>,
}

/// The keys that `--expect` knows.
pub(super) const KEYS: &str = "client.login client.code client.session network.login network.code network.session \
    tenant tenant.lease mail mail.cooldown mail.network guesses.code guesses.lane guesses.network";

impl Expectations {
    /// Changes one: `client.login=30/60s,200/1h`, `mail.cooldown=60s`, `guesses.code=5`, or any of them `off`.
    pub fn set(&mut self, assignment: &str) -> Result<(), String> {
        let (key, value) = assignment
            .split_once('=')
            .ok_or_else(|| format!("`{assignment}` has no `=`; write KEY=LIMIT"))?;
        let (key, value) = (key.trim(), Some(value.trim()).filter(|value| *value != "off"));
        match key {
            "client.login" => self.client.login = policies(value)?,
            "client.code" => self.client.code = policies(value)?,
            "client.session" => self.client.session = policies(value)?,
            "network.login" => self.network.login = policies(value)?,
            "network.code" => self.network.code = policies(value)?,
            "network.session" => self.network.session = policies(value)?,
            "tenant" => {
                let lease = self.tenant.map_or(Duration::ZERO, |tenant| tenant.lease);
                self.tenant = policy(value)?.map(|policy| TenantLimit { policy, lease });
            }
            "mail" => {
                let before = self.mail;
                self.mail = policy(value)?.map(|budget| MailLimit {
                    budget,
                    cool_down: before.and_then(|mail| mail.cool_down),
                    per_network: before.and_then(|mail| mail.per_network),
                });
            }
            "guesses.code" => {
                let before = self.guesses;
                self.guesses = number(value)?.map(|per_code| GuessLimit {
                    per_code,
                    per_lane: before.and_then(|guesses| guesses.per_lane),
                    per_network: before.and_then(|guesses| guesses.per_network),
                });
            }
            part => return self.set_part(part, value),
        }
        Ok(())
    }

    /// A part of a limit that must be there.
    fn set_part(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        let time = || value.map(units::duration).transpose();
        match (key, &mut self.tenant, &mut self.mail, &mut self.guesses) {
            ("tenant.lease", Some(tenant), ..) => tenant.lease = time()?.unwrap_or_default(),
            ("mail.cooldown", _, Some(mail), _) => mail.cool_down = time()?,
            ("mail.network", _, Some(mail), _) => mail.per_network = number(value)?,
            ("guesses.lane", .., Some(guesses)) => guesses.per_lane = number(value)?,
            ("guesses.network", .., Some(guesses)) => guesses.per_network = number(value)?,
            // A part of what is off is off.
            ("tenant.lease" | "mail.cooldown" | "mail.network" | "guesses.lane" | "guesses.network", ..)
                if value.is_none() => {}
            ("tenant.lease" | "mail.cooldown" | "mail.network" | "guesses.lane" | "guesses.network", ..) => {
                let whole = key.split('.').next().unwrap_or(key);
                return Err(format!("`{key}` is part of a limit that is off; state `{whole}` first"));
            }
            _ => return Err(format!("`{key}` is no limit that can be expected; there are: {KEYS}")),
        }
        Ok(())
    }

    /// The lines of a file: one assignment each, `#` begins a comment.
    pub fn set_all(&mut self, text: &str) -> Result<(), String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
        lines.filter(|line| !line.is_empty()).try_for_each(|line| self.set(line))
    }
}

fn policies(value: Option<&str>) -> Result<Vec<Policy>, String> {
    let each = value.into_iter().flat_map(|value| value.split(','));
    each.map(|text| text.trim().parse().map_err(|error: super::policy::PolicyError| error.to_string()))
        .collect()
}

fn policy(value: Option<&str>) -> Result<Option<Policy>, String> {
    Ok(policies(value)?.first().copied())
}

fn number(value: Option<&str>) -> Result<Option<u32>, String> {
    let read = |value: &str| value.parse().ok().filter(|count| *count > 0);
    value.map(|value| read(value).ok_or_else(|| format!("`{value}` is no number above 0"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_read_line_by_line() {
        let mut expected = Expectations::default();
        let text = "client.login = 30/60s, 200/1h  # a person needs two\n\ntenant=1000/1s:burst=10000\n\
            tenant.lease=1s\nmail=1/4h48m:burst=5\nmail.cooldown=60s\nguesses.code=5\nguesses.lane=20";
        expected.set_all(text).unwrap();
        assert_eq!(expected.client.of(Group::Login).len(), 2);
        assert_eq!(expected.tenant.unwrap().lease, Duration::from_secs(1));
        assert_eq!(expected.mail.unwrap().cool_down, Some(Duration::from_secs(60)));
        assert_eq!(expected.guesses.unwrap().per_lane, Some(20));
        expected.set("mail.cooldown=off").unwrap();
        expected.set("client.login=off").unwrap();
        assert!(expected.mail.unwrap().cool_down.is_none() && expected.client.login.is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_can() {
        let mut expected = Expectations::default();
        for (bad, says) in [
            ("client", "KEY=LIMIT"),
            ("client.logins=1/1s", "client.login"),
            ("client.login=1", "30/60s"),
            ("guesses.code=0", "above 0"),
            ("mail.cooldown=60s", "state `mail` first"),
        ] {
            let error = expected.set(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
