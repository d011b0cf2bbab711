//! `doorcode mail`

use super::CommandError;
use crate::cli::MailCommand;
use crate::config::Config;
use doorcode_actors::{Alphabet, Content, Mail, ProviderSettings, Sender, Templates, Transport};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

pub(super) async fn run(
    command: MailCommand,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    match command {
        MailCommand::Preview { dir, tenant } => preview(&dir, &tenant, config, out),
        MailCommand::Test { to } => test(&to, config, out).await,
    }
}

async fn test(to: &str, config: &Config, out: &mut dyn Write) -> Result<(), CommandError> {
    let from = config.mail.from.as_deref().ok_or_else(|| {
        CommandError::failed("mail.from is not set", "Set the sender's address, such as login@acme.com")
    })?;
    if config.mail.configured().is_empty() {
        return Err(CommandError::failed(
            "no mail provider is set up",
            "Set mail.smtp.host or mail.hook.url",
        ));
    }
    let templates = Templates::load(config.mail.templates.as_deref()).map_err(failed)?;
    let transport = Transport::new(&config.mail, config.public_url.host())
        .map_err(|(name, error)| failed(format!("mail provider {name}: {error}")))?;
    let mut transport = transport.transport(Sender::new(from, None).map_err(failed)?, Arc::new(templates));
    let sample = Mail::samples().next().ok_or_else(|| failed("there is no sample"))?;
    let mail = Mail { to: to.to_owned(), message_id: uuid::Uuid::new_v4(), ..sample };
    for (name, provider) in config.mail.configured() {
        match provider {
            ProviderSettings::Smtp(smtp) => {
                let host = smtp.host.as_deref().unwrap_or_default();
                let login = if smtp.username.is_some() { "with a login" } else { "without a login" };
                writeln!(out, "{name}: {host}:{}, tls {:?}, {login}, from {from}", smtp.port, smtp.tls)?;
            }
            ProviderSettings::Hook(hook) => {
                let url = hook.url.as_deref().unwrap_or_default();
                writeln!(out, "{name}: {url}, signed with {} secrets", hook.secrets.len())?;
            }
        }
    }
    let mut failures = 0;
    for (name, outcome) in transport.try_each(&mail).await {
        match outcome {
            Ok(took) => writeln!(out, "{name}: handed over in {} ms", took.as_millis())?,
            Err(error) => {
                failures += 1;
                writeln!(out, "{name}: FAILED: {error}")?;
            }
        }
    }
    transport.close().await;
    if failures > 0 {
        Err(failed(format!("{failures} of the providers did not take the mail")))
    } else {
        Ok(())
    }
}

/// Frames in two rows for each mail: as the browser likes it, and dark.
const SHEET: &str = "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Mails</title>\n<style>\n\
    body { font: 14px sans-serif; display: flex; flex-wrap: wrap; gap: 16px }\n\
    figure { margin: 0 } iframe { width: 420px; height: 480px; border: 1px solid #999 }\n\
    .light { color-scheme: light } .dark { color-scheme: dark } pre { width: 420px; white-space: pre-wrap }\n\
    </style>\n";

fn preview(dir: &Path, tenant: &str, config: &Config, out: &mut dyn Write) -> Result<(), CommandError> {
    let templates = Templates::load(config.mail.templates.as_deref()).map_err(failed)?;
    std::fs::create_dir_all(dir)?;
    let (mut sheet, mut files) = (SHEET.to_owned(), 0);
    for mut mail in Mail::samples() {
        tenant.clone_into(&mut mail.tenant.slug);
        let words = templates.render(&mail).map_err(failed)?;
        let kind = match &mail.content {
            Content::Code { alphabet: Alphabet::Digits, minutes: 10, .. } => "code",
            Content::Code { alphabet: Alphabet::Digits, .. } => continue,
            Content::Code { alphabet: Alphabet::Base32, .. } => "code-base32",
            Content::FailedGuesses => "failed-guesses",
            Content::NewDevice => "new-device",
        };
        let name = format!("{}-{kind}", mail.language.tag());
        std::fs::write(dir.join(format!("{name}.html")), &words.html)?;
        std::fs::write(
            dir.join(format!("{name}.txt")),
            format!("Subject: {}\n\n{}", words.subject, words.text),
        )?;
        for look in ["light", "dark"] {
            // writing to a String does not fail
            let _ = writeln!(
                sheet,
                "<figure><figcaption>{name}, {look}</figcaption><iframe class=\"{look}\" src=\"{name}.html\"></iframe></figure>"
            );
        }
        let text = words.text.replace('&', "&amp;").replace('<', "&lt;");
        let _ =
            writeln!(sheet, "<figure><figcaption>{}</figcaption><pre>{text}</pre></figure>", words.subject);
        files += 2;
    }
    std::fs::write(dir.join("index.html"), sheet)?;
    writeln!(out, "wrote {files} files; open {}", dir.join("index.html").display())?;
    Ok(())
}

fn failed(error: impl ToString) -> CommandError {
    CommandError::failed(error.to_string(), "")
}
