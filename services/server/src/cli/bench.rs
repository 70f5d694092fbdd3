//! `everywire bench`: what a call costs on each wire, and where the time goes.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use everywire::{Result, RpcError, wire::CancellationToken};
use everywire_benches::{
    compare, report,
    result::Results,
    run::{Request, Servers, run},
    server,
};
use tokio::signal::unix::{SignalKind, signal};

use super::{memory, print};

const METHOD: &str =
    "Each wire is called by everywire's own client, in rounds in which the wires take turns: in closed loops (each \
connection sends its next call when it has the response to the last one) and in open loops (calls are due at \
random moments, and latency counts from then). Ctrl-C ends the run early and keeps what was measured.

To keep the load off the server's cores, run `everywire bench-server --bind IP` on another machine, and pass the \
addresses that it prints.";

/// Measure what a call costs on each wire and where the time goes, and write a report
#[derive(Debug, Clone, Args)]
#[command(after_help = METHOD)]
pub(crate) struct Bench {
    /// Take two minutes: three rounds of short measurements
    #[arg(long)]
    quick: bool,
    /// Rounds; figures are their medians, and the spread is the lowest and the highest round [default: 5; quick: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Seconds for all measurements together [default: 900; quick: 75]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Numbers of connections in the closed loops
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 4, 16, 64],
          value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: Vec<u16>,
    /// Which of xmlrpc, jsonrpc-http, jsonrpc-ws, grpc, zerorpc and amqp to measure [default: all]
    #[arg(long, value_name = "WIRE,…", value_delimiter = ',')]
    wires: Vec<String>,
    /// Also measure other servers in the same rounds: tonic, jsonrpsee, hyper and the zeromq crate by hand, tarpc, and
    /// Python's. Missing ones are listed with the command that installs them
    #[arg(long)]
    baselines: bool,
    /// The interpreter for Python's servers [default: target/python/bin/python if it exists, else python3]
    #[arg(long, value_name = "FILE", requires = "baselines")]
    python: Option<PathBuf>,
    /// Also measure RabbitMQ, with the broker at amqp://USER:PASSWORD@HOST:PORT/VHOST
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// Where to write report.html, results.json and results.csv
    #[arg(long, value_name = "DIR", default_value = "everywire-bench")]
    out: PathBuf,
    /// Report what changed by more than the spread since the run with these results
    #[arg(long, value_name = "results.json")]
    compare: Option<PathBuf>,
    #[command(flatten)]
    addresses: Addresses,
}

/// Where a bench-server listens; with any of them, none is started
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses of a bench-server on another machine (none is started here then)")]
struct Addresses {
    /// TCP floor
    #[arg(long, value_name = "ADDR")]
    tcp: Option<String>,
    /// XML-RPC
    #[arg(long, value_name = "ADDR")]
    xmlrpc: Option<String>,
    /// JSON-RPC
    #[arg(long, value_name = "ADDR")]
    jsonrpc: Option<String>,
    /// gRPC
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
    /// zerorpc
    #[arg(long, value_name = "ADDR")]
    zerorpc: Option<String>,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<()> {
        let old = self.compare.as_deref().map(read).transpose()?;
        let out = self.out.clone();
        fs::create_dir_all(&out).map_err(|error| cannot("write", &out, &error))?;
        let stop = CancellationToken::new();
        cancel_on_interrupt(stop.clone())?;
        let results = run(&self.request()?, &stop).await?;
        let changes = old.as_ref().map(|old| compare::changes(old, &results));
        let page = report::page(&results, changes.as_deref());
        for (name, content) in
            [("report.html", page), ("results.json", results.json()?), ("results.csv", results.csv())]
        {
            let file = out.join(name);
            fs::write(&file, content).map_err(|error| cannot("write", &file, &error))?;
        }
        let (text, file) = (report::text(&results, changes.as_deref()), out.join("report.html"));
        print(format_args!("{text}\n{}\n", file.display()))
    }

    fn request(self) -> Result<Request> {
        let (rounds, seconds) = if self.quick { (3, 75) } else { (5, 900) };
        let Addresses { tcp, xmlrpc, jsonrpc, grpc, zerorpc } = self.addresses;
        let given =
            [("tcp", tcp), ("xmlrpc", xmlrpc), ("jsonrpc", jsonrpc), ("grpc", grpc), ("zerorpc", zerorpc)].into_iter();
        let mut given: HashMap<String, String> =
            given.filter_map(|(name, address)| Some((name.to_owned(), address?))).collect();
        let servers = if given.is_empty() {
            let program = std::env::current_exe().map_err(RpcError::internal)?;
            let mut arguments = vec!["bench-server".into()];
            arguments.extend(self.amqp.map(|url| format!("--amqp={url}").into()));
            Servers::Start(program, arguments)
        } else {
            given.extend(self.amqp.map(|url| ("amqp".to_owned(), url)));
            Servers::At(given)
        };
        let mut concurrency: Vec<_> = self.concurrency.into_iter().map(usize::from).collect();
        concurrency.sort_unstable();
        concurrency.dedup();
        Ok(Request {
            rounds: self.rounds.unwrap_or(rounds),
            time: Duration::from_secs(self.seconds.unwrap_or(seconds)),
            concurrency,
            wires: self.wires,
            servers,
            baselines: self.baselines,
            python: self.python,
        })
    }
}

/// Ctrl-C ends the measuring, and no longer the program.
fn cancel_on_interrupt(stop: CancellationToken) -> Result<()> {
    let interrupt = signal(SignalKind::interrupt());
    let mut interrupt = interrupt.map_err(|error| RpcError::internal(format_args!("no signals: {error}")))?;
    tokio::spawn(async move {
        if interrupt.recv().await.is_some() {
            stop.cancel();
        }
    });
    Ok(())
}

fn read(file: &Path) -> Result<Results> {
    let json = fs::read_to_string(file).map_err(|error| cannot("read", file, &error))?;
    Results::read(&json)
}

fn cannot(what: &str, file: &Path, error: &std::io::Error) -> RpcError {
    RpcError::failed_precondition(format!("can't {what} {}: {error}", file.display()))
}

/// Serve what `everywire bench` calls, on free ports, until standard input closes
#[derive(Debug, Clone, Args)]
#[command(hide = true)]
pub(crate) struct BenchServer {
    /// The address to listen on
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    bind: String,
    /// A broker to serve a queue of
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
}

impl BenchServer {
    pub(crate) async fn run(self) -> Result<()> {
        memory::give_back();
        server::serve(&self.bind, self.amqp.as_deref()).await
    }
}
