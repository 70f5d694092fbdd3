//! `add` as jsonrpsee's own documentation writes it: the other side of the comparison with `serve_add`.
//!
//! Serves on the port given as argument until standard input closes.

use std::{error::Error, io};

use jsonrpsee_server::{RpcModule, Server, types::ErrorObjectOwned};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".to_owned());
    let server = Server::builder().build(format!("127.0.0.1:{port}")).await?;
    println!("jsonrpsee http://{}", server.local_addr()?);
    let mut module = RpcModule::new(());
    module.register_async_method("add", |params, _, _| async move {
        let (a, b): (i64, i64) = params.parse()?;
        a.checked_add(b).ok_or_else(|| ErrorObjectOwned::owned(11, "the sum is beyond 64 bits", None::<()>))
    })?;
    let handle = server.start(module);
    stdin_closed().await;
    handle.stop()?;
    handle.stopped().await;
    Ok(())
}

async fn stdin_closed() {
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || closed.send(io::copy(&mut io::stdin(), &mut io::sink())));
    let _ = wait.await;
}
