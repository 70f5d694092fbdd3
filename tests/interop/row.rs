//! One row of the matrix: what was tried, and the verdict on it.

use std::{collections::BTreeMap, net::SocketAddr};

use everywire::{Caller, Result, serde::Deserialize};
use serde_json::{Value, from_str, from_value};

use super::{
    cases::{self, CASES},
    proxy::Proxy,
    service::InteropClient,
};

/// One client at one server.
pub(crate) struct Row {
    pub(crate) wire: &'static str,
    /// The side that is not this repository's: a language, and a library with its version.
    pub(crate) peer: String,
    /// One for each of [`CASES`].
    pub(crate) cells: Vec<Cell>,
}

/// The outcome of a case.
pub(crate) enum Cell {
    /// It works; and the way to it, if that is not the obvious one.
    Yes(Option<String>),
    /// It does not, and why.
    No(String),
    /// It went otherwise than announced.
    Unexplained(String),
}

/// What a foreign program says of itself, in its first line.
#[derive(Clone, Deserialize)]
#[serde(crate = "everywire::serde")]
pub(crate) struct Foreign {
    /// A language, and a library with its version.
    pub(crate) name: String,
    /// Of a server: where it listens.
    #[serde(default)]
    pub(crate) port: u16,
    /// Cases that have to fail: a part of the error, and the reason for the reader.
    cannot: BTreeMap<String, (String, String)>,
    /// Cases that work in a way that has to be known.
    notes: BTreeMap<String, String>,
}

/// The connections of a pool by which a hundred calls show that it uses them again.
const POOL: usize = 50;

/// What has to be known of our own clients: wire, case and note.
const OURS: [(&str, &str, &str); 3] = [
    (
        "JSON-RPC, HTTP",
        "reuse",
        "everywire's client opens another if a call comes before hyper's pool has the last one back: about one in ten does.",
    ),
    (
        "JSON-RPC, WebSocket",
        "cancel",
        "By `$/cancelRequest`; it also closes the WebSocket once no other call is in flight on it.",
    ),
    ("AMQP", "cancel", "[context.md](context.md) says when the server notices."),
];

/// How each case went; the error's text where it failed.
type Outcomes = BTreeMap<String, Option<String>>;

impl Row {
    /// The cases whose outcome is not the announced one.
    pub(crate) fn unexplained(&self) -> impl Iterator<Item = String> {
        CASES.iter().zip(&self.cells).filter_map(|((case, _), cell)| match cell {
            Cell::Unexplained(error) => Some(format!("{}, {}, {case}: {error}", self.wire, self.peer)),
            _ => None,
        })
    }

    /// The cases of a client of this repository, which `connect` connects to `server`.
    pub(crate) async fn of_ours<C: Caller>(
        wire: &'static str,
        foreign: &Foreign,
        server: SocketAddr,
        connect: impl AsyncFn(SocketAddr) -> Result<C>,
    ) -> Self {
        let mut foreign = foreign.clone();
        let notes = OURS.iter().filter(|(on, ..)| *on == wire);
        for &(_, case, note) in notes {
            foreign.notes.entry(case.to_owned()).or_insert_with(|| note.to_owned());
        }
        let proxy = Proxy::before(server).await;
        let connected = async |address| InteropClient::new(connect(address).await.expect(wire));
        let (client, counted) = (connected(server).await, connected(proxy.address).await);
        let outcomes = Box::pin(cases::run(&client, &counted, wire)).await;
        let outcomes =
            outcomes.into_iter().map(|(case, outcome)| (case.to_owned(), outcome.err().map(|error| error.to_string())));
        foreign.row(wire, outcomes.collect(), proxy.connections())
    }

    /// The cases of a foreign client, from what it `printed`: what it is, then each case and its error. It made as many
    /// `connections` for `reuse`.
    pub(crate) fn of_theirs(wire: &'static str, printed: &str, connections: usize) -> Self {
        let (foreign, outcomes) = printed.split_once('\n').unwrap_or_default();
        let foreign: Foreign = from_str(foreign).unwrap_or_else(|error| panic!("{wire}: {error}: {printed}"));
        let outcomes = outcomes.lines().map(|line| from_value(from_str::<Value>(line).unwrap()).expect(line));
        foreign.row(wire, outcomes.map(|(case, error): (String, _)| (case, error)).collect(), connections)
    }
}

impl Foreign {
    /// No foreign one: this repository itself.
    pub(crate) fn ours() -> Self {
        let name = concat!("Rust, everywire ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { name, port: 0, cannot: BTreeMap::new(), notes: BTreeMap::new() }
    }

    fn row(&self, wire: &'static str, mut outcomes: Outcomes, connections: usize) -> Row {
        let most = if self.notes.contains_key("reuse") { POOL } else { 1 };
        if let Some(reuse @ None) = outcomes.get_mut("reuse")
            && connections > most
        {
            *reuse = Some(format!("{connections} connections"));
        }
        let cells = CASES.iter().map(|&(case, _)| match outcomes.remove(case) {
            Some(outcome) => self.cell(case, outcome),
            None => Cell::Unexplained("not tried".to_owned()),
        });
        Row { wire, peer: self.name.clone(), cells: cells.collect() }
    }

    fn cell(&self, case: &str, outcome: Option<String>) -> Cell {
        match (self.cannot.get(case), outcome) {
            (None, None) => Cell::Yes(self.notes.get(case).cloned()),
            (None, Some(error)) => Cell::Unexplained(error),
            (Some((part, why)), Some(error)) if error.contains(part) => Cell::No(why.clone()),
            (Some((part, _)), Some(error)) => {
                Cell::Unexplained(format!("it should fail with `{part}`, not with {error}"))
            }
            (Some((_, why)), None) => Cell::Unexplained(format!("it works, so this is not true any more: {why}")),
        }
    }
}

#[test]
fn a_reason_must_be_true() {
    let text = r#"{"name": "x", "cannot": {"i64": ["too big", "why"]}, "notes": {"text": "how"}}"#;
    let foreign: Foreign = from_str(text).unwrap();
    let cell = |case, error: Option<&str>| match foreign.cell(case, error.map(str::to_owned)) {
        Cell::Yes(note) => format!("yes {}", note.unwrap_or_default()),
        Cell::No(why) => format!("no {why}"),
        Cell::Unexplained(_) => "?".to_owned(),
    };
    let verdicts = [
        (cell("add", None), "yes "),
        (cell("text", None), "yes how"),
        (cell("add", Some("broken")), "?"),
        (cell("text", Some("broken")), "?"),
        (cell("i64", Some("Error: 2⁶³ is too big")), "no why"),
        (cell("i64", Some("connection refused")), "?"),
        (cell("i64", None), "?"),
    ];
    for (index, (verdict, expected)) in verdicts.iter().enumerate() {
        assert_eq!(verdict, expected, "{index}");
    }
    let row = foreign.row("w", Outcomes::from([("reuse".to_owned(), None)]), 2);
    assert_eq!(row.unexplained().count(), CASES.len(), "a case that was not tried, and too many connections");
}
