//! Whose cookies a call may use: every combination of what a browser can say, against two tables.

use crate::support::client::{Answer, Request};
use crate::support::postgres::{ACME, ADA, GLOBEX, NOWHERE};
use crate::support::{TestApp, Tokens, Visitor, another_code};
use serde_json::json;
use std::collections::BTreeMap;

/// What the test client says as `Host`.
const OWN: &str = "http://localhost";
const ACME_PORTAL: &str = "https://acme.example.com";
const GLOBEX_PORTAL: &str = "https://globex.example.com";

const SITES: [Option<&str>; 5] =
    [None, Some("same-origin"), Some("same-site"), Some("cross-site"), Some("none")];
const ORIGINS: [Option<&str>; 6] =
    [None, Some(OWN), Some(ACME_PORTAL), Some(GLOBEX_PORTAL), Some("https://evil.example"), Some("null")];
const SLUGS: [Option<&str>; 4] = [None, Some(ACME), Some(GLOBEX), Some(NOWHERE)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// May use no cookies.
    No,
    /// The called host's own, no tenant's portal.
    Own,
    /// The called host's own, and this tenant's portal.
    OwnOf(&'static str),
    /// This tenant's, elsewhere on the site.
    Portal(&'static str),
}
use Page::{No, Own, OwnOf, Portal};

/// `Sec-Fetch-Site` down, `Origin` across, in the order of the lists above (F7, F8, F10, F11).
#[rustfmt::skip]
const PAGES: [[Page; 6]; 5] = [
    //               no origin  own  acme's         globex's         evil  null
    /* none given */ [No,       Own, Portal(ACME),  Portal(GLOBEX),  No,   No],
    /* same-origin */[Own,      Own, OwnOf(ACME),   OwnOf(GLOBEX),   Own,  No],
    /* same-site */  [No,       Own, Portal(ACME),  Portal(GLOBEX),  No,   No],
    /* cross-site */ [No,       No,  No,            No,              No,   No],
    /* none */       [No,       No,  No,            No,              No,   No],
];

/// Whose cookie is meant: by the page, by `X-Tenant-Slug` (absent, acme, globex, unknown), in a browser with acme's
/// cookies only, and in one with acme's and globex's.
#[rustfmt::skip]
fn meant(page: Page) -> [[Option<&'static str>; 4]; 2] {
    const A: Option<&str> = Some(ACME);
    const G: Option<&str> = Some(GLOBEX);
    const X: Option<&str> = None;
    match page {
        No             => [[X, X, X, X], [X, X, X, X]],
        Own            => [[A, A, X, X], [X, A, G, X]],
        OwnOf(ACME)    => [[A, A, X, X], [A, A, G, X]],
        OwnOf(_)       => [[X, A, X, X], [G, A, G, X]],
        Portal(ACME)   => [[A, A, X, X], [A, A, X, X]],
        Portal(_)      => [[X, X, X, X], [G, X, G, X]],
    }
}

/// What a browser keeps.
#[derive(Clone, Default)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    fn keep(&mut self, answer: &Answer) {
        for line in answer.cookies() {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            match line.contains("Max-Age=0") {
                true => drop(self.0.remove(name)),
                false => drop(self.0.insert(name.to_owned(), value.to_owned())),
            }
        }
    }

    fn line(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }
}

/// One cell's visitor.
fn visitor<'a>(
    app: &'a TestApp,
    (site, origin, slug): (Option<&str>, Option<&str>, Option<&str>),
    jar: &Jar,
) -> Visitor<'a> {
    let lines = [("Sec-Fetch-Site", site), ("Origin", origin), ("X-Tenant-Slug", slug)];
    let given = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.fold(app.visitor().with_cookies(&jar.line()), |visitor, (name, value)| visitor.with(name, value))
}

async fn log_in(app: &TestApp, tenant: &'static str, jar: &mut Jar) -> Tokens {
    let answer = app.at(tenant).in_browser().answer_to_login(ADA).await;
    jar.keep(&answer);
    Tokens::of(&answer)
}

fn tags(answer: &Answer) -> Vec<String> {
    let names = answer.cookies().into_iter().map(|line| line.split('=').next().unwrap());
    let mut tags: Vec<_> = names.map(|name| name.rsplit('_').next().unwrap().to_owned()).collect();
    tags.dedup();
    tags
}

/// Calls one by one: the answers, and what they did to the cookies.
struct Matrix<'a> {
    app: &'a TestApp,
    tenants: BTreeMap<&'static str, (String, String)>,
    refused: String,
    program: String,
    cells: usize,
}

impl Matrix<'_> {
    async fn cell(
        &mut self,
        given: (Option<&str>, Option<&str>, Option<&str>),
        meant: Option<&'static str>,
        jar: &mut Jar,
    ) {
        self.cells += 1;
        let cell = format!("{given:?} with {} cookies means {meant:?}", jar.0.len());
        let empty = json!({});
        let session = visitor(self.app, given, jar).get("session").await;
        let refresh = self.app.send(&visitor(self.app, given, jar).request("refresh", &empty)).await;
        match meant {
            Some(tenant) => {
                let (id, tag) = &self.tenants[tenant];
                assert_eq!(
                    (session.status, session.json()["tenant_id"].as_str()),
                    (200, Some(&**id)),
                    "{cell}"
                );
                assert_eq!(Tokens::of(&refresh).tenant_id, *id, "{cell}");
                assert_eq!(tags(&refresh), std::slice::from_ref(tag), "{cell}");
                jar.keep(&refresh);
            }
            None => {
                assert_eq!(
                    (session.status, session.header("www-authenticate")),
                    (401, Some("Bearer")),
                    "{cell}"
                );
                assert_eq!(plain(refresh), self.refused, "{cell}");
            }
        }
        self.body_tokens_are_never_checked(given, jar, &cell).await;
        self.logout(given, meant, jar, &cell).await;
    }

    /// E12: what the cookies say makes no difference, and nothing happens to them.
    async fn body_tokens_are_never_checked(
        &mut self,
        given: (Option<&str>, Option<&str>, Option<&str>),
        jar: &Jar,
        cell: &str,
    ) {
        let answer = visitor(self.app, given, jar).refreshes(&self.program).await;
        let tokens = Tokens::of(&answer);
        assert_eq!((&tokens.tenant_id, tags(&answer).len()), (&self.tenants[ACME].0, 0), "{cell}");
        let bearer =
            visitor(self.app, given, jar).with("Authorization", &format!("Bearer {}", tokens.access));
        assert_eq!(bearer.get("session").await.status, 200, "{cell}");
        self.program = tokens.refresh;
    }

    /// F11: ends what is meant, or nothing; the next cells would miss what was ended besides.
    async fn logout(
        &self,
        given: (Option<&str>, Option<&str>, Option<&str>),
        meant: Option<&'static str>,
        jar: &mut Jar,
        cell: &str,
    ) {
        let empty = json!({});
        let before = jar.clone();
        let logout = self.app.send(&visitor(self.app, given, jar).request("logout", &empty)).await;
        assert_eq!((logout.status, logout.body.as_str()), (204, ""), "{cell}");
        jar.keep(&logout);
        let Some(tenant) = meant else {
            assert_eq!(jar.0, before.0, "{cell}");
            return;
        };
        let (_, tag) = &self.tenants[tenant];
        assert_eq!(tags(&logout), std::slice::from_ref(tag), "{cell}");
        let kept: Vec<_> =
            before.0.keys().filter(|name| !name.ends_with(tag) || name.contains("device")).collect();
        assert_eq!(jar.0.keys().collect::<Vec<_>>(), kept, "{cell}");
        let token = &before.0[&format!("__Host-portal_refresh_{tag}")];
        assert_eq!(self.app.refreshes(token).await.status, 401, "{cell}");
        log_in(self.app, tenant, jar).await;
    }
}

/// All of an answer but what CORS adds for the page of a tenant.
fn plain(mut answer: Answer) -> String {
    answer.headers.retain(|(name, _)| !name.starts_with("access-control-") && name != "vary");
    answer.told()
}

/// E6, E12, E13, F7, F8, F11: Sec-Fetch-Site × Origin × X-Tenant-Slug × token in cookie or body × tenants in the browser.
#[tokio::test]
async fn e6_e12_e13_f7_f8_f11_whose_cookies_a_call_means() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let (mut one, mut both) = (Jar::default(), Jar::default());
    let mut tenants = BTreeMap::new();
    for tenant in [ACME, GLOBEX] {
        let tokens = log_in(&app, tenant, &mut both).await;
        let tag = both.0.keys().map(|name| name.rsplit('_').next().unwrap());
        let known: Vec<String> = tenants.values().map(|(_, tag): &(String, String)| tag.clone()).collect();
        let tag = tag.into_iter().find(|tag| !known.contains(&(*tag).to_owned())).unwrap().to_owned();
        tenants.insert(tenant, (tokens.tenant_id, tag));
    }
    log_in(&app, ACME, &mut one).await;
    let program = app.logs_in(ADA).await.refresh;
    let refused = plain(app.refreshes("garbage").await);
    let mut matrix = Matrix { app: &app, tenants, refused, program, cells: 0 };
    for (site, row) in SITES.into_iter().zip(PAGES) {
        for (origin, page) in ORIGINS.into_iter().zip(row) {
            let expected = meant(page);
            for (slug, (alone, among)) in SLUGS.into_iter().zip(expected[0].into_iter().zip(expected[1])) {
                matrix.cell((site, origin, slug), alone, &mut one).await;
                matrix.cell((site, origin, slug), among, &mut both).await;
            }
        }
    }
    assert_eq!(matrix.cells, 240);
    app.finish().await;
}

/// F6, F10: who gets cookies for a right code: all but foreign pages. `/token` gives none to anybody, also when the code is wrong.
#[tokio::test]
async fn f6_f10_who_may_plant_a_session() {
    let app = TestApp::builder().without_mail_limits().spawn().await;
    let jar = Jar::default();
    for (site, row) in SITES.into_iter().zip(PAGES) {
        for (origin, page) in ORIGINS.into_iter().zip(row) {
            for tenant in [ACME, GLOBEX] {
                let cell = format!("{site:?} {origin:?} at {tenant}");
                let visitor = visitor(&app, (site, origin, None), &jar).at(tenant);
                visitor.asks_for_code(ADA).await;
                let code = app.mailed_code(ADA).await;
                let answer = app.send(&visitor.code_request("verify", ADA, &code)).await;
                Tokens::of(&answer);
                let allowed = match page {
                    No => site.is_none() && origin.is_none(),
                    Own | OwnOf(_) => true,
                    Portal(owner) => owner == tenant,
                };
                assert_eq!(answer.cookies().len(), if allowed { 3 } else { 0 }, "{cell}");
            }
        }
    }
    let visitor = app.visitor().with("Sec-Fetch-Site", "same-origin");
    visitor.asks_for_code(ADA).await;
    let code = app.mailed_code(ADA).await;
    let wrong = app.send(&visitor.code_request("token", ADA, &another_code(&code))).await;
    assert_eq!((wrong.status, wrong.cookies().len()), (401, 0));
    let answer = app.send(&visitor.code_request("token", ADA, &code)).await;
    Tokens::of(&answer);
    assert_eq!(answer.cookies().len(), 0);
    app.finish().await;
}

/// F12, F16: preflights are answered from the union of all tenants' origins; any other OPTIONS is refused.
#[tokio::test]
async fn f12_f16_preflights() {
    let app = TestApp::spawn().await;
    for (verb, method) in [
        ("login", "POST"),
        ("verify", "POST"),
        ("token", "POST"),
        ("refresh", "POST"),
        ("logout", "POST"),
        ("logout-all", "POST"),
        ("session", "GET"),
    ] {
        let path = format!("/v1/customer-auth/{verb}");
        let ask = |origin: &str| {
            Request::options(&path).header("Origin", origin).header("Access-Control-Request-Method", method)
        };
        for origin in [ACME_PORTAL, GLOBEX_PORTAL] {
            let answer = app.send(&ask(origin)).await;
            assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{path}");
            for (name, value) in [
                ("access-control-allow-origin", origin),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-methods", method),
                ("access-control-allow-headers", "authorization, content-type, x-tenant-slug"),
                ("vary", "Origin"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{path} {name}");
            }
        }
        for origin in [
            "null",
            "https://evil.example",
            "https://acme.example.com.evil.example",
            "http://acme.example.com",
        ] {
            let answer = app.send(&ask(origin)).await;
            assert_eq!((answer.status, answer.header("vary")), (204, Some("Origin")), "{path} {origin}");
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")), "{answer:?}");
        }
        let bare = app.send(&Request::options(&path).header("Origin", ACME_PORTAL)).await;
        let allow = if method == "GET" { "GET, HEAD" } else { "POST" };
        assert_eq!((bare.status, bare.header("allow")), (405, Some(allow)), "{path}, F15");
    }
    app.finish().await;
}
