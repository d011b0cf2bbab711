//! Each target over its corpus and a number of mutations of it. The same seed gives the same inputs; `FUZZ_INPUTS` says
//! how many, `FUZZ_SEED` from where.

use super::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::path::Path;

/// Words that random bytes do not find.
const WORDS: [&str; 42] = [
    "Content-Length: ",
    "Transfer-Encoding: chunked",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "0",
    "00",
    "5",
    "18446744073709551616",
    "POST / HTTP/1.1\r\nHost: x\r\n",
    "GET / HTTP/1.0\r\n",
    "Expect: 100-continue\r\n",
    " ",
    "\t",
    "\0",
    "\"",
    "\\ud800",
    "{",
    "}",
    "[",
    "\"email\":",
    "@",
    ".",
    "xn--",
    "x-forwarded-for: ",
    "forwarded: for=",
    "sec-fetch-site: same-origin\n",
    "origin: null\n",
    "::ffff:",
    "\n[mail.smtp]\n",
    "\"10m\"",
    " = \"pa55-w0rd\"\n",
    "{ password = \"pa55-w0rd\" }",
    "tls = 7",
    "-",
    "=",
    "\0\0",
    " = ",
    "\0MAIL__WORKERS=",
    "host: localhost",
    "\u{fc}",
    ", ",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn run(name: &str, target: fn(&[u8])) {
    run_part(name, target, 1);
}

/// For a target that takes long: so much fewer inputs.
fn run_part(name: &str, target: fn(&[u8]), fewer: u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!corpus.is_empty(), "{} is empty", folder.display());
    corpus.iter().for_each(|input| try_one(target, input));
    let mut rng = ChaCha20Rng::seed_from_u64(number("FUZZ_SEED", 1));
    for _ in 0..number("FUZZ_INPUTS", 5_000) / fewer {
        try_one(target, &mutated(&corpus, &mut rng));
    }
}

/// Says what the input was if the target panics.
fn try_one(target: fn(&[u8]), input: &[u8]) {
    struct Told<'a>(&'a [u8]);
    impl Drop for Told<'_> {
        #[allow(clippy::print_stderr, reason = "for whoever reads a failed test")]
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input was b\"{}\"", self.0.escape_ascii());
            }
        }
    }
    let told = Told(input);
    target(input);
    drop(told);
}

fn mutated(corpus: &[Vec<u8>], rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut below = |n: usize| rng.next_u32() as usize % n.max(1);
    let mut input = corpus[below(corpus.len())].clone();
    for _ in 0..=below(4) {
        let (from, to) = (below(input.len() + 1), below(input.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        match below(6) {
            0 if from < input.len() => input[from] ^= 1 << below(8),
            1 => drop(input.drain(from..to.min(from + 16))),
            2 => drop(input.splice(from..from, WORDS[below(WORDS.len())].bytes())),
            3 => {
                let copy = input[from..to.min(from + 64)].to_vec();
                drop(input.splice(to..to, copy));
            }
            4 => {
                let other = &corpus[below(corpus.len())];
                let cut = below(other.len() + 1);
                input.truncate(from);
                input.extend_from_slice(&other[cut..]);
            }
            _ => input.insert(from, below(256) as u8),
        }
    }
    input.truncate(4_096);
    input
}

#[test]
fn framing_agrees_with_hyper() {
    run("framing", framing);
}

#[test]
fn json_agrees_with_another_reader() {
    run("json", json);
}

#[test]
fn addresses_read_as_themselves() {
    run("email", email);
}

#[test]
fn refresh_tokens_have_one_spelling() {
    run("refresh_token", refresh_token);
}

#[test]
fn only_proxies_are_believed() {
    run("client", client);
}

#[test]
fn only_our_pages_use_cookies() {
    run("page", page);
}

#[test]
fn only_our_own_names_are_answered() {
    run("host", host);
}

#[test]
fn settings_are_read_or_refused_and_tell_no_secret() {
    run_part("config", config, 25);
}

#[test]
fn device_cookies_have_one_spelling() {
    run("device_cookie", device_cookie);
}

#[test]
fn access_tokens_have_one_spelling() {
    run("access_token", access_token);
}
