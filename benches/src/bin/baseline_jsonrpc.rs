//! `baseline_jsonrpc ADDRESS [THREADS]`: `add` as jsonrpsee's own documentation writes it.

use std::error::Error;

use everywire_benches::{baseline_server, stdin_closed};
use jsonrpsee_server::{RpcModule, Server, ServerConfig, types::ErrorObjectOwned};
use serde::Deserialize;

/// Arguments, by position or by name.
#[derive(Deserialize)]
struct Add {
    a: i64,
    b: i64,
}

fn main() -> Result<(), Box<dyn Error>> {
    baseline_server::serve(|listener| async {
        let config = ServerConfig::builder().max_connections(1_024).build();
        let server = Server::builder().set_config(config).build_from_tcp(listener.into_std()?)?;
        let mut module = RpcModule::new(());
        module.register_async_method("add", |params, _, _| async move {
            let Add { a, b } = params.parse()?;
            a.checked_add(b).ok_or_else(|| ErrorObjectOwned::owned(11, "the sum is beyond 64 bits", None::<()>))
        })?;
        let handle = server.start(module);
        stdin_closed().await;
        handle.stop()?;
        handle.stopped().await;
        Ok(())
    })
}
