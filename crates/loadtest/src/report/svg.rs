//! Line and bar charts as inline SVG: colours come from the page's style, so that they follow light and dark.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
/// Room for `2500 ms`.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;
/// Colours that the style knows; further lines begin again.
const COLOURS: usize = 8;

/// One line: its name and its points.
pub(super) struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A chart over time in seconds, with a legend.
pub(super) fn lines(title: &str, unit: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let end = points().map(|(x, _)| *x).fold(0.0, f64::max).max(0.001);
    let top = nice(points().map(|(_, y)| *y).fold(0.0, f64::max));
    let mut svg = open(title);
    grid(&mut svg, top, unit);
    for tenth in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let x = LEFT + tenth * (WIDTH - LEFT - RIGHT);
        label(&mut svg, x, HEIGHT - 6.0, "middle", &format!("{} s", time(end, tenth)));
    }
    for (number, line) in lines.iter().enumerate() {
        let at = |(x, y): &(f64, f64)| {
            let x = LEFT + x / end * (WIDTH - LEFT - RIGHT);
            format!("{x:.1},{:.1}", height_of(*y, top))
        };
        let mut points: Vec<String> = line.points.iter().map(at).collect();
        // A single point is drawn as a line to itself: a dot.
        points.extend(points.first().cloned().filter(|_| line.points.len() == 1));
        let colour = number % COLOURS;
        let _ = write!(
            svg,
            "<polyline class=\"line c{colour}\" points=\"{}\"><title>{}</title></polyline>",
            points.join(" "),
            escape(&line.name)
        );
    }
    svg.push_str("</svg>");
    legend(&mut svg, lines.iter().map(|line| line.name.as_str()));
    svg
}

/// Bars of counts over steps of a latency.
pub(super) fn bars(title: &str, bars: &[(f64, u64)]) -> String {
    let top = nice(bars.iter().map(|(_, count)| *count as f64).fold(0.0, f64::max));
    let mut svg = open(title);
    grid(&mut svg, top, "");
    let width = (WIDTH - LEFT - RIGHT) / bars.len().max(1) as f64;
    let every = bars.len().div_ceil(8).max(1);
    for (number, (up_to, count)) in bars.iter().enumerate() {
        let x = LEFT + number as f64 * width;
        let y = height_of(*count as f64, top);
        let _ = write!(
            svg,
            "<rect class=\"bar c0\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{count} up to {} ms</title></rect>",
            x + 0.5,
            (width - 1.0).max(0.5),
            HEIGHT - BOTTOM - y,
            short(*up_to)
        );
        if number % every == 0 {
            label(&mut svg, x + width / 2.0, HEIGHT - 6.0, "middle", &format!("{} ms", short(*up_to)));
        }
    }
    svg.push_str("</svg>");
    svg
}

fn open(title: &str) -> String {
    let title = escape(title);
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">")
}

fn grid(svg: &mut String, top: f64, unit: &str) {
    for part in [0.0, 0.5, 1.0] {
        let y = height_of(top * part, top);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            WIDTH - RIGHT
        );
        label(svg, LEFT - 6.0, y + 4.0, "end", &format!("{}{unit}", short(top * part)));
    }
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let x = x.clamp(16.0, WIDTH - 20.0);
    let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(text));
}

fn legend<'a>(svg: &mut String, names: impl Iterator<Item = &'a str>) {
    svg.push_str("<p class=\"legend\">");
    for (number, name) in names.enumerate() {
        let _ = write!(svg, "<span><i class=\"c{}\"></i>{}</span> ", number % COLOURS, escape(name));
    }
    svg.push_str("</p>");
}

fn height_of(value: f64, top: f64) -> f64 {
    let room = HEIGHT - TOP - BOTTOM;
    TOP + room - (value / top).clamp(0.0, 1.0) * room
}

/// Whole seconds, unless there are few of them.
fn time(end: f64, part: f64) -> String {
    let digits = if end < 30.0 { 1 } else { 0 };
    let text = format!("{:.digits$}", end * part);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The next of 1, 2, 2.5, 5, 10 times a power of ten.
fn nice(most: f64) -> f64 {
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|step| step * power >= most * 0.999);
    step.unwrap_or(10.0) * power
}

/// Three digits that matter.
pub(super) fn short(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 10_000.0 => return format!("{:.0}k", value / 1_000.0),
        size if size >= 100.0 => return format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text that may stand in HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_on_round_numbers() {
        for (most, top) in [(0.0, 1.0), (0.3, 0.5), (7.0, 10.0), (1_300.0, 2_000.0), (20.0, 20.0)] {
            assert!((nice(most) - top).abs() < 1e-9, "{most}: {}", nice(most));
        }
        assert_eq!(
            (short(12.34), short(0.5), short(0.0), short(12_345.0)),
            ("12.3".into(), "0.5".into(), "0".into(), "12k".into())
        );
    }

    #[test]
    fn names_cannot_break_the_page() {
        let evil = Line { name: "<script>\"".to_owned(), points: vec![(0.0, 1.0), (1.0, f64::NAN)] };
        let svg = lines("<b>", "", &[evil]);
        assert!(!svg.contains("<script>") && !svg.contains("<b>"), "{svg}");
    }
}
