//! `everywire serve`: the toolkit on every wire.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    pin::pin,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use everywire::{Budget, Limit, Limits, Result, RpcError, Server, Service, wire::CancellationToken};
use everywire::{grpc, jsonrpc, xmlrpc, zerorpc};
use everywire_engines::durable::DataDir;
use everywire_id::Ids;
use everywire_lock::{Backend, Holds};
use everywire_locker as locker;
use everywire_toolkit::{Embedded, ToolkitService};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    ids::IdFlags, limiter::LimiterFlags, limits::LimitFlags, listing::Listing, log::say, memory, notes, of_flag,
    open_files, origins::OriginFlags,
};

const SIGNALS: &str = "Signals:
  INT, TERM  Accept no new calls, and give calls in flight the grace time to finish. A second one ends them at once
  USR1       Print the calls in flight, the bytes buffered and how often each limit was exceeded to standard error

An ADDR is HOST:PORT, with an IPv6 address in brackets, or tcp://HOST:PORT as in ZeroMQ, where * stands for every \
IPv4 address. Port 0 chooses a free port.

Exits with 0 if the shutdown cut off no call, else with 1. There is no authentication: keep the addresses on loopback, or \
behind something that provides it.";

/// Serve add, locks, ids and the limiter on every wire (the default command)
#[derive(Debug, Clone, Args)]
#[command(after_help = SIGNALS)]
pub(crate) struct Serve {
    /// XML-RPC over HTTP
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:4242")]
    xmlrpc: Wire,
    /// Send `<nil/>` for absent struct members to every XML-RPC client, as Python's server does with `allow_none=True`. By
    /// default they are omitted unless the client is known to understand nil
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
    /// The limiter's resource `locker` over plain ZeroMQ REQ and REP; the replies are `go` and `sorry`
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:7777")]
    locker: Wire,
    /// Also serve the queue everywire.v1.Toolkit of the RabbitMQ broker at amqp://USER:PASSWORD@HOST:PORT/VHOST. If there is
    /// no broker, this wire is off and a warning is logged; if it rejects the user or the virtual host, the start fails
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// Keep trying until the broker can be reached
    #[arg(long, requires = "amqp")]
    amqp_wait: bool,
    /// Keep the locks in an engine that several servers share, instead of in this process: redis://HOST:PORT,
    /// redlock://HOST:PORT,…, postgres://USER@HOST:PORT/DATABASE, mysql://USER@HOST:PORT/DATABASE, or
    /// zookeeper://HOST:PORT,…
    #[arg(long, value_name = "URL")]
    lock: Option<String>,
    /// Keep the highest fencing token and id in this directory, so that none repeats after a restart, a crash or a clock
    /// that is set back. Only one server can use it at a time
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
        let (server, holds) = self.mounted().await?;
        let ended = run_until_signal(server, signals, grace).await;
        holds.shut_down().await;
        ended
    }

    /// Binds every wire that is on, and prints what listens where. Returns the locks that streams hold too.
    async fn mounted(self) -> Result<(Server<ToolkitService<Embedded>>, Arc<Holds>)> {
        let locks = locks(self.lock.as_deref()).await?;
        let ids = self.ids.connect(locks.as_ref()).await?;
        let are_special = self.ids.are_special();
        let (limiter, counted) = self.limiter.limiter().await?;
        let (toolkit, mut notes) = toolkit(ids, are_special, locks, self.data_dir.as_deref())?;
        let toolkit = toolkit.limiter(limiter);
        let holds = toolkit.holds();
        notes.extend(counted);
        let limits = Limits::from(self.limits);
        let (connections, waiting) = (limits.connections, limits.calls_in_all);
        let mut server = Server::with_limits(ToolkitService::new(toolkit), limits).grace(self.grace);
        let mut listing = Listing::new(notes);
        let origins = self.origins.origins()?;
        if let Wire(Some(address)) = &self.xmlrpc {
            let xmlrpc = xmlrpc::Server::new().origins(origins.clone());
            let xmlrpc = if self.xmlrpc_nil { xmlrpc.nil() } else { xmlrpc };
            server = server.mount((listing.xmlrpc(address).await?, xmlrpc));
        }
        if let Wire(Some(address)) = &self.jsonrpc {
            server = server.mount((listing.jsonrpc(address).await?, jsonrpc::Server::new().origins(origins)));
        }
        if let Wire(Some(address)) = &self.grpc {
            server = server.mount((listing.grpc(address).await?, grpc::Server::new()));
        }
        if let Wire(Some(address)) = &self.zerorpc {
            server = server.mount((listing.zerorpc(address).await?, zerorpc::Server::new()));
        }
        if let Wire(Some(address)) = &self.locker {
            server = server.mount((listing.locker(address).await?, locker::Server::new()));
        }
        if let Some(url) = &self.amqp
            && let Some(wire) = listing.amqp(url, self.amqp_wait, server.budget().limits()).await?
        {
            server = server.mount(wire);
        }
        listing.print();
        open_files::allow(listing.wires(), connections, waiting);
        Ok((server, holds))
    }
}

/// The service, and what is to be said of it: where its locks and ids are, and what a restart forgets.
fn toolkit(
    ids: Ids,
    are_special: bool,
    locks: Option<Arc<Backend>>,
    data_dir: Option<&Path>,
) -> Result<(Embedded, Vec<String>)> {
    let named = |error: RpcError| RpcError::new(error.code(), format!("--data-dir {}", error.message()));
    let dir = data_dir.map(DataDir::open).transpose().map_err(named)?;
    let file = dir.as_ref().map(|dir| dir.file().display().to_string());
    let (keeps_locks, makes_ids) = (locks.as_ref().and_then(|locks| locks.engine()), ids.engine());
    let mut notes = vec![notes::of_locks(keeps_locks, file.as_deref())];
    notes.extend(notes::of_ids(&ids, are_special, file.as_deref()));
    if file.is_none() && (keeps_locks.is_none() || makes_ids.is_none()) {
        notes.push("--data-dir DIR keeps tokens and ids of this process from repeating.".to_owned());
    }
    let toolkit = match dir {
        Some(dir) => Embedded::durable(ids, &dir).map_err(named)?,
        None => Embedded::new(ids),
    };
    Ok((if let Some(locks) = locks { toolkit.locks(locks) } else { toolkit }, notes))
}

/// The locks in an engine, if one is named.
async fn locks(url: Option<&str>) -> Result<Option<Arc<Backend>>> {
    let Some(url) = url else { return Ok(None) };
    Ok(Some(Backend::connect(url).await.map_err(of_flag("--lock"))?.into()))
}

async fn run_until_signal<S: Service>(server: Server<S>, signals: Signals, grace: Duration) -> Result<()> {
    let budget = server.budget();
    let ended = obey(server, signals, grace, &budget).await;
    if Limit::ALL.iter().any(|limit| budget.met(*limit) > 0) {
        say(&budget);
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
            Asked::Report => say(budget),
            Asked::Stop if stop.is_cancelled() && budget.calls() == 0 => return Ok(()),
            Asked::Stop if stop.is_cancelled() => {
                return Err(RpcError::cancelled("a second signal ended the calls in flight"));
            }
            Asked::Stop => {
                stop.cancel();
                let grace = humantime::format_duration(grace);
                say(format_args!("shutting down: calls in flight have {grace} to finish; a second signal ends them"));
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
