//! Against a real Postgres with the real tables.

use super::*;
use crate::store::{Connector, Pool};
use crate::test_cluster::Cluster;
use crate::test_settings::database;
use doorcode_domain::{CustomerId, MacKey, SessionKey};
use std::time::Duration;
use tokio_postgres::NoTls;
use uuid::Uuid;
use zeroize::Zeroizing;

mod admin;
mod moves;

struct World {
    directory: Directory,
    pool: Pool,
    _cluster: Cluster,
}

impl World {
    /// A database of its own in a cluster of its own.
    async fn new() -> Self {
        let cluster = Cluster::start();
        let (admin, connection) = tokio_postgres::connect(&cluster.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let name = format!("directory_{}", Uuid::new_v4().simple());
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let settings = DatabaseSettings {
            // As short as in production, so that the import has to ask for more.
            statement_timeout: Duration::from_secs(2),
            ..database(&cluster.url.replace("/postgres?", &format!("/{name}?")))
        };
        let pool = Pool::builder(Connector::new(&settings).unwrap()).max_size(4).build().unwrap();
        crate::store::migrate(&settings).await.unwrap();
        let key = |byte| MacKey::new(&Zeroizing::new(vec![byte; 32])).unwrap();
        let keys = DirectoryKeys {
            address: key(7),
            code_mac: key(8),
            code_derivation: key(9),
            webhook_secret: key(10),
        };
        Self { directory: Directory::new(pool.clone(), Arc::new(keys)), pool, _cluster: cluster }
    }

    async fn tenant(&self, slug: &str) -> Tenant {
        self.directory.add_tenant(&new_tenant(slug, &[])).await.unwrap()
    }

    /// Gives every customer of a tenant a row with a known network and a spent budget.
    async fn challenges(&self, tenant: &Tenant) {
        let client = self.pool.get().await.unwrap();
        let statement = "
            INSERT INTO challenges (tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us, touched_us,
                alphabet, s_guesses, k_guesses, known_asked, mail_now, s_digit_tat, known_tags, known_days)
            SELECT tenant_id, address_key, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 0, 0,
                0, 0, 0, false, false, 7, '{5}', '{20000}'
            FROM customers WHERE tenant_id = $1";
        client.execute(statement, &[&tenant.tenant_id.0]).await.unwrap();
    }

    /// How many rows know nobody any more, and how many still know somebody; all with their budgets.
    async fn strangers(&self, tenant: &Tenant) -> (i64, i64) {
        let client = self.pool.get().await.unwrap();
        let statement = "
            SELECT count(*) FILTER (WHERE devices_from_us > 0 AND known_tags = '{}' AND known_days = '{}'),
                   count(*) FILTER (WHERE devices_from_us = 0 AND known_tags = '{5}')
            FROM challenges WHERE tenant_id = $1 AND s_digit_tat = 7";
        let row = client.query_one(statement, &[&tenant.tenant_id.0]).await.unwrap();
        (row.get(0), row.get(1))
    }

    async fn session(&self, tenant: &Tenant, customer: CustomerId, life_s: f64) -> SessionKey {
        let key = Uuid::new_v4();
        let client = self.pool.get().await.unwrap();
        let now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let statement = format!(
            "INSERT INTO sessions (tenant_id, session_key, customer_id, created_us, generation, branch, prev_branch, rotated_us,
                idle_until_us, expires_us) SELECT $1, $2, $3, {now}, 3, 0, 0, {now}, {now} + ($4::float8 * 1000000)::bigint, {now} + 9000000000"
        );
        client.execute(&statement, &[&tenant.tenant_id.0, &key, &customer.0, &life_s]).await.unwrap();
        SessionKey(key)
    }
}

fn new_tenant(slug: &str, origins: &[&str]) -> NewTenant {
    NewTenant {
        slug: slug.to_owned(),
        name: "Acme & Söhne".to_owned(),
        portal_host: Some("portal.acme.com".parse().unwrap()),
        step_up: StepUp::Base32,
        origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
    }
}

/// One cluster for all: starting one costs more than everything else here together.
#[tokio::test]
async fn the_directory_on_a_real_postgres() {
    let world = World::new().await;
    every_statement_prepares(&world).await;
    tenants_are_made_changed_and_closed(&world).await;
    an_origin_belongs_to_one_tenant(&world).await;
    a_hosted_page_is_given_and_taken(&world).await;
    customers_come_and_go(&world).await;
    a_profile_is_kept(&world).await;
    admin::customers_are_put(&world).await;
    admin::every_change_is_an_event(&world).await;
    admin::keys_come_and_go(&world).await;
    moves::nothing_of_a_frozen_tenant_is_written(&world).await;
    lists_are_paged(&world).await;
    sessions_are_listed_and_ended(&world).await;
    an_import_reports_what_it_refused(&world).await;
    a_hundred_thousand_rows_take_seconds(&world).await;
    world
        .pool
        .get()
        .await
        .unwrap()
        .batch_execute("DROP TABLE sessions, origins, tenants CASCADE")
        .await
        .unwrap();
    assert!(matches!(world.directory.tenants().await, Err(DirectoryError::NotMigrated(_))));
}

/// No DDL, no COPY is prepared: only what has parameters or columns to disagree about. The temporary table is made first.
async fn every_statement_prepares(world: &World) {
    let mut client = world.pool.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    for (file, text) in sql::ALL {
        assert!(text.starts_with("-- "), "{file}: the first line is its promise");
        match *file {
            "customers/import_stage.sql" => transaction.batch_execute(text).await.unwrap(),
            _ => drop(transaction.prepare(text).await.unwrap_or_else(|error| panic!("{file}: {error}"))),
        }
    }
}

async fn tenants_are_made_changed_and_closed(world: &World) {
    let directory = &world.directory;
    let made = directory.add_tenant(&new_tenant("acme", &["https://portal.acme.com"])).await.unwrap();
    assert_eq!(made.origins, ["https://portal.acme.com"]);
    assert!(made.created_us > 1_700_000_000_000_000 && !made.disabled && made.step_up == StepUp::Base32);
    assert_eq!(directory.tenant("acme").await.unwrap(), made);
    let again = directory.add_tenant(&new_tenant("acme", &[])).await;
    assert!(matches!(again, Err(DirectoryError::TenantExists { .. })), "{again:?}");
    let odd = directory.add_tenant(&new_tenant("Acme", &[])).await;
    assert!(matches!(odd, Err(DirectoryError::BadSlug { .. })));
    for name in ["a\r\nBcc: x", "\u{202e}emca", "Ac\u{200b}me", "a\u{2066}b", "\u{1b}[2J"] {
        let injected = NewTenant { name: name.to_owned(), ..new_tenant("inj", &[]) };
        let added = directory.add_tenant(&injected).await;
        assert!(matches!(added, Err(DirectoryError::BadName)), "{name:?}");
    }

    let change =
        TenantChange { step_up: Some(StepUp::Digits), portal_host: Some(None), ..TenantChange::default() };
    let changed = directory.change_tenant("acme", &change).await.unwrap();
    assert_eq!((changed.step_up, changed.portal_host.clone()), (StepUp::Digits, None));
    assert_eq!((&changed.name, &changed.origins), (&made.name, &made.origins), "the rest stays");
    let change =
        TenantChange { name: Some("New".to_owned()), origins: Some(vec![]), ..TenantChange::default() };
    let changed = directory.change_tenant("acme", &change).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.origins.len(), changed.step_up), ("New", 0, StepUp::Digits));

    directory.disable_tenant("acme", true).await.unwrap();
    assert!(directory.tenants().await.unwrap().iter().any(|t| t.slug == "acme" && t.disabled));
    directory.disable_tenant("acme", false).await.unwrap();
    assert!(!directory.tenant("acme").await.unwrap().disabled);
    for unknown in ["nobody", "ACME", "a\0b", ""] {
        assert!(
            matches!(directory.tenant(unknown).await, Err(DirectoryError::NoSuchTenant { .. })),
            "{unknown:?}"
        );
        let disabled = directory.disable_tenant(unknown, true).await;
        assert!(matches!(disabled, Err(DirectoryError::NoSuchTenant { .. })), "{unknown:?}");
    }
}

async fn a_hosted_page_is_given_and_taken(world: &World) {
    let directory = &world.directory;
    let slug = world.tenant("hosted").await.slug;
    let change = |urls: usize, colour: Option<&str>| TenantChange {
        return_urls: Some((0..urls).map(|n| format!("https://a.b/{n}").parse().unwrap()).collect()),
        colour: Some(colour.map(|colour| colour.parse().unwrap())),
        ..TenantChange::default()
    };
    let changed = directory.change_tenant(&slug, &change(20, Some("#7A1FA2"))).await.unwrap();
    assert_eq!((changed.return_urls.len(), changed.colour.as_deref()), (20, Some("#7a1fa2")));
    let refused = directory.change_tenant(&slug, &change(21, None)).await;
    assert!(matches!(refused, Err(DirectoryError::TooManyReturnUrls)));
    let origins = (0..101).map(|n| format!("https://{n}.example").parse().unwrap()).collect();
    let many = TenantChange { origins: Some(origins), ..TenantChange::default() };
    let refused = directory.change_tenant(&slug, &many).await;
    assert!(matches!(refused, Err(DirectoryError::TooManyOrigins)));
    for names in [vec!["a".to_owned(); 21], vec!["a".repeat(101)]] {
        let change = TenantChange { mail_providers: Some(names), ..TenantChange::default() };
        let refused = directory.change_tenant(&slug, &change).await;
        assert!(matches!(refused, Err(DirectoryError::BadMailProviders)));
    }
    assert_eq!(directory.change_tenant(&slug, &TenantChange::default()).await.unwrap(), changed);
    let taken = directory.change_tenant(&slug, &change(0, None)).await.unwrap();
    assert!(taken.return_urls.is_empty() && taken.colour.is_none());
}

async fn an_origin_belongs_to_one_tenant(world: &World) {
    let directory = &world.directory;
    directory.add_tenant(&new_tenant("one", &["https://one.com", "https://ONE.com:443"])).await.unwrap();
    let thief = directory.add_tenant(&new_tenant("two", &["https://two.com", "https://one.com"])).await;
    assert_eq!(thief.unwrap_err().to_string(), "the origin https://one.com belongs to tenant `one`");
    assert!(directory.tenant("two").await.is_err(), "all or nothing");
}

async fn customers_come_and_go(world: &World) {
    let directory = &world.directory;
    let tenant = world.tenant("shop").await;
    world.tenant("other").await;
    let ada = directory.add_customer("shop", " Ada@Example.com ").await.unwrap();
    assert!(ada.new);
    let again = directory.add_customer("shop", "ADA@example.com").await.unwrap();
    assert_eq!((again.new, &again.customer), (false, &ada.customer), "one address, one customer");
    let elsewhere = directory.add_customer("other", "ada@example.com").await.unwrap();
    assert!(elsewhere.new && elsewhere.customer.customer_id != ada.customer.customer_id);
    assert!(matches!(directory.add_customer("shop", "nonsense").await, Err(DirectoryError::BadEmail { .. })));
    let nobody = directory.disable_customer("shop", "no@example.com").await;
    assert_eq!(nobody.unwrap_err().to_string(), "tenant `shop` has no customer no@example.com");

    let id = ada.customer.customer_id;
    world.session(&tenant, id, 600.0).await;
    world.session(&tenant, id, 600.0).await;
    let ended = directory.disable_customer("shop", "ada@example.com").await.unwrap();
    assert_eq!(ended, Ended { customer_id: id, sessions: 2 }, "E7");
    assert!(directory.customer("shop", "ada@example.com").await.unwrap().disabled);
    directory.enable_customer("shop", "ada@example.com").await.unwrap();
    assert!(!directory.customer("shop", "ada@example.com").await.unwrap().disabled);
    world.session(&tenant, id, 600.0).await;
    let figures = directory.tenant_figures(tenant.tenant_id).await.unwrap();
    assert_eq!(figures, Figures { customers: 1, disabled_customers: 0, live_sessions: 1 });
    world.challenges(&tenant).await;
    assert_eq!(directory.delete_customer("shop", "ada@example.com").await.unwrap().sessions, 1);
    assert_eq!(world.strangers(&tenant).await, (1, 0), "who gets the address next inherits no known device");
    assert!(matches!(
        directory.customer("shop", "ada@example.com").await,
        Err(DirectoryError::NoSuchCustomer { .. })
    ));
    assert!(directory.customer("other", "ada@example.com").await.is_ok(), "another tenant's stays");
}

async fn a_profile_is_kept(world: &World) {
    let directory = &world.directory;
    world.tenant("known").await;
    let profile = |id: &str, claims: &str| Profile {
        external_id: Some(id.parse().unwrap()),
        locale: Some("pt-BR".parse().unwrap()),
        claims: claims.parse().unwrap(),
    };
    let given = profile("user_42", r#"{"plan":"pro","seats":[1,2.5]}"#);
    let added = directory.add_customer_as("known", "ada@example.com", &given).await.unwrap();
    assert_eq!((added.customer.profile, added.new), (given.clone(), true));
    let taken = directory.add_customer_as("known", "bob@example.com", &given).await;
    assert!(matches!(taken, Err(DirectoryError::ExternalIdTaken)), "{taken:?}");
    // 2,004 bytes here, 3,002 as PostgreSQL writes them
    let wide = format!("{{\"a\":[{}0]}}", "1,".repeat(998));
    assert_eq!(wide.parse::<Claims>(), Err(ProfileError::Claims));
    // as many as fit
    let tight = profile("7", &format!("{{\"a\":[{}0]}}", "1,".repeat(678)));
    assert!(directory.add_customer_as("known", "tim@example.com", &tight).await.unwrap().new);
    let line = |line, email: &str, id: &str, claims: &str| {
        let text = |text: &str| Some(text.to_owned());
        let (external_id, claims) = (text(id), text(claims));
        Ok(ImportRow { line, email: email.to_owned(), external_id, claims, ..ImportRow::default() })
    };
    let rows = [
        line(1, "cleo@example.com", "user_43", r#"{"plan":"free"}"#),
        line(2, "dan@example.com", "user_42", ""),
        line(3, "eve@example.com", "", "[]"),
    ];
    let report = directory.import_customers("known", rows.into_iter()).await.unwrap();
    assert_eq!((report.added, report.existing, report.refused.len()), (1, 0, 2), "{report:?}");
    let cleo = directory.customer("known", "cleo@example.com").await.unwrap().profile;
    assert_eq!(cleo.external_id.unwrap().as_str(), "user_43");
    assert_eq!(cleo.claims, r#"{"plan":"free"}"#.parse().unwrap());
}

async fn lists_are_paged(world: &World) {
    let directory = &world.directory;
    world.tenant("paged").await;
    for n in 0..5 {
        directory.add_customer("paged", &format!("c{n}@example.com")).await.unwrap();
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = directory.customers("paged", after, 2).await.unwrap();
        seen.extend(page.customers.into_iter().map(|customer| customer.email));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort();
    assert_eq!(
        seen,
        ["c0@example.com", "c1@example.com", "c2@example.com", "c3@example.com", "c4@example.com"]
    );
}

/// E14.
async fn sessions_are_listed_and_ended(world: &World) {
    let directory = &world.directory;
    let tenant = world.tenant("logins").await;
    let id = directory.add_customer("logins", "grace@example.com").await.unwrap().customer.customer_id;
    let old = world.session(&tenant, id, 600.0).await;
    let new = world.session(&tenant, id, 600.0).await;
    world.session(&tenant, id, -1.0).await;
    let listed = directory.sessions("logins", "grace@example.com").await.unwrap();
    assert_eq!(
        listed.iter().map(|session| session.session).collect::<Vec<_>>(),
        [new, old],
        "the idle one is no more"
    );
    assert_eq!((listed[0].customer_id, listed[0].generation), (id, 3));

    directory.revoke_session("logins", old).await.unwrap();
    let twice = directory.revoke_session("logins", old).await;
    assert!(matches!(twice, Err(DirectoryError::NoSuchSession { .. })));
    let foreign = directory.revoke_session("other", new).await;
    assert!(matches!(foreign, Err(DirectoryError::NoSuchSession { .. })), "a session is its tenant's only");
    directory.add_customer("logins", "other@example.com").await.unwrap();
    world.challenges(&tenant).await;
    assert_eq!(world.strangers(&tenant).await, (0, 2));
    let ended = directory.revoke_sessions("logins", "grace@example.com").await.unwrap();
    assert_eq!(ended, Ended { customer_id: id, sessions: 2 }, "the live one and the idle one");
    assert!(directory.sessions("logins", "grace@example.com").await.unwrap().is_empty());
    assert_eq!(
        world.strangers(&tenant).await,
        (1, 1),
        "devices and networks are strangers now, budgets stay"
    );
    let client = world.pool.get().await.unwrap();
    client.execute("DELETE FROM challenges WHERE tenant_id = $1", &[&tenant.tenant_id.0]).await.unwrap();
    directory.revoke_sessions("logins", "grace@example.com").await.unwrap();
    let text =
        "SELECT count(*) FROM challenges WHERE tenant_id = $1 AND devices_from_us > 0 AND expires_us = 0";
    let row = client.query_one(text, &[&tenant.tenant_id.0]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "a device cookie outlives the row");
}

fn row(line: u64, email: &str, id: Option<Uuid>) -> Result<ImportRow, RefusedLine> {
    Ok(ImportRow {
        line,
        email: email.to_owned(),
        customer_id: id.map(|id| id.to_string()),
        ..ImportRow::default()
    })
}

async fn an_import_reports_what_it_refused(world: &World) {
    let directory = &world.directory;
    world.tenant("imported").await;
    let known = directory.add_customer("imported", "known@example.com").await.unwrap().customer;
    let kept = Uuid::new_v4();
    let rows = vec![
        row(1, "a@example.com", None),
        row(2, "KNOWN@example.com", None),
        row(3, "nonsense", None),
        row(4, "A@example.com", None),
        row(5, "b@example.com", Some(kept)),
        row(6, "c@example.com", Some(kept)),
        row(7, "d@example.com", Some(known.customer_id.0)),
        Ok(ImportRow {
            line: 8,
            email: "e@example.com".to_owned(),
            customer_id: Some("7".to_owned()),
            ..ImportRow::default()
        }),
        Err(RefusedLine { line: 9, reason: "not UTF-8".to_owned() }),
    ];
    let report = directory.import_customers("imported", rows.clone().into_iter()).await.unwrap();
    assert_eq!((report.added, report.existing), (2, 1), "{report:?}");
    let lines: Vec<u64> = report.refused.iter().map(|refused| refused.line).collect();
    // Of two lines with one id, the one that comes first in key order has it.
    assert!(lines == [3, 4, 6, 7, 8, 9] || lines == [3, 4, 5, 7, 8, 9], "{report:?}");
    assert_eq!(report.refused[1].reason, "the same address as in line 1");
    assert!(!format!("{report:?}").contains("example.com"), "the report holds no address");
    let again = directory.import_customers("imported", rows.into_iter()).await.unwrap();
    assert_eq!((again.added, again.existing), (0, 3), "once is enough");
    let stays = directory.customer("imported", "known@example.com").await.unwrap();
    assert_eq!(stays, known);
}

async fn a_hundred_thousand_rows_take_seconds(world: &World) {
    let tenant = world.tenant("large").await;
    let rows = (1..=100_000).map(|n| row(n, &format!("customer{n}@example.com"), None));
    let begin = std::time::Instant::now();
    let report = world.directory.import_customers("large", rows).await.unwrap();
    let took = begin.elapsed();
    assert_eq!((report.added, report.existing, report.refused.len()), (100_000, 0, 0));
    assert_eq!(world.directory.tenant_figures(tenant.tenant_id).await.unwrap().customers, 100_000);
    // A row at a time takes minutes; the bound leaves room for a debug build on a busy machine.
    assert!(took < Duration::from_secs(30), "{took:?}");
}
