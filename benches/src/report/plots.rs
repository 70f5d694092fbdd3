//! The charts: which figures, on which axes.

use super::{
    axis::Axis,
    lines::{Chart, Line, Point},
    numbers::{count, time},
};
use crate::{
    result::{Results, Series, TargetInfo},
    summary::{Figure, Metric},
};

/// Calls beyond a fraction that a measurement needs, for the fraction to mean something.
const CALLS_BEYOND: f64 = 3.0;

/// The times of all calls under one load: how many calls of a hundred were as quick as that.
pub(super) fn distribution(results: &Results, series: Series, at: f64) -> Option<Chart> {
    let mut lines = Vec::new();
    for target in remote(results) {
        let of = |measured: &&crate::result::Measurement| {
            (measured.target == target.name && measured.series == series) && measured.at.total_cmp(&at).is_eq()
        };
        let fewest = results.measurements.iter().filter(of).map(|measured| measured.calls).min().unwrap_or(0);
        let points = results.quantiles.iter().filter(|quantile| (1.0 - **quantile) * fewest as f64 >= CALLS_BEYOND);
        let points = points.filter_map(|quantile| {
            let figure = results.figure(&target.name, (series, at), Metric::Micros(*quantile))?;
            Some(point(nines(*quantile), figure, f64::log10))
        });
        lines.push(line(target, points.collect()));
    }
    let most = lines.iter().flat_map(|line| &line.points).map(|point| point.x).fold(0.0, f64::max);
    let ticks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999].map(|part| (nines(part), format!("{} %", part * 100.0)));
    let mut x =
        Axis::fixed("calls that were at least as quick", ticks.into_iter().filter(|tick| tick.0 <= most).collect());
    x.range = (0.0, most.max(1.0));
    let y = Axis::log("time of a call", values(&lines).map(|value| 10_f64.powf(value)), time);
    chart("Distribution of call times by wire", x, y, lines)
}

/// The number of nines in a fraction: 0.9 is 1, 0.99 is 2.
fn nines(part: f64) -> f64 {
    -(1.0 - part).log10()
}

/// Calls per second of the closed loops.
pub(super) fn throughput(results: &Results) -> Option<Chart> {
    let same = |value: f64| value;
    let lines = remote(results).map(|target| {
        let points = results.points(&target.name, Series::Closed).into_iter().filter_map(|at| {
            let figure = results.figure(&target.name, (Series::Closed, at), Metric::Rate)?;
            Some(point(at.log2(), figure, same))
        });
        line(target, points.collect())
    });
    let lines: Vec<_> = lines.collect();
    let asked = results.settings.concurrency.iter().map(|at| (*at as f64).log2()).zip(&results.settings.concurrency);
    let x = Axis::fixed(
        "connections, a call at a time on each",
        asked.map(|(at, count)| (at, count.to_string())).collect(),
    );
    let y = Axis::linear("calls per second", values(&lines), count);
    chart("Calls per second by connections and wire", x, y, lines)
}

/// The time of one call in a hundred against the rate of the open loops.
pub(super) fn open(results: &Results) -> Option<Chart> {
    let lines = remote(results).map(|target| {
        let points = results.points(&target.name, Series::Open).into_iter().filter_map(|at| {
            let of = |measured: &&crate::result::Measurement| {
                measured.target == target.name && measured.series == Series::Open && measured.at.total_cmp(&at).is_eq()
            };
            let rate = results.measurements.iter().find(of)?.offered?;
            let figure = results.figure(&target.name, (Series::Open, at), Metric::P99)?;
            Some(point(rate.log10(), figure, f64::log10))
        });
        line(target, points.collect())
    });
    let lines: Vec<_> = lines.collect();
    let rates = lines.iter().flat_map(|line| &line.points).map(|point| 10_f64.powf(point.x));
    let x = Axis::log("calls that were due per second", rates, count);
    let y = Axis::log("time that 1 % of calls exceed", values(&lines).map(|value| 10_f64.powf(value)), time);
    chart("99th percentile against rate by wire, open loop", x, y, lines)
}

/// The median time of a text there and back.
pub(super) fn payload(results: &Results) -> Option<Chart> {
    let place = |bytes: f64| bytes.max(10.0).log10();
    let own = results.own().filter(|target| target.name != "direct");
    let lines = own.map(|target| {
        let points = results.points(&target.name, Series::Payload).into_iter().filter_map(|at| {
            let figure = results.figure(&target.name, (Series::Payload, at), Metric::P50)?;
            Some(point(place(at), figure, f64::log10))
        });
        line(target, points.collect())
    });
    let lines: Vec<_> = lines.collect();
    let ticks = crate::plan::PAYLOAD.map(|bytes| {
        let text = if bytes < 1_000 { bytes.to_string() } else { format!("{} k", bytes / 1_000) };
        (place(bytes.into()), text)
    });
    let x = Axis::fixed("bytes of the text that goes there and back", ticks.to_vec());
    let y = Axis::log("median time of a call", values(&lines).map(|value| 10_f64.powf(value)), time);
    chart("Median time by payload and wire", x, y, lines)
}

fn chart(title: &'static str, x: Axis, y: Axis, lines: Vec<Line>) -> Option<Chart> {
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
    (!lines.is_empty()).then_some(Chart { title, x, y, lines })
}

/// What is called over a connection.
fn remote(results: &Results) -> impl Iterator<Item = &TargetInfo> {
    results.own().filter(|target| !matches!(&*target.name, "direct" | "memory"))
}

fn line(target: &TargetInfo, points: Vec<Point>) -> Line {
    Line { target: target.name.clone(), label: target.label.clone(), points }
}

fn point(x: f64, Figure { median, low, high }: Figure, place: fn(f64) -> f64) -> Point {
    Point { x, y: place(median), low: place(low), high: place(high) }
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| &line.points).flat_map(|point| [point.low, point.high])
}
