//! Wrong guesses at codes, which all look alike from outside: what tells is whether the right code still opens, and
//! what the next mail brings.
//!
//! Each count is shown from both sides with fresh customers: the last guess of a budget, made with the right code,
//! must succeed (not one too few); after a budget of wrong ones the right code must fail (not one too many). Guesses
//! alternate between `verify` and `token`, which share every budget.

use super::{Bench, GuessLimit, LimitReport};
use crate::call::Call;
use crate::callers::Network;
use crate::customers::Customer;
use crate::service::{Link, Probe};
use std::sync::Arc;

/// Guesses from one address, well below what a client may.
const PER_HOST: u32 = 10;

pub(super) async fn run(bench: Arc<Bench>) -> Vec<LimitReport> {
    let Some(limit) = bench.expected.guesses else { return Vec::new() };
    let GuessLimit { per_code, per_lane, per_network } = limit;
    let mut reports = Vec::new();
    let code = LimitReport::new("guesses.code", &bench.service, format!("{per_code} for one code"));
    reports.push(per_code_limit(&bench, per_code, code).await);
    if let Some(share) = per_network {
        let expected = format!("{share} of the strangers' guesses for one network");
        let report = LimitReport::new("guesses.network", &bench.service, expected);
        reports.push(network_share(&bench, &limit, share, report).await);
    }
    if let Some(lane) = per_lane {
        let expected = format!("{lane} for all codes of strangers, then other codes");
        let report = LimitReport::new("guesses.lane", &bench.service, expected);
        reports.push(lane_limit(&bench, &limit, lane, report).await);
    }
    reports
}

async fn per_code_limit(bench: &Bench, limit: u32, mut report: LimitReport) -> LimitReport {
    let network = bench.callers.network();
    let mut below = Guesser::new(bench, network);
    let last = below.spend_and_guess(limit, limit - 1).await;
    below.expect(last, true, &format!("guess {limit} at one code, the right one"), &mut report);
    let mut above = Guesser::new(bench, network);
    let beyond = above.exceed(limit).await;
    let what = format!("guess {} at one code, the right one,", limit + 1);
    above.expect(beyond, false, &what, &mut report);
    finish(report, limit, &[&below, &above])
}

/// One network's share: its last guess opens, and one more does not.
async fn network_share(
    bench: &Bench,
    limit: &GuessLimit,
    share: u32,
    mut report: LimitReport,
) -> LimitReport {
    let mut below = Guesser::new(bench, bench.callers.network());
    let last = below.spend_and_guess(limit.per_code, share - 1).await;
    below.expect(last, true, &format!("guess {share} of one network, the right one,"), &mut report);
    let mut above = Guesser::new(bench, bench.callers.network());
    let beyond = above.spend_and_guess(limit.per_code, share).await;
    above.expect(beyond, false, &format!("guess {} of one network, the right one,", share + 1), &mut report);
    finish(report, share, &[&below, &above])
}

/// All networks' guesses together: the last opens; after that, the next code is of another kind.
async fn lane_limit(bench: &Bench, limit: &GuessLimit, lane: u32, mut report: LimitReport) -> LimitReport {
    let share = limit.per_network.unwrap_or(lane);
    let mut below = Guesser::new(bench, bench.callers.network());
    below.share = share;
    let last = below.spend_and_guess(limit.per_code, lane - 1).await;
    below.expect(last, true, &format!("guess {lane} of strangers, the right one,"), &mut report);
    let mut above = Guesser::new(bench, bench.callers.network());
    above.share = share;
    match above.spend_and_ask(limit.per_code, lane).await {
        Ok(code) if is_digits(&code) => report.complaints.push(format!(
            "one too many: after {lane} wrong guesses the next code is still digits (asked by {})",
            above.last
        )),
        Ok(_) => {}
        Err(why) => report.complaints.push(why),
    }
    finish(report, lane, &[&below, &above])
}

fn finish(mut report: LimitReport, limit: u32, guessers: &[&Guesser<'_>]) -> LimitReport {
    report.admitted = guessers.iter().map(|guesser| u64::from(guesser.guesses)).sum();
    if report.complaints.is_empty() {
        report.measured.push(format!("{limit} guesses"));
    }
    report.finish()
}

fn is_digits(code: &str) -> bool {
    code.bytes().all(|byte| byte.is_ascii_digit())
}

/// Guesses at the codes of one customer of its own.
struct Guesser<'a> {
    bench: &'a Bench,
    customer: Customer,
    network: Network,
    /// Guesses of one network; then another takes over.
    share: u32,
    guesses: u32,
    link: Link,
    last: String,
}

impl<'a> Guesser<'a> {
    fn new(bench: &'a Bench, network: Network) -> Guesser<'a> {
        Guesser {
            customer: bench.customer(),
            link: bench.service.link(network.host(0), 0),
            bench,
            network,
            share: u32::MAX,
            guesses: 0,
            last: String::new(),
        }
    }

    /// A new code. Each is asked for from another network: a network's share of mails is not the question here, and one
    /// that has spent its guesses is mailed letters.
    async fn ask(&mut self) -> Result<String, String> {
        self.link.call_as(self.bench.callers.network().host(150));
        let asked = self.bench.ask(&mut self.link, &self.customer).await?;
        self.last = asked.name;
        let code = asked.codes.into_iter().flatten().next_back();
        code.ok_or_else(|| format!("no mail came for {}", self.last))
    }

    /// Whether it opened.
    async fn guess(&mut self, code: &str) -> Result<bool, String> {
        if self.guesses > 0 && self.guesses.is_multiple_of(self.share) {
            self.network = self.bench.callers.network();
        }
        self.link.call_as(self.network.host(self.guesses / PER_HOST));
        let call = if self.guesses.is_multiple_of(2) { Call::Verify } else { Call::Token };
        self.guesses += 1;
        let answer = self.link.probe(Probe::Code(call, &self.customer, code)).await?;
        self.last = format!("{}, X-Request-Id {}", call.name(), answer.id);
        match answer.status {
            200 => Ok(true),
            401 => Ok(false),
            other => Err(format!("a guess was answered {other} ({})", self.last)),
        }
    }

    async fn wrong(&mut self, code: &str, times: u32) -> Result<(), String> {
        let right: u32 =
            code.parse().map_err(|_| "the code is not of digits: is the customer fresh?".to_owned())?;
        for other in 1..=times {
            if self.guess(&format!("{:06}", (right + other) % 1_000_000)).await? {
                return Err(format!("a wrong guess opened ({})", self.last));
            }
        }
        Ok(())
    }

    /// Makes so many wrong guesses, over as many codes as that takes.
    async fn spend(&mut self, per_code: u32, total: u32) -> Result<(), String> {
        while self.guesses < total {
            let code = self.ask().await?;
            self.wrong(&code, per_code.min(total - self.guesses)).await?;
        }
        Ok(())
    }

    /// The same, and then a new code.
    async fn spend_and_ask(&mut self, per_code: u32, total: u32) -> Result<String, String> {
        self.spend(per_code, total).await?;
        self.ask().await
    }

    /// As many wrong ones, and then the right one: at the last code where that has a guess left, else at a new one.
    async fn spend_and_guess(&mut self, per_code: u32, total: u32) -> Result<bool, String> {
        let whole = total / per_code * per_code;
        let code = self.spend_and_ask(per_code, whole).await?;
        if total > whole {
            self.wrong(&code, total - whole).await?;
        }
        self.guess(&code).await
    }

    /// Tries the right code when all its guesses are spent.
    async fn exceed(&mut self, per_code: u32) -> Result<bool, String> {
        let code = self.ask().await?;
        self.wrong(&code, per_code).await?;
        self.guess(&code).await
    }

    fn expect(&self, opened: Result<bool, String>, right: bool, what: &str, report: &mut LimitReport) {
        let complaint = match opened {
            Ok(opened) if opened == right => return,
            Ok(true) => format!("one too many: {what} still opened ({})", self.last),
            Ok(false) => format!("one too few: {what} was refused ({})", self.last),
            Err(why) => why,
        };
        report.complaints.push(complaint);
    }
}
