//! The service that the tests call, and its server.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use everywire_core::{Budget, Code, Limits, Result, RpcError, Transport, wire::CancellationToken};
use everywire_grpc::{Client, Server};
use everywire_net::Tcp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};

/// The longest that a test waits for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Everything {
    pub(crate) int: i64,
    pub(crate) uint: u64,
    pub(crate) float: f64,
    pub(crate) text: String,
    pub(crate) maybe: Option<u32>,
    pub(crate) after: bool,
    pub(crate) colour: Colour,
    pub(crate) parts: Vec<Part>,
    pub(crate) counts: BTreeMap<String, Part>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) pair: (i8, String),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Part {
    pub(crate) number: Option<i64>,
    pub(crate) labels: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Colour {
    #[default]
    Red,
    Green,
}

/// What the tests call.
#[everywire_core::service(package = "test.v1")]
pub(crate) trait Demo {
    /// Adds.
    async fn add(&self, a: i64, b: i64) -> Result<i64>;
    /// Returns its argument.
    async fn echo(&self, value: Everything) -> Result<Everything>;
    /// Returns its text.
    async fn text(&self, value: String) -> Result<String>;
    /// A text of so many bytes.
    async fn long(&self, bytes: u32) -> Result<String>;
    /// Fails.
    async fn fail(&self, code: i32, message: String) -> Result<()>;
    /// Panics.
    async fn panic(&self) -> Result<()>;
    /// Waits until the test notifies it.
    async fn wait(&self) -> Result<u32>;
    /// The first that is present.
    async fn maybe(&self, first: Option<u64>, second: Option<u64>) -> Result<Option<u64>>;
}

pub(crate) struct Tester {
    pub(crate) go: Arc<Notify>,
    pub(crate) events: mpsc::UnboundedSender<&'static str>,
}

/// Sends an event when it is dropped.
pub(crate) struct Guard(mpsc::UnboundedSender<&'static str>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send("ended");
    }
}

impl Demo for Tester {
    async fn add(&self, a: i64, b: i64) -> Result<i64> {
        a.checked_add(b).ok_or_else(|| RpcError::out_of_range("beyond 64 bits"))
    }

    async fn echo(&self, value: Everything) -> Result<Everything> {
        Ok(value)
    }

    async fn text(&self, value: String) -> Result<String> {
        Ok(value)
    }

    async fn long(&self, bytes: u32) -> Result<String> {
        Ok("x".repeat(bytes as usize))
    }

    async fn fail(&self, code: i32, message: String) -> Result<()> {
        let error = RpcError::new(Code::from_number(code).unwrap(), message);
        Err(error.with_data(serde_json::json!({"why": [1, "ü"]})))
    }

    async fn panic(&self) -> Result<()> {
        panic!("on purpose")
    }

    async fn wait(&self) -> Result<u32> {
        let _guard = Guard(self.events.clone());
        let _ = self.events.send("waiting");
        self.go.notified().await;
        Ok(1)
    }

    async fn maybe(&self, first: Option<u64>, second: Option<u64>) -> Result<Option<u64>> {
        Ok(first.or(second))
    }
}

/// A running server, and what the tests need to control it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) go: Arc<Notify>,
    pub(crate) events: mpsc::UnboundedReceiver<&'static str>,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<Result<()>>,
    pub(crate) budget: Arc<Budget>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0", Limits::default()).await
    }

    pub(crate) async fn at(address: &str, limits: Limits) -> Self {
        let tcp = Tcp::bind(address).await.unwrap();
        let (address, go, stop) = (tcp.address(), Arc::new(Notify::new()), CancellationToken::new());
        let (sender, events) = mpsc::unbounded_channel();
        let service = Arc::new(DemoService::new(Tester { go: Arc::clone(&go), events: sender }));
        let server = (tcp, Server::new());
        server.check(DemoService::descriptor()).unwrap();
        let budget = Budget::new(limits);
        let serving = tokio::spawn(server.serve(service, Arc::clone(&budget), stop.clone()));
        Self { address, go, events, stop, serving, budget }
    }

    pub(crate) async fn client(&self) -> DemoClient<Client> {
        DemoClient::new(Client::connect(&format!("http://{}", self.address)).await.unwrap())
    }

    pub(crate) async fn event(&mut self) -> &'static str {
        within(self.events.recv()).await.expect("an event")
    }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("it took too long")
}
