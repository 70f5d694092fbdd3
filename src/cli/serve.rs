//! `everywire serve`: the toolkit on every wire.

use std::{
    convert::Infallible,
    fmt,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use everywire::{
    amqp, grpc, jsonrpc, locker,
    services::{Embedded, ToolkitService, durable::DataDir, id::Ids, lock::Backend},
    xmlrpc, zerorpc,
};
use rpc_core::{Budget, CancellationToken, Code, Limit, Limits, Result, RpcError, Server, Service};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    ids::IdFlags, limiter::LimiterFlags, limits::LimitFlags, memory, of_flag, open_files, origins::OriginFlags,
};

const SIGNALS: &str = "Signals:
  INT, TERM  Stop: no new call, calls in flight have the grace time to finish. The second one ends at once
  USR1       Print to standard error what is used of the limits, and how often each was met

The exit code is 0 after a stop that cut off no call. There is no authentication: keep the addresses on loopback, or
behind something that has it.";

/// Serve add, lock, ids and limiter on every wire (this is the default)
#[derive(Debug, Clone, Args)]
#[command(after_help = SIGNALS)]
pub(crate) struct Serve {
    /// XML-RPC over HTTP
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:4242")]
    xmlrpc: Wire,
    /// XML-RPC: answer `<nil/>` for what is absent in a struct to every client, as Python's server does with
    /// `allow_none=True`. Without it the member is left out, unless the request has a `<nil/>` itself
    #[arg(long)]
    xmlrpc_nil: bool,
    /// ZeroMQ, the zerorpc protocol
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:4243")]
    zerorpc: Wire,
    /// JSON-RPC over HTTP and WebSocket
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:4244")]
    jsonrpc: Wire,
    /// gRPC
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:50051")]
    grpc: Wire,
    /// ZeroMQ, plain REQ and REP: go or sorry, the limiter's resource `locker`
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:7777")]
    locker: Wire,
    /// RabbitMQ: the broker at amqp://USER:PASSWORD@HOST:PORT/VHOST, the queue everywire.v1.Toolkit. Without a broker this
    /// wire is off
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// Without a broker, try again until there is one
    #[arg(long, requires = "amqp")]
    amqp_wait: bool,
    /// Keep the locks in an engine that several servers share, instead of in this process: redis://HOST:PORT,
    /// redlock://HOST:PORT,…, postgres://USER@HOST:PORT/DATABASE, mysql://USER@HOST:PORT/DATABASE, or
    /// zookeeper://HOST:PORT,…
    #[arg(long, value_name = "URL")]
    lock: Option<String>,
    /// Keep the highest fencing token and id in this directory, so that no restart, crash or clock set back repeats one.
    /// One server has it at a time
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Time for calls in flight to finish after Ctrl-C or SIGTERM; a second signal ends at once
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    grace: Duration,
    #[command(flatten)]
    ids: IdFlags,
    #[command(flatten)]
    limiter: LimiterFlags,
    #[command(flatten)]
    origins: OriginFlags,
    #[command(flatten)]
    limits: LimitFlags,
}

/// Where a wire listens, if it does.
#[derive(Debug, Clone)]
struct Wire(Option<String>);

impl FromStr for Wire {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self((text != "off").then(|| text.to_owned())))
    }
}

impl Serve {
    pub(crate) async fn run(self) -> Result<()> {
        memory::give_back();
        let signals = Signals::listen()?;
        let grace = self.grace;
        let server = self.mounted().await?;
        run_until_signal(server, signals, grace).await
    }

    /// Binds every wire that is on, and prints what listens where.
    async fn mounted(self) -> Result<Server<ToolkitService<Embedded>>> {
        let locks = locks(self.lock.as_deref()).await?;
        let ids = self.ids.connect(locks.as_ref()).await?;
        let (limiter, counted) = self.limiter.limiter().await?;
        let (toolkit, mut notes) = toolkit(ids, locks, self.data_dir.as_deref())?;
        let toolkit = toolkit.limiter(limiter);
        notes.extend(counted);
        let limits = Limits::from(self.limits);
        let (connections, waiting) = (limits.connections, limits.calls_in_all);
        let mut server = Server::new(ToolkitService::new(toolkit)).limits(limits).grace(self.grace);
        let mut listing = Listing { notes, wires: Vec::new() };
        if let Wire(Some(address)) = &self.xmlrpc {
            let wire = listing.xmlrpc(address, self.xmlrpc_nil).await?;
            server =
                server.mount(self.origins.allow(wire, xmlrpc::Server::allow_origin, xmlrpc::Server::allow_host)?);
        }
        if let Wire(Some(address)) = &self.jsonrpc {
            let wire = listing.jsonrpc(address).await?;
            server =
                server.mount(self.origins.allow(wire, jsonrpc::Server::allow_origin, jsonrpc::Server::allow_host)?);
        }
        if let Wire(Some(address)) = &self.grpc {
            server = server.mount(listing.grpc(address).await?);
        }
        if let Wire(Some(address)) = &self.zerorpc {
            server = server.mount(listing.zerorpc(address).await?);
        }
        if let Wire(Some(address)) = &self.locker {
            server = server.mount(listing.locker(address).await?);
        }
        if let Some(url) = &self.amqp
            && let Some(wire) = listing.amqp(url, self.amqp_wait, server.budget().limits()).await?
        {
            server = server.mount(wire);
        }
        listing.print();
        open_files::allow(listing.wires.len(), connections, waiting);
        Ok(server)
    }
}

/// The service, and what is to be said of it: where its locks and ids are, and what a restart forgets.
fn toolkit(ids: Ids, locks: Option<Arc<Backend>>, data_dir: Option<&Path>) -> Result<(Embedded, Vec<String>)> {
    let named = |error: RpcError| RpcError::new(error.code(), format!("--data-dir {}", error.message()));
    let dir = data_dir.map(DataDir::open).transpose().map_err(named)?;
    let file = dir.as_ref().map(|dir| dir.file().display().to_string());
    let (keeps_locks, makes_ids) = (locks.as_ref().and_then(|locks| locks.engine()), ids.engine());
    let mut notes = vec![of_locks(keeps_locks, file.as_deref()), of_ids(&ids, file.as_deref())];
    if file.is_none() && (keeps_locks.is_none() || makes_ids.is_none()) {
        notes.push("--data-dir DIR keeps tokens and ids of this process from repeating.".to_owned());
    }
    let toolkit = match dir {
        Some(dir) => Embedded::durable(ids, &dir).map_err(named)?,
        None => Embedded::new(ids),
    };
    Ok((if let Some(locks) = locks { toolkit.locks(locks) } else { toolkit }, notes))
}

/// Where the locks are, and what a restart does to them; `file` keeps marks.
fn of_locks(engine: Option<&str>, file: Option<&str>) -> String {
    match (engine, file) {
        (Some(engine), _) => format!("Locks are in {engine}, for all servers there."),
        (None, Some(file)) => {
            format!("Locks are in memory: a restart forgets them. Tokens never repeat: {file} has a mark.")
        }
        (None, None) => "Locks are in memory: a restart forgets them, and their tokens begin at 1 again.".to_owned(),
    }
}

/// What the ids promise, and what a restart does to that; `file` keeps marks.
fn of_ids(ids: &Ids, file: Option<&str>) -> String {
    let promises = ids.promises();
    match (ids.engine(), file) {
        (Some(engine), _) => format!("Ids are {promises}. They come from {engine}."),
        (None, Some(file)) => format!("Ids are {promises}, after a restart too: {file} has a mark."),
        (None, None) => format!("Ids are {promises}; a restart may repeat some if the clock was set back."),
    }
}

/// The locks in an engine, if one is named.
async fn locks(url: Option<&str>) -> Result<Option<Arc<Backend>>> {
    let Some(url) = url else { return Ok(None) };
    Ok(Some(Backend::connect(url).await.map_err(of_flag("--lock"))?.into()))
}

/// What listens where, with one line to try for each wire: it binds a wire and notes it.
struct Listing {
    /// What its service keeps, promises and gives.
    notes: Vec<String>,
    wires: Vec<String>,
}

impl Listing {
    async fn xmlrpc(&mut self, address: &str, nil: bool) -> Result<xmlrpc::Server> {
        let server = xmlrpc::Server::bind(address).await?;
        let server = if nil { server.nil() } else { server };
        let at = server.address();
        let python = format!("from xmlrpc.client import ServerProxy; print(ServerProxy('http://{at}').add(3, 4))");
        self.add("XML-RPC", at, &["http"], &format!("python3 -c \"{python}\""));
        Ok(server)
    }

    async fn jsonrpc(&mut self, address: &str) -> Result<jsonrpc::Server> {
        let server = jsonrpc::Server::bind(address).await?;
        let at = server.address();
        let body = r#"{"jsonrpc": "2.0", "id": 1, "method": "add", "params": [3, 4]}"#;
        self.add("JSON-RPC", at, &["http", "ws"], &format!("curl http://{at} --json '{body}'"));
        Ok(server)
    }

    async fn grpc(&mut self, address: &str) -> Result<grpc::Server> {
        let server = grpc::Server::bind(address).await?;
        let at = server.address();
        self.add("gRPC", at, &["http"], &format!("everywire call grpc://{at} add 3 4"));
        Ok(server)
    }

    async fn zerorpc(&mut self, address: &str) -> Result<zerorpc::Server> {
        let server = zerorpc::Server::bind(address).await?;
        let at = server.address();
        let python = format!("import zerorpc; c = zerorpc.Client('tcp://{at}'); print(c.add(3, 4)); c.close()");
        self.add("zerorpc", at, &["tcp"], &format!("python3 -c \"{python}\""));
        Ok(server)
    }

    async fn locker(&mut self, address: &str) -> Result<locker::Server> {
        let server = locker::Server::bind(address).await?;
        let at = server.address();
        let ask = "s.send(b'let me go'); print(s.recv())";
        let python = format!("import zmq; s = zmq.Context().socket(zmq.REQ); s.connect('tcp://{at}'); {ask}");
        self.add("locker", at, &["tcp"], &format!("python3 -c \"{python}\""));
        Ok(server)
    }

    /// Nothing if there is no broker and nobody is to wait for one. A wire that is listed consumes its queue.
    async fn amqp(&mut self, url: &str, wait: bool, limits: &Limits) -> Result<Option<amqp::Server>> {
        let subscribed = async {
            let server = amqp::Server::connect(url).await?;
            server.subscribe(ToolkitService::descriptor(), limits).await
        };
        let (server, listed) = match subscribed.await {
            Ok(server) => {
                let at = server.url();
                (Some(server), format!("{at}\n            everywire call {at} add 3 4"))
            }
            Err(error) if error.code() != Code::Unavailable => return Err(error),
            Err(error) if wait => (Some(amqp::Server::new(url)?), format!("waits: {}", error.message())),
            Err(error) => (None, format!("off: {}", error.message())),
        };
        self.wires.push(format!("  AMQP      {listed}"));
        Ok(server)
    }

    fn add(&mut self, wire: &str, at: SocketAddr, schemes: &[&str], try_it: &str) {
        let urls = schemes.iter().map(|scheme| format!("{scheme}://{at}")).collect::<Vec<_>>().join(" ");
        self.wires.push(format!("  {wire:<9} {urls}\n            {try_it}"));
        if !at.ip().to_canonical().is_loopback() {
            tracing::warn!("{wire} listens on {at}, and there is no authentication: whoever reaches it may call it");
        }
    }

    /// A reader who has gone away, as in `everywire | head -1`, is no reason to end.
    fn print(&self) {
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "{self}").and_then(|()| out.flush());
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "everywire {} serves everywire.v1.Toolkit. Ctrl-C stops it.", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "{}", self.notes.join("\n"))?;
        self.wires.iter().try_for_each(|wire| writeln!(f, "\n{wire}"))
    }
}

async fn run_until_signal<S: Service>(server: Server<S>, signals: Signals, grace: Duration) -> Result<()> {
    let budget = server.budget();
    let ended = obey(server, signals, grace, &budget).await;
    if Limit::ALL.iter().any(|limit| budget.met(*limit) > 0) {
        eprintln!("{budget}");
    }
    ended
}

async fn obey<S: Service>(server: Server<S>, mut signals: Signals, grace: Duration, budget: &Budget) -> Result<()> {
    let stop = CancellationToken::new();
    let mut serving = pin!(server.serve_until(stop.clone().cancelled_owned()));
    loop {
        let asked = tokio::select! {
            ended = &mut serving => return ended,
            asked = signals.next() => asked,
        };
        match asked {
            Asked::Report => eprintln!("{budget}"),
            Asked::Stop if stop.is_cancelled() => {
                return Err(RpcError::cancelled("a second signal ended the calls in flight"));
            }
            Asked::Stop => {
                stop.cancel();
                let grace = humantime::format_duration(grace);
                eprintln!("stopping: calls in flight have {grace} to finish; a second signal ends them");
            }
        }
    }
}

/// What a signal asks for.
enum Asked {
    Stop,
    Report,
}

/// Ctrl-C, SIGTERM and SIGUSR1.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    user: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| RpcError::internal(format_args!("no signals: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.user.recv() => Asked::Report,
        }
    }
}
