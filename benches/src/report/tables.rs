//! The tables.

use std::fmt::Write as _;

use super::{
    bars::{Bar, bars},
    numbers::{count, escape, median, ratio, spread, time},
};
use crate::{
    compare::Change,
    plan,
    result::{Results, Series},
    summary::Metric,
};

/// A table: heads, and rows whose cells are HTML. The first column is text.
pub(super) fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut html = String::from("<div class=\"scroll\"><table>\n<tr>");
    for head in heads {
        let _ = write!(html, "<th>{head}</th>");
    }
    html.push_str("</tr>\n");
    for row in rows {
        let _ = writeln!(html, "<tr><td>{}</td></tr>", row.join("</td><td>"));
    }
    html.push_str("</table></div>\n");
    html
}

/// The connections at which throughput is compared: 16 if that was measured.
pub(super) fn busy(results: &Results) -> f64 {
    let asked = &results.settings.concurrency;
    let busy = if asked.contains(&16) { Some(&16) } else { asked.iter().max() };
    busy.map_or(16.0, |busy| *busy as f64)
}

/// Each wire in relation to the floor.
pub(super) fn ratios(results: &Results) -> String {
    let busy = busy(results);
    let calls = format!("calls/s<br>{busy} connections");
    let cpu = format!("server CPU per call<br>{busy} connections");
    let heads = [
        "",
        "median time<br>1 connection",
        "99 % within<br>1 connection",
        &calls,
        "against<br>TCP",
        &cpu,
        "bytes<br>sent + received",
    ];
    let rows = results.own().map(|target| {
        let name = &*target.name;
        let figure = |at, metric| results.figure(name, (Series::Closed, at), metric);
        let against = results.ratio(name, "tcp", (Series::Closed, busy), Metric::Rate);
        let traffic = results.traffic.iter().find(|traffic| traffic.target == name);
        let bytes = traffic.map(|traffic| format!("{:.0} + {:.0}", traffic.sent, traffic.received));
        vec![
            escape(&target.label),
            spread(figure(1.0, Metric::P50), time),
            spread(figure(1.0, Metric::P99), time),
            spread(figure(busy, Metric::Rate), count),
            spread(against, ratio),
            spread(figure(busy, Metric::Cpu), time),
            bytes.unwrap_or_else(|| "–".to_owned()),
        ]
    });
    table(&heads, rows)
}

/// Each baseline beside the wire whose client calls it: bars of calls per second, and a table of ratios.
pub(super) fn baselines(results: &Results) -> String {
    let busy = 16.0;
    let rate = |name: &str| results.figure(name, (Series::Closed, busy), Metric::Rate);
    let mut html = String::new();
    let mut rows = Vec::new();
    for base in results.own() {
        let baselines: Vec<_> =
            results.baselines().filter(|(_, wire)| *wire == base.name).map(|(baseline, _)| baseline).collect();
        let targets: Vec<_> = std::iter::once(base).chain(baselines.iter().copied()).collect();
        if baselines.is_empty() {
            continue;
        }
        let drawn = targets.iter().filter_map(|target| {
            let figure = rate(&target.name)?;
            let class = if target.name == base.name { format!("c-{}", base.name) } else { "c-baseline".to_owned() };
            Some(Bar { label: target.label.clone(), parts: vec![(class, figure.median)], text: count(figure.median) })
        });
        let title = match &*base.name {
            "tcp" => "With a client of its own".to_owned(),
            _ => format!("Called by the {} client", escape(&base.label)),
        };
        let _ = write!(html, "<h3>{title}</h3>\n{}", bars(&drawn.collect::<Vec<_>>()));
        rows.extend(baselines.iter().map(|baseline| {
            let against = |at, metric| results.ratio(&base.name, &baseline.name, (Series::Closed, at), metric);
            vec![
                format!("{} against {}", escape(&base.label), escape(&baseline.label)),
                spread(against(1.0, Metric::P50), ratio),
                spread(against(busy, Metric::Rate), ratio),
                spread(against(busy, Metric::Cpu), ratio),
            ]
        }));
    }
    html + &table(
        &["", "median time<br>1 connection", "calls/s<br>16 connections", "server CPU per call<br>16 connections"],
        rows,
    )
}

/// Many calls on one connection, batches, long answers, and streams.
pub(super) fn many(results: &Results) -> String {
    let mut html = String::new();
    for (title, series, points, unit) in [
        ("Calls per second over one connection, so many in flight", Series::Shared, plan::SHARED, "in flight"),
        ("Batches per second over one connection, and the calls in them", Series::Batch, plan::BATCH, "calls"),
        ("Answers per second over one connection, and the numbers in them", Series::Numbers, plan::NUMBERS, "numbers"),
        ("Streams per second over one connection, and the items in them", Series::Items, plan::ITEMS, "items"),
    ] {
        let heads = points.map(|at| format!("{}<br>{unit}", count(at.into())));
        let heads = ["", &heads[0], &heads[1], &heads[2]];
        let wires = results.wires().filter(|wire| !results.points(&wire.name, series).is_empty());
        let mut rows = wires.map(|wire| {
            let rates = points.iter().map(|at| rate(results, &wire.name, series, *at));
            std::iter::once(escape(&wire.label)).chain(rates).collect()
        });
        if let Some(first) = rows.next() {
            let _ = write!(html, "<h3>{title}</h3>\n{}", table(&heads, std::iter::once(first).chain(rows)));
        }
    }
    html
}

/// Answers per second, and beneath what is in them, if that is more than one; or the time to the first item of a stream.
fn rate(results: &Results, target: &str, series: Series, at: u32) -> String {
    let figure = |metric| results.figure(target, (series, at.into()), metric);
    let rate = figure(Metric::Rate);
    let beneath = match (series, at) {
        (Series::Items, 1) => figure(Metric::P50).map(|first| format!("{} to the first", time(first.median))),
        (Series::Shared, _) | (_, 1) => None,
        _ => rate.map(|rate| format!("{} in all", count(rate.median * f64::from(at)))),
    };
    median(rate, count) + &beneath.map(|text| format!("<small>{text}</small>")).unwrap_or_default()
}

/// What changed since another run.
pub(super) fn changes(results: &Results, changes: &[Change]) -> String {
    if changes.is_empty() {
        return "<p>Nothing changed beyond the spread of the rounds.</p>\n".to_owned();
    }
    let rows = changes.iter().map(|change| {
        let (class, word) = if change.is_better() { ("yes", "better") } else { ("no", "worse") };
        vec![
            escape(results.label(&change.target)),
            format!("{:?} {}", change.load.0, change.load.1),
            change.what.to_owned(),
            spread(Some(change.old), ratio),
            spread(Some(change.new), ratio),
            format!("× {} <span class=\"{class}\">{word}</span>", ratio(change.factor())),
        ]
    });
    table(&["", "load", "figure", "before", "now", ""], rows)
}
