//! Every language has every text, and an operator's templates are checked before they are used.

use super::*;
use crate::mail::Alphabet;
use std::collections::BTreeSet;

/// By language: the sections' texts and months.
fn texts() -> Vec<(&'static str, Table)> {
    TEXTS.iter().map(|(name, text)| (*name, text.parse().unwrap())).collect()
}

#[test]
fn no_translation_is_missing_and_none_is_left_in_english() {
    let all = texts();
    let names: Vec<String> =
        Language::all().map(|language| format!("texts/{}.toml", language.tag())).collect();
    assert_eq!(all.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    let keys = |table: &Table| -> BTreeSet<String> {
        let sections = table.iter().filter_map(|(section, value)| Some((section, value.as_table()?)));
        sections
            .flat_map(|(section, texts)| texts.keys().map(move |key| format!("{section}.{key}")))
            .collect()
    };
    let english = &all[0].1;
    for (name, table) in &all {
        assert_eq!(keys(table), keys(english), "{name}");
        assert_eq!(table["months"].as_array().unwrap().len(), 12, "{name}");
        for (section, value) in table {
            for (key, text) in value.as_table().into_iter().flatten() {
                let is_copied = *name != "texts/en.toml" && *text == english[section][key];
                assert!(!is_copied && !text.as_str().unwrap().trim().is_empty(), "{name}: {section}.{key}");
            }
        }
    }
}

/// H12, H13, H14 and H16 hold in every language.
#[test]
fn h16_every_language_says_what_a_mail_must_say() {
    let templates = Templates::load(None).unwrap();
    let runs = |text: &str| -> Vec<String> {
        let runs = text.split(|c: char| !c.is_numeric()).filter(|run| run.chars().count() >= 4);
        runs.map(str::to_owned).collect()
    };
    for mail in Mail::samples() {
        let words = templates.render(&mail).unwrap();
        let tag = mail.language.tag();
        for text in [&words.subject, &words.text, &words.html] {
            assert!(text.contains("Acme"), "{tag}: {text}");
            for trap in ["://", "href=", "src=", "url(", "{{", "{%"] {
                assert!(!text.contains(trap), "{tag}: {trap}");
            }
        }
        assert!(words.html.contains(&format!("<html lang=\"{tag}\">")));
        assert!(words.text.contains("07:08") && words.html.contains("07:08"), "{tag}");
        let network = mail.network.as_deref().unwrap_or("203.0.113.x");
        let names_network = words.text.contains(network) && words.html.contains(network);
        assert_eq!(names_network, mail.network.is_some(), "{tag}: {}", words.text);
        let Content::Code { code, alphabet, minutes, .. } = &mail.content else {
            assert_eq!(runs(&words.text), Vec::<String>::new(), "{tag}");
            continue;
        };
        let code = code.reveal();
        assert!(words.subject.starts_with(code) && words.text.starts_with(code), "{tag}");
        let minutes = minutes.to_string();
        assert!(words.text.contains(&minutes) || minutes == "1", "{tag}");
        if mail.tenant.portal_host.is_some() {
            assert_eq!(words.text.lines().last().unwrap(), format!("@portal.acme.example #{code}"));
        }
        if *alphabet == Alphabet::Digits {
            assert_eq!(runs(&words.subject), [code], "{tag}");
            assert_eq!(runs(&words.html), [code], "{tag}");
        }
    }
}

/// Texts that mails have in common are filled once; nothing of one mail is in another's.
#[test]
fn what_mails_have_in_common_is_all_that_they_share() {
    let templates = Templates::load(None).unwrap();
    let alone = |mail: &Mail| {
        let templates = Templates::load(None).unwrap();
        // the check has filled some
        templates.common.filled.kept.lock().unwrap().clear();
        templates.render(mail).unwrap()
    };
    let first = Mail::samples().next().unwrap();
    let with = |change: fn(&mut Mail)| {
        let mut mail = first.clone();
        change(&mut mail);
        mail
    };
    let other =
        |code: &str, alphabet, minutes| Content::Code { code: code.into(), alphabet, minutes, expires_us: 0 };
    let mut mails = vec![
        first.clone(),
        with(|mail| mail.network = None),
        with(|mail| mail.network = Some("198.51.100.x".to_owned())),
        with(|mail| mail.at_us += 60_000_000),
        with(|mail| mail.at_us += 40 * 86_400_000_000),
        with(|mail| mail.tenant.name = "Acme & Sons".to_owned()),
        with(|mail| mail.tenant.portal_host = None),
        with(|mail| mail.tenant.colour = None),
        with(|mail| mail.language = "de".parse().unwrap()),
        with(|mail| mail.content = Content::NewDevice),
    ];
    for content in [
        other("271828", Alphabet::Digits, 10),
        other("042917", Alphabet::Digits, 9),
        other("K7M2QX", Alphabet::Base32, 10),
    ] {
        mails.push(Mail { content, ..first.clone() });
    }
    for mail in mails.iter().chain(&mails) {
        let (words, alone) = (templates.render(mail).unwrap(), alone(mail));
        assert_eq!((words.subject, words.text, words.html), (alone.subject, alone.text, alone.html));
    }
}

#[test]
fn texts_in_common_are_bounded() {
    let folder = Folder::with(&[("tenants/acme/texts/de.toml", "[code]\nlife = \"Kurz.\"")]);
    let templates = Templates::load(Some(&folder.0)).unwrap();
    for (slug, set, max) in
        [("other", &templates.common, MAX_FILLED), ("acme", &templates.tenants["acme"], MAX_FILLED_OWN)]
    {
        let kept = |after: i64| {
            let mail = german(slug);
            templates.render(&Mail { at_us: mail.at_us + after * 60_000_000, ..mail }).unwrap();
            set.filled.kept.lock().unwrap().len()
        };
        let most = (0..2 * MAX_FILLED as i64).map(kept).max().unwrap();
        assert_eq!(most, max, "{slug}");
    }
}

struct Folder(std::path::PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("doorcode-templates-{}", uuid::Uuid::new_v4()));
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn german(slug: &str) -> Mail {
    let mut mail = Mail::samples().find(|mail| mail.language.tag() == "de").unwrap();
    mail.tenant.slug = slug.to_owned();
    mail
}

#[test]
fn an_operators_files_win_a_tenants_own_over_them() {
    let folder = Folder::with(&[
        ("texts/de.toml", "[code]\nsecret = \"Psst, {{ tenant }}.\""),
        ("tenants/acme/texts/de.toml", "[code]\nlife = \"Kurz.\""),
        ("tenants/acme/code/body.txt", "{{ t.first }}\n{{ t.life }} {{ t.secret }}\n"),
    ]);
    let templates = Templates::load(Some(&folder.0)).unwrap();
    let acme = templates.render(&german("acme")).unwrap().text;
    assert_eq!(acme, "042917 ist Ihr Code für die Anmeldung bei Acme.\nKurz. Psst, Acme.\n");
    let other = templates.render(&german("other")).unwrap().text;
    assert!(other.contains("10 Minuten lang") && other.contains("Psst, Acme."), "{other}");
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    for (name, text, what) in [
        ("texts/sv.toml", "", "is used for nothing"),
        ("code/body.md", "", "is used for nothing"),
        ("texts/de.toml", "[code]\nlive = \"x\"", "there is no text code.live; code has asked, first"),
        ("texts/de.toml", "[kode]\nlife = \"x\"", "there is no section kode"),
        ("texts/de.toml", "[code]\nsubject = \"Ihr Code {{ code }}\"", "must begin with the code"),
        ("code/body.txt", "{{ code", "is no template"),
        ("code/body.html", "{{ colr }}", "undefined value"),
        ("tenants/acme/code/body.txt", "{{ t.nothing }}", "undefined value"),
    ] {
        let folder = Folder::with(&[(name, text)]);
        let error = Templates::load(Some(&folder.0)).err().unwrap().to_string();
        assert!(error.contains(what) && !error.contains("042917"), "{name}: {error}");
    }
    assert!(Templates::load(Some(Path::new("/nowhere"))).is_err());
}
