//! Servers that are killed and come back at the same addresses.

use std::process::Stdio;

use everywire::{Result, grpc, jsonrpc, services::ToolkitClient, xmlrpc, zerorpc};
use tokio::process::Command;

use crate::serving::{PROGRAM, Serving, on_free_ports};

/// The wires that a client speaks.
pub(crate) const WIRES: [&str; 4] = ["XML-RPC", "JSON-RPC", "gRPC", "zerorpc"];

/// A server with its flags.
pub(crate) struct Server {
    flags: Vec<String>,
    serving: Serving,
}

impl Server {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let mut program = on_free_ports(Command::new(PROGRAM));
        let child = program.args(&flags).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Self { flags, serving: Serving::listed(child).await }
    }

    pub(crate) fn url(&self, wire: &str) -> String {
        self.serving.urls[wire].clone()
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.serving.child.kill().await.unwrap();
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        let mut program = Command::new(PROGRAM);
        for (wire, flag) in WIRES.iter().zip(["--xmlrpc", "--jsonrpc", "--grpc", "--zerorpc"]) {
            program.args([flag, self.serving.address(wire)]);
        }
        program.args(["--locker", "127.0.0.1:0"]).args(&self.flags).kill_on_drop(true);
        let child = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        self.serving = Serving::listed(child).await;
    }

    /// Sends `-STOP` or `-CONT`.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.serving.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }
}

/// A client of any wire.
pub(crate) enum AnyClient {
    Xml(ToolkitClient<xmlrpc::Client>),
    Json(ToolkitClient<jsonrpc::Client>),
    Proto(ToolkitClient<grpc::Client>),
    Zero(ToolkitClient<zerorpc::Client>),
}

impl AnyClient {
    pub(crate) async fn connect(url: &str, wire: &str) -> Result<Self> {
        Ok(match wire {
            "XML-RPC" => Self::Xml(ToolkitClient::new(xmlrpc::Client::connect(url).await?)),
            "JSON-RPC" => Self::Json(ToolkitClient::new(jsonrpc::Client::connect(url).await?)),
            "gRPC" => Self::Proto(ToolkitClient::new(grpc::Client::connect(url).await?)),
            _ => Self::Zero(ToolkitClient::new(zerorpc::Client::connect(url).await?)),
        })
    }
}

/// Calls a method over whatever wire it is.
macro_rules! over {
    ($client:expr, $toolkit:ident => $call:expr) => {
        match $client {
            $crate::servers::AnyClient::Xml($toolkit) => $call,
            $crate::servers::AnyClient::Json($toolkit) => $call,
            $crate::servers::AnyClient::Proto($toolkit) => $call,
            $crate::servers::AnyClient::Zero($toolkit) => $call,
        }
    };
}
pub(crate) use over;
