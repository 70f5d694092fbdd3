//! What holds whatever a peer sends on a WebSocket.
//!
//! The fuzz target of the same name looks for bytes that break it; the test replays those that it has found.

use bytes::BytesMut;

use crate::frames::{Assembler, Close, Taken};

/// The longest message: some fit into an input and some don't.
const MESSAGE_BYTES: usize = 300;

/// Reads `data` as frames: they are the same whether they arrive whole or byte by byte.
pub fn websocket(data: &[u8]) {
    let (taken, end) = take_all(&mut Assembler::default(), &mut data.into());
    let (mut assembler, mut input) = (Assembler::default(), BytesMut::new());
    let (mut one_by_one, mut end_one_by_one, mut missing) = (Vec::new(), Ok(2), 0_usize);
    for byte in data {
        input.extend_from_slice(&[*byte]);
        missing = missing.saturating_sub(1);
        let (taken, end) = take_all(&mut assembler, &mut input);
        assert!(taken.is_empty() || missing == 0, "{missing} bytes were missing");
        one_by_one.extend(taken);
        end_one_by_one = end;
        match &end_one_by_one {
            Ok(more) => missing = *more,
            Err(_) => break,
        }
        let kept = input.len() + assembler.unfinished().unwrap_or(0);
        assert!(kept <= 2 * MESSAGE_BYTES + 14, "{kept} bytes are kept");
    }
    assert_eq!((&one_by_one, &end_one_by_one), (&taken, &end));
    for taken in taken {
        match taken {
            Taken::Message(message) => assert!(message.len() <= MESSAGE_BYTES),
            Taken::Ping(payload) => assert!(payload.len() <= 125),
            Taken::Close(close) => put(&close),
            Taken::Pong | Taken::Missing(_) => {}
        }
    }
    if let Err(close) = end {
        put(&close);
    }
}

/// Takes frames until bytes are missing, whose number is returned, or the session has to end.
fn take_all(assembler: &mut Assembler, input: &mut BytesMut) -> (Vec<Taken>, Result<usize, Close>) {
    let mut all = Vec::new();
    loop {
        match assembler.take(input, MESSAGE_BYTES) {
            Ok(Taken::Missing(missing)) => return (all, Ok(missing)),
            Ok(taken) => all.push(taken),
            Err(close) => return (all, Err(close)),
        }
    }
}

/// A close frame is a control frame.
fn put(close: &Close) {
    let mut frame = Vec::new();
    close.put(&mut frame);
    assert!(frame[0] == 0x88 && frame.len() == 2 + usize::from(frame[1]) && frame[1] <= 125);
}

#[cfg(test)]
#[test]
fn the_corpus_breaks_nothing() {
    everywire_testing::replay("websocket", websocket);
}
