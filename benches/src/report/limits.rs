//! What the figures do not say, and where they come from.

use std::fmt::Write as _;

use super::{
    numbers::{count, escape},
    tables::table,
};
use crate::result::Results;

const LIMITS: [&str; 10] = [
    "Server and load run on the same machine and share its cores, unless the addresses of another one were given. So \
     calls per second include what the client costs; the column of the server's CPU doesn't.",
    "The clients are everywire's: over HTTP, XML-RPC and JSON-RPC have its own on hyper; JSON-RPC's WebSocket is \
     jsonrpsee's, gRPC's stands on tonic's channel, zerorpc's on the zeromq crate. Baselines are called by the same \
     clients, so between a wire and its baselines only the server differs; between two wires the clients differ too.",
    "All goes over the loopback device: no network, no packet lost, and no delay but that of the kernel.",
    "The server's CPU is that of /proc, in steps of ten milliseconds per measurement: its spread shows what that is \
     worth.",
    "Allocations are not counted: that needs an allocator with unsafe code, which this project doesn't have.",
    "Bytes are those within TCP, after the connection was opened, without the headers of TCP and IP.",
    "The open loop sends from a thread that sleeps between calls. It wakes some ten microseconds late, which counts \
     as time of the call, on every wire alike. At most 192 calls are on their way; a further one waits, and its time \
     runs. Near the rates of bare TCP it is the load that can't keep up, and not the server.",
    "A program that was built with tarpc has the feature log of tracing, which may make h2 slower, and so gRPC, \
     tonic and hyper's HTTP/2 on both sides; that was not measured by itself.",
    "Format and envelope are measured in a loop, in one thread, with warm caches; within a real call they cost \
     somewhat more, and that is then counted as the carrier's.",
    "SimpleXMLRPCServer opens a connection for each call and lets five wait; beyond that the kernel lets a client wait \
     for a second. So it is measured as it is, which is what the notes show, and with room for 128. The baselines serve add alone, without limits, deadlines, introspection or more \
     than one service. The bare hyper server and the ROUTER don't even parse the request: they show what is beneath a \
     protocol, not what one would use.",
];

pub(super) fn html(html: &mut String, results: &Results) {
    html.push_str("<h2>Honest limits</h2>\n<ul>\n");
    for limit in LIMITS {
        let _ = writeln!(html, "<li>{limit}</li>");
    }
    let machine = &results.machine;
    let errors: u64 = results.measurements.iter().map(|measured| measured.errors).sum();
    if errors > 0 {
        let _ = writeln!(html, "<li class=\"alarm\">{errors} calls failed; results.json says which.</li>");
    }
    html.push_str("</ul>\n");
    if !results.missing.is_empty() {
        html.push_str("<h2>Not measured</h2>\n");
        let rows = results.missing.iter().map(|missing| {
            let remedy = if missing.remedy.is_empty() {
                String::new()
            } else {
                format!("<code>{}</code>", escape(&missing.remedy))
            };
            vec![escape(&missing.label), escape(&missing.why), remedy]
        });
        html.push_str(&table(&["", "why", "what brings it"], rows));
    }
    html.push_str("<h2>Machine and versions</h2>\n");
    let mut rows = vec![
        vec!["processor".to_owned(), format!("{} × {}", machine.cores, escape(&machine.cpu))],
        vec!["memory".to_owned(), format!("{} GiB", count(machine.memory as f64 / f64::from(1 << 30)))],
        vec!["system".to_owned(), escape(&machine.kernel)],
        vec![
            "time measured".to_owned(),
            format!("{} s in {} rounds", count(results.settings.seconds), results.settings.rounds),
        ],
    ];
    if let Some(memory) = results.memory {
        let mebibytes = |bytes: u64| count((bytes >> 20) as f64);
        let text = format!("{} MiB, at most {} MiB", mebibytes(memory.resident), mebibytes(memory.peak));
        rows.push(vec!["server's memory at the end".to_owned(), text]);
    }
    rows.extend(machine.versions.iter().map(|(name, version)| vec![escape(name), escape(version)]));
    html.push_str(&table(&["", ""], rows));
}
