use super::tenant::parse_tenant_setting;
use super::*;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_words_are_the_contract_s() {
    Cli::command().debug_assert();
    for line in [
        "doorcode dev --data-dir d --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 --config f",
        "doorcode serve --config f",
        "doorcode migrate",
        "doorcode check-config --json",
        "doorcode healthcheck --url http://127.0.0.1:8081/readyz",
        "doorcode tenant add acme --name Acme --origin https://a.b --origin https://c.d",
        "doorcode tenant list --json",
        "doorcode tenant show acme --json",
        "doorcode tenant set acme name=Acme step_up=digits portal_host= origins=https://a.b,https://c.d",
        "doorcode tenant disable acme",
        "doorcode tenant enable acme",
        "doorcode customer add acme a@b.c d@e.f",
        "doorcode customer import acme -",
        "doorcode customer import acme f.csv --data-dir d",
        "doorcode customer list acme --json",
        "doorcode customer disable acme a@b.c",
        "doorcode customer enable acme a@b.c",
        "doorcode customer delete acme a@b.c",
        "doorcode session list acme a@b.c --json",
        "doorcode session revoke acme a@b.c",
        "doorcode keys list --json",
        "doorcode keys rotate",
        "doorcode keys rotate --purpose refresh_mac",
        "doorcode keys rewrap --new-master-key-file f",
        "doorcode recover --restored-to 2026-11-23T04:00:00+01:00",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for line in [
        "doorcode",
        "doorcode sreve",
        "doorcode tenant add acme",
        "doorcode tenant add acme --name A --origin nonsense",
        "doorcode tenant set acme",
        "doorcode tenant set acme nmae=x",
        "doorcode tenant set acme step_up=hex",
        "doorcode dev --listen 8080",
        "doorcode keys rotate --purpose address",
        "doorcode keys rewrap",
        "doorcode recover",
        "doorcode recover --restored-to yesterday",
        "doorcode recover --restored-to 2026-11-23T04:00:00",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

/// Every command that does something shows how: an example that parses.
#[test]
fn help_teaches_by_examples_that_parse() {
    let mut examples = 0;
    let mut pending = vec![Cli::command()];
    while let Some(command) = pending.pop() {
        let subcommands: Vec<_> = command.get_subcommands().cloned().collect();
        // Wide, so that no example is broken into two lines.
        let help = command.clone().term_width(0).max_term_width(0).render_long_help().to_string();
        if subcommands.is_empty() {
            assert!(help.contains("Example"), "{} has no example", command.get_name());
        }
        let lines = help.lines().filter(|line| line.starts_with("  ")).map(str::trim);
        for line in lines.filter(|line| line.starts_with("doorcode ")) {
            let line = line.split(" | ").next().unwrap_or(line).split("   ").next().unwrap_or(line);
            let words = line
                .replace("'Acme Ltd'", "Acme")
                .replace("'name=Acme International'", "name=Acme")
                .replace('\'', "");
            parse(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
            examples += 1;
        }
        pending.extend(subcommands);
    }
    assert!(examples > 25, "only {examples}");
}

#[test]
fn settings_of_a_tenant_are_parsed_at_the_door() {
    assert_eq!(parse_tenant_setting("name=a=b").unwrap(), TenantSetting::Name("a=b".to_owned()));
    assert_eq!(parse_tenant_setting("portal_host=").unwrap(), TenantSetting::PortalHost(None));
    assert_eq!(parse_tenant_setting("origins=").unwrap(), TenantSetting::Origins(vec![]));
    assert!(parse_tenant_setting("origins=https://a.b/").unwrap_err().contains("without path"));
}
