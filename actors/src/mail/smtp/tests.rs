//! SMTP to a real server on loopback that misbehaves on command.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, pem::PemObject};
use uuid::Uuid;

use super::*;
use crate::mail::{Mail, Sender, Templates, Transport};
use setting_values::Secret;
use test_peers::smtp::{Act, Point, SinkTls, SmtpSink, Traits};
use test_peers::{CA_FILE, CA_PEM};

mod tls;

fn login_mail(to: &str) -> Mail {
    Mail { to: to.to_owned(), message_id: Uuid::new_v4(), ..Mail::samples().next().unwrap() }
}

fn settings(sink: &SmtpSink) -> SmtpSettings {
    let defaults: SmtpSettings = crate::test_settings::section("mail.smtp");
    SmtpSettings { host: Some("localhost".to_owned()), port: sink.port(), tls: TlsMode::None, ..defaults }
}

/// The authority that signed the sink's certificate.
fn authority() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(CA_PEM.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

fn relay(settings: SmtpSettings, hello_name: &str) -> Result<Relay, SetupError> {
    Relay::trusting(authority(), settings, hello_name)
}

const LIMITS: Limits = Limits { until_content: Duration::from_secs(10), answer: Duration::from_secs(10) };

/// A private authority's file is enough, and a relay that does not answer is known before any mail.
#[tokio::test]
async fn a_relay_is_checked_without_a_mail() {
    let sink = SmtpSink::with(Traits { tls: SinkTls::StartTls, ..Traits::default() }).await;
    let with = |ca_file: Option<&str>| {
        let settings =
            SmtpSettings { tls: TlsMode::StartTls, ca_file: ca_file.map(Into::into), ..settings(&sink) };
        Relay::new(system_roots(), settings, "doorcode.example")
    };
    with(Some(CA_FILE)).unwrap().check(LIMITS).await.unwrap();
    let refused = with(None).unwrap().check(LIMITS).await.unwrap_err().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    assert!(with(Some("/none.pem")).err().unwrap().to_string().contains("ca_file /none.pem"));
    sink.at(Point::Greeting, Act::Drop);
    with(Some(CA_FILE)).unwrap().check(LIMITS).await.unwrap_err();
    assert!(sink.count() == 0);
}

fn transport(settings: SmtpSettings) -> Direct {
    transport_within(Duration::from_secs(10), settings)
}

fn transport_within(timeout: Duration, settings: SmtpSettings) -> Direct {
    over(relay(settings, "doorcode.example").unwrap(), timeout)
}

/// A connection without a breaker.
struct Direct(SmtpConnection, Duration);

impl Direct {
    async fn send(&mut self, mail: &Mail) -> Result<(), SendError> {
        let message = crate::mail::message::compose(mail, &sender(), &templates())?;
        self.0.send(&message, Limits { until_content: self.1, answer: self.1 }).await
    }

    async fn close(&mut self) {
        self.0.close().await;
    }
}

fn over(relay: Relay, timeout: Duration) -> Direct {
    Direct(SmtpConnection::new(Arc::new(relay)), timeout)
}

fn sender() -> Sender {
    Sender::new("login@doorcode.example", None).unwrap()
}

fn templates() -> Arc<Templates> {
    Arc::new(Templates::load(None).unwrap())
}

fn with_login(settings: SmtpSettings, password: &str) -> SmtpSettings {
    let (username, password) = (Some("doorcode".to_owned()), Some(Secret::from(password)));
    SmtpSettings { username, password, ..settings }
}

async fn sink_with_tls(tls: SinkTls) -> SmtpSink {
    SmtpSink::with(Traits { tls, ..Traits::default() }).await
}

#[tokio::test]
async fn h1_h17_the_envelope_holds_the_stored_address_and_ours() {
    let sink = SmtpSink::start().await;
    let mut transport = transport(settings(&sink));
    transport.send(&login_mail("Ada.Lovelace@Example.com")).await.unwrap();
    let [mail] = &sink.wait_for(1).await[..] else { panic!("one mail") };
    assert_eq!(mail.from, "login@doorcode.example");
    assert_eq!(mail.to, ["Ada.Lovelace@example.com"]);
    assert_eq!(mail.header("to").unwrap(), "Ada.Lovelace@example.com");
    assert_eq!(mail.code().unwrap(), "042917");
    assert!(!mail.tls && !mail.smtputf8);
    transport.close().await;
    assert_eq!(sink.commands().last().unwrap(), "QUIT");
}

#[tokio::test]
async fn the_connection_is_kept_and_refusals_do_not_cost_it() {
    let sink = SmtpSink::start().await;
    let mut transport = transport(settings(&sink));
    sink.refuse("gone@example.com", "550 5.1.1 no such user 042917");
    sink.refuse("full@example.com", "452 4.2.2 mailbox full");
    for _ in 0..3 {
        transport.send(&login_mail("ada@example.com")).await.unwrap();
        let gone = transport.send(&login_mail("gone@example.com")).await.unwrap_err();
        assert_eq!(gone, SendError::Permanent { stage: Stage::Recipient, reply: "550 5.1.1".to_owned() });
        assert!(gone.is_permanent() && !gone.blames_provider());
        assert!(!gone.to_string().contains("042917"), "a reply's text stays out: {gone}");
        let full = transport.send(&login_mail("full@example.com")).await.unwrap_err();
        assert_eq!(full, SendError::Transient { stage: Stage::Recipient, reply: "452 4.2.2".to_owned() });
        assert!(!full.is_permanent() && !full.blames_provider());
    }
    assert_eq!((sink.connections(), sink.count()), (1, 3));
}

#[tokio::test]
async fn answers_are_told_apart_by_where_they_come() {
    for pipelining in [true, false] {
        answers_are_told_apart(SmtpSink::with(Traits { pipelining, ..Traits::default() }).await).await;
    }
}

async fn answers_are_told_apart(sink: SmtpSink) {
    let mut transport = transport(settings(&sink));
    // (where, what the server says, kind, permanent, the provider's fault)
    for (point, reply, kind, permanent, provider) in [
        (Point::Greeting, "554 5.7.1 no service for you", "unreachable", false, true),
        (Point::Ehlo, "421 4.3.2 shutting down", "unreachable", false, true),
        (Point::Mail, "550 5.7.1 sender not allowed", "sender_refused", false, true),
        (Point::Mail, "451 4.3.0 later", "transient", false, true),
        (Point::Rcpt, "451 4.7.1 greylisted", "transient", false, false),
        (Point::Data, "554 5.5.0 no", "permanent", true, false),
        (Point::Data, "451 4.3.0 later", "transient", false, false),
        (Point::Body, "554 5.7.1 looks like spam", "permanent", true, false),
        (Point::Body, "452 4.3.1 disk full", "transient", false, false),
    ] {
        transport.close().await;
        sink.at(point, Act::Reply(reply));
        let error = transport.send(&login_mail("ada@example.com")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_permanent(), error.blames_provider()),
            (kind, permanent, provider),
            "{reply}"
        );
        assert!(error.to_string().contains(&reply[..3]), "{error}");
        sink.heal();
        transport.send(&login_mail("ada@example.com")).await.unwrap();
    }
    assert_eq!(sink.count(), 9, "no refused mail was kept");
}

/// RFC 2920: one breath for the envelope where the server offers it, an answer each where it does not.
#[tokio::test]
async fn commands_are_sent_ahead_where_that_is_offered() {
    let delay = Duration::from_millis(200);
    for (pipelining, waits) in [(true, 2), (false, 4)] {
        let sink = SmtpSink::with(Traits { pipelining, ..Traits::default() }).await;
        let mut transport = transport(settings(&sink));
        transport.send(&login_mail("ada@example.com")).await.unwrap();
        sink.at(Point::Answer, Act::Delay(delay));
        let begun = Instant::now();
        transport.send(&login_mail("ada@example.com")).await.unwrap();
        let took = begun.elapsed();
        assert!(took >= waits * delay && took < (waits + 1) * delay, "pipelining {pipelining}: {took:?}");
    }
}

/// A server that takes DATA for nobody gets no empty mail.
#[tokio::test]
async fn a_refused_recipient_is_no_empty_mail() {
    let sink = SmtpSink::with(Traits { takes_empty_data: true, ..Traits::default() }).await;
    let mut transport = transport(settings(&sink));
    sink.refuse("gone@example.com", "550 5.1.1 no such user");
    let gone = transport.send(&login_mail("gone@example.com")).await.unwrap_err();
    assert_eq!(gone, SendError::Permanent { stage: Stage::Recipient, reply: "550 5.1.1".to_owned() });
    transport.send(&login_mail("ada@example.com")).await.unwrap();
    assert_eq!((sink.connections(), sink.count()), (2, 1));
}

#[tokio::test]
async fn lost_connections_are_made_anew() {
    let sink = SmtpSink::start().await;
    let mut transport = transport(settings(&sink));
    transport.send(&login_mail("ada@example.com")).await.unwrap();
    // The server hung up while the connection lay idle: noticed at MAIL FROM, not held against the mail.
    for goodbye in [Act::Drop, Act::Reply("421 4.4.2 idle too long")] {
        let before = sink.connections();
        sink.once(Point::Mail, goodbye);
        transport.send(&login_mail("grace@example.com")).await.unwrap();
        assert_eq!(sink.connections(), before + 1);
    }
    // Lost in the middle of a mail: an error of the connection, and the next mail goes out.
    for (point, stage) in
        [(Point::Rcpt, Stage::Recipient), (Point::Data, Stage::Content), (Point::Body, Stage::Handover)]
    {
        sink.at(point, Act::Drop);
        let error = transport.send(&login_mail("ada@example.com")).await.unwrap_err();
        assert!(matches!(&error, SendError::Unreachable { stage: at, .. } if *at == stage), "{error}");
        assert!(error.blames_provider() && !error.is_permanent());
        sink.heal();
        transport.send(&login_mail("ada@example.com")).await.unwrap();
    }
    let port = sink.port();
    drop(sink);
    let error = transport.send(&login_mail("ada@example.com")).await.unwrap_err();
    assert_eq!(error.kind(), "unreachable", "port {port}");
}

#[tokio::test]
async fn a_connection_out_of_step_is_not_used_again() {
    let sink = SmtpSink::start().await;
    let mut transport = transport(settings(&sink));
    sink.once(Point::Rcpt, Act::Reply("what?"));
    let error = transport.send(&login_mail("ada@example.com")).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable { stage: Stage::Recipient, .. }), "{error}");
    transport.send(&login_mail("ada@example.com")).await.unwrap();
    assert_eq!((sink.connections(), sink.count()), (2, 1));
}

#[tokio::test]
async fn a_retry_after_a_lost_answer_carries_the_same_message_id() {
    let sink = SmtpSink::start().await;
    let mut transport = transport(settings(&sink));
    let mail = login_mail("ada@example.com");
    sink.at(Point::Body, Act::KeepAndDrop);
    transport.send(&mail).await.unwrap_err();
    sink.heal();
    transport.send(&mail).await.unwrap();
    let mails = sink.wait_for(2).await;
    assert_eq!(mails[0].raw, mails[1].raw);
    assert_eq!(mails[0].header("Message-ID").unwrap(), format!("<{}@doorcode.example>", mail.message_id));
}

#[tokio::test]
async fn an_idle_connection_is_not_tried() {
    let sink = SmtpSink::start().await;
    let mut transport = transport(SmtpSettings { max_idle: Duration::ZERO, ..settings(&sink) });
    for _ in 0..3 {
        transport.send(&login_mail("ada@example.com")).await.unwrap();
    }
    assert_eq!(sink.connections(), 3);
}

#[tokio::test]
async fn silence_at_any_point_ends_at_the_deadline() {
    let limit = Duration::from_millis(200);
    for point in [Point::Greeting, Point::Ehlo, Point::Mail, Point::Rcpt, Point::Data, Point::Body] {
        let sink = SmtpSink::start().await;
        let mut transport = transport_within(limit, settings(&sink));
        sink.at(point, Act::Silence);
        let started = Instant::now();
        let error = transport.send(&login_mail("ada@example.com")).await.unwrap_err();
        assert!(started.elapsed() < limit * 10, "{point:?}");
        assert!(error.to_string().contains("no answer within 200ms"), "{point:?}: {error}");
        sink.heal();
        transport.send(&login_mail("ada@example.com")).await.unwrap();
        assert_eq!(sink.count(), 1, "{point:?}");
    }
}

#[tokio::test]
async fn a_cancelled_send_leaves_no_half_spoken_connection() {
    let sink = SmtpSink::start().await;
    let mut transport = transport(settings(&sink));
    transport.send(&login_mail("ada@example.com")).await.unwrap();
    sink.at(Point::Rcpt, Act::Silence);
    let stuck = login_mail("grace@example.com");
    tokio::select! {
        _ = transport.send(&stuck) => panic!("the server is silent"),
        () = async { while !sink.commands().iter().any(|c| c.contains("grace")) { tokio::task::yield_now().await } } => {}
    }
    sink.heal();
    transport.send(&login_mail("ada@example.com")).await.unwrap();
    assert_eq!(sink.connections(), 2);
    assert!(sink.received().iter().all(|mail| mail.to == ["ada@example.com"]));
}

#[tokio::test]
async fn h7_addresses_beyond_ascii_need_smtputf8() {
    let able = SmtpSink::start().await;
    transport(settings(&able)).send(&login_mail("ünï@bücher.example")).await.unwrap();
    let mail = able.wait_for(1).await.remove(0);
    assert_eq!((mail.to[0].as_str(), mail.smtputf8), ("ünï@xn--bcher-kva.example", true));
    assert_eq!(mail.header("To").unwrap(), "ünï@xn--bcher-kva.example");

    for traits in [
        Traits { smtputf8: false, ..Traits::default() },
        Traits { eight_bit_mime: false, ..Traits::default() },
    ] {
        let unable = SmtpSink::with(traits).await;
        let mut transport = transport(settings(&unable));
        let error = transport.send(&login_mail("ünï@example.com")).await.unwrap_err();
        assert_eq!(error, SendError::Unsendable(Unsendable::NeedsSmtpUtf8));
        assert!(error.is_permanent() && !error.blames_provider());
        assert!(!unable.commands().iter().any(|command| command.starts_with("MAIL")), "not attempted");
        // A domain beyond ASCII has an ASCII form, and the connection is still good.
        transport.send(&login_mail("ada@bücher.example")).await.unwrap();
        assert_eq!(unable.connections(), 1);
    }
}

#[tokio::test]
async fn h7_a_server_that_refuses_smtputf8_after_offering_it_is_not_broken() {
    let sink = SmtpSink::start().await;
    sink.at(Point::Mail, Act::Reply("555 5.5.4 unsupported parameter"));
    let error = transport(settings(&sink)).send(&login_mail("ünï@example.com")).await.unwrap_err();
    assert!(error.is_permanent() && !error.blames_provider(), "strangers could trip the breaker: {error}");
}

#[tokio::test]
async fn the_memory_transport_keeps_what_smtp_would_send() {
    let mailbox = crate::mail::Mailbox::default();
    let mut transport = Transport::memory(mailbox.clone()).transport(sender(), templates());
    transport.send(&login_mail("Ada@example.com")).await.unwrap();
    let mail = mailbox.wait_for("ada@EXAMPLE.com", 1).await.remove(0);
    assert_eq!((mail.tenant.as_str(), mail.to.as_str()), ("acme", "Ada@example.com"));
    assert_eq!(mail.subject, "042917 is your Acme code");
    assert!(mail.at.ends_with('Z') && mail.at.parse::<jiff::Timestamp>().is_ok(), "{}", mail.at);
    assert!(transport.send(&login_mail("no address")).await.unwrap_err().is_permanent());
}
