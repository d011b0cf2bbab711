//! Settings made at random: they are refused with a report, or what follows from them can be computed.

use super::*;
use crate::config::layers::Setting;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What somebody might write, sense or nonsense.
fn value() -> impl Strategy<Value = String> {
    let edge = [0, 1, 2, 59, 65_535, 1_000_001, i32::MAX as u64, u32::MAX as u64 + 1, i64::MAX as u64];
    prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        proptest::sample::select(edge.to_vec()).prop_map(|number| number.to_string()),
        (any::<u32>(), proptest::sample::select(vec!["ms", "s", "m", "h", "d", "w", "y"]))
            .prop_map(|(number, unit)| format!("{number}{unit}")),
        (any::<std::net::IpAddr>(), 0..130_u8).prop_map(|(ip, bits)| format!("{ip}/{bits}")),
        any::<std::net::SocketAddr>().prop_map(|address| address.to_string()),
        proptest::sample::select(vec![
            "",
            "true",
            "false",
            "none",
            "https://a.b",
            "postgres://h/d",
            "x@acme.com"
        ])
        .prop_map(str::to_owned),
        ".{0,40}",
    ]
}

fn variables() -> impl Strategy<Value = BTreeMap<String, String>> {
    let keys: Vec<String> = Config::load(None, []).unwrap().settings().into_iter().map(name_of).collect();
    proptest::collection::btree_map(proptest::sample::select(keys), value(), 0..8)
}

fn name_of(setting: Setting) -> String {
    format!("DOORCODE__{}", setting.key.to_ascii_uppercase().replace('.', "__"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_can_be_computed(variables in variables()) {
        let Ok(loaded) = Config::load(None, variables.clone()) else { return Ok(()) };
        let config = loaded.config;
        config.warnings();
        let us = |time: Duration| i64::try_from(time.as_micros()).unwrap();
        let mails = config.limits.address;
        prop_assert!(i64::from(mails.burst.get()).checked_mul(us(mails.refill)).is_some_and(|us| us < 1 << 45));
        prop_assert!(i32::try_from(mails.burst.get()).is_ok() || mails.refill < Duration::from_secs(1));
        let tenant = config.limits.tenant;
        prop_assert!(1_000_000 / tenant.per_second.get() > 0);
        let client = config.limits.client;
        prop_assert!(client.login_per_hour.get().checked_mul(client.site_factor.get()).is_some());
        let lease_rest = config.mail.lease.checked_sub(config.mail.deadline).unwrap();
        prop_assert!(lease_rest >= Duration::from_secs(1));
        prop_assert!(config.tokens.retry_window <= Duration::from_secs(600));
        for time in [config.database.statement_timeout, config.database.lock_timeout] {
            // PostgreSQL's own bound
            prop_assert!(i32::try_from(time.as_millis()).is_ok());
        }
        prop_assert!(config.codes.life <= Duration::from_secs(600));
    }

    /// Each variable that would be refused alone is in the report of all, and none of it shows a secret.
    #[test]
    fn the_report_names_each_variable_that_is_refused_alone(variables in variables()) {
        let report = Config::load(None, variables.clone()).map_err(|error| error.to_string()).err().unwrap_or_default();
        let keys: Vec<String> = Config::load(None, []).unwrap().settings().into_iter().map(|setting| setting.key).collect();
        for (name, value) in &variables {
            let Err(error) = Config::load(None, [(name.clone(), value.clone())]) else { continue };
            // what names another setting depends on it; of a key and a key file, one is refused
            let is_own = error.faults.iter().all(|fault| {
                fault.origin == Origin::Env { variable: name.clone() }
                    && !keys.iter().any(|key| *key != fault.key && fault.message.contains(key.as_str()))
            });
            let is_own = is_own && !name.starts_with("DOORCODE__MASTER_KEY__");
            prop_assert!(!is_own || report.contains(name.as_str()), "{name} = {value:?} is not in {report}");
        }
        for secret in ["DOORCODE__MASTER_KEY__VALUE", "DOORCODE__DATABASE__URL", "DOORCODE__MAIL__SMTP__PASSWORD"] {
            if let Some(value) = variables.get(secret).filter(|value| value.len() > 12 && !value.contains("://h/")) {
                prop_assert!(!report.contains(value.as_str()), "{secret} in {report}");
            }
        }
    }
}
