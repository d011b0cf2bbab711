//! TLS and AUTH on the way to a relay.

use super::*;

#[tokio::test]
async fn h18_tls_is_used_and_verified() {
    for (tls, mode) in [(SinkTls::StartTls, TlsMode::StartTls), (SinkTls::Implicit, TlsMode::Implicit)] {
        let sink = sink_with_tls(tls).await;
        let mut transport = transport(SmtpSettings { tls: mode, ..settings(&sink) });
        for _ in 0..2 {
            transport.send(&login_mail("ada@example.com")).await.unwrap();
        }
        assert!(sink.wait_for(2).await.iter().all(|mail| mail.tls && mail.connection == 1));

        let strange_name = SmtpSettings { host: Some("127.0.0.1".to_owned()), ..settings(&sink) };
        let strange_name = self::transport(SmtpSettings { tls: mode, ..strange_name });
        let unknown_issuer = SmtpSettings { tls: mode, ..settings(&sink) };
        let unknown_issuer = over(
            Relay::trusting(system_roots(), unknown_issuer, "doorcode.example").unwrap(),
            Duration::from_secs(10),
        );
        for mut transport in [strange_name, unknown_issuer] {
            let error = transport.send(&login_mail("eve@example.com")).await;
            let error = error.unwrap_err();
            assert!(matches!(error, SendError::TlsRefused { .. }), "{mode:?}: {error}");
        }
        assert_eq!(sink.count(), 2);
    }
}

#[tokio::test]
async fn h18_without_starttls_no_mail_goes_out() {
    let stripped = SmtpSink::start().await;
    let refused = sink_with_tls(SinkTls::StartTls).await;
    refused.at(Point::StartTls, Act::Reply("454 4.7.0 TLS not available"));
    let injected = sink_with_tls(SinkTls::StartTlsInjected).await;
    for sink in [stripped, refused, injected] {
        let settings = SmtpSettings { tls: TlsMode::StartTls, ..with_login(settings(&sink), "hunter22") };
        let mut transport = transport(settings);
        let error = transport.send(&login_mail("ada@example.com")).await.unwrap_err();
        assert!(matches!(error, SendError::TlsRefused { .. }), "{error}");
        assert!(error.blames_provider() && !error.is_permanent());
        let said = sink.commands();
        assert!(
            said.iter().all(|c| c.starts_with("EHLO") || c == "STARTTLS"),
            "nothing else in the clear: {said:?}"
        );
    }
}

#[tokio::test]
async fn logins_work_under_tls_only_and_stay_secret() {
    let traits = Traits {
        tls: SinkTls::StartTls,
        login: Some(("doorcode".to_owned(), "hunter22".to_owned())),
        ..Traits::default()
    };
    let sink = SmtpSink::with(traits).await;
    let with = |password| SmtpSettings { tls: TlsMode::StartTls, ..with_login(settings(&sink), password) };
    transport(with("hunter22")).send(&login_mail("ada@example.com")).await.unwrap();
    let error = transport(with("hunter23")).send(&login_mail("ada@example.com")).await.unwrap_err();
    assert_eq!(error, SendError::SenderRefused { stage: Stage::Login, reply: "535 5.7.8".to_owned() });
    assert!(!error.is_permanent());
    assert!(!format!("{:?}", with("hunter22")).contains("hunter22"));

    let refused = |settings, hello_name| relay(settings, hello_name).err();
    let clear =
        SmtpSettings { host: Some("mail.example.com".to_owned()), ..with_login(settings(&sink), "x") };
    assert_eq!(refused(clear, "doorcode.example"), Some(SetupError::LoginInTheClear));
    assert_eq!(refused(settings(&sink), "a\r\nMAIL"), Some(SetupError::HelloName));
    let nowhere = SmtpSettings { host: None, ..settings(&sink) };
    assert_eq!(refused(nowhere, "doorcode.example"), Some(SetupError::NoHost));
}
