//! Peers that take their time: the same on every wire, at each place where a request can stop.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use super::{
    A_LOOK, End, HANDSHAKE, IDLE, MESSAGE, Peer, SLACK, Said, Target, Wire, expect,
    http::{call, head, post},
    http2, websocket, zmtp,
};

/// The time between two bytes. At one byte a second, the server would not even have to notice that bytes go on coming.
const BETWEEN_BYTES: Duration = Duration::from_millis(250);
/// Idle connections, half of them silent and half of them greeted.
const CONNECTIONS: usize = 2_000;
/// They are opened in groups, 2,000 a second.
const GROUP: usize = 20;
const GROUP_PAUSE: Duration = Duration::from_millis(10);

/// A place where a request can stop.
struct Stop {
    place: &'static str,
    /// What was sent in time.
    before: Vec<u8>,
    /// What never arrives whole.
    slow: Vec<u8>,
    /// When the server has to give up.
    limit: Duration,
}

fn stops(target: &Target) -> Vec<Stop> {
    let stop =
        |place, before: &[u8], slow: &[u8], limit| Stop { place, before: before.to_vec(), slow: slow.to_vec(), limit };
    let body = [b'{'; 1_000];
    let hello = greeted(target);
    match target.wire {
        Wire::Xmlrpc | Wire::JsonHttp => {
            let head = head(target, 1_000).into_bytes();
            vec![stop("head", b"", &head, HANDSHAKE), stop("body", &head, &body, MESSAGE)]
        }
        Wire::JsonWs => {
            let message = websocket::frame(0x81, &body);
            vec![stop("head", b"", &hello, HANDSHAKE), stop("message", &hello, &message, MESSAGE)]
        }
        Wire::Grpc => {
            let headers = http2::headers(1, http2::ADD);
            let request = [hello.as_slice(), &headers].concat();
            vec![
                stop("preface", b"", &hello, HANDSHAKE),
                // A peer that answers no ping of the server is lost after twice the time.
                stop("headers", &hello, &http2::unended_headers(1), 2 * MESSAGE),
                stop("message", &request, &http2::data(1, &body, false), MESSAGE),
            ]
        }
        Wire::Zerorpc | Wire::Locker => {
            let message = zmtp::message(&body);
            vec![stop("greeting", b"", &hello, HANDSHAKE), stop("message", &hello, &message, MESSAGE)]
        }
    }
}

/// What a peer sends before it may fall silent in good order.
fn greeted(target: &Target) -> Vec<u8> {
    match target.wire {
        Wire::Xmlrpc | Wire::JsonHttp => post(target, call(target, "add", "3, 4").as_bytes()),
        Wire::JsonWs => websocket::handshake(&target.address.to_string()).into_bytes(),
        Wire::Grpc => http2::hello(),
        Wire::Zerorpc | Wire::Locker => zmtp::hello(target),
    }
}

pub(super) fn silence(target: &Target) -> Said {
    at_each_stop(target, |stop, peer| {
        let half = &stop.slow[..stop.slow.len() / 2];
        peer.send(&[&stop.before, half].concat())?;
        gives_up(target, peer, stop.limit + SLACK)
    })
}

pub(super) fn byte_by_byte(target: &Target) -> Said {
    at_each_stop(target, |stop, peer| {
        peer.send(&stop.before)?;
        let begun = Instant::now();
        for byte in stop.slow.chunks(1) {
            let open = peer.send(byte)?;
            if !open || gives_up(target, peer, BETWEEN_BYTES)? {
                return Ok(true);
            }
            if begun.elapsed() > stop.limit + SLACK {
                return Ok(false);
            }
        }
        unreachable!("the time is over before the bytes")
    })
}

/// Waits at all stops at the same time; `attack` says whether the server gave up.
fn at_each_stop(target: &Target, attack: impl Fn(&Stop, &mut Peer) -> io::Result<bool> + Sync) -> Said {
    let attack = |stop: Stop| {
        let begun = Instant::now();
        let mut peer = target.connect(0)?;
        let gave_up = attack(&stop, &mut peer)?;
        let (place, time) = (stop.place, begun.elapsed());
        expect(gave_up, || format!("{place}: still waited for after {time:.1?}"))?;
        expect(time >= stop.limit.mul_f64(0.8), || format!("{place}: given up too early, after {time:.1?}"))?;
        Ok(format!("{place} {time:.1?}"))
    };
    let said = thread::scope(|scope| {
        let threads: Vec<_> = stops(target).into_iter().map(|stop| scope.spawn(move || attack(stop))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no attack panics")).collect::<io::Result<Vec<_>>>()
    })?;
    Ok(format!("gave up: {}", said.join(", ")))
}

/// Whether the server closes the connection, or answers the call on it, within `time`.
fn gives_up(target: &Target, peer: &mut Peer, time: Duration) -> io::Result<bool> {
    Ok(peer.hear(time, |heard| target.wire == Wire::Grpc && http2::is_refusal(heard))? != End::Silent)
}

pub(super) fn idle(target: &Target) -> Said {
    let hello = greeted(target);
    let mut peers = Vec::new();
    for number in 0..CONNECTIONS {
        let mut peer = target.connect(number)?;
        if number % 2 == 1 {
            peer.send(&hello)?;
        }
        peers.push(peer);
        if number % GROUP == 0 {
            thread::sleep(GROUP_PAUSE);
        }
    }
    let (mut greeted, mut silent) = (Vec::new(), Vec::new());
    for (number, peer) in peers.into_iter().enumerate() {
        if number % 2 == 1 { greeted.push(peer) } else { silent.push(peer) }
    }
    let silent = all_closed("silent", silent, HANDSHAKE + SLACK)?;
    let greeted = all_closed("greeted", greeted, IDLE + SLACK)?;
    Ok(format!("silent ones closed within {silent:.1?}, greeted ones within {:.1?}", silent + greeted))
}

/// Waits until the server has closed all, at most for `limit`; how long that took.
fn all_closed(what: &str, mut peers: Vec<Peer>, limit: Duration) -> io::Result<Duration> {
    let begun = Instant::now();
    loop {
        let mut open = Vec::new();
        for mut peer in peers {
            if !peer.is_closed()? {
                open.push(peer);
            }
        }
        let time = begun.elapsed();
        if open.is_empty() {
            return Ok(time);
        }
        expect(time < limit, || format!("{} {what} connections are still open after {time:.1?}", open.len()))?;
        peers = open;
        thread::sleep(A_LOOK);
    }
}
