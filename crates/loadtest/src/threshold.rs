//! `--fail-if 'login.p99>250ms'`: what makes a run fail.

use crate::report::Report;
use serde::Serialize;
use std::str::FromStr;

type Comparison = fn(&f64, &f64) -> bool;

/// One condition that must not hold at the end.
#[derive(Debug, Clone)]
pub struct Threshold {
    text: String,
    /// A call, or `mail`, or `steps`.
    subject: String,
    figure: String,
    /// Whether a figure breaks the limit.
    breaks: Comparison,
    limit: f64,
}

/// What became of a condition.
#[derive(Debug, Clone, Serialize)]
pub struct ThresholdReport {
    /// As given.
    pub fail_if: String,
    /// The figure in the unit of the condition; none if the run has no such figure, which is a failure too.
    pub value: Option<f64>,
    /// Whether the run may pass.
    pub ok: bool,
}

const FORM: &str = "write WHAT.FIGURE>LIMIT with one of > >= < <=, for example login.p99>250ms, verify.failed>0, \
    login.rate<500, login.error_rate>0.1%, mail.lost>0, mail.doubled>0 or steps.unsent>0";
const FIGURES: &str =
    "p50 p90 p99 p99_9 max rate sent answered failed error_rate lost doubled unsent arrived";

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        parse(text).ok_or_else(|| format!("`{text}` is no condition; {FORM}"))
    }
}

fn parse(text: &str) -> Option<Threshold> {
    let operators: [(&str, Comparison); 4] =
        [(">=", f64::ge), ("<=", f64::le), (">", f64::gt), ("<", f64::lt)];
    let (what, breaks, limit) = operators.into_iter().find_map(|(sign, breaks)| {
        text.split_once(sign).map(|(what, limit)| (what.trim(), breaks, limit.trim()))
    })?;
    let (subject, figure) = what.rsplit_once('.')?;
    let (number, scale) = match limit {
        limit if limit.ends_with('%') => (limit.strip_suffix('%')?, 0.01),
        limit if limit.ends_with("ms") => (limit.strip_suffix("ms")?, 1.0),
        limit if limit.ends_with('s') => (limit.strip_suffix('s')?, 1_000.0),
        limit => (limit, 1.0),
    };
    let limit = number.trim().parse::<f64>().ok().filter(|limit| limit.is_finite())? * scale;
    let known = !subject.is_empty() && FIGURES.split(' ').any(|known| known == figure);
    known.then(|| Threshold {
        text: text.to_owned(),
        subject: subject.to_owned(),
        figure: figure.to_owned(),
        breaks,
        limit,
    })
}

impl Threshold {
    /// Held against a report.
    pub fn check(&self, report: &Report) -> ThresholdReport {
        let value = self.value(report);
        let breached = value.is_none_or(|value| (self.breaks)(&value, &self.limit));
        ThresholdReport { fail_if: self.text.clone(), value, ok: !breached }
    }

    fn value(&self, report: &Report) -> Option<f64> {
        match (self.subject.as_str(), self.figure.as_str(), &report.mail) {
            ("steps", "unsent", _) => return Some(report.unsent as f64),
            ("mail", "lost", Some(mail)) => return Some(mail.lost as f64),
            ("mail", "doubled", Some(mail)) => return Some(mail.doubled as f64),
            ("mail", "arrived", Some(mail)) => return Some(mail.arrived as f64),
            _ => {}
        }
        let call = report.calls.iter().find(|call| call.call == self.subject)?;
        let failed: u64 = call.failed.values().sum();
        Some(match self.figure.as_str() {
            "p50" => call.latency_ms.p50,
            "p90" => call.latency_ms.p90,
            "p99" => call.latency_ms.p99,
            "p99_9" => call.latency_ms.p99_9,
            "max" => call.latency_ms.max,
            "rate" => call.rate_per_s,
            "sent" => call.sent as f64,
            "answered" => call.answered as f64,
            "failed" => failed as f64,
            "error_rate" => failed as f64 / (call.sent as f64).max(1.0),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_have_units() {
        for (text, limit) in [
            ("login.p99>250ms", 250.0),
            ("mail.p99 >= 2s", 2_000.0),
            ("login.error_rate>0.5%", 0.005),
            ("login.rate<500", 500.0),
        ] {
            let read: Threshold = text.parse().unwrap();
            assert!((read.limit - limit).abs() < 1e-9, "{read:?}");
        }
        for bad in ["", "login", "p99>1", "login.p99", "login.p99>fast", "login.p98>1ms", ".p99>1"] {
            assert!(bad.parse::<Threshold>().unwrap_err().contains("login.p99>250ms"), "{bad}");
        }
    }
}
