//! `everywire schema`: a service as other tools read it.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use everywire::{Result, RpcError};
use everywire::{grpc::schema::proto, jsonrpc::schema::openrpc};
use everywire_toolkit::ToolkitService;
use serde_json::Value;

use super::{
    json_text, print, printable,
    remote::{self, Location, MetadataFlag, Options, Plain, Wire, grpc, method},
};

/// Print the schema of `everywire serve`, or of any server
///
/// Of a server, that is its .proto on gRPC (by reflection), its OpenRPC document on JSON-RPC (by rpc.discover), and the list of
/// its methods on XML-RPC and zerorpc.
#[derive(Debug, Clone, Args)]
pub(crate) struct Schema {
    /// proto: Protocol Buffers 3. openrpc: OpenRPC 1.3, as returned by rpc.discover. Or the URL of a server
    #[arg(value_name = "proto|openrpc|URL", value_parser = source)]
    source: Source,
    /// Time to wait for the server
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    metadata: MetadataFlag,
}

#[derive(Debug, Clone)]
enum Source {
    Proto,
    Openrpc,
    Url(String),
}

fn source(text: &str) -> Result<Source, String> {
    match text {
        "proto" => Ok(Source::Proto),
        "openrpc" => Ok(Source::Openrpc),
        url if url.contains("://") => Ok(Source::Url(url.to_owned())),
        _ => Err("expected proto, openrpc or the URL of a server".to_owned()),
    }
}

impl Schema {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let service = ToolkitService::descriptor();
        let text = match &self.source {
            Source::Proto => proto(service),
            Source::Openrpc => pretty(&openrpc(service))?,
            Source::Url(url) => remote::within(self.timeout, url, Box::pin(self.of_server(url))).await?,
        };
        print(text)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn of_server(&self, url: &str) -> Result<String> {
        let location = Location::of(url, self.metadata.context()?).await?;
        let options = Options { timeout: self.timeout, ..Options::default() };
        match location.wire {
            Wire::Grpc => {
                let (_, schema) = grpc::open(&location, &options).await?;
                Ok(printable(&grpc::print(&schema)))
            }
            Wire::Jsonrpc => {
                let server = Plain::connect(location, &options).await?;
                pretty(&remote::document(&server).await?)
            }
            _ => remote::methods(location, &options).await.map(|methods| method::list(&methods)),
        }
    }
}

fn pretty(document: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(document).map_err(RpcError::internal)?;
    Ok(json_text(&text) + "\n")
}
