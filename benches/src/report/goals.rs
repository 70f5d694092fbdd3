//! What the project wants to reach, beside what was measured.

use super::{
    numbers::{ratio, spread},
    tables::table,
};
use crate::{
    result::{Results, Series},
    summary::{Figure, Load, Metric},
};

/// A ratio of two targets under the same load, or of one under two loads.
struct Goal {
    words: &'static str,
    target: &'static str,
    to: &'static str,
    load: Load,
    metric: Metric,
    /// At least this, or at most.
    bound: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}
use Bound::{AtLeast, AtMost};

const BUSY: Load = (Series::Closed, 16.0);
const CALM: Load = (Series::Closed, 1.0);

const GOALS: [Goal; 10] = [
    goal("XML-RPC against raw TCP, calls/s", "xmlrpc", "tcp", AtLeast(0.80)),
    goal("XML-RPC against bare hyper, calls/s", "xmlrpc", "hyper-http1", AtLeast(0.90)),
    goal("JSON-RPC over WebSocket against raw TCP, calls/s", "jsonrpc-ws", "tcp", AtLeast(0.70)),
    goal("JSON-RPC over HTTP against raw TCP, calls/s", "jsonrpc-http", "tcp", AtLeast(0.65)),
    goal("zerorpc against raw TCP, calls/s", "zerorpc", "tcp", AtLeast(0.75)),
    goal("gRPC against a bare hyper HTTP/2 server, calls/s", "grpc", "hyper-http2", AtLeast(0.95)),
    Goal {
        words: "gRPC against a bare hyper HTTP/2 server, median time at 1 connection",
        load: CALM,
        metric: Metric::P50,
        ..goal("", "grpc", "hyper-http2", AtMost(1.10))
    },
    goal("XML-RPC against Python's SimpleXMLRPCServer, calls/s", "xmlrpc", "python-xmlrpc", AtLeast(40.0)),
    goal("zerorpc against Python's zerorpc, calls/s", "zerorpc", "python-zerorpc", AtLeast(50.0)),
    goal("gRPC against Python's grpcio, calls/s", "grpc", "python-grpc", AtLeast(6.0)),
];

const fn goal(words: &'static str, target: &'static str, to: &'static str, bound: Bound) -> Goal {
    Goal { words, target, to, load: BUSY, metric: Metric::Rate, bound }
}

/// Wires of which 64 calls in flight on one connection are to bring three times what one brings.
const PIPELINED: [&str; 2] = ["zerorpc", "grpc"];

/// The table; empty if nothing that it needs was measured.
pub(super) fn html(results: &Results) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for Goal { words, target, to, load, metric, bound } in &GOALS {
        rows.extend(row(words, bound, results.ratio(target, to, *load, *metric)));
    }
    for wire in PIPELINED {
        let at = |in_flight| results.figure(wire, (Series::Shared, in_flight), Metric::Rate);
        let factor = at(64.0)
            .zip(at(1.0))
            .and_then(|(many, one)| Figure::of([many.median / one.median, many.low / one.high, many.high / one.low]));
        let words = format!("{} on one connection, 64 calls in flight against 1, calls/s", results.label(wire));
        rows.extend(row(&words, &AtLeast(3.0), factor));
    }
    if rows.is_empty() { String::new() } else { table(&["", "goal", "measured", "reached"], rows) }
}

fn row(words: &str, bound: &Bound, measured: Option<Figure>) -> Option<Vec<String>> {
    let figure = measured?;
    // As it is shown, with two decimals.
    let shown = (100.0 * figure.median).round() / 100.0;
    let (goal, reached) = match bound {
        AtLeast(least) => (format!("at least {}", ratio(*least)), shown >= *least),
        AtMost(most) => (format!("at most {}", ratio(*most)), shown <= *most),
    };
    let (class, word) = if reached { ("yes", "yes") } else { ("no", "no") };
    let word = format!("<span class=\"{class}\">{word}</span>");
    Some(vec![words.to_owned(), goal, spread(Some(figure), ratio), word])
}
