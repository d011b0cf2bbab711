//! The caller's own limits: visible, comfortable, in memory. Guess and mail budgets are elsewhere and cannot be switched off.
//!
//! Every request on a limited route counts, whatever its answer will be (B10). Loopback is not exempt.

pub(crate) mod client_limiter;

use crate::http::exchange::RateFields;
use crate::http::limits::client_limiter::{Left, LimitClock, Limiter, Rate, WhenFull};
use crate::http::request::client::Prefix;
use http::HeaderValue;
use serde::Deserialize;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Routes that share their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// `/login`.
    Login,
    /// `/verify` and `/token`.
    Code,
    /// `/refresh`, `/logout`, `/logout-all` and `/session`.
    Session,
}

/// `[limits.client]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientLimitSettings {
    /// Off for load runs only.
    pub enabled: bool,
    /// Connections of one client at once; its /24 or /48 has five times as many.
    pub connections: NonZeroUsize,
    /// `/login`.
    pub login_per_minute: NonZeroU32,
    /// `/login`.
    pub login_per_hour: NonZeroU32,
    /// `/verify` and `/token` together.
    pub verify_per_minute: NonZeroU32,
    /// `/refresh` and `/logout` together.
    pub refresh_per_minute: NonZeroU32,
    /// What a whole /24 or /48 may do, as a multiple.
    pub site_factor: NonZeroU32,
    /// Callers or networks kept in each of the eight tables.
    pub max_keys: NonZeroUsize,
}

/// How often idle callers are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// All client limits.
pub(crate) struct ClientLimits {
    enabled: bool,
    login: Policies,
    code: Policies,
    session: Policies,
}

/// The limits of one group: what a caller is told of is `own`, what protects a site's neighbours is `site`.
struct Policies {
    own: Vec<(&'static str, Limiter)>,
    site: Vec<Limiter>,
    header: HeaderValue,
    admitted: AtomicU64,
    refused_client: AtomicU64,
    refused_network: AtomicU64,
}

/// A request's fate.
pub(super) struct Verdict {
    /// `Some` refuses it: seconds, at least 1, after which it would pass if nobody else came.
    pub retry_after_s: Option<u64>,
    /// For the answer.
    pub fields: Option<RateFields>,
}

impl ClientLimits {
    /// From settings, by a clock.
    pub(crate) fn new(settings: ClientLimitSettings, clock: &LimitClock) -> Self {
        let rate = |burst: NonZeroU32, window_s| Rate { burst: burst.get(), window_s };
        let policies = |rates: &[(&'static str, Rate)]| Policies::new(rates, settings, clock);
        Self {
            enabled: settings.enabled,
            login: policies(&[
                ("login-minute", rate(settings.login_per_minute, 60)),
                ("login-hour", rate(settings.login_per_hour, 3_600)),
            ]),
            code: policies(&[("code-minute", rate(settings.verify_per_minute, 60))]),
            session: policies(&[("session-minute", rate(settings.refresh_per_minute, 60))]),
        }
    }

    /// Counts a request and says whether it passes.
    pub(super) fn check(&self, group: Group, client: IpAddr) -> Verdict {
        if !self.enabled {
            return Verdict { retry_after_s: None, fields: None };
        }
        self.policies(group).check(client)
    }

    /// Forgets idle callers, for ever: to be run beside the listener.
    pub(crate) async fn housekeeping(&self) {
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        loop {
            tick.tick().await;
            self.sweep();
        }
    }

    /// Forgets idle callers, once.
    pub(crate) fn sweep(&self) {
        self.limiters().for_each(Limiter::sweep);
    }

    /// Callers kept in all tables.
    pub(crate) fn callers(&self) -> usize {
        self.limiters().map(Limiter::len).sum()
    }

    /// What the limits said so far: (group, decision, how often).
    pub(crate) fn decisions(&self) -> Vec<(&'static str, &'static str, u64)> {
        let groups = [("login", &self.login), ("code", &self.code), ("session", &self.session)];
        let of = |(group, policies): (&'static str, &Policies)| {
            let counts = [
                ("admitted", &policies.admitted),
                ("refused_client", &policies.refused_client),
                ("refused_network", &policies.refused_network),
            ];
            counts.map(|(decision, count)| (group, decision, count.load(Relaxed)))
        };
        groups.into_iter().flat_map(of).collect()
    }

    fn limiters(&self) -> impl Iterator<Item = &Limiter> {
        [&self.login, &self.code, &self.session]
            .into_iter()
            .flat_map(|policies| policies.own.iter().map(|(_, limiter)| limiter).chain(&policies.site))
    }

    fn policies(&self, group: Group) -> &Policies {
        match group {
            Group::Login => &self.login,
            Group::Code => &self.code,
            Group::Session => &self.session,
        }
    }
}

impl Policies {
    fn new(rates: &[(&'static str, Rate)], settings: ClientLimitSettings, clock: &LimitClock) -> Self {
        let limiter = |rate, when_full| Limiter::new(rate, settings.max_keys.get(), when_full, clock);
        let site =
            |rate: &Rate| Rate { burst: rate.burst.saturating_mul(settings.site_factor.get()), ..*rate };
        let items: Vec<String> = rates
            .iter()
            .map(|(name, rate)| format!("\"{name}\";q={};w={}", rate.burst, rate.window_s))
            .collect();
        Self {
            own: rates.iter().map(|(name, rate)| (*name, limiter(*rate, WhenFull::Evict))).collect(),
            site: rates.iter().map(|(_, rate)| limiter(site(rate), WhenFull::Refuse)).collect(),
            header: header(&items.join(", ")),
            admitted: AtomicU64::default(),
            refused_client: AtomicU64::default(),
            refused_network: AtomicU64::default(),
        }
    }

    /// A site that has used its limit up is refused before its caller is looked at: however many addresses it has, they
    /// cannot fill the callers' table. Then the caller's own limits, the shorter before the longer: what they refuse is
    /// not charged to the longer one or to the neighbours.
    fn check(&self, client: IpAddr) -> Verdict {
        let (own, site) = (Prefix::fine(client), Prefix::coarse(client));
        let site_has_room = self.site.iter().all(|limiter| limiter.would_admit(site));
        let own_admits = site_has_room && self.own.iter().all(|(_, limiter)| limiter.admit(own));
        let passes = own_admits && self.site.iter().all(|limiter| limiter.admit(site));
        let count = match (passes, site_has_room && !own_admits) {
            (true, _) => &self.admitted,
            (false, true) => &self.refused_client,
            (false, false) => &self.refused_network,
        };
        count.fetch_add(1, Relaxed);
        let left: Vec<(&str, Left)> =
            self.own.iter().map(|(name, limiter)| (*name, limiter.left(own))).collect();
        let retry_after_s = (!passes).then(|| {
            let of_site = self.site.iter().map(|limiter| limiter.left(site));
            let waits = left.iter().map(|(_, left)| *left).chain(of_site).filter(|left| left.remaining == 0);
            waits.map(|left| seconds_up(left.next)).max().unwrap_or(1).max(1)
        });
        let items: Vec<String> = left
            .iter()
            .map(|(name, left)| format!("\"{name}\";r={};t={}", left.remaining, seconds_up(left.next)))
            .collect();
        Verdict {
            retry_after_s,
            fields: Some(RateFields { policy: self.header.clone(), state: header(&items.join(", ")) }),
        }
    }
}

/// Never earlier than really free (B8).
fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests_support::client_limits as defaults;
    use governor::clock::FakeRelativeClock;

    fn limits() -> (ClientLimits, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (ClientLimits::new(defaults(), &LimitClock::Manual(clock.clone())), clock)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn drive(limits: &ClientLimits, group: Group, client: IpAddr, times: usize) -> usize {
        (0..times).filter(|_| limits.check(group, client).retry_after_s.is_none()).count()
    }

    /// B1: each limit holds at n and n + 1.
    #[test]
    fn limits_hold_as_documented() {
        let (limits, clock) = limits();
        let ann = ip("192.0.2.1");
        assert_eq!(drive(&limits, Group::Login, ann, 31), 30);
        assert_eq!(drive(&limits, Group::Code, ann, 31), 30, "groups do not share");
        assert_eq!(drive(&limits, Group::Session, ann, 121), 120);
        let admitted: usize = (0..3_599)
            .map(|_| {
                clock.advance(Duration::from_secs(1));
                drive(&limits, Group::Login, ann, 2)
            })
            .sum();
        assert!((360..=370).contains(&admitted), "200 at once and 200 an hour: {admitted} + 30");
    }

    /// B5, B8: waiting as told helps, waiting a second less does not, and `t` is never after it.
    #[test]
    fn retry_after_is_exact() {
        let (limits, clock) = limits();
        let ann = ip("2001:db8::1");
        for (group, times, wait) in [(Group::Login, 30, 2), (Group::Code, 30, 2), (Group::Session, 120, 1)] {
            assert_eq!(drive(&limits, group, ann, times), times);
            let told = limits.check(group, ann).retry_after_s;
            assert_eq!(told, Some(wait));
            clock.advance(
                Duration::from_secs(wait) - Duration::from_millis(if wait == 1 { 501 } else { 1_000 }),
            );
            assert!(limits.check(group, ann).retry_after_s.is_some());
            clock.advance(Duration::from_secs(1));
            assert_eq!(limits.check(group, ann).retry_after_s, None);
        }
    }

    /// B8: when the hour's limit refuses, the wait is the hour's.
    #[test]
    fn the_longest_wait_is_told() {
        let (limits, clock) = limits();
        let ann = ip("192.0.2.1");
        let refused = || {
            clock.advance(Duration::from_secs(2));
            limits.check(Group::Login, ann).retry_after_s
        };
        let told = (0..400).find_map(|_| refused()).unwrap();
        clock.advance(Duration::from_secs(told));
        assert_eq!(limits.check(Group::Login, ann).retry_after_s, None, "the hour's last");
        assert_eq!(limits.check(Group::Login, ann).retry_after_s, Some(18), "the minute's would be 2");
        clock.advance(Duration::from_secs(17));
        assert!(limits.check(Group::Login, ann).retry_after_s.is_some());
        clock.advance(Duration::from_secs(1));
        assert_eq!(limits.check(Group::Login, ann).retry_after_s, None);
    }

    /// J2: a home is one caller, a site has five times as much, and one loud caller does not use its neighbours' share.
    #[test]
    fn networks_share() {
        let (limits, _) = limits();
        let homes: Vec<IpAddr> = (0..1_000).map(|n| ip(&format!("2001:db8:0:1::{n:x}"))).collect();
        assert_eq!(homes.iter().map(|home| drive(&limits, Group::Code, *home, 1)).sum::<usize>(), 30);
        assert_eq!(drive(&limits, Group::Code, ip("::ffff:192.0.2.1"), 10_000), 30);
        assert_eq!(drive(&limits, Group::Code, ip("192.0.2.1"), 1), 0, "IPv4-mapped is its IPv4");
        let site: usize = (2..12).map(|n| drive(&limits, Group::Code, ip(&format!("192.0.2.{n}")), 30)).sum();
        assert_eq!(site, 120, "five times 30, of which 30 were used");
        assert_eq!(drive(&limits, Group::Code, ip("127.0.0.1"), 31), 30, "loopback is not exempt");
    }

    /// B11: a /48 that calls from 65,536 addresses gets its site's limit and leaves no trace on anybody else's.
    #[test]
    fn a_site_cannot_switch_the_limit_off() {
        let (limits, _) = limits();
        let flood: usize =
            (0..65_536).map(|n| drive(&limits, Group::Login, ip(&format!("2001:db8:0:{n:x}::1")), 1)).sum();
        assert_eq!(flood, 150, "five times 30");
        assert!(limits.callers() <= 2 * (150 + 1), "{}", limits.callers());
        for newcomer in ["192.0.2.1", "2001:db9::1", "2001:db8:1::1"] {
            assert_eq!(drive(&limits, Group::Login, ip(newcomer), 31), 30, "{newcomer}");
        }
    }

    /// B7, B9: the draft's fields, of the caller's own policies, counting down.
    #[test]
    fn fields_follow_the_draft() {
        let (limits, _) = limits();
        let fields = |_: usize| limits.check(Group::Login, ip("192.0.2.1")).fields.unwrap();
        let first = fields(1);
        assert_eq!(first.policy, "\"login-minute\";q=30;w=60, \"login-hour\";q=200;w=3600");
        assert_eq!(first.state, "\"login-minute\";r=29;t=2, \"login-hour\";r=199;t=18");
        assert_eq!(fields(2).state, "\"login-minute\";r=28;t=2, \"login-hour\";r=198;t=18");
    }

    #[test]
    fn switched_off_says_nothing() {
        let settings = ClientLimitSettings { enabled: false, ..defaults() };
        let limits = ClientLimits::new(settings, &LimitClock::real());
        assert_eq!(drive(&limits, Group::Login, ip("192.0.2.1"), 1_000), 1_000);
        assert!(limits.check(Group::Login, ip("192.0.2.1")).fields.is_none());
        assert_eq!(limits.callers(), 0);
    }
}
