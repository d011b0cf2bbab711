//! The report as one page: verdicts on top, then figures, then plots. It loads nothing and runs nothing.

use super::svg::{self, Line, escape, short};
use super::{CallReport, Report};
use crate::limits::{LimitReport, Status};
use crate::meter::{CallPoint, Point};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");

pub(super) fn page(report: &Report) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let title = format!("{} on {}", report.scenario, report.targets.join(", "));
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}: {}</title><style>{STYLE}</style></head><body><main>",
        if report.ok { "passed" } else { "FAILED" },
        escape(&title)
    );
    head(&mut page, report, &title);
    verdicts(&mut page, report);
    limits(&mut page, &report.limits, report.targets.len() > 1);
    calls(&mut page, report);
    plots(&mut page, report);
    processes(&mut page, report);
    page.push_str("</main></body></html>\n");
    page
}

fn head(page: &mut String, report: &Report, title: &str) {
    let (class, word) = if report.ok { ("good", "passed") } else { ("bad", "FAILED") };
    let _ = write!(
        page,
        "<header><span class=\"badge {class}\">{word}</span><h1>{}</h1><p>{}, {} connections, {:.1} s measured, \
         begun <time>{}</time></p></header>",
        escape(title),
        escape(&report.load),
        report.connections,
        report.measured_s,
        i64::try_from(report.began_unix_s)
            .ok()
            .and_then(|at| Timestamp::from_second(at).ok())
            .unwrap_or_default()
    );
}

fn verdicts(page: &mut String, report: &Report) {
    page.push_str("<section><h2>Verdicts</h2><ul class=\"verdicts\">");
    for verdict in &report.verdicts {
        let (class, sign) = if verdict.ok { ("good", "✓") } else { ("bad", "✗") };
        let _ = write!(page, "<li class=\"{class}\"><b>{sign}</b> {}</li>", escape(&verdict.text));
    }
    page.push_str("</ul>");
    for note in &report.notes {
        let _ = write!(page, "<p class=\"note\">{}</p>", escape(note));
    }
    page.push_str("</section>");
}

fn limits(page: &mut String, limits: &[LimitReport], several: bool) {
    if limits.is_empty() {
        return;
    }
    page.push_str(
        "<section><h2>Limits</h2><div class=\"scroll\"><table><thead><tr><th>limit<th>should be<th>verdict\
         <th class=\"n\">let through<th class=\"n\">held back<th class=\"n\">seconds<th>what was seen</tr></thead><tbody>",
    );
    for limit in limits {
        let class = match limit.status {
            Status::Broken => "bad",
            Status::Unmeasured => "dim",
            _ => "good",
        };
        let list = |class: &str, items: &[String]| -> String {
            items.iter().map(|item| format!("<li class=\"{class}\">{}</li>", escape(item))).collect()
        };
        let seen =
            [list("bad", &limit.complaints), list("good", &limit.measured), list("dim", &limit.unmeasured)];
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td class=\"{class}\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{:.1}\
             <td><ul class=\"plain\">{}</ul></tr>",
            escape(&if several {
                format!("{} on {}", limit.limit, limit.target)
            } else {
                limit.limit.clone()
            }),
            escape(&limit.expected),
            limit.status.text(),
            limit.admitted,
            limit.refused,
            limit.span_s,
            seen.concat()
        );
    }
    page.push_str("</tbody></table></div></section>");
}

fn calls(page: &mut String, report: &Report) {
    page.push_str(
        "<section><h2>Calls</h2><div class=\"scroll\"><table><thead><tr><th>call<th class=\"n\">sent\
         <th class=\"n\">answered<th class=\"n\">failed<th class=\"n\">per s<th class=\"n\">p50 ms<th class=\"n\">p90\
         <th class=\"n\">p99<th class=\"n\">p99.9<th class=\"n\">max</tr></thead><tbody>",
    );
    for call in &report.calls {
        let CallReport { call: name, sent, answered, rate_per_s, latency_ms: ms, .. } = call;
        let failed = if call.is_clean() { "0".to_owned() } else { escape(&call.failures()) };
        let _ = write!(page, "<tr><td>{name}");
        let cells = [sent.to_string(), answered.to_string(), failed, short(*rate_per_s)];
        let times = [ms.p50, ms.p90, ms.p99, ms.p99_9, ms.max].map(short);
        for cell in cells.iter().chain(&times) {
            let _ = write!(page, "<td class=\"n\">{cell}");
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
    if let Some(mail) = report.mail.filter(|mail| mail.expected > 0) {
        let _ = write!(
            page,
            "<p>Mails, with warm-up: {} came, {} expected, {} lost, {} doubled.</p>",
            mail.arrived, mail.expected, mail.lost, mail.doubled
        );
    }
    page.push_str("</section>");
}

fn plots(page: &mut String, report: &Report) {
    page.push_str("<div class=\"plots\">");
    let names: BTreeSet<&str> = report.points.iter().flat_map(|point| point.calls.keys().copied()).collect();
    let of = |call: &str, figure: fn(&CallPoint) -> Option<f64>| -> Vec<(f64, f64)> {
        let point = |point: &Point| Some((point.t_s, figure(point.calls.get(call)?)?));
        report.points.iter().filter_map(point).collect()
    };
    let rates = names.iter().map(|call| line(call, of(call, |point| Some(point.rate_per_s)))).collect();
    plot(page, "Rate", "good answers a second", "", rates);
    plot(page, "Statuses", "answers a second by status, failures by kind", "", statuses(&report.points));
    for call in names.iter().filter(|call| **call != "mailbox") {
        let latency = [
            line("p50", of(call, |point| point.p50_ms)),
            line("p90", of(call, |point| point.p90_ms)),
            line("p99", of(call, |point| point.p99_ms)),
            line("max", of(call, |point| point.max_ms)),
        ];
        let (title, what) = match *call {
            "mail" => ("Time to mail".to_owned(), "from the request to the mail".to_owned()),
            call => (format!("Latency of {call}"), "time to a good answer".to_owned()),
        };
        plot(page, &title, &what, " ms", latency.into());
    }
    for call in report.calls.iter().filter(|call| call.call != "mailbox" && !call.distribution.is_empty()) {
        let title = format!("Distribution of {}", call.call);
        figure(page, &title, "answers by time, in steps of 30 %", &svg::bars(&title, &call.distribution));
    }
    for panel in &report.server {
        let lines = panel.lines.iter().map(|(name, points)| line(name, points.clone())).collect();
        plot(page, panel.title, "as the service says", "", lines);
    }
    page.push_str("</div>");
}

fn line(name: &str, points: Vec<(f64, f64)>) -> Line {
    Line { name: if name.is_empty() { "all".to_owned() } else { name.to_owned() }, points }
}

fn statuses(points: &[Point]) -> Vec<Line> {
    let names: BTreeSet<&String> = points.iter().flat_map(|point| point.statuses.keys()).collect();
    let rate = |name: &String| {
        let mut before = 0.0;
        let mut rates = Vec::new();
        for point in points {
            let length: f64 = (point.t_s - before).max(0.001);
            let count = point.statuses.get(name).copied().unwrap_or(0) as f64;
            rates.push((point.t_s, count / length));
            before = point.t_s;
        }
        line(name, rates)
    };
    names.into_iter().map(rate).collect()
}

fn plot(page: &mut String, title: &str, what: &str, unit: &str, lines: Vec<Line>) {
    let lines: Vec<Line> = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
    if !lines.is_empty() {
        figure(page, title, what, &svg::lines(title, unit, &lines));
    }
}

fn figure(page: &mut String, title: &str, what: &str, svg: &str) {
    let (title, what) = (escape(title), escape(what));
    let _ = write!(page, "<figure><figcaption>{title} <small>{what}</small></figcaption>{svg}</figure>");
}

fn processes(page: &mut String, report: &Report) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    page.push_str(
        "<section><h2>Processes</h2><div class=\"scroll\"><table><thead><tr><th>process<th class=\"n\">CPU s\
         <th class=\"n\">CPU µs a request<th class=\"n\">MiB before<th class=\"n\">MiB after</tr></thead><tbody>",
    );
    for process in &report.processes {
        let _ = write!(
            page,
            "<tr><td>{} ({})<td class=\"n\">{:.2}<td class=\"n\">{:.1}<td class=\"n\">{:.1}<td class=\"n\">{:.1}</tr>",
            escape(&process.name),
            process.pid,
            process.cpu_s,
            process.cpu_us_per_request,
            mib(process.memory_before_bytes),
            mib(process.memory_after_bytes)
        );
    }
    page.push_str("</tbody></table></div></section>");
}
