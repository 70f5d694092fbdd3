//! What the figures say, in sentences.

use std::fmt::Write as _;

use super::{
    decomposition::Parts,
    numbers::{count, ratio, time},
    tables::busy,
};
use crate::{
    result::{Results, Series},
    summary::Metric,
};

/// The first sentences of the report.
pub(super) fn headlines(results: &Results) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(times(results));
    found.extend(rates(results));
    found.extend(tails(results));
    found.extend(by_hand(results));
    found
}

/// Wires by a figure, the lowest first.
fn ordered(results: &Results, load: (Series, f64), metric: Metric) -> Vec<(&str, f64)> {
    let figures = results
        .wires()
        .filter_map(|wire| Some((wire.label.as_str(), results.figure(&wire.name, load, metric)?.median)));
    let mut wires: Vec<_> = figures.collect();
    wires.sort_by(|a, b| a.1.total_cmp(&b.1));
    wires
}

fn times(results: &Results) -> Option<String> {
    let load = (Series::Closed, 1.0);
    let wires = ordered(results, load, Metric::P50);
    let ((first, quickest), (last, slowest)) = (*wires.first()?, *wires.last()?);
    let floor = results.figure("tcp", load, Metric::P50)?.median;
    Some(format!(
        "A call <b>alone</b> takes {} over {first} and {} over {last}; 64 bytes over bare TCP take {}.",
        time(quickest),
        time(slowest),
        time(floor)
    ))
}

fn rates(results: &Results) -> Option<String> {
    let busy = busy(results);
    let load = (Series::Closed, busy);
    let wires = ordered(results, load, Metric::Rate);
    let floor = results.figure("tcp", load, Metric::Rate)?.median;
    let listed: Vec<_> = wires.iter().rev().map(|(wire, rate)| format!("{wire} {}", ratio(rate / floor))).collect();
    (!listed.is_empty()).then(|| {
        format!(
            "With <b>{busy} connections</b>, of the {} calls per second of bare TCP there remain: {}.",
            count(floor),
            listed.join(", ")
        )
    })
}

fn tails(results: &Results) -> Option<String> {
    let wires = ordered(results, (Series::Open, 0.7), Metric::P99);
    let ((first, best), (last, worst)) = (*wires.first()?, *wires.last()?);
    Some(format!(
        "At <b>70 % of its own highest rate</b>, one call in a hundred takes longer than {} over {first} and {} over \
         {last}.",
        time(best),
        time(worst)
    ))
}

fn by_hand(results: &Results) -> Option<String> {
    let against =
        |wire, peer| results.ratio(wire, peer, (Series::Closed, 16.0), Metric::Rate).map(|figure| figure.median);
    let pairs = [
        ("XML-RPC", "xmlrpc", "hyper-http1", "a bare hyper server"),
        ("JSON-RPC over WebSocket", "jsonrpc-ws", "jsonrpsee-ws", "jsonrpsee"),
        ("gRPC", "grpc", "tonic", "tonic"),
        ("zerorpc", "zerorpc", "zeromq-router", "the zeromq crate's ROUTER"),
    ];
    let listed: Vec<_> = pairs
        .iter()
        .filter_map(|(label, wire, peer, by)| Some(format!("{label} {} of {by}", ratio(against(wire, peer)?))))
        .collect();
    (!listed.is_empty()).then(|| {
        format!(
            "Beside servers <b>written by hand</b>, at 16 connections and under the same client, calls per \
                 second are: {}.",
            listed.join(", ")
        )
    })
}

/// The notes' claims, each with its answer.
pub(super) fn claims(results: &Results) -> Vec<(&'static str, String)> {
    let mut answers = Vec::new();
    answers.extend(xml(results).map(|answer| ("XML-RPC is slow because of HTTP and XML.", answer)));
    answers.extend(zeromq(results).map(|answer| ("ZeroMQ is quick.", answer)));
    answers
}

fn xml(results: &Results) -> Option<String> {
    let parts = Parts::of(results, "xmlrpc", None)?;
    let percent = |part: f64| format!("{:.0} %", 100.0 * part / parts.sum());
    let xml = parts.codec + parts.envelope;
    let part = if xml > parts.stack { "XML more than HTTP" } else { "HTTP more than XML" };
    let mut answer = format!(
        "Of a call's {}, reading and writing XML is {} ({}), HTTP and its client {} ({}), and TCP the rest: {part}",
        time(parts.sum()),
        time(xml),
        percent(xml),
        time(parts.stack),
        percent(parts.stack)
    );
    let load = (Series::Closed, 16.0);
    if let Some(python) = results.ratio("xmlrpc", "python-xmlrpc", load, Metric::Rate) {
        let times = ratio(python.median);
        let _ = write!(
            answer,
            "; but this server answers {times} times as many calls as Python's under the same client, so what is \
             slow in the notes is their server, not the protocol"
        );
    } else if let Some(floor) = results.ratio("xmlrpc", "tcp", load, Metric::Rate) {
        let _ = write!(answer, "; together they leave {} of bare TCP's calls per second", ratio(floor.median));
    }
    Some(answer + ".")
}

fn zeromq(results: &Results) -> Option<String> {
    let busy = busy(results);
    let load = (Series::Closed, busy);
    let floor = results.ratio("zerorpc", "tcp", load, Metric::Rate)?.median;
    let wires = ordered(results, load, Metric::Rate);
    let rank = wires.iter().rev().position(|(label, _)| *label == results.label("zerorpc"))?;
    let place = match rank {
        0 => "the most of all wires".to_owned(),
        rank => format!("number {} of {} wires", rank + 1, wires.len()),
    };
    let mut answer = format!(
        "zerorpc, a call on ZeroMQ, leaves {} of bare TCP's calls per second at {busy} connections, {place}",
        ratio(floor)
    );
    if let Some(python) = results.ratio("python-zerorpc", "python-xmlrpc", (Series::Closed, 16.0), Metric::Rate) {
        let _ = write!(
            answer,
            "; in Python zerorpc answers {} times as many calls as SimpleXMLRPCServer, so there ZeroMQ's speed {}",
            ratio(python.median),
            if python.median < 1.5 { "is lost in the server" } else { "shows as well" }
        );
    }
    Some(answer + ".")
}
