use super::*;
use doorcode_actors::Algorithm;

mod random;
mod secrets;

const GOOD_KEY: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// What `serve` wants, but for the master key.
const FIT: &str = "public_url = \"https://login.acme.com\"\ndatabase.url = \"postgres://localhost/d\"\n\
    mail.from = \"a@acme.com\"\nmail.smtp.host = \"relay\"";

fn load(file: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let path = Scratch::new(file);
    Config::load(Some(&path.0), env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn load_for_serve(file: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let path = Scratch::new(file);
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load_for_serve(Some(&path.0), env)
}

fn error(file: &str, env: &[(&str, &str)]) -> ConfigError {
    load(file, env).expect_err("the configuration should have been refused")
}

/// A file that is gone when the test is.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("doorcode-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_defaults_are_a_configuration_that_warns_of_nothing() {
    let loaded = Config::load(None, []).unwrap();
    assert!(loaded.config.warnings().is_empty());
    let config = loaded.config;
    assert_eq!(config.limits.address.refill, Duration::from_secs(4 * 3600 + 48 * 60));
    assert_eq!(config.tokens.refresh_absolute, Duration::from_secs(30 * 86_400));
    assert_eq!(config.tokens.algorithm, Algorithm::Es256);
    assert_eq!(config.http.request_deadline, Duration::from_secs(2));
    assert!(config.database.url.is_none() && config.master_key.key.is_none());
}

#[test]
fn every_default_is_explained() {
    // These stand under the comment of the line above them.
    let shared = ["value", "login_per_hour", "port", "username", "password"];
    let mut above = "";
    for line in DEFAULTS.lines() {
        if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let named = shared.contains(&key) && !above.is_empty();
            assert!(named || above.starts_with('#'), "no comment above: {line}");
        }
        above = line;
    }
}

/// Each mistake: the file, then line, column, key, and what is said.
#[test]
fn mistakes_in_the_file_name_line_column_key_and_what_was_expected() {
    let table = [
        ("[http]\nlistn = \"x\"", 2, 9, "http.listn", "did you mean http.listen?"),
        ("[htp]\nlisten = \"127.0.0.1:1\"", 1, 2, "htp", "did you mean http?"),
        ("\n\n[database]\npool = 3", 4, 8, "database.pool", "did you mean database.pool_size?"),
        ("[database]\nlogin_grid = 3", 2, 14, "database.login_grid", "did you mean http.login_grid?"),
        ("[database]\nxyzzy = 3", 2, 9, "database.xyzzy", "database has batch_max, create_timeout"),
        (
            "[database]\npool_size = \"3\"",
            2,
            13,
            "database.pool_size",
            "expected a whole number without quotes, found a string",
        ),
        ("[database]\npool_size = 0", 2, 13, "database.pool_size", "nonzero"),
        ("[database]\npool_size = -1", 2, 13, "database.pool_size", "expected"),
        (
            "[http]\nrequest_deadline = \"soon\"",
            2,
            20,
            "http.request_deadline",
            "expected a duration above zero",
        ),
        (
            "[http]\nrequest_deadline = \"0s\"",
            2,
            20,
            "http.request_deadline",
            "expected a duration above zero",
        ),
        ("[http]\nlisten = \"8080\"", 2, 10, "http.listen", "socket address"),
        (
            "[http]\ntrusted_proxies = [\"10.1.2.3/8\"]",
            2,
            19,
            "http.trusted_proxies",
            "bits after the prefix are zero",
        ),
        ("[http]\ntrusted_proxies = \"10.0.0.0/8\"", 2, 19, "http.trusted_proxies", "expected a list in [ ]"),
        ("[codes]\nlife = \"601s\"", 2, 8, "codes.life", "expected 180s to 600s"),
        ("[codes]\nstep_up = \"hex\"", 2, 11, "codes.step_up", "`digits` or `base32`"),
        ("[limits]\nclient = true", 2, 10, "limits.client", "expected a section"),
        ("[mail]\ndeadline = \"20s\"", 2, 12, "mail.deadline", "less than mail.lease"),
        ("[tokens]\nkey_rotation = \"59m\"", 2, 16, "tokens.key_rotation", "at least 1h"),
        (
            "[tokens]\npublish_ahead = \"10m\"",
            2,
            17,
            "tokens.publish_ahead",
            "expected 11m to tokens.key_rotation",
        ),
        (
            "[tokens]\npublish_ahead = \"31d\"",
            2,
            17,
            "tokens.publish_ahead",
            "expected 11m to tokens.key_rotation",
        ),
        ("[tokens]\nalgorithm = \"HS256\"", 2, 13, "tokens.algorithm", "`ES256`"),
        ("[log]\nlevel = \"inf\"", 2, 9, "log.level", "expected error, warn, info"),
        ("public_url = \"https://a.b/\"", 1, 14, "public_url", "no closing slash"),
        ("public_url = \"http://a.b\"", 1, 14, "public_url", "http only on localhost"),
        (
            "http.listen = \"1.2.3.4:5\"\nhttp.drain_deadline = 5",
            2,
            23,
            "http.drain_deadline",
            "expected a string",
        ),
        ("[http\nlisten = 1", 1, 6, "", "this is not TOML"),
        ("[mail.smtp]\nusername = \"u\"", 2, 12, "mail.smtp.password", "username and password"),
    ];
    for (text, line, column, key, message) in table {
        let error = error(text, &[]);
        let fault = &error.faults[0];
        assert_eq!(fault.key, key, "{text}");
        assert!(fault.message.contains(message), "{text}: {}", fault.message);
        if key != "mail.smtp.password" {
            let Origin::File { line: l, column: c, .. } = fault.origin else {
                panic!("{text}: {:?}", fault.origin)
            };
            assert_eq!((l, c), (line, column), "{text}");
        }
    }
}

#[test]
fn the_report_shows_the_line_and_points_at_the_value() {
    let report = error("# ours\n[http]\nlisten = \"8080\" # all\n", &[]).to_string();
    let (place, rest) = report.split_once(".toml:").unwrap();
    assert!(place.contains("doorcode-"), "{report}");
    assert_eq!(
        rest,
        "3:10: http.listen: invalid socket address syntax\n  |\n3 | listen = \"8080\" # all\n  |          ^^^^^^\n  \
         = the default is \"127.0.0.1:8080\""
    );
}

#[test]
fn all_mistakes_of_a_kind_are_told_at_once() {
    let error = error("[http]\na = 1\nb = 2\n[log]\nlevel = 3", &[("DOORCODE__NO", "1")]);
    assert_eq!(error.faults.len(), 4, "{error}");
}

#[test]
fn the_environment_wins_over_the_file_and_is_read_as_the_default_is() {
    let loaded = load(
        "[http]\nlisten = \"127.0.0.1:1\"\n[database]\npool_size = 9\nurl = \"postgres://file/x\"",
        &[
            ("DOORCODE__HTTP__LISTEN", "127.0.0.1:2"),
            ("DOORCODE__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8"),
            ("DOORCODE__LIMITS__CLIENT__ENABLED", "false"),
            ("DOORCODE__PUBLIC_URL", "https://login.acme.com"),
            ("DATABASE_URL", "postgres://platform/x"),
            ("DOORCODE__DATABASE__URL", "postgres://ours/x"),
            ("UNRELATED", "1"),
            ("DOORCODE_SINGLE", "1"),
        ],
    )
    .unwrap();
    let config = &loaded.config;
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.database.pool_size.get(), 9);
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(config.database.url.as_ref().unwrap().reveal(), "postgres://platform/x");
    assert_eq!(config.warnings().len(), 2, "a limit is off, and the database need not be asked under TLS");
    let setting = |key: &str| loaded.settings().into_iter().find(|setting| setting.key == key).unwrap();
    assert_eq!(setting("http.listen").origin, Origin::Env { variable: "DOORCODE__HTTP__LISTEN".to_owned() });
    assert!(matches!(setting("database.pool_size").origin, Origin::File { line: 4, .. }));
    assert_eq!(setting("http.idle_timeout").origin, Origin::Default);
    assert_eq!(setting("database.url").value.as_str(), Some("[redacted]"));
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let table = [
        (("DOORCODE__HTTP__LISTN", "x"), "did you mean http.listen?"),
        (("DOORCODE__DATABASE__POOL_SIZE", "many"), "expected a whole number"),
        (("DOORCODE__LIMITS__CLIENT__ENABLED", "off"), "expected true or false"),
        (("DOORCODE__HTTP__LISTEN", "nowhere"), "socket address"),
        (("DOORCODE__MASTER_KEY__VALUE_FILE", "/no/such/file"), "cannot be read"),
        (("DOORCODE__HTTP", "x"), "no such setting"),
        (("DATABASE_URL", "mysql://x"), "expected a URL such as postgres://"),
    ];
    for (variable, message) in table {
        let error = error("", &[variable]);
        assert_eq!(error.faults[0].origin, Origin::Env { variable: variable.0.to_owned() }, "{variable:?}");
        let report = error.to_string();
        assert!(report.contains(variable.0) && report.contains(message), "{report}");
    }
}

#[test]
fn the_master_key_is_read_from_value_or_file_in_any_spelling() {
    let hex = "00".repeat(31) + "ff";
    let base64 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=";
    let file = Scratch::new(&format!("{base64}\n"));
    let path = file.0.display().to_string();
    for env in [
        ("DOORCODE__MASTER_KEY__VALUE", hex.as_str()),
        ("DOORCODE__MASTER_KEY__VALUE", base64),
        ("DOORCODE__MASTER_KEY__VALUE", base64.trim_end_matches('=')),
        ("DOORCODE__MASTER_KEY__VALUE_FILE", &path),
        ("DOORCODE__MASTER_KEY__FILE", &path),
    ] {
        let key = load("", &[env]).unwrap().config.master_key.key.unwrap();
        assert_eq!((key.reveal()[0], key.reveal()[31]), (0, 255), "{env:?}");
    }
    let open = load("", &[("DOORCODE__MASTER_KEY__FILE", &path)]).unwrap().config.warnings();
    assert!(open.len() == 1 && open[0].contains("chmod 400"), "{open:?}");
    let both = [("DOORCODE__MASTER_KEY__VALUE", hex.as_str()), ("DOORCODE__MASTER_KEY__FILE", &path)];
    assert!(error("", &both).to_string().contains("not both"));
}

#[test]
fn serve_wants_what_dev_makes_itself() {
    let missing = load_for_serve("", &[]).unwrap_err();
    let keys: Vec<&str> = missing.faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["public_url", "database.url", "master_key.file", "mail.smtp.host", "mail.from"]);
    assert_eq!(load("", &[]).unwrap().unfit_for_serve(), keys);
    let full = load_for_serve(FIT, &[("DOORCODE__MASTER_KEY__VALUE", GOOD_KEY)]).unwrap();
    assert!(full.config.warnings().is_empty() && full.unfit_for_serve().is_empty());
}

/// Each setting that can be guessed, spent or overheard: how it is given, the key, and what is said.
#[test]
fn serve_refuses_what_would_be_accepted_in_silence() {
    let (zeros, text) = ("00".repeat(32), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let counted: String = (1..33).map(|byte| format!("{byte:02x}")).collect();
    let block = "0f1e2d3c4b5a69788796a5b4c3d2e1f0".repeat(2);
    let words: String =
        b"correct horse battery staple 123".iter().map(|byte| format!("{byte:02x}")).collect();
    for weak in [&zeros, text, &counted, &block, &words] {
        let error = load_for_serve(FIT, &[("DOORCODE__MASTER_KEY__VALUE", weak)]).unwrap_err();
        assert_eq!(error.faults.len(), 1, "{weak}: {error}");
        let report = error.to_string();
        assert!(report.contains("32 random bytes") && report.contains("rewrap"), "{report}");
        assert!(!report.contains(weak), "{report}");
    }
    let table = [
        ("TOKENS__RETRY_WINDOW", "2d", "tokens.retry_window", "at most 10m"),
        ("MAIL__LEASE", "10s 500ms", "mail.deadline", "by a second or more"),
        ("HTTP__TRUSTED_PROXIES", "0.0.0.0/0", "http.trusted_proxies", "choose their own"),
        ("HTTP__TRUSTED_PROXIES", "::/0", "http.trusted_proxies", "choose their own"),
        ("HTTP__TRUSTED_PROXIES", "0.0.0.0/1,128.0.0.0/1", "http.trusted_proxies", "choose their own"),
        ("HTTP__TRUSTED_PROXIES", "16.0.0.0/5", "http.trusted_proxies", "choose their own"),
        ("HTTP__REQUEST_DEADLINE", "30d", "http.request_deadline", "at most 10m"),
        ("DATABASE__LOCK_TIMEOUT", "3s", "database.lock_timeout", "at most http.request_deadline"),
        ("LIMITS__TENANT__PER_SECOND", "1000001", "limits.tenant.per_second", "at most 1000000"),
        ("LIMITS__TENANT__BURST", "4294967295", "limits.tenant.burst", "within a day"),
        ("LIMITS__ADDRESS__BURST", "2147483648", "limits.address.burst", "within a year"),
        ("LIMITS__ADDRESS__REFILL", "1000000d", "limits.address.burst", "within a year"),
        ("LIMITS__CLIENT__LOGIN_PER_HOUR", "4294967295", "limits.client.login_per_hour", "site_factor"),
    ];
    for (name, value, key, message) in table {
        let error = load_for_serve(
            FIT,
            &[("DOORCODE__MASTER_KEY__VALUE", GOOD_KEY), (&format!("DOORCODE__{name}"), value)],
        );
        let error = error.expect_err(name);
        assert_eq!((error.faults.len(), error.faults[0].key.as_str()), (1, key), "{name} = {value}: {error}");
        assert!(error.faults[0].message.contains(message), "{error}");
    }
    let private = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,104.16.0.0/12,2400:cb00::/32";
    load("", &[("DOORCODE__HTTP__TRUSTED_PROXIES", private)]).unwrap();
}

#[test]
fn special_use_senders_are_refused_with_the_reason() {
    let report = error("[mail]\nfrom = \"login@acme.test\"", &[]).to_string();
    assert!(report.contains("special-use") && report.contains("mail.special_use_domains"), "{report}");
    load("[mail]\nfrom = \"login@acme.test\"\nspecial_use_domains = [\"test\"]", &[]).unwrap();
    let report = error("", &[("DOORCODE__MAIL__SPECIAL_USE_DOMAINS", "onion")]).to_string();
    assert!(report.contains("mail.special_use_domains") && report.contains("\"local\""), "{report}");
}

#[test]
fn what_may_be_meant_is_warned_of() {
    let table = [
        ("DOORCODE__OPS__LISTEN", "0.0.0.0:8081", Some("firewall")),
        ("DOORCODE__OPS__LISTEN", "[::]:8081", Some("firewall")),
        ("DOORCODE__OPS__LISTEN", "203.0.113.7:8081", Some("firewall")),
        ("DOORCODE__OPS__LISTEN", "10.0.0.7:8081", None),
        ("DATABASE_URL", "postgres://u:p@db.internal/d", Some("sslmode=verify-full")),
        ("DATABASE_URL", "postgres://u:p@db.internal/d?sslmode=prefer", Some("sslmode=verify-full")),
        ("DATABASE_URL", "postgres://u:p@localhost,10.0.0.7/d", Some("sslmode=verify-full")),
        ("DATABASE_URL", "postgres://u:p@db.internal/d?sslmode=require", Some("sslmode=verify-full")),
        ("DATABASE_URL", "postgres://u:p@db.internal/d?sslmode=verify-full&sslrootcert=/ca.pem", None),
        ("DATABASE_URL", "postgres://u:p@127.0.0.1/d", None),
        ("DATABASE_URL", "postgres:///d?host=/run/postgresql", None),
    ];
    for (name, value, said) in table {
        let warnings = load("", &[(name, value)]).unwrap().config.warnings();
        match said {
            Some(said) => assert!(warnings.len() == 1 && warnings[0].contains(said), "{value}: {warnings:?}"),
            None => assert!(warnings.is_empty(), "{value}: {warnings:?}"),
        }
    }
}

/// A wrong kind, a value its type refuses, a contradiction, an unknown key and what `serve` lacks: one report.
#[test]
fn all_mistakes_are_told_at_once() {
    let file = "[http]\nlisten = 1\nidle_timeout = \"soon\"\nport = 3\n[codes]\nlife = \"1h\"\n[mail]\nlease = \"x\"";
    let error = load_for_serve(file, &[("DOORCODE__LOG__LEVEL", "loud")]).unwrap_err();
    let keys: Vec<&str> = error.faults.iter().map(|fault| fault.key.as_str()).collect();
    for key in [
        "http.listen",
        "http.idle_timeout",
        "http.port",
        "codes.life",
        "mail.lease",
        "log.level",
        "mail.from",
    ] {
        assert!(keys.contains(&key), "{key} in {error}");
    }
    // judged by the default lease, it would be wrong; nobody knows by which lease it is meant
    let error = load_for_serve("[mail]\nlease = \"x\"\ndeadline = \"25s\"", &[]).unwrap_err();
    assert!(!error.faults.iter().any(|fault| fault.key == "mail.deadline"), "{error}");
}

/// One underscore where two belong would set nothing, and nobody would know.
#[test]
fn a_variable_with_single_underscores_is_named() {
    for (name, meant) in [
        ("DOORCODE_HTTP_LISTEN", "DOORCODE__HTTP__LISTEN"),
        ("DOORCODE_MASTER_KEY_VALUE_FILE", "DOORCODE__MASTER_KEY__VALUE_FILE"),
        ("DOORCODE_LIMITS_CLIENT__ENABLED", "DOORCODE__LIMITS__CLIENT__ENABLED"),
    ] {
        let report = error("", &[(name, "x")]).to_string();
        assert!(report.contains(name) && report.contains(&format!("{meant}?")), "{report}");
    }
    // Kubernetes' for a service called doorcode
    load("", &[("DOORCODE_PORT", "tcp://10.0.0.1:80"), ("DOORCODE_SERVICE_HOST", "10.0.0.1")]).unwrap();
}
