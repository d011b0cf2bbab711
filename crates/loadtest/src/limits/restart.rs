//! What a restart of the service must not give back: mails and guesses that were spent before.

use super::{Bench, LimitReport};
use crate::call::{Call, Failure};
use crate::customers::Customer;
use crate::service::{Answer, Link, Probe};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// So long the service may take to come back.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(bench: Arc<Bench>) -> Vec<LimitReport> {
    let (Some(command), Some(guesses)) = (&bench.restart, bench.expected.guesses) else { return Vec::new() };
    let mut report = LimitReport::new("restart", &bench.service, "what was spent stays spent over a restart");
    match over_a_restart(&bench, command, guesses.per_code, &mut report).await {
        Ok(()) if report.complaints.is_empty() => {
            report.measured.push("guesses at one code, mails to one address".to_owned());
        }
        Ok(()) => {}
        Err(why) => report.complaints.push(format!("the restart could not be tried: {why}")),
    }
    vec![report.finish()]
}

/// Spends a code's guesses and an address's mails, restarts, and tries both again.
async fn over_a_restart(
    bench: &Bench,
    command: &str,
    per_code: u32,
    report: &mut LimitReport,
) -> Result<(), String> {
    let (customer, network) = (bench.customer(), bench.callers.network());
    let mut link = bench.service.link(network.host(0), 0);
    let code = bench.ask(&mut link, &customer).await?.codes.pop().flatten().ok_or("no mail came")?;
    let right: u32 = code.parse().map_err(|_| "the code is not of digits")?;
    for other in 1..=per_code {
        guess(&mut link, &customer, &format!("{:06}", (right + other) % 1_000_000)).await?;
    }
    // Another customer has just been mailed: the cool-down must outlast the restart.
    let mailed = bench.customer();
    bench.ask(&mut link, &mailed).await?;
    let shell = Command::new("sh").arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = shell.await.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("`{command}` ended with {status}"));
    }
    wait_until_back(&mut link).await?;
    let answer = guess(&mut link, &customer, &code).await?;
    if answer.status != 401 {
        let what = format!("after {per_code} wrong guesses and a restart the right code was answered");
        report
            .complaints
            .push(format!("one too many: {what} {} (X-Request-Id {})", answer.status, answer.id));
    }
    if bench.expected.mail.is_some_and(|mail| mail.cool_down.is_some()) {
        let again = bench.ask(&mut link, &mailed).await?;
        if !again.codes.is_empty() {
            let what = "one too many: a mail within the cool-down, after a restart, for";
            report.complaints.push(format!("{what} {}", again.name));
        }
    }
    Ok(())
}

async fn guess(link: &mut Link, customer: &Customer, code: &str) -> Result<Answer, Failure> {
    link.probe(Probe::Code(Call::Verify, customer, code)).await
}

async fn wait_until_back(link: &mut Link) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(failure) = link.probe(Probe::Session(Call::Refresh)).await {
        if Instant::now() > deadline {
            return Err(format!("the service did not come back: {failure}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
