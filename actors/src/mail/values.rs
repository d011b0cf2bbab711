//! What the templates of a mail may show.

use super::display_name;
use super::message::{Alphabet, Content, Mail, Unsendable, tenant_name};
use doorcode_domain::Language;
use jiff::{Timestamp, tz::TimeZone};
use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Where a tenant has no colour. Without a run of four digits, as every colour here: none may look like a code.
const COLOUR: &str = "#6b727f";

/// The values of one mail. Templates get them by name and cannot list them.
pub(super) struct Values {
    pub(super) common: Common,
    code: Option<String>,
    network: Option<String>,
    /// The section's texts, once they are filled.
    texts: OnceLock<Value>,
    was_own_shown: AtomicBool,
}

/// What the mails of a tenant have in common that are written in one language in the same minute.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Common {
    language: Language,
    tenant: String,
    portal_host: Option<String>,
    colour: String,
    month: String,
    day: i8,
    time: String,
    minutes: Option<u32>,
    letters: bool,
}

impl Values {
    /// `months`: their names, January first.
    pub(super) fn of(mail: &Mail, months: &[String]) -> Result<Self, Unsendable> {
        let at = Timestamp::from_microsecond(mail.at_us)
            .map_err(|_| Unsendable::Template("the time of the request is out of range"))?
            .to_zoned(TimeZone::UTC);
        let month = months.get(usize::from(at.month().unsigned_abs()) - 1);
        let (code, letters, minutes) = match &mail.content {
            Content::Code { code, alphabet, minutes, .. } => {
                (Some(code.reveal().to_owned()), *alphabet == Alphabet::Base32, Some(*minutes))
            }
            Content::FailedGuesses | Content::NewDevice => (None, false, None),
        };
        let look = &mail.tenant;
        let common = Common {
            language: mail.language,
            tenant: tenant_name(look),
            portal_host: look.portal_host.clone().filter(|host| is_bindable_host(host)),
            colour: look.colour.as_deref().and_then(rgb).unwrap_or_else(|| COLOUR.to_owned()),
            month: month.ok_or(Unsendable::Template("the language lacks a month"))?.clone(),
            // Without the year: four digits in a row could be taken for the code.
            day: at.day(),
            time: format!("{:02}:{:02}", at.hour(), at.minute()),
            minutes,
            letters,
        };
        let network = mail.network.as_deref().map(display_name::break_digit_runs);
        Ok(Self { common, code, network, texts: OnceLock::new(), was_own_shown: AtomicBool::new(false) })
    }

    /// Bodies are made of these.
    pub(super) fn show_texts(&self, texts: Value) {
        let _ = self.texts.set(texts);
    }

    /// Whether something that other mails do not have in common with this one was shown since this was asked last.
    pub(super) fn take_own_shown(&self) -> bool {
        self.was_own_shown.swap(false, Relaxed)
    }

    fn own(&self, value: Option<&String>) -> Value {
        self.was_own_shown.store(true, Relaxed);
        value.map(String::as_str).into()
    }
}

impl Object for Values {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let common = &self.common;
        Some(match key {
            "code" => self.own(self.code.as_ref()),
            "network" => self.own(self.network.as_ref()),
            "t" => self.texts.get()?.clone(),
            "lang" => common.language.tag().into(),
            "tenant" => common.tenant.as_str().into(),
            "portal_host" => common.portal_host.as_deref().into(),
            "colour" => common.colour.as_str().into(),
            "month" => common.month.as_str().into(),
            "day" => common.day.into(),
            "time" => common.time.as_str().into(),
            "minutes" => common.minutes.into(),
            "letters" => common.letters.into(),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// Without the values: one of them is the code.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

/// `#rrggbb` as `rgb(r,g,b)`.
fn rgb(colour: &str) -> Option<String> {
    let part = |at: usize| u8::from_str_radix(colour.get(at..at + 2)?, 16).ok();
    Some(format!("rgb({},{},{})", part(1)?, part(3)?, part(5)?))
}

/// Whether the last line may bind the code to this host. A host with a long run of digits would compete with
/// the code for the reader's eye and the mail program's, so such portals go without the line.
fn is_bindable_host(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    !host.is_empty()
        && host.chars().all(plain)
        && display_name::longest_digit_run(host) <= display_name::LONGEST_DIGIT_RUN
}
