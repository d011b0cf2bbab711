//! The whole way to receivers that are not ours: aiosmtpd, Postfix, and a hook that checks signatures by the published library.

use crate::support::PATIENCE;
use crate::support::postgres::{ACME, connect};
use crate::support::process::{Program, Scratch, Setup, Site};
use doorcode_domain::Language;
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};
use test_peers::smtp::{Act, Point, SmtpSink};
use test_peers::{CERTIFICATE_FILE, KEY_FILE};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Of each case; `DOORCODE_PROVIDERS=1000` makes it as many.
fn logins() -> usize {
    std::env::var("DOORCODE_PROVIDERS").map_or(100, |told| told.parse().unwrap())
}
const SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"];

/// `tests/it/support/mail_servers.py`, running.
struct Receiver {
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Receiver {
    async fn start(arguments: &[&str]) -> Self {
        Self::of(Command::new(crate::support::python()), arguments).await
    }

    async fn of(mut command: Command, arguments: &[&str]) -> Self {
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/mail_servers.py")).args(arguments);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let port = port.expect("the receiver starts: its Python has what it imports").parse().unwrap();
        Self { port, lines, _child: child }
    }

    async fn smtp(scratch: &Scratch) -> Self {
        Self::start(&["smtp", CERTIFICATE_FILE, KEY_FILE, &scratch.path().display().to_string(), "RSA"]).await
    }

    /// In a PID namespace of its own: whatever Postfix starts ends with it.
    async fn postfix(scratch: &Scratch) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).arg(crate::support::python());
        Self::of(
            command,
            &["postfix", CERTIFICATE_FILE, KEY_FILE, &scratch.path().display().to_string(), "ED25519"],
        )
        .await
    }

    async fn hook(statuses: &str) -> Self {
        Self::start(&["hook", SECRETS[1], statuses]).await
    }

    async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a mail in time").unwrap();
        serde_json::from_str(&line.expect("the receiver runs")).unwrap()
    }

    /// doorcode with this mail server as its only provider, signing by the key that it made.
    fn relay_of(&self, site: &Site, scratch: &Scratch) -> Setup {
        site.setup()
            .set("DOORCODE__MAIL__SMTP__HOST", "localhost")
            .set("DOORCODE__MAIL__SMTP__PORT", &self.port.to_string())
            .set("DOORCODE__MAIL__SMTP__TLS", "starttls")
            .set("DOORCODE__MAIL__SMTP__USERNAME", "doorcode")
            .set("DOORCODE__MAIL__SMTP__PASSWORD", "sesame")
            .set("DOORCODE__MAIL__SMTP__DKIM_SELECTOR", "one")
            .set(
                "DOORCODE__MAIL__SMTP__DKIM_KEY_FILE",
                &scratch.path().join("dkim.pem").display().to_string(),
            )
            .set("SSL_CERT_FILE", test_peers::CA_FILE)
    }

    /// doorcode with this hook as its only provider.
    fn alone(&self, site: &Site) -> Setup {
        site.setup()
            .set("DOORCODE__MAIL__SMTP__HOST", "")
            .set("DOORCODE__MAIL__HOOK__URL", &format!("http://127.0.0.1:{}/mail", self.port))
            .set("DOORCODE__MAIL__HOOK__ALLOW_PRIVATE", "true")
            .set("DOORCODE__MAIL__HOOK__TIMEOUT", "1s")
            .set("DOORCODE__MAIL__HOOK__SECRETS", &SECRETS.join(","))
    }
}

/// H7, H10 to H14, H17 and H18 as a server and a parser see them that we did not write, in every language.
#[tokio::test(flavor = "multi_thread")]
async fn h11_h17_h18_aiosmtpd_takes_every_language_without_a_defect() {
    let scratch = Scratch::new("aiosmtpd");
    every_language_arrives(Receiver::smtp(&scratch).await, &scratch).await;
}

/// The same by the mail server that many operators have.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "Postfix runs as root only; .ci/nightly runs it"]
async fn h11_h17_h18_nightly_postfix_takes_every_language_without_a_defect() {
    let scratch = Scratch::new("postfix");
    every_language_arrives(Receiver::postfix(&scratch).await, &scratch).await;
}

async fn every_language_arrives(mut receiver: Receiver, scratch: &Scratch) {
    let languages: Vec<Language> = Language::all().collect();
    let site = Site::with_customers(languages.len()).await;
    let client = connect(&site.database.url).await;
    for (n, language) in languages.iter().enumerate() {
        let update = "UPDATE customers SET locale = $1 WHERE email = $2";
        client.execute(update, &[&language.tag(), &format!("user{n}@example.com")]).await.unwrap();
    }
    let program = receiver.relay_of(&site, scratch).start().await;
    let mut wire = program.wire();
    for n in 0..languages.len() {
        assert_eq!(wire.login(ACME, &format!("user{n}@example.com")).await.unwrap().status, 200);
    }
    let mut seen = Vec::new();
    for _ in &languages {
        let mail = receiver.next().await;
        assert_eq!(mail["defects"], Value::Array(Vec::new()), "{mail}");
        assert_eq!((&mail["tls"], &mail["signed"]), (&true.into(), &true.into()), "{mail}");
        assert_eq!(mail["sender"], mail["header_from"]);
        assert_eq!(mail["types"], serde_json::json!(["multipart/alternative", "text/plain", "text/html"]));
        let (text, subject) = (mail["text"].as_str().unwrap(), mail["subject"].as_str().unwrap());
        let code = &subject[..6];
        assert!(code.bytes().all(|b| b.is_ascii_digit()) && text.starts_with(code), "{mail}");
        let to = mail["to"][0].as_str().unwrap().to_owned();
        let n: usize = to.trim_start_matches("user").split('@').next().unwrap().parse().unwrap();
        assert!(
            mail["html"].as_str().unwrap().contains(&format!("lang=\"{}\"", languages[n].tag())),
            "{mail}"
        );
        seen.push(to);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), languages.len());
    program.stop().await;
    site.database.remove().await;
}

/// The body and the three headers, checked by `standardwebhooks` from PyPI with the second of two secrets; what is busy or
/// broken gets the same id again.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_gets_each_mail_signed_until_it_takes_it() {
    let (site, mut hook) = (Site::with_customers(1).await, Receiver::hook("503,500,302,204").await);
    let program = hook.alone(&site).start().await;
    assert_eq!(program.wire().login(ACME, "user0@example.com").await.unwrap().status, 200);
    let mut ids = Vec::new();
    for status in [503, 500, 302, 204] {
        let call = hook.next().await;
        assert_eq!((&call["status"], &call["signatures"]), (&status.into(), &2.into()));
        let said = &call["said"];
        assert_eq!(said["type"], "code.issued");
        let data = &said["data"];
        assert_eq!((&data["tenant"], &data["to"]), (&ACME.into(), &"user0@example.com".into()));
        assert_eq!((&data["alphabet"], &data["locale"]), (&"digits".into(), &"en".into()));
        assert_eq!((&data["mail_id"], data["customer_id"].as_str().unwrap().len()), (&call["id"], 36));
        let code = data["code"].as_str().unwrap();
        assert!(data["subject"].as_str().unwrap().starts_with(code));
        assert!(
            data["text"].as_str().unwrap().starts_with(code) && data["html"].as_str().unwrap().contains(code)
        );
        assert!(data["expires_at"].as_str().unwrap() > said["timestamp"].as_str().unwrap());
        ids.push(call["id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one mail, one id");
    program.until("sent", |actors| actors.mails("sent") == 1).await;
    assert!(!program.log().contains("user0@example.com"));
    program.stop().await;
    site.database.remove().await;
}

/// 410 ends a provider, the next one takes over; another 4xx is the mail's own fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_is_gone_is_left_and_a_refused_mail_is_not_repeated() {
    let (site, mut hook) = (Site::with_customers(3).await, Receiver::hook("422,410,204").await);
    let port = site.sink.port().to_string();
    let setup = hook.alone(&site).set("DOORCODE__MAIL__SMTP__HOST", "127.0.0.1");
    let setup = setup.set("DOORCODE__MAIL__SMTP__PORT", &port).set("DOORCODE__MAIL__ORDER", "hook,smtp");
    let program = setup.start().await;
    let mut wire = program.wire();
    wire.login(ACME, "user0@example.com").await.unwrap();
    assert_eq!(hook.next().await["status"], 422);
    program.until("refused", |actors| actors.mails("refused") == 1).await;
    wire.login(ACME, "user1@example.com").await.unwrap();
    assert_eq!(hook.next().await["status"], 410);
    site.code("user1@example.com").await;
    program.logged("wants no more mail (410)").await;
    wire.login(ACME, "user2@example.com").await.unwrap();
    site.code("user2@example.com").await;
    assert_eq!(site.sink.count(), 2, "the refused one went nowhere");
    let metrics = String::from_utf8(program.ops("/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.contains("\ndoorcode_mail_providers_stopped 1\n"), "{metrics}");
    program.stop().await;
    site.database.remove().await;
}

/// How long mails took from the request until they were handed over: within which bound of the metric a half is, and 99 of 100.
async fn handed_over(program: &Program) -> String {
    let metrics = String::from_utf8(program.ops("/metrics").await.body.to_vec()).unwrap();
    let bounds = metrics.lines().filter_map(|line| {
        let (bound, count) =
            line.strip_prefix("doorcode_mail_delay_seconds_bucket{le=\"")?.split_once("\"} ")?;
        Some((bound, count.parse::<f64>().ok()?))
    });
    let bounds: Vec<(&str, f64)> = bounds.collect();
    let all = bounds.last().unwrap().1;
    let within = |part: f64| bounds.iter().find(|(_, count)| *count >= part * all).unwrap().0;
    format!("p50 within {} s, p99 within {} s", within(0.5), within(0.99))
}

/// C5 and the order of providers: the first one dead, silent, or deferring; each mail leaves by the second, once, and logins take as long as
/// with a first one that works.
#[tokio::test(flavor = "multi_thread")]
async fn c5_mail_leaves_by_the_second_provider_when_the_first_does_not_take_it() {
    let deferring = (Point::Rcpt, Act::Reply("451 4.7.1 later"));
    let cases = [
        ("works", None),
        ("dead", None),
        ("silent", Some((Point::Mail, Act::Silence))),
        ("deferring", Some(deferring)),
    ];
    let (mut calm, logins) = (None, logins());
    for (case, fault) in cases {
        let (site, first) = (Site::with_customers(logins).await, SmtpSink::start().await);
        let folder = Scratch::new("providers");
        std::fs::create_dir_all(folder.path()).unwrap();
        let file = folder.path().join("doorcode.toml");
        let port = if case == "dead" { 1 } else { first.port() };
        let providers = format!(
            "mail.order = [\"first\", \"smtp\"]\n[mail.providers.first]\nhost = \"127.0.0.1\"\nport = {port}\n\
             tls = \"none\"\ntimeout = \"300ms\"\n"
        );
        std::fs::write(&file, providers).unwrap();
        if let Some((point, act)) = fault {
            first.at(point, act);
        }
        let program = site.setup().flag("--config").flag(&file.display().to_string()).start().await;
        let (mut wire, mut took, begun) = (program.wire(), Vec::new(), Instant::now());
        for n in 0..logins {
            let answer = wire.login(ACME, &format!("user{n}@example.com")).await.unwrap();
            assert_eq!(answer.status, 200);
            took.push(answer.took);
        }
        took.sort();
        let (median, late) = (took[logins / 2], took[logins * 99 / 100]);
        let (by_first, by_second) = if case == "works" { (logins, 0) } else { (0, logins) };
        program.until("sent", |actors| actors.mails("sent") == logins as u64).await;
        println!(
            "first {case}: p50 {median:?}, p99 {late:?}; all mailed {:?} after the first login; handed over {}",
            begun.elapsed(),
            handed_over(&program).await
        );
        assert_eq!((first.count(), site.sink.count()), (by_first, by_second), "{case}");
        let calm = *calm.get_or_insert(late);
        assert!(
            late < 3 * calm + Duration::from_millis(60),
            "{case}: p99 {late:?}, with one that works {calm:?}"
        );
        if matches!(case, "dead" | "silent") {
            program.logged("a mail provider is left alone").await;
        }
        program.stop().await;
        site.database.remove().await;
    }
}

/// A mail that the first provider may have taken goes to no other: it is repeated there.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_may_have_left_goes_to_no_second_provider() {
    let (site, first) = (Site::with_customers(1).await, SmtpSink::start().await);
    first.once(Point::Body, Act::KeepAndDrop);
    let folder = Scratch::new("providers");
    std::fs::create_dir_all(folder.path()).unwrap();
    let file = folder.path().join("doorcode.toml");
    let port = first.port();
    let providers = format!(
        "mail.order = [\"first\", \"smtp\"]\n[mail.providers.first]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\ntimeout = \"1s\"\n"
    );
    std::fs::write(&file, providers).unwrap();
    let program = site.setup().flag("--config").flag(&file.display().to_string()).start().await;
    program.wire().login(ACME, "user0@example.com").await.unwrap();
    let mails = timeout(PATIENCE, first.wait_for(2)).await.unwrap();
    assert_eq!(mails[0].header("message-id"), mails[1].header("message-id"));
    program.until("sent", |actors| actors.mails("sent") == 1).await;
    assert_eq!(site.sink.count(), 0);
    program.stop().await;
    site.database.remove().await;
}
