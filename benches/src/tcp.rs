//! The floor: bytes to another process and back over a TCP connection, with nothing around them.

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
};

use everywire::{Result, RpcError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What a ping-pong for a small call has, in bytes.
pub const PING: usize = 64;

const BUFFER: usize = 64 << 10;

/// Sends back whatever comes, until it is dropped.
pub async fn serve(listener: TcpListener) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((socket, _)) = accepted {
                connections.spawn(echo(socket));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn echo(mut socket: TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return Ok(()),
            read => socket.write_all(&buffer[..read]).await?,
        }
    }
}

/// A client of the floor: a connection for each call at the same time, as HTTP/1 has.
#[derive(Debug)]
pub struct Tcp {
    address: String,
    idle: Mutex<Vec<TcpStream>>,
}

impl Tcp {
    /// A client of `address`. The first call connects.
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), idle: Mutex::default() }
    }

    /// Sends `bytes` bytes and waits until they are back.
    pub async fn ping(&self, bytes: usize) -> Result<()> {
        let failed = |error| RpcError::unavailable(format!("tcp {}: {error}", self.address));
        let idle = self.idle().pop();
        let mut socket = match idle {
            Some(socket) => socket,
            None => self.connect().await.map_err(failed)?,
        };
        exchange(&mut socket, bytes).await.map_err(failed)?;
        self.idle().push(socket);
        Ok(())
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn exchange(socket: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let message = vec![b'x'; bytes];
    if bytes <= BUFFER {
        let mut answer = vec![0; bytes];
        socket.write_all(&message).await?;
        return socket.read_exact(&mut answer).await.map(drop);
    }
    // What does not fit into the buffers on the way has to be read while it is written.
    let mut answer = vec![0; bytes];
    let (mut reader, mut writer) = socket.split();
    tokio::try_join!(writer.write_all(&message), reader.read_exact(&mut answer)).map(drop)
}
