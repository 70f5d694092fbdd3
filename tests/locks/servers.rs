//! Servers that are killed and come back at the same addresses.

use std::{fs, fs::File, process::Stdio, time::Duration};

use everywire::{Result, RpcError, grpc, jsonrpc, xmlrpc, zerorpc};
use everywire_toolkit::{LockGrant, Toolkit, ToolkitClient};
use tempfile::NamedTempFile;
use tokio::{
    process::{Child, Command},
    sync::Mutex,
};

use crate::{
    serving::{PROGRAM, Serving, on_free_ports},
    textbook::TextbookLock,
};
use everywire_testing::soon;

/// The wires that a client speaks.
pub(crate) const WIRES: [&str; 4] = ["XML-RPC", "JSON-RPC", "gRPC", "zerorpc"];

/// A server with its flags.
pub(crate) struct Server {
    flags: Vec<String>,
    log: NamedTempFile,
    serving: Serving,
}

impl Server {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let log = NamedTempFile::new().unwrap();
        let child = spawn(on_free_ports(Command::new(PROGRAM)).args(&flags), log.reopen().unwrap());
        Self { flags, log, serving: Serving::listed(child).await }
    }

    pub(crate) fn url(&self, wire: &str) -> String {
        self.serving.urls[wire].clone()
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.serving.child.kill().await.unwrap();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) {
        self.serving.child.wait().await.unwrap();
    }

    /// Starts it again where it was, as soon as its ports are free: a client that looks for it at one of them may be connected
    /// to itself there for a moment.
    pub(crate) async fn restart(&mut self) {
        self.serving = soon("a server that was killed", async {
            loop {
                if let Some(serving) = Serving::if_listed(self.spawn_again()).await {
                    return serving;
                }
                let log = fs::read_to_string(self.log.path()).unwrap();
                assert!(
                    log.contains("is taken by another program"),
                    "a server that was killed does not start again: {log}"
                );
            }
        })
        .await;
    }

    fn spawn_again(&self) -> Child {
        let mut program = Command::new(PROGRAM);
        for (wire, flag) in WIRES.iter().zip(["--xmlrpc", "--jsonrpc", "--grpc", "--zerorpc"]) {
            program.args([flag, self.serving.address(wire)]);
        }
        program.args(["--locker", "127.0.0.1:0"]).args(&self.flags).kill_on_drop(true);
        spawn(&mut program, File::create(self.log.path()).unwrap())
    }

    /// Sends a signal, such as `-STOP`.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.serving.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }
}

fn spawn(program: &mut Command, log: File) -> Child {
    program.stdout(Stdio::piped()).stderr(log).spawn().unwrap()
}

/// A client of any wire, or of the textbook's lock.
pub(crate) enum AnyClient {
    Xml(ToolkitClient<xmlrpc::Client>),
    Json(ToolkitClient<jsonrpc::Client>),
    Proto(ToolkitClient<grpc::Client>),
    Zero(ToolkitClient<zerorpc::Client>),
    Textbook(Mutex<TextbookLock>),
}

impl AnyClient {
    /// At `redis://HOST:PORT` is the textbook's lock, whatever the wire.
    pub(crate) async fn connect(url: &str, wire: &str) -> Result<Self> {
        if let Some(host) = url.strip_prefix("redis://") {
            return Ok(Self::Textbook(
                TextbookLock::at(host).await.map_err(|error| RpcError::unavailable(error.to_string()))?.into(),
            ));
        }
        Ok(match wire {
            "XML-RPC" => Self::Xml(ToolkitClient::new(xmlrpc::Client::connect(url).await?)),
            "JSON-RPC" => Self::Json(ToolkitClient::new(jsonrpc::Client::connect(url).await?)),
            "gRPC" => Self::Proto(ToolkitClient::new(grpc::Client::connect(url).await?)),
            _ => Self::Zero(ToolkitClient::new(zerorpc::Client::connect(url).await?)),
        })
    }

    pub(crate) async fn lock(&self, name: &str, ttl_ms: u64, wait_ms: u64, owner: &str) -> Result<LockGrant> {
        let (lock, wait, of) = (name.to_owned(), Some(wait_ms), Some(owner.to_owned()));
        match self {
            Self::Xml(toolkit) => toolkit.lock(lock, ttl_ms, wait, of).await,
            Self::Json(toolkit) => toolkit.lock(lock, ttl_ms, wait, of).await,
            Self::Proto(toolkit) => toolkit.lock(lock, ttl_ms, wait, of).await,
            Self::Zero(toolkit) => toolkit.lock(lock, ttl_ms, wait, of).await,
            Self::Textbook(locks) => {
                let (seconds, wait) = (ttl_ms.div_ceil(1_000), Duration::from_millis(wait_ms));
                let granted = locks.lock().await.acquire(name, owner, seconds, wait).await;
                let granted = granted.map_err(|error| RpcError::unavailable(error.to_string()))?;
                let ttl_ms = seconds * 1_000;
                Ok(LockGrant { granted, owner: owner.to_owned(), token: 0, ttl_ms, holds: 1, fenced: false })
            }
        }
    }

    pub(crate) async fn unlock(&self, name: &str, owner: &str) -> Result<bool> {
        let (lock, of) = (name.to_owned(), owner.to_owned());
        match self {
            Self::Xml(toolkit) => toolkit.unlock(lock, of).await,
            Self::Json(toolkit) => toolkit.unlock(lock, of).await,
            Self::Proto(toolkit) => toolkit.unlock(lock, of).await,
            Self::Zero(toolkit) => toolkit.unlock(lock, of).await,
            Self::Textbook(locks) => {
                locks.lock().await.release(name, owner).await.map_err(|error| RpcError::unavailable(error.to_string()))
            }
        }
    }
}
