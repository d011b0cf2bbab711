//! The report as tables for a terminal.

use super::{CallReport, ProcessReport, Report};
use crate::limits::{LimitReport, Status};
use std::io::{self, Write};

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Report { scenario, load, targets, connections, measured_s, .. } = report;
    let targets = targets.join(", ");
    writeln!(out, "{scenario} on {targets}, {load}, {connections} connections, {measured_s:.1} s")?;
    write_calls(report, out)?;
    if let Some(mail) = report.mail.filter(|mail| mail.expected > 0) {
        let (expected, arrived) = (mail.expected, mail.arrived);
        writeln!(
            out,
            "\nmails (with warm-up): {arrived} came, {expected} expected, {} lost, {} doubled",
            mail.lost, mail.doubled
        )?;
    }
    if !report.limits.is_empty() {
        writeln!(out)?;
        report.limits.iter().try_for_each(|limit| write_limit(limit, out))?;
    }
    write_processes(report, out)?;
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    for verdict in &report.verdicts {
        writeln!(out, "{}: {}", if verdict.ok { "ok" } else { "FAILED" }, verdict.text)?;
    }
    writeln!(out, "{}", if report.ok { "ok" } else { "FAILED" })
}

fn write_calls(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let (call, sent, answered, failed, rate) = ("call", "sent", "answered", "failed", "per s");
    write!(out, "\n{call:<21}{sent:>10}{answered:>10}{failed:>8}{rate:>10}")?;
    writeln!(out, "{:>10}{:>9}{:>9}{:>9}{:>9}", "p50 ms", "p90", "p99", "p99.9", "max")?;
    for call in &report.calls {
        let CallReport { call: name, sent, answered, rate_per_s, latency_ms: ms, .. } = call;
        let failed: u64 = call.failed.values().sum();
        write!(out, "{name:<21}{sent:>10}{answered:>10}{failed:>8}{rate_per_s:>10.0}")?;
        writeln!(out, "{:>10.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}", ms.p50, ms.p90, ms.p99, ms.p99_9, ms.max)?;
    }
    for (part, calls) in [("", &report.calls), (" before measuring", &report.before)] {
        for call in calls.iter().filter(|call| !call.is_clean()) {
            writeln!(out, "failed{part}: {}: {} ({} never ended)", call.call, call.failures(), call.open)?;
        }
    }
    Ok(())
}

fn write_limit(limit: &LimitReport, out: &mut dyn Write) -> io::Result<()> {
    let LimitReport { limit: name, expected, status, admitted, refused, unknown, span_s, target, .. } = limit;
    writeln!(out, "{name:<16} {:<26} {expected} on {target}", status.text())?;
    if *status != Status::Unmeasured {
        write!(out, "  {admitted} let through, {refused} held back in {span_s:.1} s")?;
        if *unknown > 0 {
            write!(out, ", {unknown} unknown")?;
        }
        writeln!(out)?;
    }
    for part in &limit.measured {
        writeln!(out, "  measured: {part}")?;
    }
    for part in &limit.unmeasured {
        writeln!(out, "  unmeasured: {part}")?;
    }
    limit.complaints.iter().try_for_each(|complaint| writeln!(out, "  BROKEN: {complaint}"))
}

fn write_processes(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(out)?;
    for process in &report.processes {
        let ProcessReport { name, pid, cpu_s, cpu_us_per_request, .. } = process;
        let (before, after) = (mib(process.memory_before_bytes), mib(process.memory_after_bytes));
        write!(out, "{name} ({pid}): {cpu_us_per_request:.1} CPU µs a request ({cpu_s:.2} s), ")?;
        writeln!(out, "memory {before:.1} MiB before, {after:.1} MiB after")?;
    }
    Ok(())
}
