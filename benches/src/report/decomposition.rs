//! Where the time of a call goes.

use super::{
    bars::{Bar, bars},
    numbers::time,
};
use crate::{
    result::{Results, Series, TargetInfo},
    summary::{Figure, Load, Metric},
};

/// The parts of a call's median time over one connection, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    /// Measured in this process: arguments and reply written and read.
    pub(super) codec: f64,
    /// The difference to all that the wire does without a connection, measured in this process too.
    pub(super) envelope: f64,
    /// The difference to the whole: HTTP, HTTP/2, WebSocket or ZMTP, their tasks and their client.
    pub(super) stack: f64,
    /// Measured: as many bytes to the other process and back.
    pub(super) floor: f64,
}

impl Parts {
    /// Of `add(3, 4)`, or of a text of so many bytes there and back.
    pub(super) fn of(results: &Results, target: &str, text: Option<u32>) -> Option<Self> {
        let load: Load = text.map_or((Series::Closed, 1.0), |bytes| (Series::Payload, bytes.into()));
        let costs = || results.costs.iter().filter(|cost| cost.target == target && cost.text == text);
        let codec = Figure::of(costs().map(|cost| cost.codec / 1e3))?.median;
        let whole = Figure::of(costs().map(|cost| cost.whole / 1e3))?.median;
        let median = |target| Some(results.figure(target, load, Metric::P50)?.median);
        let (call, floor) = (median(target)?, median("tcp")?);
        // Differences of what the machine does one after another may be a little below zero.
        Some(Self {
            codec,
            envelope: (whole - codec).max(0.0),
            stack: (call - floor - codec.max(whole)).max(0.0),
            floor,
        })
    }

    pub(super) fn sum(self) -> f64 {
        self.codec + self.envelope + self.stack + self.floor
    }
}

/// The legend: class and words.
const KEY: [(&str, &str); 4] = [
    ("c-codec", "format: write and read arguments and reply (measured)"),
    ("c-envelope", "envelope: what stands around them, dispatch (difference)"),
    ("c-stack", "carrier: HTTP, HTTP/2, WebSocket or ZMTP, and its client (difference)"),
    ("c-floor", "TCP floor: kernel, two processes that wake each other (measured)"),
];

/// Stacked bars for the wires.
pub(super) fn html(results: &Results, text: Option<u32>) -> String {
    let bar = |target: &TargetInfo| {
        let parts = Parts::of(results, &target.name, text)?;
        let lengths = [parts.codec, parts.envelope, parts.stack, parts.floor];
        let named = KEY.iter().zip(lengths).map(|((class, _), length)| ((*class).to_owned(), length)).collect();
        Some(Bar { label: target.label.clone(), parts: named, text: time(parts.sum()) })
    };
    let drawn: Vec<_> = results.wires().filter_map(bar).collect();
    if drawn.is_empty() { String::new() } else { bars(&drawn) }
}

/// What the colours mean.
pub(super) fn key() -> String {
    let items = KEY.iter().map(|(class, words)| format!("<li class=\"{class}\"><i></i>{words}</li>"));
    format!("<ul class=\"key\">{}</ul>\n", items.collect::<String>())
}

/// The parts in figures.
pub(super) fn table(results: &Results, text: Option<u32>) -> String {
    let rows = results.wires().filter_map(|target| {
        let parts = Parts::of(results, &target.name, text)?;
        let figures = [parts.codec, parts.envelope, parts.stack, parts.floor, parts.sum()].map(time);
        Some(std::iter::once(target.label.clone()).chain(figures).collect())
    });
    super::tables::table(&["", "format", "envelope", "carrier", "TCP floor", "call"], rows)
}
