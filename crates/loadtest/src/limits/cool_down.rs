//! The time between two mails to one address while a code is unused: asked for all the time, densely around the moment
//! when the second must come.

use super::{Bench, LimitReport};
use crate::customers::Customer;
use crate::service::{Link, Probe};
use crate::units;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Asks from one network, well below what it may.
const PER_NETWORK: usize = 10;
/// What one more or one less of is looked for.
const ONE: Duration = Duration::from_secs(1);

/// A run that has had its first mail, or why not.
pub struct CoolDown {
    expected: Duration,
    report: LimitReport,
    watch: Result<Watch, String>,
}

struct Watch {
    customer: Customer,
    link: Link,
    began: Instant,
    first: Instant,
    asks: Vec<(Instant, String)>,
}

/// Asks for the first mail and waits for it; `None` if there is nothing to measure.
pub async fn begin(bench: &Bench) -> Option<CoolDown> {
    let expected = bench.expected.mail.and_then(|mail| mail.cool_down)?;
    let what = format!("{} between two mails", units::show(expected));
    let report = LimitReport::new("mail.cooldown", &bench.service, what);
    Some(CoolDown { expected, report, watch: Watch::begin(bench).await })
}

impl CoolDown {
    /// Asks until the second mail comes.
    pub async fn run(self, bench: Arc<Bench>) -> LimitReport {
        let CoolDown { expected, mut report, watch } = self;
        if !bench.callers.can_vary() {
            return report.unmeasured("needs several client addresses: --clients-by header or socket");
        }
        let gap = match watch {
            Ok(watch) => watch.second(&bench, expected).await,
            Err(why) => Err(why),
        };
        match gap {
            Err(why) => report.complaints.push(why),
            Ok(gap) => gap.judge(expected, &mut report),
        }
        report.finish()
    }
}

impl Watch {
    async fn begin(bench: &Bench) -> Result<Watch, String> {
        let customer = bench.customer();
        let mut link = bench.service.link(None, 0);
        bench.inbox.learn_old(&mut link, &customer.email).await.map_err(|failure| failure.to_string())?;
        let began = Instant::now();
        let mut watch = Watch { customer, link, began, first: began, asks: Vec::new() };
        let first = watch.ask(bench, bench.inbox.wait()).await?;
        watch.first = first.ok_or("no first mail came")?;
        Ok(watch)
    }

    /// When a mail came within the pause that follows.
    async fn ask(&mut self, bench: &Bench, pause: Duration) -> Result<Option<Instant>, String> {
        if self.asks.len().is_multiple_of(PER_NETWORK) {
            self.link.call_as(bench.callers.network().host(0));
        }
        bench.inbox.asked(&self.customer.email, Instant::now(), false);
        let sent = Instant::now();
        let answer =
            self.link.probe(Probe::Login(&self.customer)).await.map_err(|failure| failure.to_string())?;
        if answer.status != 200 {
            return Err(format!("asking was refused with {} (X-Request-Id {})", answer.status, answer.id));
        }
        let number = self.asks.len() + 1;
        self.asks.push((sent, format!("login {number} (X-Request-Id {})", answer.id)));
        let email = &self.customer.email;
        let mails = bench.inbox.arrivals(&mut self.link, email, Instant::now() + pause).await;
        Ok(mails.first().map(|(came, _)| *came))
    }

    async fn second(mut self, bench: &Bench, expected: Duration) -> Result<Gap, String> {
        // Dense where it counts: a twentieth of the time before and after.
        let (dense, end) = (expected * 19 / 20, expected * 21 / 20 + ONE * 2);
        loop {
            let now = self.began.elapsed();
            let pause = if now < dense { expected / 50 } else { Duration::from_millis(100) };
            if let Some(second) = self.ask(bench, pause).await? {
                return Ok(self.gap(second));
            }
            if now > end {
                return Err(format!("no second mail within {:.1} s", now.as_secs_f64()));
            }
        }
    }

    fn gap(&self, second: Instant) -> Gap {
        // The second mail was on its way no longer than thrice the first's time, or some hundred milliseconds.
        let on_its_way = ((self.first - self.began) * 3).max(Duration::from_millis(300));
        let decided = second.checked_sub(on_its_way).unwrap_or(self.began);
        let earliest = self.asks.iter().find(|(sent, _)| *sent >= decided).or(self.asks.last());
        let (earliest, name) = earliest.map_or((second, String::new()), |(sent, name)| (*sent, name.clone()));
        Gap {
            shortest: earliest.saturating_duration_since(self.first),
            longest: second - self.began,
            asked: self.asks.len() as u64,
            name,
        }
    }
}

/// Bounds of the time between the service's decisions to mail.
struct Gap {
    shortest: Duration,
    longest: Duration,
    asked: u64,
    name: String,
}

impl Gap {
    fn judge(&self, expected: Duration, report: &mut LimitReport) {
        (report.admitted, report.refused) = (2, self.asked.saturating_sub(2));
        report.span_s = self.longest.as_secs_f64();
        let (shortest, longest) = (self.shortest.as_secs_f64(), self.longest.as_secs_f64());
        if self.longest < expected {
            report
                .complaints
                .push(format!("too early: the second mail came after {longest:.3} s, for {}", self.name));
        } else if self.shortest > expected {
            report
                .complaints
                .push(format!("too late: the second mail came after {shortest:.3} s, for {}", self.name));
        } else if self.longest < expected + ONE && self.shortest + ONE > expected {
            // A second more or less would have been seen.
            report.measured.push(format!("{}, within a second", units::show(expected)));
        } else {
            report
                .unmeasured
                .push(format!("between {shortest:.1} s and {longest:.1} s: mails were too slow to tell"));
        }
    }
}
