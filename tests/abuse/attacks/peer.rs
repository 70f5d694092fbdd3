//! One attacking connection.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::{SLACK, Said, Target};
use crate::sockets;

/// The attackers come from as many addresses, from 127.0.0.2 on.
const ADDRESSES: usize = 16;
/// What a connection that is never read holds in the attackers' kernel, at most about twice that.
const UNREAD_BYTES: usize = 8 << 10;
/// The time between two looks at the connections.
pub(crate) const A_LOOK: Duration = Duration::from_millis(50);
/// The longest that a write may take: longer than the server takes to give up.
const WRITING: Duration = Duration::from_secs(3);

impl Target {
    /// A connection from one of the attackers' addresses.
    pub(crate) fn connect(&self, number: usize) -> io::Result<Peer> {
        Ok(Peer::new(self.socket(number)?.into()))
    }

    /// A connection that never reads, until [`Peer::closed`].
    pub(crate) fn connect_unread(&self, number: usize) -> io::Result<Peer> {
        let socket = self.socket_with(number, |socket| socket.set_recv_buffer_size(UNREAD_BYTES))?;
        Ok(Peer::new(socket.into()))
    }

    /// The server has to close all connections of this attack within `time` and a little. Nothing is read to find out:
    /// the kernel tells what the server's ends do.
    pub(crate) fn given_up(&self, time: Duration) -> Said {
        let begun = Instant::now();
        let is_held = |socket: &sockets::Socket| {
            socket.is_open && SocketAddr::from(socket.here) == self.address && *socket.there.ip() != Ipv4Addr::LOCALHOST
        };
        loop {
            let held = sockets::all().iter().filter(|socket| is_held(socket)).count();
            if held == 0 {
                return Ok(format!("closed unread, the last after {:.1?}", begun.elapsed()));
            }
            expect(begun.elapsed() < time + SLACK, || format!("{held} still open after {:.1?}", begun.elapsed()))?;
            thread::sleep(A_LOOK);
        }
    }

    fn socket(&self, number: usize) -> io::Result<Socket> {
        self.socket_with(number, |_| Ok(()))
    }

    fn socket_with(&self, number: usize, set: impl Fn(&Socket) -> io::Result<()>) -> io::Result<Socket> {
        let last = u8::try_from(2 + number % ADDRESSES).expect("few addresses");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        set(&socket)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
        socket.connect(&self.address.into())?;
        socket.set_tcp_nodelay(true)?;
        socket.set_write_timeout(Some(WRITING))?;
        Ok(socket)
    }
}

/// A connection, and all that it has heard.
pub(crate) struct Peer {
    stream: TcpStream,
    pub(crate) heard: Vec<u8>,
    opened: Instant,
}

/// How listening ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// What was waited for came.
    Heard,
    /// The server closed the connection, well or with a reset.
    Closed,
    /// Neither, until the time was over.
    Silent,
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        Self { stream, heard: Vec::new(), opened: Instant::now() }
    }

    /// Sends, if the server has not closed; false if it has, or takes nothing for long.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match self.stream.write_all(bytes) {
            Ok(()) => Ok(true),
            Err(error) if is_end(&error) || is_late(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Listens until what was heard is `done`, at most for `time`.
    pub(crate) fn hear(&mut self, time: Duration, mut done: impl FnMut(&[u8]) -> bool) -> io::Result<End> {
        let until = Instant::now() + time;
        let mut buffer = [0; 16 << 10];
        while !done(&self.heard) {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Ok(End::Silent);
            };
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(End::Closed),
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) if is_end(&error) => return Ok(End::Closed),
                Err(error) if is_late(&error) => return Ok(End::Silent),
                Err(error) => return Err(error),
            }
        }
        Ok(End::Heard)
    }

    /// The server has to close within `time` and a little.
    pub(crate) fn closed(&mut self, time: Duration) -> Said {
        let end = self.hear(time + SLACK, |_| false)?;
        expect(end == End::Closed, || format!("still open after {:.1?}", self.opened.elapsed()))?;
        Ok(if time < SLACK { "closed".to_owned() } else { format!("closed after {:.0?}", self.opened.elapsed()) })
    }

    /// Whether the server has closed, by what has come so far.
    pub(crate) fn is_closed(&mut self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let end = self.hear(SLACK, |_| false)?;
        self.stream.set_nonblocking(false)?;
        Ok(end == End::Closed)
    }
}

/// An error with `otherwise`, unless `holds`.
pub(crate) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(otherwise())) }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
