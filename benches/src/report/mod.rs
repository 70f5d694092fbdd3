//! The report: one page that needs nothing else, and a few lines for the terminal.

mod axis;
mod bars;
mod decomposition;
mod findings;
mod goals;
mod ids;
mod limits;
mod lines;
mod numbers;
mod plots;
mod tables;

use std::fmt::Write as _;

use self::{
    lines::Chart,
    numbers::{count, escape, median, ratio, time},
};
use crate::{
    compare::Change,
    result::{Results, Series},
    summary::Metric,
};

/// The page, as one HTML file. With `changes`, what is another since an earlier run stands first.
pub fn page(results: &Results, changes: Option<&[Change]>) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>everywire: what a call costs</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        include_str!("style.css")
    );
    opening(&mut html, results);
    if let Some(changes) = changes {
        section(
            &mut html,
            "What changed",
            "Between two runs, where no round of the one is within the rounds of the other.",
        );
        html.push_str(&tables::changes(results, changes));
    }
    charts(&mut html, results);
    section(
        &mut html,
        "In relation to TCP",
        "Medians of the rounds, with the lowest and the highest round beneath. The TCP floor sends 64 bytes to the \
         same process and gets them back; ratios are those of the same round.",
    );
    html.push_str(&tables::ratios(results));
    if results.baselines().next().is_some() {
        section(
            &mut html,
            "Beside other servers",
            "Servers written by hand on the same libraries, tarpc, and the Python servers of the notes, in the same \
             rounds and under the same client: add(3, 4), 16 connections.",
        );
        html.push_str(&tables::baselines(results));
    }
    let goals = goals::html(results);
    if !goals.is_empty() {
        section(
            &mut html,
            "Goals",
            "What the project wants to reach, at 16 connections unless it says something else.",
        );
        html.push_str(&goals);
    }
    section(&mut html, "Many at once", "What one connection carries if it does not have to wait for each answer.");
    html.push_str(&tables::many(results));
    let ids = ids::html(results);
    if !ids.is_empty() {
        section(
            &mut html,
            "Ids",
            "Snowflake ids of one worker, asked for one by one and a thousand at a time over 16 connections (closed loop), \
             beside what the authors of Leaf claim for one of its servers.",
        );
        html.push_str(&ids);
    }
    limits::html(&mut html, results);
    html.push_str("</body>\n</html>\n");
    html
}

/// The load average of a machine that has nothing else to do.
const IDLE: f64 = 0.5;

fn opening(html: &mut String, results: &Results) {
    let machine = &results.machine;
    let _ = writeln!(
        html,
        "<h1>What a call costs on each wire</h1>\n<p class=\"soft\">everywire bench, {}, {} × {}, {} rounds</p>",
        escape(&machine.began),
        machine.cores,
        escape(&machine.cpu),
        results.settings.rounds
    );
    if !machine.optimized {
        html.push_str(
            "<p class=\"alarm\">This program is not optimized: the figures say nothing about everywire.</p>\n",
        );
    }
    if machine.load_before > IDLE {
        let _ = writeln!(
            html,
            "<p class=\"alarm\">The machine was not idle: its load average was {} before the run. Look at the \
             spreads.</p>",
            count(machine.load_before)
        );
    }
    if results.interrupted {
        html.push_str("<p class=\"alarm\">The run was ended early: some figures are of few rounds, or missing.</p>\n");
    }
    html.push_str(
        "<p>One service, <code>add(3, 4)</code>, is served on every wire at the same time by one process, and called \
         from another one through everywire's own client of each wire. All wires take turns within a round, so that \
         whatever else the machine does falls on all of them.</p>\n<ul class=\"findings\">\n",
    );
    for headline in findings::headlines(results) {
        let _ = writeln!(html, "<li>{headline}</li>");
    }
    html.push_str("</ul>\n");
    for (claim, answer) in findings::claims(results) {
        let _ = writeln!(html, "<blockquote><b>“{claim}”</b>{answer}</blockquote>");
    }
}

fn charts(html: &mut String, results: &Results) {
    section(
        html,
        "Where the time goes",
        "The median time of a call over one connection, taken apart. Two parts are measured by themselves, two are \
         what remains: see the key.",
    );
    html.push_str(&decomposition::key());
    let _ = write!(html, "<h3>add(3, 4)</h3>\n{}", decomposition::html(results, None));
    let _ =
        write!(html, "<h3>A text of 10,000 bytes, there and back</h3>\n{}", decomposition::html(results, Some(10_000)));
    html.push_str(&decomposition::table(results, None));
    figure(
        html,
        "How long a call takes alone",
        plots::distribution(results, Series::Closed, 1.0),
        "One connection, a call at a time (closed loop). Each line shows how many calls were as quick as that: the \
         middle is at 50 %, and what only one call in a thousand exceeds at 99.9 %. The shadow is the spread of the \
         rounds.",
    );
    figure(
        html,
        "How many calls a server answers",
        plots::throughput(results),
        "Each connection sends its next call when it has its answer (closed loop). Server and load share the \
         machine's cores.",
    );
    figure(
        html,
        "How long calls take when they come as they please",
        plots::open(results),
        "Calls are due at random moments (Poisson) at 25, 50, 70 and 90 % of the highest rate that the wire reached \
         in the first round, over 16 connections. A call's time counts from the moment when it was due, so a server \
         that stops for a while is charged for every call that had to wait.",
    );
    figure(
        html,
        "The same, all calls at 50 %",
        plots::distribution(results, Series::Open, 0.5),
        "The distribution of the times at half of the highest rate, each wire at its own.",
    );
    figure(
        html,
        "What longer texts cost",
        plots::payload(results),
        "echo(text) over one connection: the text goes there and back. TCP sends as many bytes, and at least 64.",
    );
}

fn section(html: &mut String, title: &str, text: &str) {
    let _ = writeln!(html, "<h2>{title}</h2>\n<p>{text}</p>");
}

fn figure(html: &mut String, title: &str, chart: Option<Chart>, caption: &str) {
    if let Some(chart) = chart {
        let _ = writeln!(html, "<h2>{title}</h2>\n<figure>{}<figcaption>{caption}</figcaption></figure>", chart.svg());
    }
}

/// What the terminal shows at the end.
pub fn text(results: &Results, changes: Option<&[Change]>) -> String {
    let busy = tables::busy(results);
    let mut text = format!(
        "{:<26} {:>10} {:>10} {:>12} {:>8} {:>10}\n",
        "",
        "p50, 1",
        "p99, 1",
        format!("calls/s, {busy}"),
        "of TCP",
        "CPU/call"
    );
    for target in &results.targets {
        let name = &*target.name;
        let figure = |at, metric| results.figure(name, (Series::Closed, at), metric);
        let _ = writeln!(
            text,
            "{:<26} {:>10} {:>10} {:>12} {:>8} {:>10}",
            target.label,
            median(figure(1.0, Metric::P50), time),
            median(figure(1.0, Metric::P99), time),
            median(figure(busy, Metric::Rate), count),
            median(results.ratio(name, "tcp", (Series::Closed, busy), Metric::Rate), ratio),
            median(figure(busy, Metric::Cpu), time)
        );
    }
    text.push_str(&ids::text(results));
    for missing in &results.missing {
        let _ = writeln!(text, "not measured: {}: {}. {}", missing.label, missing.why, missing.remedy);
    }
    for change in changes.unwrap_or_default() {
        let word = if change.is_better() { "better" } else { "worse" };
        let _ = writeln!(
            text,
            "changed: {}, {:?} {}: {} {} -> {}, {word}",
            results.label(&change.target),
            change.load.0,
            change.load.1,
            change.what,
            ratio(change.old.median),
            ratio(change.new.median)
        );
    }
    if changes.is_some_and(<[Change]>::is_empty) {
        text.push_str("nothing changed beyond the spread\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare, result::tests::results};

    #[test]
    fn a_run_without_measurements_has_a_report() {
        let results = results(&[]);
        let page = page(&results, Some(&[]));
        assert!(page.contains("Nothing changed") && !page.contains("<svg") && !page.contains("NaN"), "{page}");
        assert!(text(&results, Some(&[])).contains("nothing changed"));
    }

    #[test]
    fn a_report_has_plots_ratios_and_changes() {
        let closed = |connections| (Series::Closed, connections);
        let run = |busy| {
            let measured = [
                ("tcp", closed(1.0), [100.0, 120.0]),
                ("tcp", closed(16.0), [1_000.0, 1_000.0]),
                ("zerorpc", closed(1.0), [150.0, 160.0]),
                ("zerorpc", closed(16.0), busy),
            ];
            results(&measured)
        };
        let new = run([800.0, 900.0]);
        let changes = compare::changes(&run([400.0, 500.0]), &new);
        let page = page(&new, Some(&changes));
        for part in
            ["<svg class=\"wide\"", "<svg class=\"narrow\"", "ZERORPC", "0.85<small>0.80 to 0.90</small>", ">better<"]
        {
            assert!(page.contains(part), "{part}");
        }
        let text = text(&new, Some(&changes));
        assert!(text.contains("changed: ZERORPC, Closed 16: calls/s against TCP 0.45 -> 0.85, better"), "{text}");
    }
}
