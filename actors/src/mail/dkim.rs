//! DKIM signatures (RFC 6376), for relays that add none: relaxed/relaxed, rsa-sha256 or ed25519-sha256 (RFC 8463).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use std::path::Path;

/// What a signature covers: who, to whom, what and when (section 5.4.1), and what says how to read it. A name that is there once and named
/// twice cannot be added on the way (section 8.15).
const SIGNED: [&str; 14] = [
    "from",
    "to",
    "subject",
    "date",
    "reply-to",
    "message-id",
    "mime-version",
    "content-type",
    "auto-submitted",
    "from",
    "to",
    "subject",
    "date",
    "reply-to",
];

/// Characters of a signature in a line.
const LINE: usize = 72;

/// A key, and the name under which its public half is in the DNS: `SELECTOR._domainkey.DOMAIN`.
pub(super) struct Dkim {
    selector: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Dkim {
    /// Reads the key. The error says what is wrong, without the key.
    pub(super) fn open(selector: &str, file: &Path) -> Result<Self, String> {
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !selector.split('.').all(label) {
            return Err("dkim_selector must be a name such as doorcode1".to_owned());
        }
        let at = |why: &str| format!("dkim_key_file {}: {why}", file.display());
        let key = match PrivateKeyDer::from_pem_file(file).map_err(|error| at(&error.to_string()))? {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(Key::Rsa),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Key::Ed25519);
                RsaKeyPair::from_pkcs8(der).ok().map(Key::Rsa).or_else(ed25519)
            }
            _ => None,
        };
        let key = key.ok_or_else(|| at("expected an RSA key of 2048 bits or more, or an Ed25519 key"))?;
        Ok(Self { selector: selector.to_owned(), key })
    }

    /// The message with a signature in front, by the domain of its sender.
    pub(super) fn sign(&self, domain: &str, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let end = message.windows(4).position(|four| four == b"\r\n\r\n").ok_or(Unspecified)?;
        let (head, body) = message.split_at(end + 4);
        let algorithm = match &self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let mut field = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; d={domain};\r\n\ts={}; h={};\r\n\tbh={};\r\n\tb=",
            self.selector,
            SIGNED.join(":"),
            STANDARD.encode(digest(&SHA256, &relaxed_body(body)))
        );
        let signature = self.key.sign(&signed_headers(head, &field))?;
        for (number, line) in STANDARD.encode(signature).as_bytes().chunks(LINE).enumerate() {
            field.push_str(if number == 0 { "" } else { "\r\n\t" });
            field.extend(line.iter().map(|byte| char::from(*byte)));
        }
        field.push_str("\r\n");
        Ok([field.as_bytes(), message].concat())
    }
}

impl Key {
    fn sign(&self, content: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), content, &mut signature)?;
                Ok(signature)
            }
            // RFC 8463 signs the digest (section 3), Ed25519 in its pure form
            Self::Ed25519(key) => Ok(key.sign(digest(&SHA256, content).as_ref()).as_ref().to_vec()),
        }
    }
}

/// What is signed: the named fields, then the signature's own without the signature (section 3.7).
fn signed_headers(head: &[u8], signature: &str) -> Vec<u8> {
    let mut fields = fields(head);
    let mut signed = Vec::with_capacity(head.len() + signature.len());
    for name in SIGNED {
        let named = |field: &&[u8]| {
            field.split(|byte| *byte == b':').next().is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
        };
        if let Some(at) = fields.iter().position(named) {
            relaxed_field(fields.remove(at), &mut signed);
            signed.extend_from_slice(b"\r\n");
        }
    }
    relaxed_field(signature.as_bytes(), &mut signed);
    signed
}

/// Each with its continuation lines.
fn fields(head: &[u8]) -> Vec<&[u8]> {
    let (mut fields, mut rest) = (Vec::new(), head);
    let end = |two: &[u8]| two[0] == b'\n' && !matches!(two[1], b' ' | b'\t');
    while let Some(at) = rest.windows(2).position(end) {
        let (field, others) = rest.split_at(at + 1);
        fields.push(field);
        rest = others;
    }
    fields
}

/// Section 3.4.2.
fn relaxed_field(field: &[u8], into: &mut Vec<u8>) {
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    into.extend(name.trim_ascii_end().to_ascii_lowercase());
    into.push(b':');
    collapse(value.get(1..).unwrap_or_default().trim_ascii_start(), into);
}

/// Section 3.4.4.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(body.len() + 2);
    for line in body.split(|byte| *byte == b'\n') {
        collapse(line, &mut relaxed);
        relaxed.extend_from_slice(b"\r\n");
    }
    while relaxed.ends_with(b"\r\n\r\n") || relaxed == b"\r\n" {
        relaxed.truncate(relaxed.len() - 2);
    }
    relaxed
}

/// Runs of blanks as one, none at the end, no line breaks.
fn collapse(line: &[u8], into: &mut Vec<u8>) {
    let mut gap = false;
    for byte in line.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        if matches!(byte, b' ' | b'\t') {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            into.push(b' ');
        }
        into.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6376, section 3.4.5.
    #[test]
    fn h17_relaxed_is_what_the_rfc_says() {
        let head = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n";
        let mut relaxed = Vec::new();
        for field in fields(head) {
            relaxed_field(field, &mut relaxed);
            relaxed.extend_from_slice(b"\r\n");
        }
        assert_eq!(relaxed, b"a:X\r\nb:Y Z\r\n");
        assert_eq!(relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
        assert_eq!((relaxed_body(b"\r\n\r\n"), relaxed_body(b"a")), (Vec::new(), b"a\r\n".to_vec()));
    }

    #[test]
    fn a_key_or_selector_that_cannot_sign_is_refused() {
        let file = Path::new(test_peers::KEY_FILE);
        let refused = |selector, file| Dkim::open(selector, file).err().unwrap();
        assert!(refused("one", file).contains("expected an RSA key"), "ECDSA is no algorithm of DKIM");
        assert!(refused("a; d=evil", file).contains("dkim_selector"));
        assert!(refused("one", Path::new("/none.pem")).contains("dkim_key_file /none.pem"));
    }
}
