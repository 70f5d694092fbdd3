//! Peers that take their time: the same on every wire, at each place where a request can stop.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use super::{
    End, HANDSHAKE, MESSAGE, Peer, SLACK, Said, Target, Wire, expect,
    http::{call, head, post},
    http2, websocket, zmtp,
};

/// The time between two bytes. At one byte a second, the server would not even have to notice that bytes go on coming.
const BETWEEN_BYTES: Duration = Duration::from_millis(250);
/// Idle connections, half of them silent and half of them greeted.
const IDLE: usize = 2_000;
/// They are opened in groups, 2,000 a second.
const GROUP: usize = 20;
const GROUP_PAUSE: Duration = Duration::from_millis(10);

/// Enough to see whether a connection has been closed.
const A_LOOK: Duration = Duration::from_millis(1);

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
    let body = [b' '; 1_000];
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
            let headers = http2::headers(1, "/everywire.v1.Toolkit/add");
            let request = [hello.as_slice(), &headers].concat();
            vec![
                stop("preface", b"", &hello, HANDSHAKE),
                // A peer that answers no ping of the server is lost after twice the time.
                stop("headers", &hello, &http2::unended_headers(1), 2 * MESSAGE),
                stop("message", &request, &http2::data(1, &body, false), 2 * MESSAGE),
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
    for number in 0..IDLE {
        let mut peer = target.connect(number)?;
        if number % 2 == 1 {
            peer.send(&hello)?;
        }
        peers.push(peer);
        if number % GROUP == 0 {
            thread::sleep(GROUP_PAUSE);
        }
    }
    thread::sleep(HANDSHAKE + SLACK);
    let mut open = [0; 2];
    for (number, peer) in peers.iter_mut().enumerate() {
        open[number % 2] += usize::from(peer.hear(A_LOOK, |_| false)? != End::Closed);
    }
    let [silent, greeted] = open;
    expect(silent == 0, || format!("{silent} of {} silent ones are still open", IDLE / 2))?;
    Ok(format!("silent ones closed, {greeted} of {} greeted ones kept", IDLE / 2))
}
