//! How a connection begins.

use std::{future::poll_fn, io, pin::Pin};

use bytes::BytesMut;
use everywire_net::poll_read_more;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{
    SocketType,
    frames::{self, GREETING, GREETING_BYTES, Taken, violation},
};

/// Greets at once, as old peers wait for it; says READY when the peer's greeting is right. Returns what was read behind the
/// peer's READY.
pub(crate) async fn shake_hands(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    socket: SocketType,
) -> io::Result<BytesMut> {
    let mut input = BytesMut::new();
    io.write_all(&GREETING).await?;
    while !frames::check_greeting(&input)? {
        read_more(io, &mut input).await?;
    }
    let _ = input.split_to(GREETING_BYTES);
    let mut ready = Vec::new();
    frames::put_ready(&mut ready, socket);
    loop {
        match frames::take_frame(&mut input, 0) {
            Ok(Taken::Command(peers)) => {
                check_ready(&peers)?;
                send(io, &mut ready).await?;
                return Ok(input);
            }
            Ok(Taken::Missing(_)) => {
                send(io, &mut ready).await?;
                read_more(io, &mut input).await?;
            }
            Err(violation) if violation.kind() != io::ErrorKind::QuotaExceeded => return Err(violation),
            Ok(Taken::Frame { .. }) | Err(_) => return Err(violation("a message before READY")),
        }
    }
}

fn check_ready(ready: &[u8]) -> io::Result<()> {
    match frames::read_ready(ready)? {
        SocketType::Dealer | SocketType::Req => Ok(()),
        SocketType::Router | SocketType::Rep => Err(violation("a socket type that does not ask")),
    }
}

/// Sends what has not been sent yet.
async fn send(io: &mut (impl AsyncWrite + Unpin), bytes: &mut Vec<u8>) -> io::Result<()> {
    io.write_all(&std::mem::take(bytes)).await?;
    io.flush().await
}

async fn read_more(io: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> io::Result<()> {
    match poll_fn(|cx| poll_read_more(Pin::new(&mut *io), cx, input, 0)).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
