//! Flags of the commands that reach a server.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::metadata::MetadataFlag;

/// How a server is reached, and where its schema is.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Options {
    /// Time to wait for the response
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(in crate::cli) timeout: Duration,
    #[command(flatten)]
    pub(in crate::cli) metadata: MetadataFlag,
    /// The schema of a gRPC server, instead of its reflection
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) proto: Option<PathBuf>,
    /// Where the .proto file imports from [default: its folder]
    #[arg(long, value_name = "FOLDER", requires = "proto")]
    pub(in crate::cli) proto_path: Vec<PathBuf>,
    /// The queue of requests on AMQP [default: everywire.v1.Toolkit]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) queue: Option<String>,
}
