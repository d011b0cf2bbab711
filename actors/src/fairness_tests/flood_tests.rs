//! Floods, some of them chosen and others at random, and what the others keep.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

/// I2: whatever one tenant, several, or names that nobody has, are flooded with: 99 of 100 of another tenant's
/// logins are served, none later than the flushes that were under way, and no mail of it waits for theirs.
#[tokio::test(start_paused = true)]
async fn i2_whoever_floods_the_others_keep_their_share() {
    let nobody = Source { slugs: 1 << 40, ..from(TenantId::UNKNOWN.0.as_u128(), 40_000, 5_000) };
    let floods: [&[Source]; 5] = [
        &[from(1, 20_000, 300)],
        &[from(1, 20_000, 1)],
        std::slice::from_ref(&nobody),
        &[from(1, 15_000, 300), from(3, 9_000, 2), nobody.clone()],
        &(10..30).map(|tenant| from(tenant, 2_000, 50)).collect::<Vec<_>>(),
    ];
    let database: DatabaseSettings = test_settings::section("database");
    // one flush to wait for, and its own, each with all others beside it
    let flush = database.max_in_flight.get() * (database.batch_max.get() + FLUSH) / CAPACITY;
    let longest = 2 * flush as u64;
    for (seed, flood) in (0..).zip(floods.iter().cycle().take(10)) {
        let calm = [from(2, 200, 20)];
        let source = &beside(seed, None, &calm, flood).await[0];
        let (took, mailed) = (p99(source.served.clone()), p99(source.mailed.clone()));
        // while many begin at once, the stock is empty for a moment
        assert!(source.refused * 100 <= source.asked, "seed {seed}: {} refused", source.refused);
        assert_eq!(source.deferred, 0, "seed {seed}");
        assert!(source.share() > 0.95, "seed {seed}: {:.3}, the last ones are under way", source.share());
        assert!(took <= longest, "seed {seed}: {took} ms");
        assert!(mailed <= 50, "seed {seed}: mail waited {mailed} ms");
    }
}

/// I2: one network asks without end at a tenant whose limit is then used up: customers elsewhere are served all the same.
#[tokio::test(start_paused = true)]
async fn i2_one_network_floods_the_others_keep_their_share() {
    let limit = TenantLimit { per_second: 500, burst: 1_000 };
    for seed in 0..6 {
        let calm = [from(1, 100, 1), from(2, 200, 20)];
        let counts = beside(seed, Some(limit), &calm, &[from(1, 10_000, 1)]).await;
        let shares: Vec<f64> = counts.iter().map(SourceCounts::share).collect();
        assert!(shares[0] > 0.95 && shares[1] > 0.95, "seed {seed}: {shares:.3?}");
    }
}

/// `PROPTEST_CASES` asks for more.
fn explore<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 8,
        ..Config::with_cases(asked.unwrap_or(cases))
    };
    TestRunner::new(config).run(strategy, property).unwrap_or_else(|error| panic!("{error}"));
}

/// Runs a world on paused time.
fn paused<T>(world: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(world)
}

/// I2: the same for any flood: of one tenant or of many, from few networks or many, of names that nobody has, with a limit
/// per tenant and without; for one to three others, whatever they ask within the shares.
#[test]
fn i2_any_flood_leaves_the_others_their_share() {
    let nobody = TenantId::UNKNOWN.0.as_u128();
    let tenant = prop_oneof![Just(1), 3..40_u128, Just(nobody)];
    let source = (tenant, 500..6_000_u64, 1..10_000_u32).prop_map(move |(tenant, rate, networks)| Source {
        slugs: if tenant == nobody { 1 << 40 } else { 1 },
        ..from(tenant, rate, networks)
    });
    let flood = (vec(source, 0..5), 12_000..20_000_u64).prop_map(|(mut flood, rate)| {
        flood.push(from(1, rate, 300));
        flood
    });
    let calm = vec((20..150_u64, 1..10_000_u32), 1..=3);
    let limit = select(vec![None, Some(TenantLimit { per_second: 500, burst: 1_000 })]);
    explore(4, &(any::<u64>(), limit, flood, calm), |(seed, limit, flood, calm)| {
        let calm: Vec<_> =
            (100..).zip(calm).map(|(tenant, (rate, networks))| from(tenant, rate, networks)).collect();
        for source in paused(beside(seed, limit, &calm, &flood)) {
            prop_assert!(
                source.refused * 50 <= source.asked + 50,
                "{} of {} refused",
                source.refused,
                source.asked
            );
            prop_assert_eq!(source.deferred, 0);
            prop_assert!(source.share() > 0.93, "{:.3} served", source.share());
            prop_assert!(p99(source.mailed.clone()) <= 60, "mail waited {} ms", p99(source.mailed));
        }
        Ok(())
    });
}

/// I2: within a tenant whose limit is used up, each network has its share: with n networks that flood, whoever asks for
/// less than half of an (n + 1)th is served.
#[test]
fn i2_a_network_keeps_its_share_of_its_tenant() {
    let some = (any::<u64>(), 1..6_u32, 300..900_u32, 8_000..20_000_u64);
    explore(5, &some, |(seed, networks, per_second, flood)| {
        let limit = TenantLimit { per_second, burst: per_second };
        let share = u64::from(per_second / (networks + 1) / 2);
        let calm = [from(1, share, 1), from(2, 100, 20)];
        let counts = paused(beside(seed, Some(limit), &calm, &[from(1, flood, networks * 256)]));
        for source in &counts {
            prop_assert!(source.share() > 0.9, "{:.3} of {} a second", source.share(), share);
        }
        Ok(())
    });
}

/// I2, L1: strangers guess without end at one address: its known device is served there, and so are the tenant's other
/// customers; twenty networks of strangers at most, which share the tenant's limit with them.
#[test]
fn i2_l1_a_known_device_is_served_where_strangers_guess_without_end() {
    let limit = TenantLimit { per_second: 1_000, burst: 10_000 };
    let some = (any::<u64>(), 2_000..12_000_u64, 1..5_000_u32, select(vec![None, Some(limit)]));
    explore(6, &some, |(seed, flood, networks, limit)| {
        let at = |source: Source| Source { address: Some(77), ..source };
        let calm = [Source { known: true, ..at(from(1, 20, 1)) }, from(1, 20, 1), from(2, 200, 20)];
        let counts = paused(beside(seed, limit, &calm, &[at(from(1, flood, networks))]));
        for (who, source) in ["known device", "other customers", "another tenant"].iter().zip(counts) {
            prop_assert!(source.share() > 0.9, "{who}: {:.3} served", source.share());
        }
        Ok(())
    });
}
