//! The attacks as data, and what they have in common. What each wire needs is written by hand in a file of its own.

mod http;
mod http2;
mod peer;
mod slow;
mod streams;
mod websocket;
mod zmtp;

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

pub(crate) use peer::{A_LOOK, End, Peer, expect};

/// The program's limits of time.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(1);
pub(crate) const MESSAGE: Duration = Duration::from_secs(1);
/// More than the 3 s for which the XML-RPC client keeps a connection that it may use again.
pub(crate) const IDLE: Duration = Duration::from_secs(4);
/// How much later than its limits say the program may act, on a machine with other work.
pub(crate) const SLACK: Duration = Duration::from_secs(1);
/// The most bytes of one message: the program's default.
pub(crate) const MESSAGE_BYTES: usize = 8 << 20;
/// The pause between two attacks of [`again`].
const PAUSE: Duration = Duration::from_millis(50);

/// What is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Xmlrpc,
    JsonHttp,
    JsonWs,
    Grpc,
    Zerorpc,
    Locker,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Xmlrpc => "XML-RPC",
            Self::JsonHttp => "JSON-RPC",
            Self::JsonWs => "WebSocket",
            Self::Grpc => "gRPC",
            Self::Zerorpc => "zerorpc",
            Self::Locker => "locker",
        }
    }
}

/// Where an attack goes, and how long it goes on if it can.
pub(crate) struct Target {
    pub(crate) wire: Wire,
    pub(crate) address: SocketAddr,
    pub(crate) time: Duration,
}

/// What the server said, or how it failed to refuse.
pub(crate) type Said = io::Result<String>;

/// A row of the table.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) wire: Wire,
    pub(crate) run: fn(&Target) -> Said,
}

/// Every attack, on each wire that it fits.
pub(crate) const ATTACKS: &[Attack] = &{
    use Wire::{Grpc, JsonHttp, JsonWs, Locker, Xmlrpc, Zerorpc};
    const fn on(wire: Wire, name: &'static str, run: fn(&Target) -> Said) -> Attack {
        Attack { name, wire, run }
    }
    [
        on(Xmlrpc, "nothing, busily", |target| Ok(nothing(target))),
        on(Zerorpc, "the 73 bytes", zmtp::the_73_bytes),
        on(Locker, "the 73 bytes", zmtp::the_73_bytes),
        on(Xmlrpc, "2 GiB Content-Length", http::two_gib),
        on(JsonHttp, "2 GiB Content-Length", http::two_gib),
        on(Xmlrpc, "lengths 2^31, 2^45, 2^64-1", http::lengths),
        on(JsonHttp, "lengths 2^31, 2^45, 2^64-1", http::lengths),
        on(JsonWs, "lengths 2^31, 2^45, 2^64-1", websocket::lengths),
        on(Grpc, "lengths 2^31, 2^32-1", http2::lengths),
        on(Zerorpc, "lengths 2^31, 2^45, 2^64-1", zmtp::lengths),
        on(Locker, "lengths 2^31, 2^45, 2^64-1", zmtp::lengths),
        on(Zerorpc, "MessagePack 2^31, 2^32-1", zmtp::msgpack_lengths),
        on(JsonWs, "frames of 1 GiB", websocket::one_gib),
        on(Grpc, "HTTP/2 frame of 16 MiB", http2::frame_length),
        on(Xmlrpc, "endless head", http::endless_head),
        on(JsonHttp, "endless head", http::endless_head),
        on(Xmlrpc, "entity bomb", http::entity_bomb),
        on(Xmlrpc, "external entity", http::external_entity),
        on(Xmlrpc, "20,000 nestings", http::nestings),
        on(JsonHttp, "20,000 nestings", http::nestings),
        on(JsonWs, "20,000 nestings", websocket::nestings),
        on(Grpc, "20,000 nestings", http2::nestings),
        on(Zerorpc, "20,000 nestings", zmtp::nestings),
        on(Xmlrpc, "invalid UTF-8", http::invalid_utf8),
        on(JsonHttp, "invalid UTF-8", http::invalid_utf8),
        on(JsonWs, "invalid UTF-8", websocket::invalid_utf8),
        on(Grpc, "invalid UTF-8", http2::invalid_utf8),
        on(Zerorpc, "invalid UTF-8", zmtp::invalid_utf8),
        on(Xmlrpc, "gzip bomb", http::gzip_bomb),
        on(JsonHttp, "gzip bomb", http::gzip_bomb),
        on(JsonWs, "compressed frame", websocket::compressed),
        on(Grpc, "compressed message", http2::compressed),
        on(Xmlrpc, "DNS rebinding", http::rebinding),
        on(JsonHttp, "DNS rebinding", http::rebinding),
        on(JsonWs, "DNS rebinding", websocket::rebinding),
        on(Xmlrpc, "batch of 100,000 calls", http::batch),
        on(JsonHttp, "batch of 100,000 calls", http::batch),
        on(JsonWs, "batch of 100,000 calls", websocket::batch),
        on(Xmlrpc, "1,000 pipelined requests", http::pipelined),
        on(JsonHttp, "1,000 pipelined requests", http::pipelined),
        on(JsonWs, "1,000 pipelined requests", websocket::pipelined),
        on(Grpc, "1,000 pipelined requests", http2::pipelined),
        on(Zerorpc, "1,000 pipelined requests", zmtp::pipelined),
        on(Locker, "1,000 pipelined requests", zmtp::pipelined),
        on(Grpc, "2,000 open streams", http2::open_streams),
        on(Grpc, "rapid reset", http2::rapid_reset),
        on(Grpc, "continuation flood", http2::continuation_flood),
        on(Grpc, "PING flood", http2::ping_flood),
        on(Grpc, "SETTINGS flood", http2::settings_flood),
        on(JsonWs, "PING flood", websocket::ping_flood),
        on(Zerorpc, "PING flood", zmtp::ping_flood),
        on(Xmlrpc, "half a request and silence", slow::silence),
        on(JsonHttp, "half a request and silence", slow::silence),
        on(JsonWs, "half a request and silence", slow::silence),
        on(Grpc, "half a request and silence", slow::silence),
        on(Zerorpc, "half a request and silence", slow::silence),
        on(Locker, "half a request and silence", slow::silence),
        on(Xmlrpc, "byte by byte", slow::byte_by_byte),
        on(JsonHttp, "byte by byte", slow::byte_by_byte),
        on(JsonWs, "byte by byte", slow::byte_by_byte),
        on(Grpc, "byte by byte", slow::byte_by_byte),
        on(Zerorpc, "byte by byte", slow::byte_by_byte),
        on(Locker, "byte by byte", slow::byte_by_byte),
        on(Xmlrpc, "2,000 idle connections", slow::idle),
        on(JsonHttp, "2,000 idle connections", slow::idle),
        on(JsonWs, "2,000 idle connections", slow::idle),
        on(Grpc, "2,000 idle connections", slow::idle),
        on(Zerorpc, "2,000 idle connections", slow::idle),
        on(Locker, "2,000 idle connections", slow::idle),
        on(Xmlrpc, "40 bodies lack a byte", http::unfinished),
        on(JsonHttp, "40 bodies lack a byte", http::unfinished),
        on(JsonWs, "48 messages lack a byte", websocket::unfinished),
        on(Grpc, "100 streams lack a byte", http2::unfinished),
        on(Zerorpc, "48 messages lack a byte", zmtp::unfinished),
        on(Locker, "48 messages lack a byte", zmtp::unfinished),
        on(Xmlrpc, "never reads long replies", http::never_reads),
        on(JsonHttp, "never reads long replies", http::never_reads),
        on(JsonWs, "never reads long replies", websocket::never_reads),
        on(Grpc, "never reads long replies", http2::never_reads),
        on(Grpc, "opens no window for 100 replies", http2::opens_no_window),
        on(Zerorpc, "never reads long replies", zmtp::never_reads),
        on(Locker, "never reads its replies", zmtp::never_reads_words),
        on(Xmlrpc, "streams that nobody pulls", streams::tokens),
        on(JsonHttp, "streams that nobody pulls", streams::tokens),
        on(JsonWs, "never reads its subscriptions", streams::subscriptions),
        on(Grpc, "streams opened and reset", streams::resets),
        on(Zerorpc, "streams without credit", streams::no_credit),
    ]
};

/// Two busy threads that leave the server alone.
fn nothing(target: &Target) -> String {
    let begun = Instant::now();
    let busy = || while begun.elapsed() < target.time {};
    thread::scope(|scope| {
        scope.spawn(busy);
        busy();
    });
    "it was not asked".to_owned()
}

/// Attacks for the target's time, each time on a new connection; what the last one heard.
pub(crate) fn again(target: &Target, attack: impl Fn(&mut Peer) -> Said) -> Said {
    let begun = Instant::now();
    for count in 1.. {
        let said = attack(&mut target.connect(count)?)?;
        if begun.elapsed() >= target.time {
            return Ok(format!("{said}; {count} times"));
        }
        thread::sleep(PAUSE);
    }
    unreachable!("the time ends")
}

/// Attacks on `count` connections at the same time; what they heard, each different thing once.
pub(crate) fn at_once(target: &Target, count: usize, attack: impl Fn(&mut Peer) -> Said + Sync) -> Said {
    let attack = |number| attack(&mut target.connect(number)?);
    let mut all = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || attack(number))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("an attack does not panic"))
            .collect::<io::Result<Vec<_>>>()
    })?;
    all.sort_unstable();
    all.dedup();
    Ok(format!("{count} times: {}", all.join(", ")))
}
