//! `by_hand_jsonrpc ADDRESS`: `add` as jsonrpsee's own documentation writes it, on one thread, until standard input closes.

use std::error::Error;

use everywire::serde::Deserialize;
use everywire_benches::{argument, stdin_closed};
use jsonrpsee_server::{RpcModule, Server, types::ErrorObjectOwned};

/// Arguments, by position or by name.
#[derive(Deserialize)]
#[serde(crate = "everywire::serde")]
struct Add {
    a: i64,
    b: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::builder().build(argument(1, "an address")?).await?;
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
}
