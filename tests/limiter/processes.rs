//! Several servers, each a process, and a client of each.

use std::process::Stdio;

use everywire::grpc;
use everywire_toolkit::{Permit, Toolkit, ToolkitClient};
use tokio::process::Command;

use crate::serving::{PROGRAM, Serving, on_free_ports};

pub(crate) struct Process {
    pub(crate) serving: Serving,
    pub(crate) toolkit: ToolkitClient<grpc::Client>,
}

impl Process {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let mut program = on_free_ports(Command::new(PROGRAM));
        let child = program.args(flags).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let serving = Serving::listed(child).await;
        let toolkit = ToolkitClient::new(grpc::Client::connect(&serving.urls["gRPC"]).await.unwrap());
        Self { serving, toolkit }
    }

    pub(crate) async fn acquire(&self, resource: &str, permits: u32) -> everywire::Result<Permit> {
        self.toolkit.acquire(resource.to_owned(), Some(permits)).await
    }
}
