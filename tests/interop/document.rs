//! `docs/interop.md` as text.

use std::{fmt::Write, ops::Range};

use super::{
    cases::{CALLS, CASES},
    row::{Cell, Row},
};

const HEAD: &str = "\
# Interoperability

`cargo test --test everywire interop` tests every cell over real sockets, and fails if this page is out of date; with
`UPDATE_INTEROP=1` it rewrites the page. `✓`: the case works as listed below; a note says what to keep in mind. `✗`: the
foreign library can't do it, for the reason in the note. The test tries it all the same, and expects that failure.
";

const BESIDE: &str = "
What travels with a call besides its arguments has tables of its own; [context.md](context.md) says how it travels on each wire:
";

const TRAVELS: &str = "
What travels with a call:
";

const CLIENTS: &str = "
## Clients of everywire

The clients are `matrix_*` in [`tests/foreign`](../tests/foreign), which share the cases in `cases.py` and `cases.mjs`. The
Rust clients are those of the crates.
";

const SERVERS: &str = "
## Servers for everywire's clients

Everywire's clients call the same service, implemented with foreign server libraries: `*_server.py` in
[`tests/foreign`](../tests/foreign).
";

const LOCKER: &str = "
## The locker

It has one method, two replies and no types, so it needs no table: a REQ socket of Python's pyzmq or of Node's zeromq
sends any message and receives `go` or `sorry`. A test runs both examples: [Python](../examples/python/locker_client.py),
[Node](../examples/node/locker.mjs).
";

/// The notes, in the order of their first use.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn mark(&mut self, note: &str) -> String {
        let index = self.0.iter().position(|known| known == note).unwrap_or_else(|| {
            self.0.push(note.to_owned());
            self.0.len() - 1
        });
        format!("[^{}]", index + 1)
    }

    fn cell(&mut self, cell: &Cell) -> String {
        match cell {
            Cell::Yes(None) => "✓".to_owned(),
            Cell::Yes(Some(note)) => format!("✓{}", self.mark(note)),
            Cell::No(why) => format!("✗{}", self.mark(why)),
            Cell::Unexplained(_) => "?".to_owned(),
        }
    }

    /// A table of some of the cases.
    fn table(&mut self, peer: &str, rows: &[Row], columns: Range<usize>) -> String {
        let cases: Vec<_> = CASES[columns.clone()].iter().map(|(case, _)| *case).collect();
        let mut table =
            format!("\n| wire | {peer} | {} |\n|---|---|{}\n", cases.join(" | "), ":-:|".repeat(cases.len()));
        for row in rows {
            let cells: Vec<_> = row.cells[columns.clone()].iter().map(|cell| self.cell(cell)).collect();
            writeln!(table, "| {} | {} | {} |", row.wire, row.peer, cells.join(" | ")).unwrap();
        }
        table
    }
}

/// The whole document.
pub(crate) fn document(clients: &[Row], servers: &[Row]) -> String {
    let mut notes = Notes::default();
    let [calls, travels] = [0..CALLS, CALLS..CASES.len()];
    let list = |columns: Range<usize>| {
        CASES[columns].iter().fold(String::new(), |list, (case, shows)| format!("{list}- **{case}**: {shows}\n"))
    };
    let lists = format!("{}{BESIDE}\n{}", list(calls.clone()), list(travels.clone()));
    let mut tables = |peer, rows| {
        let (calls, travels) = (notes.table(peer, rows, calls.clone()), notes.table(peer, rows, travels.clone()));
        format!("{calls}{TRAVELS}{travels}")
    };
    let (clients, servers) = (tables("client", clients), tables("server", servers));
    let mut text = format!("{HEAD}\n{lists}{CLIENTS}{clients}{SERVERS}{servers}{LOCKER}\n");
    for (index, note) in notes.0.iter().enumerate() {
        writeln!(text, "[^{}]: {note}", index + 1).unwrap();
    }
    text
}
