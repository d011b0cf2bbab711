//! What a run found, as a table for people and as JSON for programs.
//!
//! The JSON's names are stable: `ok`, `scenario`, `target`, `connections`, `measured_s`, `calls[]` (`call`, `sent`,
//! `answered`, `failed` by kind, `open`, `rate_per_s`, `latency_ms` with `p50 p90 p99 p99_9 max`), `before[]` (the
//! same counts for preparation and warm-up), `limits[]` (`limit`, `policy`, `admitted`, `refused`, `unknown`,
//! `span_s`, `least`, `most`, `excess`, `ok`, `verdict`, `complaints[]`), `processes[]` (`name`, `pid`, `cpu_s`,
//! `cpu_us_per_request`, `memory_before_bytes`, `memory_after_bytes`) and `notes[]`. In every account
//! `sent = answered + failed + open`, and `open` is 0 when the run ended in order. Kinds of failure: `connect`,
//! `timeout`, `closed`, `protocol`, `body`, `no_mail`, `status_NNN`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::gcra::Finding;
use super::meter::{Account, Call, Failure};
use super::process::Watched;

/// The verdict where the number is right and something else is not.
const RIGHT_BUT: &str = "the number is right, but:";

/// A run's findings.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Every call was answered as it should be, the books balance, and every limit is exact.
    pub ok: bool,
    /// The scenario's name.
    pub scenario: &'static str,
    /// Where it was run.
    pub target: String,
    /// How many connections.
    pub connections: usize,
    /// From the start of the measurement to its last good answer: what the rates divide by.
    pub measured_s: f64,
    /// What was measured.
    pub calls: Vec<CallReport>,
    /// What came before: preparation and warm-up.
    pub before: Vec<CallReport>,
    /// Findings on limits.
    pub limits: Vec<LimitReport>,
    /// What driver and watched processes cost.
    pub processes: Vec<ProcessReport>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// One kind of call.
#[derive(Debug, Clone, Serialize)]
pub struct CallReport {
    /// Which.
    pub call: &'static str,
    /// Begun.
    pub sent: u64,
    /// Ended as it should.
    pub answered: u64,
    /// Failed, by kind.
    pub failed: BTreeMap<String, u64>,
    /// Neither: a defect of the driver.
    pub open: u64,
    /// Good answers per second.
    pub rate_per_s: f64,
    /// Time to a good answer.
    pub latency_ms: Latency,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half of the answers took no longer.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// All but one in a thousand.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

/// A finding on one limit.
#[derive(Debug, Clone, Serialize)]
pub struct LimitReport {
    /// Which.
    pub limit: &'static str,
    /// Its policy in words.
    pub policy: String,
    /// Requests (or mails) that it let through.
    pub admitted: u64,
    /// Requests that it held back.
    pub refused: u64,
    /// Requests without a usable answer.
    pub unknown: u64,
    /// From the first sending to the last answer.
    pub span_s: f64,
    /// Fewer admitted is wrong.
    pub least: u64,
    /// More admitted is wrong.
    pub most: u64,
    /// Largest excess in any window.
    pub excess: u64,
    /// Whether it is exact.
    pub ok: bool,
    /// The same in words.
    pub verdict: &'static str,
    /// Further breaches.
    pub complaints: Vec<String>,
}

/// What a process cost.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessReport {
    /// Its name; `driver` is this program.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// Processor time, user and system.
    pub cpu_s: f64,
    /// The same per request of the measured part.
    pub cpu_us_per_request: f64,
    /// Memory at the start of the measurement.
    pub memory_before_bytes: u64,
    /// Memory at its end.
    pub memory_after_bytes: u64,
}

impl CallReport {
    /// From the books; `measured` is what the rate divides by.
    pub(super) fn new(call: Call, account: &Account, measured: Duration) -> CallReport {
        let kind = |(failure, count): (&Failure, &u64)| (failure.to_string(), *count);
        let percentile = |p: f64| account.latency.value_at_quantile(p) as f64 / 1_000.0;
        CallReport {
            call: call.name(),
            sent: account.sent,
            answered: account.answered,
            failed: account.failed.iter().map(kind).collect(),
            open: account.open(),
            rate_per_s: per(account.answered as f64, measured.as_secs_f64()),
            latency_ms: Latency {
                p50: percentile(0.5),
                p90: percentile(0.9),
                p99: percentile(0.99),
                p99_9: percentile(0.999),
                max: account.latency.max() as f64 / 1_000.0,
            },
        }
    }

    /// Nothing failed and nothing is missing.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.open == 0
    }
}

impl LimitReport {
    pub(super) fn new(
        limit: &'static str,
        policy: String,
        finding: &Finding,
        complaints: Vec<String>,
    ) -> LimitReport {
        LimitReport {
            limit,
            policy,
            admitted: finding.admitted,
            refused: finding.refused,
            unknown: finding.unknown,
            span_s: finding.span.as_secs_f64(),
            least: finding.least,
            most: finding.most,
            excess: finding.excess,
            ok: finding.holds() && complaints.is_empty(),
            verdict: if finding.holds() && !complaints.is_empty() { RIGHT_BUT } else { finding.verdict() },
            complaints,
        }
    }
}

impl ProcessReport {
    pub(super) fn new(watched: &Watched, requests: u64) -> ProcessReport {
        ProcessReport {
            name: watched.name.clone(),
            pid: watched.pid,
            cpu_s: watched.cpu.as_secs_f64(),
            cpu_us_per_request: per(watched.cpu.as_secs_f64() * 1e6, requests as f64),
            memory_before_bytes: watched.memory_before,
            memory_after_bytes: watched.memory_after,
        }
    }
}

/// Nothing over nothing is nothing: JSON knows no infinity.
fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

impl Report {
    /// One JSON object.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    /// Tables.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} on {}, {} connections, {:.1} s",
            self.scenario, self.target, self.connections, self.measured_s
        )?;
        self.write_calls(out)?;
        for limit in &self.limits {
            limit.write_text(out)?;
        }
        self.write_processes(out)?;
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        writeln!(out, "{}", if self.ok { "ok" } else { "FAILED" })
    }

    fn write_calls(&self, out: &mut dyn Write) -> io::Result<()> {
        let (call, sent, answered, failed, rate) = ("call", "sent", "answered", "failed", "per s");
        write!(out, "\n{call:<21}{sent:>10}{answered:>10}{failed:>8}{rate:>10}")?;
        writeln!(out, "{:>10}{:>9}{:>9}{:>9}{:>9}", "p50 ms", "p90", "p99", "p99.9", "max")?;
        for call in &self.calls {
            let CallReport { call: name, sent, answered, rate_per_s, latency_ms: ms, .. } = call;
            let failed: u64 = call.failed.values().sum();
            write!(out, "{name:<21}{sent:>10}{answered:>10}{failed:>8}{rate_per_s:>10.0}")?;
            writeln!(out, "{:>10.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}", ms.p50, ms.p90, ms.p99, ms.p99_9, ms.max)?;
        }
        let failures = |part: &'static str, calls: &[CallReport], out: &mut dyn Write| {
            calls.iter().filter(|call| !call.is_clean()).try_for_each(|call| {
                let kinds: Vec<String> =
                    call.failed.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
                writeln!(out, "failed{part}: {}: {} ({} never ended)", call.call, kinds.join(", "), call.open)
            })
        };
        failures("", &self.calls, out)?;
        failures(" before measuring", &self.before, out)
    }

    fn write_processes(&self, out: &mut dyn Write) -> io::Result<()> {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(out)?;
        for process in &self.processes {
            let ProcessReport { name, pid, cpu_s, cpu_us_per_request, .. } = process;
            let (before, after) = (mib(process.memory_before_bytes), mib(process.memory_after_bytes));
            write!(out, "{name} ({pid}): {cpu_us_per_request:.1} CPU µs a request ({cpu_s:.2} s), ")?;
            writeln!(out, "memory {before:.1} MiB before, {after:.1} MiB after")?;
        }
        Ok(())
    }
}

impl LimitReport {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n{} limit ({}): {}", self.limit, self.policy, self.verdict)?;
        let LimitReport { admitted, refused, unknown, span_s, least, most, .. } = self;
        writeln!(
            out,
            "  {admitted} admitted in {span_s:.2} s, right is {least} to {most}; {refused} refused, {unknown} unknown"
        )?;
        if self.excess > 0 {
            writeln!(out, "  {} more than any span of the run may admit", self.excess)?;
        }
        self.complaints.iter().try_for_each(|complaint| writeln!(out, "  {complaint}"))
    }
}
