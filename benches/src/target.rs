//! What can be called: each wire through everywire's own client, the floors, and the baselines.

use std::{sync::Arc, time::Duration};

use everywire::{Result, RpcError, Streaming, memory};
use everywire_amqp as amqp;
use everywire_grpc as grpc;
use everywire_jsonrpc as jsonrpc;
use everywire_xmlrpc as xmlrpc;
use everywire_zerorpc as zerorpc;
use tokio::time::sleep;

use crate::{
    Echo, EchoClient, EchoService, Plain,
    tcp::{PING, Tcp},
};

/// What a target is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What no wire can beat.
    Floor,
    /// A wire of everywire.
    Wire,
    /// Another server, called by the same client as the wire of this name.
    Baseline(&'static str),
}

/// Something that is called.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in results and flags.
    pub name: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// What it is compared as.
    pub kind: Kind,
    /// The client that calls it.
    pub by: By,
    /// `HOST:PORT`, or a broker's URL; empty for what needs none.
    pub address: String,
    /// The server's process, if it is ours to look at.
    pub pid: Option<u32>,
}

/// Which client calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the client of the wire with this name")]
pub enum By {
    /// No client: the trait's method itself.
    Direct,
    Memory,
    Tcp,
    Xmlrpc,
    Http,
    WebSocket,
    Grpc,
    Zerorpc,
    Amqp,
    #[cfg(feature = "tarpc")]
    Tarpc,
}

/// Every target of the program itself, in the order of the report: name, label, kind and client.
pub const OWN: [(&str, &str, Kind, By); 9] = [
    ("direct", "direct call", Kind::Floor, By::Direct),
    ("memory", "in memory", Kind::Floor, By::Memory),
    ("tcp", "TCP floor", Kind::Floor, By::Tcp),
    ("xmlrpc", "XML-RPC", Kind::Wire, By::Xmlrpc),
    ("jsonrpc-http", "JSON-RPC HTTP", Kind::Wire, By::Http),
    ("jsonrpc-ws", "JSON-RPC WS", Kind::Wire, By::WebSocket),
    ("grpc", "gRPC", Kind::Wire, By::Grpc),
    ("zerorpc", "zerorpc", Kind::Wire, By::Zerorpc),
    ("amqp", "AMQP", Kind::Wire, By::Amqp),
];

/// How often a server that starts is asked, and the time between.
const STARTING: usize = 50;
const STARTING_STEP: Duration = Duration::from_millis(100);

impl By {
    /// Whether one connection carries many calls at the same time.
    pub fn shares_a_connection(self) -> bool {
        matches!(self, Self::WebSocket | Self::Grpc | Self::Zerorpc | Self::Amqp)
    }
}

impl Target {
    /// Waits until it answers, for a few seconds: a server may say where it will listen a little before it does.
    pub async fn answers(&self) -> Result<()> {
        for _ in 0..STARTING {
            if self.connect().await.is_ok() {
                return Ok(());
            }
            sleep(STARTING_STEP).await;
        }
        self.connect().await.map(drop)
    }

    /// A client of its own, which has made its connection. The error names the target.
    pub async fn connect(&self) -> Result<Client> {
        self.connect_to(&self.address).await
    }

    /// The same at another address, where something stands between.
    pub async fn connect_to(&self, at: &str) -> Result<Client> {
        let named = |error: RpcError| RpcError::new(error.code(), format!("{}: {}", self.name, error.message()));
        let client = self.client(at).await.map_err(named)?;
        // Boxed, because the future is as large as that of the largest client.
        Box::pin(client.run(&Work::Add)).await.map_err(named)?;
        Ok(client)
    }

    async fn client(&self, at: &str) -> Result<Client> {
        Ok(match self.by {
            By::Direct => Client::Direct(Plain::default()),
            By::Memory => {
                Client::Memory(EchoClient::new(memory::Client::new(Arc::new(EchoService::new(Plain::default())))))
            }
            By::Tcp => Client::Tcp(Tcp::new(at)),
            By::Xmlrpc => Client::Xmlrpc(EchoClient::new(xmlrpc::Client::connect(&format!("http://{at}")).await?)),
            By::Http => Client::Jsonrpc(EchoClient::new(jsonrpc::Client::connect(&format!("http://{at}")).await?)),
            By::WebSocket => Client::Jsonrpc(EchoClient::new(jsonrpc::Client::connect(&format!("ws://{at}")).await?)),
            By::Grpc => Client::Grpc(EchoClient::new(grpc::Client::connect(&format!("http://{at}")).await?)),
            By::Zerorpc => Client::Zerorpc(EchoClient::new(zerorpc::Client::connect(&format!("tcp://{at}")).await?)),
            By::Amqp => Client::Amqp(EchoClient::new(amqp::Client::connect(at).await?)),
            #[cfg(feature = "tarpc")]
            By::Tarpc => Client::Tarpc(crate::tarpc_baseline::connect(at).await?),
        })
    }
}

/// A client of any target.
#[allow(missing_docs, reason = "each is the client of the wire with this name")]
pub enum Client {
    Direct(Plain),
    Memory(EchoClient<memory::Client<EchoService<Plain>>>),
    Tcp(Tcp),
    Xmlrpc(EchoClient<xmlrpc::Client>),
    Jsonrpc(EchoClient<jsonrpc::Client>),
    Grpc(EchoClient<grpc::Client>),
    Zerorpc(EchoClient<zerorpc::Client>),
    Amqp(EchoClient<amqp::Client>),
    #[cfg(feature = "tarpc")]
    Tarpc(crate::tarpc_baseline::Client),
}

/// What one call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// `add(3, 4)`.
    Add,
    /// `echo` of this text.
    Text(Arc<str>),
    /// `numbers` of so many.
    Numbers(u32),
    /// The stream `items`, with so many.
    Items(u32),
    /// `slow` by so many milliseconds.
    Slow(u64),
    /// So many ids of one call: `next_id` or `next_ids`.
    Ids(u32),
}

impl Work {
    /// A text of `bytes` bytes.
    pub fn text(bytes: usize) -> Self {
        Self::Text("x".repeat(bytes).into())
    }

    /// Makes the call and looks at its answer.
    pub(crate) async fn on(&self, echo: &impl Echo) -> Result<()> {
        let is_right = match self {
            Self::Add => echo.add(3, 4).await? == 7,
            Self::Text(text) => echo.echo((**text).to_owned()).await?.len() == text.len(),
            Self::Numbers(count) => echo.numbers(*count).await?.len() == *count as usize,
            Self::Items(count) => read(echo.items(*count).await?).await? == *count,
            Self::Slow(ms) => echo.slow(*ms).await? == *ms,
            Self::Ids(1) => echo.next_id().await? != 0,
            Self::Ids(count) => echo.next_ids(*count).await?.len() == *count as usize,
        };
        if is_right { Ok(()) } else { Err(RpcError::data_loss(format!("a wrong answer to {self:?}"))) }
    }

    /// What the floor sends and gets back for it: what the call can't do without.
    fn bytes(&self) -> usize {
        match self {
            Self::Add | Self::Slow(_) => PING,
            Self::Text(text) => text.len().max(PING),
            Self::Numbers(count) | Self::Items(count) | Self::Ids(count) => (*count as usize).max(PING),
        }
    }
}

/// Reads a stream of numbers to its end, and returns how many there are.
async fn read(mut items: Streaming<u64>) -> Result<u32> {
    let mut count = 0;
    while let Some(number) = items.next().await {
        if number? != u64::from(count) {
            return Err(RpcError::data_loss("a stream out of order"));
        }
        count += 1;
    }
    Ok(count)
}

impl Client {
    /// Makes one call.
    pub async fn run(&self, work: &Work) -> Result<()> {
        match self {
            Self::Direct(echo) => work.on(echo).await,
            Self::Memory(echo) => work.on(echo).await,
            Self::Tcp(tcp) => tcp.ping(work.bytes()).await,
            Self::Xmlrpc(echo) => work.on(echo).await,
            Self::Jsonrpc(echo) => work.on(echo).await,
            Self::Grpc(echo) => work.on(echo).await,
            Self::Zerorpc(echo) => work.on(echo).await,
            Self::Amqp(echo) => work.on(echo).await,
            #[cfg(feature = "tarpc")]
            Self::Tarpc(adder) => adder.add().await,
        }
    }
}
