//! A proxy that counts connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Hands each connection on to one address, until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    used: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, used) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let running = tokio::spawn(run(listener, server, Arc::clone(&used)));
        Self { address, used, running }
    }

    /// Connections so far that carried something; one that only shows that the server is there is not counted.
    pub(crate) fn connections(&self) -> usize {
        self.used.load(Relaxed)
    }
}

async fn run(listener: TcpListener, server: SocketAddr, used: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let used = Arc::clone(&used);
        connections.spawn(async move {
            if near.peek(&mut [0]).await? > 0 {
                used.fetch_add(1, Relaxed);
            }
            let mut far = TcpStream::connect(server).await?;
            far.set_nodelay(true)?;
            near.set_nodelay(true)?;
            copy_bidirectional(&mut near, &mut far).await
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}
