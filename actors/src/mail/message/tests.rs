//! What the mails say, checked on the words and on the bytes.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn mail() -> Mail {
    named("Acme")
}

fn named(name: &str) -> Mail {
    Mail {
        to: "Ada.Lovelace@example.com".to_owned(),
        tenant: TenantLook {
            name: name.to_owned(),
            slug: "acme".to_owned(),
            portal_host: Some("portal.acme.example".to_owned()),
            ..TenantLook::default()
        },
        language: Language::default(),
        content: code("042917", Alphabet::Digits, 10),
        at_us: 1_936_163_289_000_000, // 2031-05-10 07:08:09 UTC
        providers: Vec::new(),
        customer_id: None,
        network: Some("203.0.113.x".to_owned()),
        message_id: Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef),
    }
}

fn at_host(host: Option<&str>) -> Mail {
    let mut mail = mail();
    mail.tenant.portal_host = host.map(str::to_owned);
    mail
}

fn code(code: &str, alphabet: Alphabet, minutes: u32) -> Content {
    Content::Code { code: code.into(), alphabet, minutes, expires_us: 1_936_163_889_000_000 }
}

fn templates() -> &'static Templates {
    static BUILT_IN: LazyLock<Templates> = LazyLock::new(|| Templates::load(None).unwrap());
    &BUILT_IN
}

fn render(mail: &Mail) -> Result<Rendered, Unsendable> {
    templates().render(mail)
}

fn compose(mail: &Mail, sender: &Sender) -> Result<Message, Unsendable> {
    super::compose(mail, sender, templates())
}

fn sender() -> Sender {
    Sender::new("login@doorcode.example", None).unwrap()
}

fn raw(mail: &Mail) -> String {
    String::from_utf8(compose(mail, &sender()).unwrap().formatted()).unwrap()
}

/// The header lines, unfolded.
fn headers(raw: &str) -> Vec<(String, String)> {
    let head = raw.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    head.split("\r\n")
        .map(|l| l.split_once(": ").unwrap())
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

/// Runs of digits that a mail program could take for a code.
fn digit_runs(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_numeric()).filter(|run| run.chars().count() >= 4).collect()
}

const HOSTILE_NAMES: [&str; 10] = [
    "Acme\r\nBcc: eve@evil.example",
    "Acme\nX-Evil: 1",
    "Acme\rSubject: you won",
    "Acme\r\n\r\n<h1>body</h1>",
    "Ac\0me",
    "Acme\u{2028}Bcc: eve@evil.example\u{2029}",
    "=?utf-8?b?DQpCY2M6IGV2ZUBldmlsLmV4YW1wbGU=?=",
    "\"Acme\" <eve@evil.example>, ceo@acme.example",
    "Acme <script>alert(1)</script> & {{ code }} {% raw %}",
    "Acme 20312031 https://evil.example/login?code=1",
];

#[test]
fn h16_golden_mail() {
    let words = render(&mail()).unwrap();
    assert_eq!(words.subject, "042917 is your Acme code");
    assert_eq!(
        words.text,
        "042917 is your code to log in to Acme.\n\
         \n\
         It works once, for the next 10 minutes.\n\
         \n\
         It was asked for on 10 May at 07:08 UTC from 203.0.113.x.\n\
         If that was not you, there is nothing to do:\n\
         nobody can log in without this code.\n\
         \n\
         Never share this code. Nobody from Acme will ever ask you for it.\n\
         \n\
         @portal.acme.example #042917\n"
    );
    for said in [
        "10 May at 07:08 UTC from 203.0.113.x",
        "Never share this code",
        "nothing to do",
        "next 10 minutes",
        ">042917</p>",
    ] {
        assert!(words.html.contains(said), "{said}");
    }
}

#[test]
fn base32_codes_stand_as_they_are_typed() {
    let mail = Mail { content: code("K7M2QX", Alphabet::Base32, 1), ..mail() };
    let words = render(&mail).unwrap();
    assert!(words.text.starts_with("K7M2QX is your code"));
    assert!(words.text.contains("for the next minute. Capital or small letters make no difference."));
    assert!(words.text.ends_with("\n@portal.acme.example #K7M2QX\n"));
    // two groups for the eye, six characters for the clipboard
    assert!(words.html.contains(r#">K7M<span style="margin-left:.5em">2QX</span><"#), "{}", words.html);
}

#[test]
fn h13_the_code_is_whole_in_front_and_the_only_run_of_digits() {
    for name in HOSTILE_NAMES.iter().chain(&["Acme", "Studio 2025"]) {
        let words = render(&named(name)).unwrap();
        assert!(words.subject.starts_with("042917 "));
        assert_eq!(digit_runs(&words.subject), ["042917"], "{name:?}");
        assert!(words.text.starts_with("042917 "));
        // In the text once to be read and once, in the last line, for the program.
        assert_eq!(digit_runs(&words.text), ["042917", "042917"], "{name:?}");
        assert_eq!(digit_runs(&words.html), ["042917"], "{name:?}");
    }
}

#[test]
fn h14_the_last_line_binds_the_code_to_the_portal() {
    // The algorithm of WICG sms-one-time-codes, "parse a domain-bound code": last line, "@host #code".
    let parse = |text: &str| {
        let (host, code) = text.trim_end().lines().last()?.strip_prefix('@')?.split_once(" #")?;
        Some((host.to_owned(), code.to_owned()))
    };
    let text = |host: Option<&str>| render(&at_host(host)).unwrap().text;
    assert_eq!(
        parse(&text(Some("portal.acme.example"))),
        Some(("portal.acme.example".into(), "042917".into()))
    );
    for none in
        [None, Some(""), Some("evil.example #000000\n@x"), Some("Portal.acme.example"), Some("p2031.example")]
    {
        assert_eq!(parse(&text(none)), None, "{none:?}");
        assert!(text(none).ends_with("ask you for it.\n"), "{none:?}");
    }
}

#[test]
fn h8_a_name_cannot_add_a_header_a_recipient_or_markup() {
    let expected: Vec<String> = headers(&raw(&mail())).into_iter().map(|(name, _)| name).collect();
    for name in HOSTILE_NAMES {
        for sender_name in [None, Some(name.to_owned())] {
            let mail = named(name);
            let sender = Sender { name: sender_name, ..sender() };
            let message = compose(&mail, &sender).unwrap();
            assert_eq!(message.envelope().to(), ["Ada.Lovelace@example.com".parse().unwrap()]);
            let raw = String::from_utf8(message.formatted()).unwrap();
            let headers = headers(&raw);
            assert_eq!(headers.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>(), expected, "{name:?}");
            let value = |wanted: &str| headers.iter().find(|(n, _)| n == wanted).unwrap().1.clone();
            assert_eq!(value("To"), "Ada.Lovelace@example.com");
            assert!(value("From").ends_with(" <login@doorcode.example>"), "{}", value("From"));
            assert!(
                raw.bytes().all(|b| b == b'\r' || b == b'\n' || (b' '..=b'~').contains(&b)),
                "7 bit: {raw:?}"
            );
            let html = render(&mail).unwrap().html;
            assert!(!html.contains("<script") && !html.contains("<h1"), "{name:?}");
        }
    }
}

#[test]
fn h8_an_address_cannot_carry_a_command() {
    for to in [
        "ada@example.com\r\nRCPT TO:<eve@evil.example>",
        "ada@example.com> SIZE=1",
        "\"a\r\nb\"@example.com",
        "\"q q\"@example.com",
        "\"q,q\"@example.com",
        "ada\u{2028}@example.com",
        "ada\0@example.com",
        "ada lovelace@example.com",
        "Ada <ada@example.com>",
        "ada@example.com,eve@evil.example",
        "ada@exa mple.com",
        "ada",
        "@example.com",
        "",
    ] {
        assert_eq!(
            compose(&Mail { to: to.to_owned(), ..mail() }, &sender()).err(),
            Some(Unsendable::BadRecipient),
            "{to:?}"
        );
    }
    assert!(Sender::new("Acme <login@example.com>", None).is_err());
}

#[test]
fn h10_robots_are_asked_to_stay_quiet_and_h12_nothing_to_click_or_track() {
    let headers = headers(&raw(&mail()));
    let has = |name: &str, value: &str| headers.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("Auto-Submitted", "auto-generated"));
    assert!(has("X-Auto-Response-Suppress", "All"));
    assert!(!headers.iter().any(|(name, _)| name.starts_with("List-")));
    for name in HOSTILE_NAMES {
        let words = render(&named(name)).unwrap();
        for trap in ["://", "href=", "src=", "url(", "<img", "<form"] {
            assert!(!words.html.contains(trap) && !words.text.contains(trap), "{trap} in {name:?}");
        }
    }
}

#[test]
fn h11_the_message_is_well_formed_and_the_same_for_every_try() {
    let mail = named(&"Müller & Söhne ".repeat(9));
    let raw = raw(&mail);
    let headers = headers(&raw);
    for name in ["From", "To", "Date", "Message-ID", "Subject", "MIME-Version", "Content-Type"] {
        assert_eq!(headers.iter().filter(|(n, _)| n == name).count(), 1, "{name}");
    }
    let value = |wanted: &str| headers.iter().find(|(n, _)| n == wanted).unwrap().1.as_str();
    assert_eq!(value("Message-ID"), "<12345678-9abc-4def-8123-456789abcdef@doorcode.example>");
    assert_eq!(value("Date"), "Sat, 10 May 2031 07:08:09 +0000");
    let plain = raw.find("Content-Type: text/plain; charset=utf-8").unwrap();
    let html = raw.find("Content-Type: text/html; charset=utf-8").unwrap();
    assert!(plain < html);
    assert!(raw.is_ascii());
    assert!(raw.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
    assert_eq!(raw, self::raw(&mail), "a retry is the same mail");
    let plain_name = self::raw(&self::mail());
    assert_eq!(
        plain_name.matches("Content-Transfer-Encoding: 7bit").count(),
        2,
        "nothing to encode, nothing encoded"
    );
}

#[test]
fn h7_domains_go_out_in_ascii_and_local_parts_as_stored() {
    let to = |to: &str| {
        compose(&Mail { to: to.to_owned(), ..mail() }, &sender()).unwrap().envelope().to()[0].to_string()
    };
    assert_eq!(to("Ada+x@bücher.example"), "Ada+x@xn--bcher-kva.example");
    assert_eq!(to("ünï@bücher.example"), "ünï@xn--bcher-kva.example");
}

#[test]
fn h17_the_envelope_comes_from_the_from_address() {
    let message = compose(&mail(), &sender()).unwrap();
    assert_eq!(message.envelope().from().unwrap().to_string(), "login@doorcode.example");
}

#[test]
fn secrets_and_impossible_times() {
    assert!(!format!("{:?}", mail()).contains("042917"));
    let late = Mail { at_us: i64::MAX, ..mail() };
    assert!(matches!(render(&late).err(), Some(Unsendable::Template(_))));
    assert!(compose(&Mail { at_us: -1, ..mail() }, &sender()).is_ok());
    assert!(render(&named("\r\n")).unwrap().subject.ends_with("your acme code"));
}

proptest! {
    #[test]
    fn h8_any_name_makes_a_mail_with_the_same_headers(name in "\\PC{0,80}|[\\x00-\\x7f]{0,80}|.{0,80}") {
        let expected = headers(&raw(&mail())).len();
        let mail = named(&name);
        let raw = raw(&mail);
        prop_assert_eq!(headers(&raw).len(), expected);
        prop_assert!(raw.is_ascii());
        let words = render(&mail).unwrap();
        prop_assert_eq!(digit_runs(&words.subject), vec!["042917"]);
        prop_assert_eq!(digit_runs(&words.html), vec!["042917"]);
        prop_assert_eq!(words.subject.lines().count(), 1);
    }
}
