//! What the figures say, in sentences.

use std::fmt::Write as _;

use super::{
    decomposition::Parts,
    numbers::{count, ratio, time},
    tables::busy,
};
use crate::{
    result::{Results, Series},
    summary::{Figure, Metric},
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
fn ordered(results: &Results, figure: impl Fn(&str) -> Option<Figure>) -> Vec<(&str, f64)> {
    let figures = results.wires().filter_map(|wire| Some((wire.label.as_str(), figure(&wire.name)?.median)));
    let mut wires: Vec<_> = figures.collect();
    wires.sort_by(|a, b| a.1.total_cmp(&b.1));
    wires
}

/// Wires by their calls per second against those of the floor in the same round.
fn against_tcp(results: &Results) -> Vec<(&str, f64)> {
    let load = (Series::Closed, busy(results));
    ordered(results, |wire| results.ratio(wire, "tcp", load, Metric::Rate))
}

fn times(results: &Results) -> Option<String> {
    let load = (Series::Closed, 1.0);
    let wires = ordered(results, |wire| results.figure(wire, load, Metric::P50));
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
    let floor = results.figure("tcp", (Series::Closed, busy), Metric::Rate)?.median;
    let listed = against_tcp(results).into_iter().rev().map(|(wire, part)| format!("{wire} {}", ratio(part)));
    Some(format!(
        "With <b>{busy} connections</b>, bare TCP makes {} calls per second. In relation to it: {}.",
        count(floor),
        listed.collect::<Vec<_>>().join(", ")
    ))
}

fn tails(results: &Results) -> Option<String> {
    let wires = ordered(results, |wire| results.figure(wire, (Series::Open, 0.7), Metric::P99));
    let ((first, best), (last, worst)) = (*wires.first()?, *wires.last()?);
    Some(format!(
        "At <b>70 % of its own highest rate</b>, one call in a hundred takes longer than {} over {first} and {} over \
         {last}.",
        time(best),
        time(worst)
    ))
}

fn by_hand(results: &Results) -> Option<String> {
    let against = |wire, baseline| {
        results.ratio(wire, baseline, (Series::Closed, 16.0), Metric::Rate).map(|figure| figure.median)
    };
    let pairs = [
        ("XML-RPC", "xmlrpc", "hyper-http1", "a bare hyper server"),
        ("JSON-RPC over WebSocket", "jsonrpc-ws", "jsonrpsee-ws", "jsonrpsee"),
        ("gRPC", "grpc", "tonic", "tonic"),
        ("zerorpc", "zerorpc", "zeromq-router", "the zeromq crate's ROUTER"),
    ];
    let listed: Vec<_> = pairs
        .iter()
        .filter_map(|(label, wire, baseline, by)| Some(format!("{label} {} of {by}", ratio(against(wire, baseline)?))))
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

/// What is less than this part of a call is not what makes it slow.
const LITTLE: f64 = 0.1;
/// A server that answers so many times as many calls is another kind of server.
const FAR: f64 = 3.0;

fn xml(results: &Results) -> Option<String> {
    let parts = Parts::of(results, "xmlrpc", None)?;
    let of_all = |part: f64| part / parts.sum();
    let xml = parts.codec + parts.envelope;
    let verdict = match (of_all(xml) > LITTLE, of_all(parts.stack) > LITTLE) {
        (true, true) => "Both cost something",
        (false, true) => "HTTP costs something, XML hardly",
        (true, false) => "XML costs something, HTTP hardly",
        (false, false) => "Neither costs much",
    };
    let mut answer = format!(
        "{verdict}: of a call's {}, writing and reading XML is {} ({:.0} %), and HTTP with its client {} ({:.0} %)",
        time(parts.sum()),
        time(xml),
        100.0 * of_all(xml),
        time(parts.stack),
        100.0 * of_all(parts.stack)
    );
    let python = results.ratio("xmlrpc", "python-xmlrpc-128", (Series::Closed, 16.0), Metric::Rate);
    if let Some(python) = python.filter(|python| python.median > FAR) {
        let times = ratio(python.median);
        let _ = write!(
            answer,
            "; the same client gets {times} times as many answers from this server as from Python's, so what is slow \
             in the notes is the server and not the protocol"
        );
    }
    Some(answer + ".")
}

fn zeromq(results: &Results) -> Option<String> {
    let wires = against_tcp(results);
    let label = results.label("zerorpc");
    let rank = wires.iter().rev().position(|(wire, _)| *wire == label)?;
    let (_, part) = wires[wires.len() - 1 - rank];
    let (_, best) = wires.last()?;
    let verdict = match rank {
        0 => "Yes",
        _ if part > best * (1.0 - LITTLE) => "Yes, it is among the quickest",
        _ => "It is not the quickest",
    };
    let place = match rank {
        0 => "more than any other wire".to_owned(),
        rank => format!("number {} of {} wires", rank + 1, wires.len()),
    };
    let mut answer = format!(
        "{verdict}: at {} connections zerorpc, a call on ZeroMQ, makes {} of bare TCP's calls per second, {place}",
        busy(results),
        ratio(part)
    );
    let load = (Series::Closed, 16.0);
    let against = |target, to| results.ratio(target, to, load, Metric::Rate);
    if let Some(python) = against("python-zerorpc", "python-xmlrpc-128")
        && let Some(ours) = against("zerorpc", "python-zerorpc")
    {
        let _ = write!(
            answer,
            "; in Python it makes {} times the calls of SimpleXMLRPCServer, and this server {} times those of Python's \
             zerorpc",
            ratio(python.median),
            ratio(ours.median)
        );
    }
    Some(answer + ".")
}
