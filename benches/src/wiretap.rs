//! A proxy that counts the bytes of a connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use everywire::{Result, RpcError};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    result::Traffic,
    target::{Target, Work},
};

/// Calls over which the bytes are averaged: numbers in headers grow, and what is compressed repeats.
const CALLS: u32 = 300;

/// Bytes of `add(3, 4)`, without those that open the connection.
pub async fn traffic(target: &Target) -> Result<Traffic> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(RpcError::internal)?;
    let at = listener.local_addr().map_err(RpcError::internal)?;
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let count = async {
        let client = target.connect_to(&at.to_string()).await?;
        let now = || [counts[0].load(Relaxed), counts[1].load(Relaxed)].map(|bytes| bytes as f64);
        let before = now();
        for _ in 0..CALLS {
            client.run(&Work::Add).await?;
        }
        let after = now();
        let per_call = |way: usize| (after[way] - before[way]) / f64::from(CALLS);
        Ok(Traffic { target: target.name.to_owned(), sent: per_call(0), received: per_call(1) })
    };
    tokio::select! {
        counted = count => counted,
        never = relay(listener, &target.address, &counts) => match never {},
    }
}

/// Passes connections on until it is dropped.
async fn relay(listener: TcpListener, to: &str, counts: &Arc<[AtomicU64; 2]>) -> std::convert::Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok(accepted) = accepted {
                connections.spawn(pass_on(accepted, to.to_owned(), Arc::clone(counts)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(
    (mut near, _): (TcpStream, SocketAddr),
    to: String,
    counts: Arc<[AtomicU64; 2]>,
) -> std::io::Result<()> {
    let mut far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
    tokio::try_join!(copy(near_in, far_out, &counts[0]), copy(far_in, near_out, &counts[1])).map(drop)
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: &AtomicU64,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        count.fetch_add(read as u64, Relaxed);
        to.write_all(&buffer[..read]).await?;
    }
}
