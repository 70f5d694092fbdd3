//! What holds whatever a peer sends.
//!
//! The fuzz target of the same name looks for bytes that break it; the test replays those that it has found.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use everywire_core::{
    Budget, Limits,
    wire::{self, CancellationToken, Connection, Io},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
    task::yield_now,
};

use crate::{
    Engine, Envelope, Peer, Reply, Session, SocketType,
    frames::{
        COMMAND_BYTES, GREETING, GREETING_BYTES, Taken, check_greeting, pong, put_frame, put_ready, read_ready,
        take_frame,
    },
};

/// Reads `data` as a greeting, as frames, and as all that a peer sends on one connection.
pub fn zmtp(data: &[u8]) {
    greeting(data);
    frames(data);
    connection(data);
}

/// A peer is refused at its first wrong byte and for good, and accepted at its last.
fn greeting(data: &[u8]) {
    let mut refused = false;
    for length in 0..=data.len().min(GREETING_BYTES) {
        match check_greeting(&data[..length]) {
            Ok(whole) => assert!(!refused && whole == (length == GREETING_BYTES)),
            Err(_) => refused = true,
        }
    }
}

/// The longest frame that [`frames`] takes: some that fit into an input and some that don't.
const FRAME_BYTES: usize = 300;

/// Frames are the same whether they arrive whole or byte by byte, and after they were written again.
fn frames(data: &[u8]) {
    let (taken, end) = take_all(&mut BytesMut::from(data));
    let (mut input, mut one_by_one, mut end_one_by_one) = (BytesMut::new(), Vec::new(), Ok(2));
    let mut missing: usize = 0;
    for byte in data {
        input.extend_from_slice(&[*byte]);
        missing = missing.saturating_sub(1);
        let (taken, end) = take_all(&mut input);
        assert!(taken.is_empty() || missing == 0, "{missing} bytes were missing");
        one_by_one.extend(taken);
        end_one_by_one = end;
        match &end_one_by_one {
            Ok(more) => missing = *more,
            Err(_) => break,
        }
    }
    assert_eq!((&one_by_one, &end_one_by_one), (&taken, &end));

    for taken in taken {
        match taken {
            Taken::Command(command) => {
                let _ = read_ready(&command);
                if let Ok(Some(pong)) = pong(&command) {
                    assert!(matches!(take_all(&mut BytesMut::from(&*pong)).0[..], [Taken::Command(_)]));
                }
            }
            Taken::Frame { body, more } => {
                let mut bytes = Vec::new();
                put_frame(&mut bytes, &body, more);
                assert_eq!(take_all(&mut BytesMut::from(&*bytes)).0, [Taken::Frame { body, more }]);
            }
            Taken::Missing(_) => unreachable!("it is the end"),
        }
    }
}

/// Takes frames and commands until bytes are missing, whose number is returned, or one is refused.
fn take_all(input: &mut BytesMut) -> (Vec<Taken>, Result<usize, String>) {
    let mut all = Vec::new();
    loop {
        match take_frame(input, FRAME_BYTES) {
            Ok(Taken::Missing(missing)) => {
                assert!(missing > 0 && missing <= COMMAND_BYTES);
                return (all, Ok(missing));
            }
            Ok(taken) => all.push(taken),
            Err(error) => return (all, Err(error.to_string())),
        }
    }
}

/// A connection ends in the same way however its bytes are cut, and every message is answered once.
fn connection(data: &[u8]) {
    let mut bytes = Vec::new();
    if data.first() != GREETING.first() {
        bytes.extend_from_slice(&GREETING);
        put_ready(&mut bytes, SocketType::Dealer);
    }
    bytes.extend_from_slice(data);
    let whole = converse(&bytes, usize::MAX);
    for pace in [1, 7] {
        let cut = converse(&bytes, pace);
        assert_eq!(cut.ended, whole.ended);
        // A violation takes unwritten answers with it; how many, depends on the cuts.
        if whole.ended.is_ok() {
            assert_eq!(cut.answers, whole.answers);
        }
    }
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("it needs no resources");
}

struct Conversation {
    ended: Result<(), String>,
    /// READY, each PONG and each answer, sorted, since calls that wait overtake one another.
    answers: Vec<Vec<u8>>,
}

/// Serves a peer that sends `bytes`, `pace` at a time.
fn converse(bytes: &[u8], pace: usize) -> Conversation {
    let limits = Limits { message_bytes: 2 * FRAME_BYTES, calls_in_flight: 4, unsent_bytes: 512, ..Limits::default() };
    let (stop, received) = (CancellationToken::new(), Arc::default());
    let written = Arc::default();
    let script = Script {
        rest: bytes.to_vec().into(),
        sent: 0,
        pace,
        written: Arc::clone(&written),
        ready: false,
        stop: stop.clone(),
    };
    let budget = Budget::new(limits);
    let connection = Connection::new(script, wire::Peer::LOCAL, &budget, stop);
    let engine = Engine::new("fuzz", SocketType::Router);
    let serving = engine.serve(connection, Echo { received: Arc::clone(&received) });
    let served = RUNTIME.with(|runtime| runtime.block_on(serving));
    assert_eq!(budget.bytes(), 0, "what was buffered is free again");

    let written = written.lock().expect("nobody panicked with it");
    assert!(written.len() <= GREETING_BYTES + 30 + 2 * bytes.len(), "the output is out of proportion");
    let output = written.strip_prefix(&GREETING).expect("the greeting comes first");
    let (mut answers, mut messages) = (Vec::new(), 0);
    let (mut start, mut rest) = (0, BytesMut::from(output));
    while let Ok(taken @ (Taken::Frame { .. } | Taken::Command(_))) = take_frame(&mut rest, usize::MAX) {
        if matches!(taken, Taken::Frame { more: true, .. }) {
            continue;
        }
        let end = output.len() - rest.len();
        answers.push(output[start..end].to_vec());
        start = end;
        messages += usize::from(matches!(taken, Taken::Frame { .. }));
    }
    if served.is_ok() {
        assert_eq!((start, messages), (output.len(), received.load(Relaxed)), "answers to all messages and no more");
    }
    answers.sort();
    Conversation { ended: served.map_err(|error| error.to_string()), answers }
}

/// Answers each message with its own content. A message that begins with `y` waits for a moment.
struct Echo {
    received: Arc<AtomicUsize>,
}

impl Session for Echo {
    type Call = Pin<Box<dyn Future<Output = Reply> + Send>>;
    type Request = Self::Call;
    type Channel = ();

    fn receive(
        &mut self,
        envelope: Envelope,
        body: &[Bytes],
        _peer: &mut Peer<'_, Self>,
    ) -> io::Result<Option<((), Self::Call)>> {
        self.received.fetch_add(1, Relaxed);
        let body = body.concat();
        let call: Self::Call = Box::pin(async move {
            if body.starts_with(b"y") {
                yield_now().await;
            }
            Reply::new(envelope, body)
        });
        Ok(Some(((), call)))
    }

    fn call(&mut self, request: Self::Call) -> Self::Call {
        request
    }
}

/// A peer that sends the script and then asks the server to stop. It reads faster than it writes.
struct Script {
    rest: Bytes,
    sent: usize,
    pace: usize,
    written: Arc<Mutex<Vec<u8>>>,
    /// Whether the next write is accepted: every other one has to wait.
    ready: bool,
    stop: CancellationToken,
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        assert!(buffer.remaining() <= (64 << 10) + 2 * self.sent, "reserved beyond what was received");
        if self.rest.is_empty() {
            self.stop.cancel();
            return Poll::Pending;
        }
        let length = self.pace.min(self.rest.len()).min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        self.sent += length;
        Poll::Ready(Ok(()))
    }
}

impl Io for Script {}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.ready = !self.ready;
        if self.ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let length = bytes.len().min(self.pace.saturating_mul(16));
        self.written.lock().expect("nobody panicked with it").extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[test]
fn the_corpus_breaks_nothing() {
    everywire_testing::replay("zmtp", zmtp);
}
