//! What a run found. The JSON's names are stable and documented in `docs/LOADTEST.md`.

mod html;
mod svg;
mod text;

use crate::call::{Call, Failure};
use crate::limits::{LimitReport, Status};
use crate::mail::MailTotals;
use crate::meter::{Account, Point};
use crate::process::Watched;
use crate::scrape::PanelReport;
use crate::threshold::ThresholdReport;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// A soak may become slower by this factor.
const MOST_DRIFT: f64 = 1.5;

/// A run's findings.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether the run passed: see [`verdicts`](Self::verdicts).
    pub ok: bool,
    /// What decided that, one line each.
    pub verdicts: Vec<Verdict>,
    /// The scenario's name.
    pub scenario: &'static str,
    /// `closed`, or the shape and rate of an open load.
    pub load: String,
    /// Where it was run.
    pub targets: Vec<String>,
    /// When it began, in seconds since 1970.
    pub began_unix_s: u64,
    /// How many connections.
    pub connections: usize,
    /// From the start of the measurement to its last good answer: what the rates divide by.
    pub measured_s: f64,
    /// Steps of an open load that were due and found no connection.
    pub unsent: u64,
    /// What was measured.
    pub calls: Vec<CallReport>,
    /// What came before: preparation and warm-up.
    pub before: Vec<CallReport>,
    /// What became of the mails, where the scenario expects any.
    pub mail: Option<MailTotals>,
    /// Findings on limits.
    pub limits: Vec<LimitReport>,
    /// The conditions that were given.
    pub thresholds: Vec<ThresholdReport>,
    /// Whether the run was to show that nothing changes over its time.
    pub soak: bool,
    /// The run by intervals.
    pub points: Vec<Point>,
    /// The service's own figures.
    pub server: Vec<PanelReport>,
    /// What driver and watched processes cost.
    pub processes: Vec<ProcessReport>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// One thing that the run was to show.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Whether it holds.
    pub ok: bool,
    /// In words.
    pub text: String,
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
    /// How many answers took up to so many milliseconds, and longer than the line before.
    pub distribution: Vec<(f64, u64)>,
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
    pub(crate) fn new(call: Call, account: &Account, measured: Duration) -> CallReport {
        let kind = |(failure, count): (&Failure, &u64)| (failure.to_string(), *count);
        let percentile = |p: f64| account.latency.value_at_quantile(p) as f64 / 1_000.0;
        let bars = account.latency.iter_log(100, 1.3);
        let bars =
            bars.map(|bar| (bar.value_iterated_to() as f64 / 1_000.0, bar.count_since_last_iteration()));
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
            distribution: bars.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Nothing failed and nothing is missing.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.open == 0
    }

    /// `3 timeout, 2 status_503`.
    fn failures(&self) -> String {
        let kinds: Vec<String> = self.failed.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        kinds.join(", ")
    }
}

impl ProcessReport {
    pub(crate) fn new(watched: &Watched, requests: u64) -> ProcessReport {
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

impl Verdict {
    fn passed(text: impl Into<String>) -> Verdict {
        Verdict { ok: true, text: text.into() }
    }

    fn failed(text: impl Into<String>) -> Verdict {
        Verdict { ok: false, text: text.into() }
    }
}

/// Nothing over nothing is nothing: JSON knows no infinity.
fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

impl Report {
    /// Decides whether the run passed. Conditions that were given decide alone what load may do; without any, every call
    /// must have been answered as it should be.
    pub(crate) fn decide(&mut self) {
        let mut verdicts = self.of_the_driver();
        verdicts.extend(self.of_limits());
        if self.thresholds.is_empty() {
            verdicts.extend(self.of_calls());
        }
        verdicts.extend(self.thresholds.iter().map(|threshold| {
            let value =
                threshold.value.map_or("there is no such figure".to_owned(), |value| format!("{value:.2}"));
            Verdict { ok: threshold.ok, text: format!("fail if {}: {value}", threshold.fail_if) }
        }));
        if self.soak {
            verdicts.extend(self.drift());
        }
        self.ok = verdicts.iter().all(|verdict| verdict.ok);
        if self.ok && self.limits.is_empty() {
            let answered: u64 = self.calls.iter().map(|call| call.answered).sum();
            verdicts.push(Verdict::passed(format!("{answered} calls were answered as they should be")));
        }
        self.verdicts = verdicts;
        // No verdict: nothing is known of these.
        let unmeasured = self.names_of(Status::Unmeasured);
        if !unmeasured.is_empty() {
            self.notes.push(format!("unmeasured (the table says why): {}", unmeasured.join(", ")));
        }
    }

    /// What makes a run worth nothing.
    fn of_the_driver(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        if self.calls.iter().all(|call| call.answered == 0) {
            verdicts.push(Verdict::failed("nothing was measured"));
        }
        if self.calls.iter().chain(&self.before).any(|call| call.open > 0) {
            verdicts.push(Verdict::failed("calls never ended: a defect of the driver"));
        }
        verdicts
    }

    fn of_limits(&self) -> Vec<Verdict> {
        let broken = self.limits.iter().filter(|limit| limit.status == Status::Broken).map(|limit| {
            let first = limit.complaints.first().map_or("", String::as_str);
            let more = match limit.complaints.len() {
                0 | 1 => String::new(),
                all => format!(" (and {} more: see the table)", all - 1),
            };
            Verdict::failed(format!("{} is broken: {first}{more}", self.name_of(limit)))
        });
        let kept = [
            (Status::Exact, "exact to one"),
            (Status::WithinBounds, "within the bounds of their promise"),
            (
                Status::PartlyMeasured,
                "exact as far as this run could measure (the table says what it could not)",
            ),
        ];
        let kept = kept.into_iter().map(|(status, what)| (self.names_of(status), what));
        let kept = kept
            .filter(|(names, _)| !names.is_empty())
            .map(|(names, what)| Verdict::passed(format!("{what}: {}", names.join(", "))));
        broken.chain(kept).collect()
    }

    fn names_of(&self, status: Status) -> Vec<String> {
        self.limits.iter().filter(|limit| limit.status == status).map(|limit| self.name_of(limit)).collect()
    }

    /// Of a fleet, some limits are each replica's own.
    fn name_of(&self, limit: &LimitReport) -> String {
        match self.targets.len() > 1 && !limit.target.contains(',') {
            true => format!("{} of {}", limit.limit, limit.target),
            false => limit.limit.clone(),
        }
    }

    /// What went wrong where no condition says how much may.
    fn of_calls(&self) -> Vec<Verdict> {
        let failed = self.calls.iter().filter(|call| !call.is_clean()).map(|call| {
            let missing = call.sent - call.answered;
            format!("{}: {missing} of {} failed: {}", call.call, call.sent, call.failures())
        });
        let unsent =
            (self.unsent > 0).then(|| format!("{} steps were due and found no free connection", self.unsent));
        let doubled = self.mail.filter(|mail| mail.doubled > 0);
        let doubled = doubled.map(|mail| format!("{} mails came twice", mail.doubled));
        failed.chain(unsent).chain(doubled).map(Verdict::failed).collect()
    }

    /// A soak: whether each call takes as long in the last tenth of the run as in the first.
    fn drift(&self) -> Vec<Verdict> {
        let tenth = self.points.len().div_ceil(10);
        let (first, last) = (&self.points[..tenth], &self.points[self.points.len() - tenth..]);
        let median = |points: &[Point], call: &str| {
            let of = |point: &Point| point.calls.get(call).and_then(|call| call.p50_ms);
            let mut times: Vec<f64> = points.iter().filter_map(of).collect();
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied()
        };
        let drift = |call: &CallReport| {
            let (before, after) = (median(first, call.call)?, median(last, call.call)?);
            let text =
                format!("{}: p50 {before:.2} ms in the first tenth, {after:.2} ms in the last", call.call);
            Some(Verdict { ok: after <= before * MOST_DRIFT, text })
        };
        self.calls.iter().filter_map(drift).collect()
    }

    /// One JSON object.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    /// Tables.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        text::write(self, out)
    }

    /// One page that needs nothing but itself.
    pub fn write_html(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(html::page(self).as_bytes())
    }
}
