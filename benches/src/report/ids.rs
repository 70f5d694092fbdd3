//! Ids over each wire, beside those of Leaf.

use std::fmt::Write as _;

use super::{
    numbers::{count, escape, median, spread, time},
    tables::table,
};
use crate::{
    plan,
    result::{Results, Series},
    summary::{Figure, Metric},
};

/// What the authors of Leaf (Meituan, 2017) claim for a server with four cores: ids per second one by one, and the
/// microseconds within which 99.9 % of the calls are answered.
const LEAF: (f64, f64) = (50_000.0, 1_000.0);
const LEAF_LABEL: &str = "Leaf, as claimed, on 4 cores";
/// What 99.9 % of the calls do not exceed.
const P999: Metric = Metric::Micros(0.999);

/// How a figure is shown, given how its numbers are written.
type Shown = fn(Option<Figure>, fn(f64) -> String) -> String;

/// For the page; empty if nothing was measured.
pub(super) fn html(results: &Results) -> String {
    let rows = rows(results, spread);
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["", "next_id<br>ids/s", "99.9 % within", "next_ids(1000)<br>ids/s", "99.9 % within"];
    table(&heads, rows)
}

/// For the terminal, as a table of Markdown; empty if nothing was measured.
pub(super) fn text(results: &Results) -> String {
    let rows = rows(results, median);
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| | next_id, ids/s | 99.9 % within | next_ids(1000), ids/s | 99.9 % within |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// A row for each wire, and Leaf's.
fn rows(results: &Results, shown: Shown) -> Vec<Vec<String>> {
    let wires = results.wires().filter(|wire| !results.points(&wire.name, Series::Ids).is_empty());
    let mut rows: Vec<Vec<_>> = wires
        .map(|wire| {
            let figures = plan::IDS.iter().flat_map(|&ids| {
                let figure = |metric| results.figure(&wire.name, (Series::Ids, ids.into()), metric);
                let rate = figure(Metric::Rate).map(|calls| calls.times(ids.into()));
                [shown(rate, count), shown(figure(P999), time)]
            });
            std::iter::once(escape(&wire.label)).chain(figures).collect()
        })
        .collect();
    if !rows.is_empty() {
        let none = || "–".to_owned();
        rows.push(vec![LEAF_LABEL.to_owned(), count(LEAF.0), time(LEAF.1), none(), none()]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::results;

    #[test]
    fn ids_stand_beside_those_of_leaf() {
        let measured =
            [("grpc", (Series::Ids, 1.0), [40_000.0, 60_000.0]), ("grpc", (Series::Ids, 1_000.0), [2e3, 3e3])];
        let results = results(&measured);
        let expected = "
| | next_id, ids/s | 99.9 % within | next_ids(1000), ids/s | 99.9 % within |
|---|---|---|---|---|
| GRPC | 50,000 | 50 ms | 2,500,000 | 2.5 ms |
| Leaf, as claimed, on 4 cores | 50,000 | 1 ms | – | – |
";
        assert_eq!(text(&results), expected);
        let html = html(&results);
        assert!(html.contains("<td>2,500,000<small>2,000,000 to 3,000,000</small></td>"), "{html}");
        assert!(html.contains("<td>Leaf, as claimed, on 4 cores</td><td>50,000</td><td>1 ms</td>"), "{html}");
    }

    #[test]
    fn without_ids_there_is_no_table() {
        let results = results(&[("grpc", (Series::Closed, 1.0), [1.0, 2.0])]);
        assert_eq!((text(&results), html(&results)), Default::default());
    }
}
