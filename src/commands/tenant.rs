//! `doorcode tenant`

use super::table::{Table, iso, write_json};
use super::{CommandError, moves};
use crate::cli::{TenantCommand, TenantSetting};
use crate::config::Config;
use crate::views;
use doorcode_actors::Directory;
use doorcode_actors::directory::{Figures, NewTenant, Tenant, TenantChange};
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;

/// `data_dir` is where a move finds the keys of a `dev`.
pub(super) async fn run(
    directory: &Directory,
    command: TenantCommand,
    config: &Config,
    data_dir: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    match command {
        TenantCommand::Add { slug, name, origins, portal_host, step_up: given } => {
            let step_up = given.unwrap_or(config.codes.step_up);
            let new = NewTenant { slug, name, portal_host, step_up, origins };
            let tenant = directory.add_tenant(&new).await?;
            writeln!(out, "added tenant {} with id {}", tenant.slug, tenant.tenant_id.0)?;
        }
        TenantCommand::List { json } => write_list(&directory.tenants().await?, json, out)?,
        TenantCommand::Show { slug, json } => {
            let tenant = directory.tenant(&slug).await?;
            let figures = directory.tenant_figures(tenant.tenant_id).await?;
            write_one(&tenant, figures, json, out)?;
        }
        TenantCommand::Set { slug, settings } => {
            let tenant = directory.change_tenant(&slug, &change(settings)).await?;
            write_list(&[tenant], false, out)?;
        }
        TenantCommand::Disable { slug } => {
            directory.disable_tenant(&slug, true).await?;
            writeln!(
                out,
                "disabled tenant {slug}: nobody logs in or refreshes until `doorcode tenant enable {slug}`"
            )?;
        }
        TenantCommand::Enable { slug } => {
            directory.disable_tenant(&slug, false).await?;
            writeln!(out, "enabled tenant {slug}")?;
        }
        TenantCommand::Freeze { slug } => {
            let anew = directory.freeze_tenant(&slug, true).await?;
            let told = if anew { "froze" } else { "was frozen already:" };
            writeln!(out, "{told} tenant {slug}; its calls get 503 until `doorcode tenant unfreeze`")?;
        }
        TenantCommand::Unfreeze { slug, not_imported_elsewhere: false } => {
            return Err(CommandError::failed(
                format!("if another cell has imported tenant {slug}, there would be two of it from now on"),
                "if none has, and none will: add --not-imported-elsewhere",
            ));
        }
        TenantCommand::Unfreeze { slug, not_imported_elsewhere: true } => {
            let anew = directory.freeze_tenant(&slug, false).await?;
            writeln!(out, "tenant {slug} {}", if anew { "goes on" } else { "was not frozen" })?;
        }
        TenantCommand::Delete { slug } => {
            directory.delete_frozen_tenant(&slug).await?;
            writeln!(out, "deleted tenant {slug} and all that belonged to it")?;
        }
        TenantCommand::Export { slug, output } => {
            let cell = moves::cell(config, data_dir).await?;
            moves::export(directory, &cell, &slug, output.as_deref(), out).await?;
        }
        TenantCommand::Import { file } => {
            let cell = moves::cell(config, data_dir).await?;
            moves::import(directory, &cell, &file, out).await?;
        }
    }
    Ok(())
}

fn change(settings: Vec<TenantSetting>) -> TenantChange {
    let mut change = TenantChange::default();
    for setting in settings {
        match setting {
            TenantSetting::Name(name) => change.name = Some(name),
            TenantSetting::PortalHost(host) => change.portal_host = Some(host),
            TenantSetting::StepUp(step_up) => change.step_up = Some(step_up),
            TenantSetting::Origins(origins) => change.origins = Some(origins),
            TenantSetting::ReturnUrls(urls) => change.return_urls = Some(urls),
            TenantSetting::Colour(colour) => change.colour = Some(colour),
            TenantSetting::Signup(signup) => change.signup = Some(signup),
            TenantSetting::TokenClaims(claims) => change.token_claims = Some(claims),
            TenantSetting::Locale(locale) => change.locale = Some(locale),
            TenantSetting::ReplyTo(email) => change.reply_to = Some(email),
            TenantSetting::NewDeviceNotice(on) => change.new_device_notice = Some(on),
            TenantSetting::MailProviders(names) => change.mail_providers = Some(names),
        }
    }
    change
}

fn write_list(tenants: &[Tenant], json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        return write_json(&tenants.iter().map(views::tenant).collect(), out);
    }
    let mut table = Table::new(["SLUG", "NAME", "STATE", "STEP-UP", "CREATED", "TENANT ID", "ORIGINS"]);
    for tenant in tenants {
        table.row([
            tenant.slug.clone(),
            tenant.name.clone(),
            state(tenant).to_owned(),
            tenant.step_up.as_str().to_owned(),
            iso(tenant.created_us),
            tenant.tenant_id.0.to_string(),
            tenant.origins.join(" "),
        ]);
    }
    table.write("no tenants yet; `doorcode tenant add SLUG --name NAME` makes one", out)
}

fn write_one(tenant: &Tenant, figures: Figures, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        let mut value = views::tenant(tenant);
        value["frozen_at"] = json!(tenant.frozen_us.map(iso));
        value["customers"] = json!(figures.customers);
        value["disabled_customers"] = json!(figures.disabled_customers);
        value["live_sessions"] = json!(figures.live_sessions);
        return write_json(&value, out);
    }
    let none = || "-".to_owned();
    let lines = [
        ("slug", tenant.slug.clone()),
        ("name", tenant.name.clone()),
        ("tenant id", tenant.tenant_id.0.to_string()),
        ("state", state(tenant).to_owned()),
        ("step-up", tenant.step_up.as_str().to_owned()),
        ("portal host", tenant.portal_host.clone().unwrap_or_else(none)),
        ("origins", if tenant.origins.is_empty() { none() } else { tenant.origins.join(" ") }),
        ("return urls", if tenant.return_urls.is_empty() { none() } else { tenant.return_urls.join(" ") }),
        ("signup", tenant.signup.to_string()),
        ("token claims", if tenant.token_claims.is_empty() { none() } else { tenant.token_claims.join(" ") }),
        ("colour", tenant.colour.clone().unwrap_or_else(none)),
        ("locale", tenant.locale.clone().unwrap_or_else(none)),
        ("mail by", if tenant.mail_providers.is_empty() { none() } else { tenant.mail_providers.join(" ") }),
        ("new devices", if tenant.new_device_notice { "told by mail" } else { "not told" }.to_owned()),
        ("reply to", tenant.reply_to.clone().unwrap_or_else(none)),
        ("created", iso(tenant.created_us)),
        ("customers", format!("{} ({} disabled)", figures.customers, figures.disabled_customers)),
        ("live sessions", figures.live_sessions.to_string()),
    ];
    for (name, value) in lines {
        writeln!(out, "{name:14} {value}")?;
    }
    Ok(())
}

fn state(tenant: &Tenant) -> &'static str {
    match (tenant.frozen_us, tenant.disabled) {
        (Some(_), _) => "frozen",
        (None, true) => "disabled",
        (None, false) => "enabled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_actors::directory::{Signup, StepUp};
    use doorcode_domain::TenantId;
    use serde_json::Value;
    use uuid::Uuid;

    fn acme() -> Tenant {
        Tenant {
            tenant_id: TenantId(Uuid::from_u128(1)),
            slug: "acme".to_owned(),
            name: "Acme Ltd".to_owned(),
            portal_host: None,
            step_up: StepUp::Base32,
            disabled: false,
            created_us: 1_795_399_200_000_000,
            origins: vec!["https://a.b".to_owned()],
            return_urls: Vec::new(),
            colour: None,
            token_claims: Vec::new(),
            locale: None,
            reply_to: None,
            signup: Signup::Closed,
            mail_providers: Vec::new(),
            new_device_notice: false,
            frozen_us: None,
        }
    }

    #[test]
    fn a_listing_is_a_table_or_an_array() {
        let mut out = Vec::new();
        write_list(&[acme()], false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("SLUG  NAME      STATE    STEP-UP  CREATED"), "{text}");
        assert!(text.contains("acme  Acme Ltd  enabled  base32   2026-11-23T02:00:00Z"), "{text}");
        let mut out = Vec::new();
        write_list(&[acme()], true, &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value[0]["slug"], "acme");
        assert_eq!(value[0]["tenant_id"], "00000000-0000-0000-0000-000000000001");
        assert_eq!(value[0]["portal_host"], Value::Null);
        let mut out = Vec::new();
        write_list(&[], true, &mut out).unwrap();
        assert_eq!(out, b"[]\n");
    }

    #[test]
    fn one_tenant_shows_its_figures() {
        let figures = Figures { customers: 3, disabled_customers: 1, live_sessions: 2 };
        let mut out = Vec::new();
        write_one(&acme(), figures, false, &mut out).unwrap();
        assert!(
            String::from_utf8(out).unwrap().contains("customers      3 (1 disabled)\nlive sessions  2\n")
        );
        let mut out = Vec::new();
        write_one(&acme(), figures, true, &mut out).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap()["live_sessions"], 2);
    }
}
