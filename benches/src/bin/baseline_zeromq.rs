//! `baseline_zeromq ADDRESS [THREADS]`: the `zeromq` crate's ROUTER, which answers each zerorpc request with 7. It
//! copies the request's id from where everywire's client has it and reads nothing else.

use std::error::Error;

use bytes::Bytes;
use everywire_benches::{baseline_server, stdin_closed};
use zeromq::{RouterSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

/// Where the id begins in a request: behind `[{"message_id": bin8(32)`.
const ID: usize = 15;
const ID_BYTES: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    baseline_server::serve(|listener| async move {
        // The crate binds by itself; what was bound only found a free port.
        let address = listener.local_addr()?;
        drop(listener);
        let mut router = RouterSocket::new();
        router.bind(&format!("tcp://{address}")).await?;
        tokio::select! {
            ended = answer(router) => ended,
            () = stdin_closed() => Ok(()),
        }
    })
}

async fn answer(mut router: RouterSocket) -> Result<(), Box<dyn Error>> {
    loop {
        let request = router.recv().await?.into_vec();
        let id = request.last().and_then(|payload| payload.get(ID..ID + ID_BYTES)).ok_or("a request without an id")?;
        let reply = reply(id);
        let mut frames = request;
        frames.pop();
        frames.push(reply);
        router.send(ZmqMessage::try_from(frames).expect("it has a payload")).await?;
    }
}

/// `[{"message_id": …, "v": 3, "response_to": …}, "OK", [7]]`.
fn reply(id: &[u8]) -> Bytes {
    [b"\x93\x83\xAAmessage_id\xC4\x20", id, b"\xA1v\x03\xABresponse_to\xC4\x20", id, b"\xA2OK\x91\x07"].concat().into()
}
