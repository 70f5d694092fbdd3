//! `everywire schema`: the service as other tools read it.

use clap::{Args, ValueEnum};
use everywire::{Result, RpcError};
use everywire::{grpc, jsonrpc};
use everywire_toolkit::ToolkitService;

use super::print;

/// Print the service's schema: the .proto for gRPC, or the OpenRPC document for JSON-RPC
#[derive(Debug, Clone, Args)]
pub(crate) struct Schema {
    format: Format,
}

#[derive(Debug, Clone, ValueEnum)]
enum Format {
    /// Protocol Buffers 3
    Proto,
    /// OpenRPC 1.3, as returned by rpc.discover
    Openrpc,
}

impl Schema {
    pub(crate) fn run(self) -> Result<()> {
        let service = ToolkitService::descriptor();
        match self.format {
            Format::Proto => print(grpc::schema::proto(service)),
            Format::Openrpc => {
                let document = jsonrpc::schema::openrpc(service);
                print(serde_json::to_string_pretty(&document).map_err(RpcError::internal)? + "\n")
            }
        }
    }
}
