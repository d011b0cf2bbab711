//! Where a scenario gets the codes that the service mails.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::link::{Link, SeenMail};
use super::meter::{Call, Failure};

/// The first look after a mail comes this soon; each pause is half as long again, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// One connection's view of the codes.
#[derive(Debug)]
pub enum Codes {
    /// `/dev/mailbox.json`; remembers the newest mail seen per address, so that only a newer one is taken.
    Mailbox(HashMap<String, Option<String>>),
    /// Files that the service appends `address code` lines to.
    Files(Arc<Mutex<CodeFiles>>),
}

impl Codes {
    /// Before the first login of an address: learns which mails are old. Free after the first time.
    pub async fn learn_old(&mut self, link: &mut Link, address: &str) -> Result<(), Failure> {
        if let Codes::Mailbox(newest) = self
            && !newest.contains_key(address)
        {
            let mails = link.mailbox(address).await?;
            newest.insert(address.to_owned(), mails.into_iter().next().map(|mail| mail.id));
        }
        Ok(())
    }

    /// Waits for the mail that the last login caused and returns its code. The wait is booked as [`Call::Mail`].
    pub async fn fetch(&mut self, link: &mut Link, address: &str, wait: Duration) -> Result<String, Failure> {
        let meter = link.meter();
        let ticket = meter.open(Call::Mail);
        let outcome = self
            .poll(link, address, ticket.begun() + wait)
            .await
            .and_then(|code| code.ok_or(Failure::NoMail));
        meter.close(ticket, outcome.as_ref().map(|_| ()).map_err(|failure| *failure));
        outcome
    }

    /// The same where no mail may be the right outcome: then `None`, and nothing is booked.
    pub async fn fetch_if_any(
        &mut self,
        link: &mut Link,
        address: &str,
        wait: Duration,
    ) -> Result<Option<String>, Failure> {
        self.poll(link, address, Instant::now() + wait).await
    }

    async fn poll(
        &mut self,
        link: &mut Link,
        address: &str,
        deadline: Instant,
    ) -> Result<Option<String>, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(code) = self.look(link, address).await? {
                return Ok(Some(code));
            }
            if Instant::now() + pause > deadline {
                return Ok(None);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LAST_PAUSE);
        }
    }

    async fn look(&mut self, link: &mut Link, address: &str) -> Result<Option<String>, Failure> {
        match self {
            Codes::Files(files) => {
                let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(files.take(address))
            }
            Codes::Mailbox(newest) => {
                // A look that fails is booked by itself; the mail may still be there at the next.
                let Some(mail) = link.mailbox(address).await.ok().and_then(|mails| mails.into_iter().next())
                else {
                    return Ok(None);
                };
                take_newer(newest.entry(address.to_owned()).or_default(), mail)
            }
        }
    }
}

fn take_newer(newest: &mut Option<String>, mail: SeenMail) -> Result<Option<String>, Failure> {
    if newest.as_deref() == Some(mail.id.as_str()) {
        return Ok(None);
    }
    *newest = Some(mail.id);
    mail.code.map(Some).ok_or(Failure::Body)
}

/// The code in a mail: six characters standing alone, in the subject or else in the text. Digits win; letters
/// (step-up codes) must be capitals.
pub fn find_code(subject: &str, text: &str) -> Option<String> {
    let all_digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let code_like = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let words = |part: &str, like: &dyn Fn(&str) -> bool| {
        let mut words = part.split(|c: char| !c.is_alphanumeric());
        words.find(|word| word.len() == 6 && like(word)).map(str::to_owned)
    };
    [subject, text].into_iter().find_map(|part| words(part, &all_digits).or_else(|| words(part, &code_like)))
}

/// Follows the files from where they ended when the run began.
#[derive(Debug)]
pub struct CodeFiles {
    files: Vec<(File, Vec<u8>)>,
    codes: HashMap<String, String>,
}

impl CodeFiles {
    /// Opens every file and skips what is in it.
    pub fn open(paths: &[PathBuf]) -> io::Result<CodeFiles> {
        let open = |path: &PathBuf| {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::End(0))?;
            Ok((file, Vec::new()))
        };
        Ok(CodeFiles { files: paths.iter().map(open).collect::<io::Result<_>>()?, codes: HashMap::new() })
    }

    fn take(&mut self, address: &str) -> Option<String> {
        if let Some(code) = self.codes.remove(address) {
            return Some(code);
        }
        for (file, rest) in &mut self.files {
            // A read error looks like "nothing new"; the wait for the mail then fails and is booked.
            if file.read_to_end(rest).unwrap_or(0) > 0 {
                take_lines(rest, &mut self.codes);
            }
        }
        self.codes.remove(address)
    }
}

/// Moves the whole lines out of `rest`; a half-written last line stays.
fn take_lines(rest: &mut Vec<u8>, codes: &mut HashMap<String, String>) {
    let Some(end) = rest.iter().rposition(|&byte| byte == b'\n') else { return };
    let lines = rest.drain(..=end).collect::<Vec<u8>>();
    for line in String::from_utf8_lossy(&lines).lines() {
        if let Some((address, code)) = line.split_once(' ') {
            codes.insert(address.to_owned(), code.trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_code_and_nothing_else() {
        for (subject, text, code) in [
            ("123456 is your code for Demo", "", Some("123456")),
            ("Your portal code: 004217", "", Some("004217")),
            ("K7Q2MX is your code", "", Some("K7Q2MX")),
            ("ORDERS 123456", "", Some("123456")),
            ("Your code", "Hello,\n\n654321\n", Some("654321")),
            ("Portal access 1234567", "twelve", None),
        ] {
            assert_eq!(find_code(subject, text).as_deref(), code, "{subject}");
        }
    }

    #[test]
    fn only_a_newer_mail_is_taken() {
        let mail = |id: &str| SeenMail { id: id.to_owned(), code: Some("123456".to_owned()) };
        let mut newest = Some("7".to_owned());
        assert_eq!(take_newer(&mut newest, mail("7")), Ok(None));
        assert_eq!(take_newer(&mut newest, mail("8")), Ok(Some("123456".to_owned())));
        assert_eq!(take_newer(&mut newest, mail("8")), Ok(None));
    }

    #[test]
    fn a_half_written_line_waits_for_its_rest() {
        let mut codes = HashMap::new();
        let mut rest = b"a@example.com 111111\nb@example.com 22".to_vec();
        take_lines(&mut rest, &mut codes);
        assert_eq!(codes.len(), 1);
        rest.extend_from_slice(b"2222\n");
        take_lines(&mut rest, &mut codes);
        assert_eq!(codes["b@example.com"], "222222");
    }
}
