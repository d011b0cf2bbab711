//! `/metrics` in the two texts that Prometheus reads: OpenMetrics 1.0 for who asks for it, and its own format 0.0.4.

use doorcode_actors::HistogramSnapshot;
use http::HeaderMap;
use http::header::ACCEPT;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>: what everything reads.
    Classic,
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
}

impl Format {
    /// By the field `Accept` (RFC 9110 section 12.5.1): OpenMetrics where it is named and preferred to plain text.
    pub(super) fn asked_for(headers: &HeaderMap) -> Self {
        let (mut open, mut classic) = (0.0, 0.0);
        let fields = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in fields.flat_map(|field| field.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let (media, mut quality, mut version) = (parts.next().unwrap_or(""), 1.0, "");
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = value.trim().trim_matches('"'),
                    _ => {}
                }
            }
            match (media.to_ascii_lowercase().as_str(), version) {
                ("application/openmetrics-text", "" | "1.0.0") => open = f64::max(open, quality),
                ("text/plain", "" | "0.0.4") => classic = f64::max(classic, quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= classic { Self::OpenMetrics } else { Self::Classic }
    }

    /// Its media type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Everything in the registry.
    pub(super) fn write(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry)?;
        Ok(match self {
            Self::OpenMetrics => text,
            Self::Classic => classic(&text),
        })
    }
}

/// The two differ in what a counter is called above its samples (there with `_total`), and in the mark at the end.
fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1_024);
    let mut help = None;
    for line in open_metrics.lines() {
        if line.starts_with("# HELP ") {
            help = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some((_, words)) = help.take() {
                text.push_str(&format!("# HELP {name}{total} {words}\n"));
            }
            text.push_str(&format!("# TYPE {name}{total} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

// ---- families, from rows of labels and values

pub(super) fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in rows {
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
    }
    Ok(())
}

pub(super) fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        family.encode_family(&labels)?.encode_gauge(&signed(value))?;
    }
    Ok(())
}

pub(super) fn histograms<'h, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (L, &'h HistogramSnapshot)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, seen) in rows {
        put_histogram(&mut family.encode_family(&labels)?, seen)?;
    }
    Ok(())
}

/// A histogram without labels.
pub(super) fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    seen: &HistogramSnapshot,
) -> fmt::Result {
    put_histogram(&mut encoder.encode_descriptor(name, help, None, MetricType::Histogram)?, seen)
}

fn put_histogram(metric: &mut MetricEncoder<'_>, seen: &HistogramSnapshot) -> fmt::Result {
    metric.encode_histogram::<NoLabelSet>(seen.sum, seen.count, &each_bucket(seen), None)
}

/// A snapshot's buckets are cumulative and leave out the last; the encoder wants each one's own count, and all of them.
fn each_bucket(times: &HistogramSnapshot) -> Vec<(f64, u64)> {
    let mut below = 0;
    let all = times.buckets.iter().copied().chain([(f64::INFINITY, times.count)]);
    all.map(|(bound, count)| {
        let own = count.saturating_sub(below);
        below = count;
        (bound, own)
    })
    .collect()
}

pub(super) fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&signed(value))
}

/// A counter without labels.
pub(super) fn counter<N: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: N,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, N, u64>(&value, None)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn openmetrics_is_for_who_prefers_it() {
        let asked = |accept: &'static str| {
            Format::asked_for(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        // Prometheus 2.42, curl, a browser, Prometheus 3 with PrometheusText1.0.0
        for (accept, format) in [
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("*/*", Format::Classic),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Classic),
            (
                "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8",
                Format::Classic,
            ),
            ("application/openmetrics-text;version=0.0.1", Format::Classic),
            ("application/openmetrics-text;q=0", Format::Classic),
            ("Application/OpenMetrics-Text; version=\"1.0.0\"", Format::OpenMetrics),
        ] {
            assert_eq!(asked(accept), format, "{accept}");
        }
        assert_eq!(Format::asked_for(&HeaderMap::new()), Format::Classic);
    }

    #[test]
    fn a_counter_has_its_whole_name_in_the_classic_text() {
        let open = "# HELP a Many.\n# TYPE a counter\na_total{x=\"#\"} 1\n# HELP b One.\n# TYPE b gauge\n# UNIT b s\nb 2\n# EOF\n";
        let expected = "# HELP a_total Many.\n# TYPE a_total counter\na_total{x=\"#\"} 1\n# HELP b One.\n# TYPE b gauge\nb 2\n";
        assert_eq!(classic(open), expected);
    }
}
