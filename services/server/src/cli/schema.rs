//! `everywire schema`: a service as other tools read it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use everywire::{Result, RpcError};
use everywire::{grpc::schema::proto, jsonrpc::schema::openrpc};
use everywire_toolkit::ToolkitService;
use serde_json::Value;

use super::{
    folder, json_text, of_flag, print,
    remote::{
        self, Location, MetadataFlag, Options, Plain, Wire,
        grpc::{self, proto::File},
        method,
    },
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
    /// Write each .proto file to its place in this folder, for protoc and buf
    ///
    /// A server may have several files, which import each other by their places. Without this flag they are printed one after the
    /// other, each below a comment with its name.
    #[arg(short, long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// What is known of a service.
enum Description {
    Proto(Vec<File>),
    Other(String),
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
        let description = match &self.source {
            Source::Proto => {
                let name = format!("{}.proto", service.full_name().replace('.', "/"));
                Description::Proto(vec![File { name, text: proto(service) }])
            }
            Source::Openrpc => Description::Other(pretty(&openrpc(service))?),
            Source::Url(url) => remote::within(self.timeout, url, Box::pin(self.of_server(url))).await?,
        };
        match (&self.out, description) {
            (Some(folder), description) => write(folder, description).map_err(of_flag("--out"))?,
            (None, Description::Proto(files)) => print(grpc::proto::print(&files))?,
            (None, Description::Other(text)) => print(text)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn of_server(&self, url: &str) -> Result<Description> {
        let location = Location::of(url, self.metadata.context()?).await?;
        let options = Options { timeout: self.timeout, ..Options::default() };
        match location.wire {
            Wire::Grpc => {
                let (_, schema) = grpc::open(&location, &options).await?;
                Ok(Description::Proto(grpc::proto::files(&schema)))
            }
            Wire::Jsonrpc => {
                let server = Plain::connect(location, &options).await?;
                pretty(&remote::document(&server).await?).map(Description::Other)
            }
            _ => remote::methods(location, &options).await.map(|methods| Description::Other(method::list(&methods))),
        }
    }
}

/// Writes the files and prints their paths.
fn write(folder: &Path, description: Description) -> Result<()> {
    let Description::Proto(files) = description else {
        return Err(RpcError::invalid_argument("only .proto files are written to a folder; this is one text"));
    };
    files.iter().try_for_each(|file| {
        let path = folder::write(folder, &file.name, &file.text)?;
        print(format_args!("{}\n", path.display()))
    })
}

fn pretty(document: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(document).map_err(RpcError::internal)?;
    Ok(json_text(&text) + "\n")
}
