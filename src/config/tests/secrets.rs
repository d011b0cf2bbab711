use super::*;

/// Promise 8: no mistake, no listing and no Debug shows a secret.
#[test]
fn secrets_are_shown_nowhere() {
    let wrong = [
        "[master_key]\nvalue = \"hunter2\"",
        "[master_key]\nvalue = \"hunter2",
        "[database]\nurl = \"mysql://u:hunter2@h/d\"",
        "[database]\nurl = 'mysql://u:hunter2@h",
        "[mail.smtp]\npassword = \"\"\"\nhunter2",
        "[mail.smtp]\npassword = \"hunter2\"",
        "[mail.smtp]\npassword = [\"hunter2\"]",
        "[mail.smtp]\npasswort = \"hunter2\"",
        "[mail.smtp]\npasswort = \"hunter2",
        "[mail]\npassword = \"hunter2\"",
        "[mail]\nsmpt.password = \"hunter2\"",
        "[mail]\nsmpt = { password = \"hunter2\" }",
        "[mail]\nsmtp = { password = \"hunter2\", tls = \"x\" }",
        "[mail]\nsmtp = { password = \"hunter2\", report_secret = 5 }",
        "[mail]\nsmtp = { host = \"h\", password = \"hunter2",
        "[mail.hook]\nsecrets = [\n  \"whsec_hunter2=,\n]",
        "[mail.hook]\nsecrets = [\n  whsec_hunter2=,\n]",
        "[mail.hook]\nsecrets = \n[\"whsec_hunter2\"]",
        "[mail.providers.second]\nkind = \"hook\"\nsecret = \"hunter2\"",
    ];
    for text in wrong {
        let error = error(text, &[]);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let env = error("", &[("DOORCODE__MASTER_KEY__VALUE", "hunter2"), ("DATABASE_URL", "hunter2")]);
    assert!(!format!("{env} {env:?}").contains("hunter2"), "{env}");
    let text = "[database]\nurl = \"postgres://u:hunter2@h/d\"\n[mail.smtp]\nusername = \"u\"\npassword = \"hunter2\"";
    let loaded = load(text, &[]).unwrap();
    assert!(!format!("{:?}", loaded.config).contains("hunter2"));
    assert!(!format!("{:?}", loaded.settings()).contains("hunter2"));
}
