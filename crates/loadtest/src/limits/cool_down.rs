//! The time between two mails to one address while a code is unused. Two customers are asked for twice each: one a
//! little before the time is over, who must not be mailed again, and one a little after, who must be. One question each,
//! so that it is known which of them a mail answers, however slow mails are.

use super::{Bench, LimitReport};
use crate::units;
use std::sync::Arc;
use std::time::Duration;

/// What one more or one less of is looked for.
const ONE: Duration = Duration::from_secs(1);
/// So much before the end the first is asked for again, and so much after it the second.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_millis(200);

pub(super) async fn run(bench: Arc<Bench>) -> Option<LimitReport> {
    let expected = bench.expected.mail.and_then(|mail| mail.cool_down)?;
    let what = format!("{} between two mails", units::show(expected));
    let mut report = LimitReport::new("mail.cooldown", &bench.service, what);
    let too_short = expected <= BEFORE;
    if too_short {
        return Some(report.unmeasured("the time is too short to ask within it"));
    }
    let (early, late) =
        tokio::join!(Pair::ask(&bench, expected.saturating_sub(BEFORE)), Pair::ask(&bench, expected + AFTER));
    match (early, late) {
        (Ok(early), Ok(late)) => judge(expected, &early, &late, &mut report),
        (Err(why), _) | (_, Err(why)) => report.complaints.push(why),
    }
    Some(report.finish())
}

fn judge(expected: Duration, early: &Pair, late: &Pair, report: &mut LimitReport) {
    report.admitted = 2 + u64::from(early.mailed) + u64::from(late.mailed);
    report.refused = u64::from(!early.mailed) + u64::from(!late.mailed);
    report.span_s = late.longest.as_secs_f64();
    if early.mailed && early.longest < expected {
        let after = early.longest.as_secs_f64();
        report
            .complaints
            .push(format!("too early: mailed again after {after:.3} s or less, for {}", early.name));
    }
    if !late.mailed && late.shortest >= expected {
        let after = late.shortest.as_secs_f64();
        report.complaints.push(format!("too late: not mailed after {after:.3} s or more, for {}", late.name));
    }
    // What a time that is a second shorter or longer would have done, whenever it was decided.
    let shorter_refuted = !early.mailed && early.shortest + ONE > expected;
    let longer_refuted = late.mailed && late.longest < expected + ONE;
    match shorter_refuted && longer_refuted {
        true => report.measured.push(format!("{}, to a second", units::show(expected))),
        false => report.unmeasured.push("answers were too slow to tell a second".to_owned()),
    }
}

/// Two questions for one customer.
struct Pair {
    /// Bounds of the time between the service's decisions.
    shortest: Duration,
    longest: Duration,
    /// Whether the second brought a mail.
    mailed: bool,
    name: String,
}

impl Pair {
    async fn ask(bench: &Bench, gap: Duration) -> Result<Pair, String> {
        let (customer, network) = (bench.customer(), bench.callers.network());
        let mut link = bench.service.link(network.host(0), 0);
        let first = bench.ask(&mut link, &customer).await?;
        if first.codes.is_empty() {
            return Err(format!("no first mail came, for {}", first.name));
        }
        tokio::time::sleep_until((first.answered + gap).into()).await;
        let second = bench.ask(&mut link, &customer).await?;
        Ok(Pair {
            shortest: second.sent - first.answered,
            longest: second.answered - first.sent,
            mailed: !second.codes.is_empty(),
            name: second.name,
        })
    }
}
