//! The times that an HTTP/1 connection may wait for a request.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use everywire_core::{
    Budget, Limit,
    wire::{Io, Socket},
};
use hyper::rt::{self, Timer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep_until},
};

/// What a connection's socket, requests and timer know of one another.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Bytes have arrived since the last response, or that response ends the connection.
    is_asking: AtomicBool,
    /// A request has been answered.
    has_answered: AtomicBool,
    /// No head is awaited any more.
    is_shutting_down: AtomicBool,
}

impl Activity {
    /// Notes that a request has been answered. If the response closes the connection, its peer may have more to send than has been
    /// read.
    pub(crate) fn answered(&self, closes: bool) {
        self.has_answered.store(true, Relaxed);
        self.is_asking.store(closes, Relaxed);
    }

    /// Ends the wait for a head that has not arrived yet.
    pub(crate) fn stop(&self) {
        self.is_shutting_down.store(true, Relaxed);
    }
}

/// A socket that records when bytes arrive, and lingers if its peer is in the middle of a request.
pub(crate) struct Tracked<IO> {
    socket: Socket<IO>,
    activity: Arc<Activity>,
}

impl<IO: Io> Tracked<IO> {
    pub(crate) fn new(socket: Socket<IO>, activity: &Arc<Activity>) -> Self {
        Self { socket, activity: Arc::clone(activity) }
    }

    pub(crate) fn into_socket(self) -> Socket<IO> {
        self.socket
    }
}

impl<IO: Io> AsyncRead for Tracked<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.is_asking.store(true, Relaxed);
        } else if read.is_ready() {
            // The peer has closed its side and sends nothing more.
            self.activity.is_asking.store(false, Relaxed);
        }
        read
    }
}

impl<IO: Io> AsyncWrite for Tracked<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.is_asking.load(Relaxed) {
            self.socket.linger();
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Times the head of a request: `handshake_time` from its first byte, and on a new connection from its beginning. Between
/// requests `idle_time` counts. hyper itself has one time for both.
pub(crate) struct HeadTimer {
    activity: Arc<Activity>,
    budget: Arc<Budget>,
}

impl HeadTimer {
    pub(crate) fn new(activity: &Arc<Activity>, budget: &Arc<Budget>) -> Self {
        Self { activity: Arc::clone(activity), budget: Arc::clone(budget) }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    /// hyper asks for one whenever it begins to wait for a head, with `handshake_time` from now.
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let limits = self.budget.limits();
        let is_idle = self.activity.has_answered.load(Relaxed);
        let wait = if is_idle { limits.idle_time.saturating_sub(limits.handshake_time) } else { Duration::ZERO };
        Box::pin(HeadSleep {
            activity: Arc::clone(&self.activity),
            budget: Arc::clone(&self.budget),
            is_idle,
            deadline: deadline + wait,
            sleep: None,
        })
    }
}

struct HeadSleep {
    activity: Arc<Activity>,
    budget: Arc<Budget>,
    /// The connection has answered a request, and no byte of the next one is there.
    is_idle: bool,
    deadline: Instant,
    /// Made when there is something to wait for: most heads are there.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl rt::Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.activity.is_shutting_down.load(Relaxed) {
            return Poll::Ready(());
        }
        if this.is_idle && this.activity.is_asking.load(Relaxed) {
            this.is_idle = false;
            this.deadline = Instant::now() + this.budget.limits().handshake_time;
            this.sleep = None;
        }
        let deadline = this.deadline.into();
        ready!(this.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline))).as_mut().poll(cx));
        if this.is_idle {
            this.budget.record(Limit::IdleTime, "an HTTP connection was closed");
        } else {
            this.budget.record(Limit::HandshakeTime, "the head of an HTTP request did not arrive in time");
        }
        Poll::Ready(())
    }
}
