//! The program as a process of its own, on free ports.

use std::collections::HashMap;

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use everywire_testing::soon;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_everywire");

/// A running `everywire serve`, and the addresses that it printed.
pub(crate) struct Serving {
    pub(crate) child: Child,
    /// `http://127.0.0.1:…` by the wire's name.
    pub(crate) urls: HashMap<String, String>,
}

impl Serving {
    /// Reads what the program lists. Its standard output is a pipe.
    pub(crate) async fn listed(child: Child) -> Self {
        Self::if_listed(child).await.expect("five wires are listed")
    }

    /// The same of a program that may end before.
    pub(crate) async fn if_listed(mut child: Child) -> Option<Self> {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut urls = HashMap::new();
        while urls.len() < 5 {
            let line = soon("the listing", lines.next_line()).await.unwrap()?;
            if let [wire, url, ..] = line.split_whitespace().collect::<Vec<_>>()[..]
                && url.contains("://127.0.0.1:")
                && line.starts_with("  ")
                && !line.starts_with("   ")
            {
                urls.insert(wire.to_owned(), url.to_owned());
            }
        }
        Some(Self { child, urls })
    }

    pub(crate) fn address(&self, wire: &str) -> &str {
        self.urls[wire].split_once("://").unwrap().1
    }
}

/// `program`, the program itself or what runs it, with every wire on a free port.
pub(crate) fn on_free_ports(mut program: Command) -> Command {
    let free = "127.0.0.1:0";
    program.args(["--xmlrpc", free, "--jsonrpc", free, "--grpc", free, "--zerorpc", free, "--locker", free]);
    program.kill_on_drop(true);
    program
}
