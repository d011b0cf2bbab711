//! The service's own figures, read during the run from where it shows them for Prometheus.

use crate::call::Failure;
use crate::http::{Connection, Endpoint, Target};
use crate::profile::{Metrics, Panel, Reading};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lines drawn in one panel at most; the largest win.
const MOST_LINES: usize = 8;

/// A metric's values by one label, summed over all others.
type Values = BTreeMap<String, f64>;

/// One panel's figures over the run.
#[derive(Debug, Clone, Serialize)]
pub struct PanelReport {
    /// Its title, with the unit.
    pub title: &'static str,
    /// By the value of its label: time since the measurement began, in seconds, and the figure.
    pub lines: BTreeMap<String, Vec<(f64, f64)>>,
}

/// Everything that was read at one moment, over all replicas.
#[derive(Debug, Clone, Default)]
struct Snapshot {
    at: Option<Instant>,
    text: String,
}

/// Reads the metrics of every replica.
#[derive(Debug)]
pub(crate) struct Scraper {
    metrics: Metrics,
    sources: Vec<(Connection, Endpoint)>,
    began: Instant,
    before: Snapshot,
    panels: Vec<BTreeMap<String, Vec<(f64, f64)>>>,
    /// The first failure; the run goes on without the figures.
    pub failure: Option<Failure>,
}

impl Scraper {
    /// From these listeners.
    pub(crate) fn new(metrics: &Metrics, targets: &[Target]) -> Scraper {
        let source = |target: &Target| {
            let connection = Connection::new(Arc::new(target.clone()), None, Duration::from_secs(2));
            (connection, Endpoint::get(target, metrics.path))
        };
        Scraper {
            metrics: metrics.clone(),
            sources: targets.iter().map(source).collect(),
            began: Instant::now(),
            before: Snapshot::default(),
            panels: vec![BTreeMap::new(); metrics.panels.len()],
            failure: None,
        }
    }

    /// The measurement begins: what was read before is forgotten, but for counters to grow from.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
        self.panels.iter_mut().for_each(BTreeMap::clear);
    }

    /// Reads all replicas once and adds a point to every line.
    pub(crate) async fn read(&mut self) {
        let mut now = Snapshot { at: Some(Instant::now()), text: String::new() };
        for (connection, endpoint) in &mut self.sources {
            match connection.exchange(endpoint, b"").await {
                Ok(reply) if reply.status == 200 => {
                    now.text.push_str(&String::from_utf8_lossy(reply.body));
                }
                Ok(reply) => self.failure = self.failure.or(Some(Failure::Status(reply.status))),
                Err(failure) => self.failure = self.failure.or(Some(failure)),
            }
        }
        let before = std::mem::replace(&mut self.before, now);
        let t_s = self.began.elapsed().as_secs_f64();
        for (panel, lines) in self.metrics.panels.iter().zip(&mut self.panels) {
            for (label, value) in figures(panel, &before, &self.before) {
                lines.entry(label).or_default().push((t_s, value));
            }
        }
    }

    /// Answers with one status since the service began, by its own count.
    pub(crate) fn answers(&self, status: &str) -> Option<u64> {
        let (metric, label) = self.metrics.answers;
        let count = by_label(&self.before.text, metric, label);
        (!count.is_empty()).then(|| count.get(status).copied().unwrap_or(0.0) as u64)
    }

    /// What was read, of the largest lines.
    pub(crate) fn report(&self) -> Vec<PanelReport> {
        let panels = self.metrics.panels.iter().zip(&self.panels);
        let panels = panels.map(|(panel, lines)| {
            let peak = |points: &[(f64, f64)]| points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
            let mut busy: Vec<_> = lines.iter().filter(|(_, points)| peak(points) > 0.0).collect();
            busy.sort_by(|(_, a), (_, b)| peak(b).total_cmp(&peak(a)));
            let busy =
                busy.into_iter().take(MOST_LINES).map(|(label, points)| (label.clone(), points.clone()));
            let mut shown: BTreeMap<_, _> = busy.collect();
            if let (true, Some(points)) = (shown.is_empty(), lines.values().next()) {
                shown.insert("none above 0".to_owned(), points.clone());
            }
            PanelReport { title: panel.title, lines: shown }
        });
        panels.filter(|panel| !panel.lines.is_empty()).collect()
    }
}

fn figures(panel: &Panel, before: &Snapshot, now: &Snapshot) -> Values {
    let values = |text: &str, metric: &str| by_label(text, metric, panel.by);
    let growth = |metric: &str| -> Values {
        let earlier = values(&before.text, metric);
        let grown = |(label, value): (String, f64)| {
            let more = value - earlier.get(&label).copied().unwrap_or(0.0);
            (label, more.max(0.0))
        };
        values(&now.text, metric).into_iter().map(grown).collect()
    };
    match (panel.reading, before.at, now.at) {
        (Reading::Gauge(metric), _, _) => values(&now.text, metric),
        (Reading::Rate(metric), Some(earlier), Some(at)) => {
            let length = at.saturating_duration_since(earlier).as_secs_f64().max(0.001);
            growth(metric).into_iter().map(|(label, more)| (label, more / length)).collect()
        }
        (Reading::Ratio(metric, by), Some(_), Some(_)) => {
            let by = growth(by);
            let ratio = |(label, more): (String, f64)| {
                let each = by.get(&label).copied().filter(|by| *by > 0.0)?;
                Some((label, more / each))
            };
            growth(metric).into_iter().filter_map(ratio).collect()
        }
        _ => Values::new(),
    }
}

/// Sums a metric by one label; without that label, under the empty text.
fn by_label(text: &str, metric: &str, label: &str) -> Values {
    let mut sums = Values::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(metric) else { continue };
        let (labels, value) = match rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
            Some((labels, value)) => (labels, value),
            None if rest.starts_with(' ') => ("", rest),
            None => continue,
        };
        let Some(Ok(value)) = value.split_whitespace().next().map(str::parse::<f64>) else { continue };
        let quoted = labels.split(',').find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\""));
        let of = quoted.and_then(|value| value.strip_suffix('"')).unwrap_or("");
        *sums.entry(of.to_owned()).or_insert(0.0) += value;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE depth gauge\ndepth{kind=\"issuer\",shard=\"1\"} 2\ndepth{kind=\"issuer\",shard=\"2\"} 3\n\
        depth{kind=\"mailer\"} 0\ndepths{kind=\"issuer\"} 9\nrows_total{kind=\"login\"} 40\nflushes_total{kind=\"login\"} 4\nup 1\n";

    fn reading(text: &str, after_s: u64) -> Snapshot {
        Snapshot { at: Some(Instant::now() + Duration::from_secs(after_s)), text: text.to_owned() }
    }

    #[test]
    fn metrics_are_summed_by_one_label() {
        assert_eq!(by_label(TEXT, "depth", "kind")["issuer"], 5.0);
        assert_eq!(by_label(TEXT, "up", "kind")[""], 1.0);
        assert!(by_label(TEXT, "missing", "kind").is_empty());
    }

    #[test]
    fn counters_are_shown_by_their_growth() {
        let later = TEXT.replace(" 40", " 100").replace("} 4\n", "} 6\n");
        let figure = |reading_as| {
            let panel = Panel { title: "", by: "kind", reading: reading_as };
            figures(&panel, &reading(TEXT, 0), &reading(&later, 2))
        };
        assert_eq!(figure(Reading::Rate("rows_total"))["login"].round(), 30.0);
        assert_eq!(figure(Reading::Ratio("rows_total", "flushes_total"))["login"], 30.0);
        assert_eq!(figure(Reading::Gauge("depth"))["mailer"], 0.0);
    }
}
