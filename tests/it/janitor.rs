//! Tables hold what lives and one round's remainder: a month of sessions and codes that come and go.

use crate::support::TestApp;
use crate::support::postgres::{Database, connect_as_the_pool};
use std::time::{Duration, Instant};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
const SWEEP_SESSIONS: &str = include_str!("../../sql/queries/sessions/sweep.sql");
const SWEEP_CHALLENGES: &str = include_str!("../../sql/queries/challenges/sweep.sql");

/// The statement that the janitor runs, a page at a time as it does.
struct Sweep<'a> {
    database: &'a Database,
    statement: tokio_postgres::Statement,
    page: i64,
    pages: usize,
    seen: i64,
    gone: i64,
    took: Vec<Duration>,
}

impl<'a> Sweep<'a> {
    async fn new(database: &'a Database, text: &str, page: i64) -> Self {
        let statement = database.client().prepare(text).await.unwrap();
        Self { database, statement, page, pages: 0, seen: 0, gone: 0, took: Vec::new() }
    }

    /// From the table's beginning to its end.
    async fn round(&mut self, now: i64) {
        let mut after = (Uuid::nil(), Uuid::nil());
        loop {
            let started = Instant::now();
            let parameters: [&(dyn ToSql + Sync); 4] = [&after.0, &after.1, &self.page, &Some(now)];
            let row = self.database.client().query_one(&self.statement, &parameters).await.unwrap();
            self.took.push(started.elapsed());
            let (seen, gone): (i64, i64) = (row.get("seen"), row.get("gone"));
            assert!(gone <= seen && seen <= self.page);
            (self.pages, self.seen, self.gone) = (self.pages + 1, self.seen + seen, self.gone + gone);
            if seen < self.page {
                return;
            }
            after = (row.get(2), row.get(3));
        }
    }

    fn report(&mut self) -> String {
        self.took.sort();
        let (median, longest) = (self.took[self.took.len() / 2], self.took[self.took.len() - 1]);
        format!(
            "{} pages of {}, {} rows seen, {} deleted; a page took {median:?}, at most {longest:?}",
            self.pages, self.page, self.seen, self.gone
        )
    }
}

/// Issue 4, "table bound": after each round the table holds the sessions that live, and never more than those and what
/// ended since the last round.
#[tokio::test]
async fn a_month_of_sessions_leaves_the_live_ones() {
    const LOGINS_AN_HOUR: i64 = 40;
    let database = Database::new().await;
    let client = database.client();
    // every third is never refreshed and ends after 7 days; every third is logged in anew and ends after 12 hours;
    // every third lives for its 30 days
    let login = "INSERT INTO sessions
            (tenant_id, session_key, customer_id, created_us, rotated_us, idle_until_us, expires_us)
        SELECT tenant_id, gen_random_uuid(), customer_id, $1, $1,
            $1 + CASE n % 3 WHEN 0 THEN 7 * $3 WHEN 1 THEN $3 / 2 ELSE 60 * $3 END, $1 + 30 * $3
        FROM generate_series(1, $2) n, (SELECT * FROM customers LIMIT 1) c";
    let login = client.prepare_typed(login, &[Type::INT8; 3]).await.unwrap();
    let live = "SELECT count(*) FROM sessions WHERE least(idle_until_us, expires_us) > $1";
    let live = client.prepare_typed(live, &[Type::INT8; 1]).await.unwrap();
    let mut sweep = Sweep::new(&database, SWEEP_SESSIONS, 1_000).await;
    let (mut begun, mut most, mut most_live) = (0, 0, 0);
    for hour in 0..35 * 24 {
        let now = hour * HOUR;
        begun += client.execute(&login, &[&now, &LOGINS_AN_HOUR, &DAY]).await.unwrap();
        // the janitor comes round every six hours here: far more rarely than it does
        if hour % 6 != 5 {
            continue;
        }
        let rows = database.count("SELECT count(*) FROM sessions").await;
        let living: i64 = client.query_one(&live, &[&now]).await.unwrap().get(0);
        let remainder = 6 * LOGINS_AN_HOUR;
        assert!(rows <= living + remainder, "hour {hour}: {rows} rows, {living} live");
        sweep.round(now).await;
        let left = database.count("SELECT count(*) FROM sessions").await;
        assert_eq!(left, living, "hour {hour}: the live ones, and nothing else");
        (most, most_live) = (most.max(rows), most_live.max(living));
    }
    println!("{begun} sessions in 35 days; at most {most} rows, {most_live} of them live");
    println!("{}", sweep.report());
    // the month is over and nobody came back
    sweep.round(90 * DAY).await;
    assert_eq!(database.count("SELECT count(*) FROM sessions").await, 0);
    database.remove().await;
}

/// L: an address' row goes when it holds nothing: no live code, no spent budget, no known client, no mark against old
/// device cookies. Until then it stays.
#[tokio::test]
async fn a_month_of_codes_leaves_what_counts() {
    const A_DAY: i64 = 200;
    let database = Database::new().await;
    let client = database.client();
    // Of eight addresses a day: five ask once and never come back; one spends guesses at digits (14 days each, as many
    // as n % 3), one is known for 90 days, one had its device cookies ended, which counts for 180.
    let asks = "INSERT INTO challenges
            (tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us, s_mail_tat, s_quiet_us,
             s_digit_tat, touched_us, devices_from_us, alphabet, s_guesses, k_guesses, known_asked, mail_now,
             known_tags, known_days)
        SELECT tenant_id, gen_random_uuid(), u, u, u, $1 + 600000000, $1 + 17280000000, $1 + 60000000,
            CASE WHEN n % 8 = 5 THEN $1 + (1 + n % 3) * 14 * $3 ELSE 0 END, $1,
            CASE WHEN n % 8 = 7 THEN $1 ELSE -200 * $3 END, 0, 5, 5, false, true,
            CASE WHEN n % 8 = 6 THEN '{1}'::bigint[] ELSE '{}' END,
            CASE WHEN n % 8 = 6 THEN ARRAY[($1 / $3)::int] ELSE '{}' END
        FROM generate_series(1, $2) n, gen_random_uuid() u,
            (SELECT * FROM tenants LIMIT 1) t";
    let asks = client.prepare_typed(asks, &[Type::INT8; 3]).await.unwrap();
    // what counts, in words of its own
    let counts =
        "SELECT count(*) FROM challenges WHERE expires_us >= $1 OR s_mail_tat >= $1 OR s_digit_tat >= $1
            OR known_days[1] > $1 / $2 - 90 OR devices_from_us >= $1 - 180 * $2";
    let counts = client.prepare_typed(counts, &[Type::INT8; 2]).await.unwrap();
    let mut sweep = Sweep::new(&database, SWEEP_CHALLENGES, 500).await;
    let (mut asked, mut most) = (0, 0);
    let first = 1_000 * DAY;
    for day in 0..31 {
        let now = first + day * DAY;
        asked += client.execute(&asks, &[&now, &A_DAY, &DAY]).await.unwrap();
        let rows = database.count("SELECT count(*) FROM challenges").await;
        // yesterday's are through with everything but what counts for weeks
        sweep.round(now + DAY / 2).await;
        let counting: i64 = client.query_one(&counts, &[&(now + DAY / 2), &DAY]).await.unwrap().get(0);
        let left = database.count("SELECT count(*) FROM challenges").await;
        assert_eq!(left, counting, "day {day}: what counts, and nothing else");
        assert!(rows <= counting + A_DAY, "day {day}: {rows} rows, {counting} that count");
        most = most.max(rows);
    }
    println!("{asked} addresses in 31 days; at most {most} rows");
    println!("{}", sweep.report());
    let kept = |what: &str| format!("SELECT count(*) FROM challenges WHERE {what}");
    let known = database.count(&kept("known_days <> '{}'")).await;
    let ended = database.count(&kept("devices_from_us > 0")).await;
    assert_eq!((known, ended), (31 * A_DAY / 8, 31 * A_DAY / 8), "none of these was due");
    assert_eq!(
        database.count(&kept("known_days = '{}' AND s_digit_tat = 0 AND devices_from_us < 0")).await,
        0
    );
    // each thing in its time
    for (days, left) in [(44, known + ended), (91 + 30, ended), (181 + 30, 0)] {
        sweep.round(first + days * DAY + DAY / 2).await;
        if days == 44 {
            assert!(database.count(&kept("s_digit_tat > 0")).await > 0, "42 days are not over for all");
            sweep.round(first + (30 + 43) * DAY).await;
        }
        assert_eq!(database.count(&kept("true")).await, left, "{days} days");
    }
    database.remove().await;
}

/// B11, sql/README.md: the tables under a flood of fresh addresses, of names that no tenant has and of their limits hold
/// what their bounds say, however long it lasts: the janitor of a running service, at its own pace, against statements of
/// 512 logins as fast as one connection writes them. `DOORCODE_ADDRESSES` asks for more; the standard has a million.
#[tokio::test]
async fn b11_a_flood_stays_within_the_bounds() {
    /// Until an address that was asked for once holds nothing, in rounds.
    const DRAINED: usize = 5;
    const ROUND_S: u64 = 17_280 / (DRAINED as u64 - 1);
    /// As `UNKNOWN_ROWS` and `UNKNOWN_LIMITS` of the service.
    const SLOTS: u128 = 65_536;
    let addresses = std::env::var("DOORCODE_ADDRESSES").ok().and_then(|text| text.parse().ok());
    // as many for each round: whole statements of 512
    let per_round = (addresses.unwrap_or(30_720_usize) / (3 * DRAINED)).next_multiple_of(512);
    let app = TestApp::builder().set("janitor.interval", "100ms").spawn().await;
    let client = connect_as_the_pool(&app.database.url).await;
    let login = client.prepare(include_str!("../../sql/queries/challenges/login.sql")).await.unwrap();
    let lease = client.prepare(include_str!("../../sql/queries/tenant_limits/lease.sql")).await.unwrap();
    let tenant: Uuid = client.query_one("SELECT tenant_id FROM tenants LIMIT 1", &[]).await.unwrap().get(0);
    let ask = async |tenant: Uuid, keys: Vec<Uuid>| {
        let (ids, n) = (vec![Uuid::new_v4(); keys.len()], keys.len());
        let (zeros, devices) = (vec![0i16; n], vec![0i64; n]);
        let slots: Vec<i32> = (0..n).map(|place| 1 << 16 | place as i32).collect();
        let (batch, record) = (vec![Uuid::new_v4()], vec![&b""[..]]);
        let about: [&(dyn ToSql + Sync); 21] = [
            &Some(app.now_us()),
            &vec![tenant; n],
            &keys,
            &ids,
            &ids,
            &ids,
            &devices,
            &devices,
            &zeros,
            &slots,
            &600_000_000i64,
            &60_000_000i64,
            &5i32,
            &17_280_000_000i64,
            &99i16,
            &Uuid::nil(),
            &batch,
            &vec![0i16],
            &vec![20_000_000i64],
            &record,
            &devices,
        ];
        client.query(&login, &about).await.unwrap();
    };
    let count = async |of: &str| app.database.count(&format!("SELECT count(*) FROM {of}")).await as usize;
    let (of_tenant, of_nobody) = ("challenges WHERE tenant_id <> $nil", "challenges WHERE tenant_id = $nil");
    let named = |text: &str| text.replace("$nil", &format!("'{}'", Uuid::nil()));
    let (mut written, mut most) = (0, 0);
    let mut took = (Duration::ZERO, Duration::ZERO);
    for round in 0..3 * DRAINED {
        let begun = Instant::now();
        for part in 0..per_round / 512 {
            ask(tenant, (0..512).map(|_| Uuid::new_v4()).collect()).await;
            let slot =
                |n: usize| Uuid::from_u128((round * per_round + part * 512 + n) as u128 * 7_919 % SLOTS);
            ask(Uuid::nil(), (0..512).map(slot).collect()).await;
        }
        for n in 0..64 {
            let key = Uuid::from_u128((round * 64 + n) as u128 % SLOTS);
            let about: [&(dyn ToSql + Sync); 5] = [&Some(app.now_us()), &key, &1i64, &10_000i64, &1_000i64];
            client.query(&lease, &about).await.unwrap();
        }
        took.0 += begun.elapsed();
        written += per_round;
        app.pass_s(ROUND_S);
        let begun = Instant::now();
        // what was asked within the refill, and the round that is being swept
        let bound = (DRAINED + 1) * per_round;
        while count(&named(of_tenant)).await > bound {
            assert!(
                begun.elapsed() < Duration::from_secs(600),
                "round {round}: the janitor does not keep up"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took.1 += begun.elapsed();
        most = most.max(count(&named(of_tenant)).await);
        assert!(count(&named(of_nobody)).await <= SLOTS as usize);
        app.database.until("SELECT count(*) <= 3 * 64 FROM tenant_limits").await;
    }
    let size = "SELECT pg_total_relation_size('challenges')::bigint";
    let each = app.database.count(size).await as usize / (most + (written).min(SLOTS as usize));
    println!(
        "{written} fresh addresses, at most {most} rows, {each} bytes each with what was deleted; written in {:?}, waited for the janitor {:?}",
        took.0, took.1
    );
    app.pass_s(86_400);
    let (begun, left) = (Instant::now(), count("challenges").await);
    // pages begin behind the lowest key: the first of the rows that nobody's slugs share stays
    while count("challenges").await + count("tenant_limits").await > 2 {
        assert!(begun.elapsed() < Duration::from_secs(600), "{} are left", count("challenges").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("the last {left} rows went in {:?}", begun.elapsed());
    app.finish().await;
}

/// The janitor of a running service does the same, at its own pace, a page behind a page.
#[tokio::test]
async fn the_janitor_keeps_up() {
    let app = TestApp::builder().set("janitor.interval", "100ms").set("janitor.batch", "50").spawn().await;
    let ended = "INSERT INTO sessions
            (tenant_id, session_key, customer_id, created_us, rotated_us, idle_until_us, expires_us)
        SELECT tenant_id, gen_random_uuid(), customer_id, $1, $1, $1 + n % 2 * 3600000000, $1 + 86400000000
        FROM generate_series(1, 400) n, (SELECT * FROM customers LIMIT 1) c";
    let kept = app.logs_in("grace@example.com").await;
    let ended = app.database.client().prepare_typed(ended, &[Type::INT8]).await.unwrap();
    app.database.client().execute(&ended, &[&app.now_us()]).await.unwrap();
    app.database.until("SELECT count(*) = 201 FROM sessions").await;
    app.pass_s(3_600);
    app.database.until("SELECT count(*) = 1 FROM sessions").await;
    assert_eq!(app.refreshes(&kept.refresh).await.status, 200);
    app.finish().await;
}
