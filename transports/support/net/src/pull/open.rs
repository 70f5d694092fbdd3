//! The streams that callers pull from a server.

use std::{
    collections::HashMap,
    future::{pending, poll_fn},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Release},
        },
    },
    time::Duration,
};

use everywire_core::{Budget, Code, Limit, Peer, Result, RpcError};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{Batch, Items};

/// How long a pull over HTTP waits for an item. Then it returns none, and the caller pulls again: so a caller that gets no response
/// knows that the server is gone, and what stands between the two sees no idle connection.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The streams that are open, by their tokens. Each is owned by a task of its own until it ends.
///
/// A token can't be guessed, and works only from the IP address that opened the stream.
#[derive(Debug)]
pub struct OpenStreams {
    streams: Mutex<HashMap<String, Entry>>,
    lasting: Lasting,
}

/// How long a stream lasts that nobody pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// As long as the connection.
    Connection,
    /// For `stream_idle_time`. Nothing else says that its caller is gone.
    IdleTime,
}

#[derive(Debug)]
struct Entry {
    owner: Option<IpAddr>,
    is_pulled: Arc<AtomicBool>,
    pulls: mpsc::Sender<Pull>,
    _task: AbortOnDropHandle<()>,
}

/// One pull.
struct Pull {
    /// How many items it takes.
    most: usize,
    /// How many items the caller has received.
    received: Option<u64>,
    batch: oneshot::Sender<Result<Batch>>,
}

impl OpenStreams {
    /// For the streams of one connection. They end with it, which is when this is dropped.
    pub fn of_connection() -> Arc<Self> {
        Self::new(Lasting::Connection)
    }

    /// For the streams of all connections of a listener, which any connection from the same address may pull. Each pull has to say
    /// how many items the caller has received: after a response is lost, the next pull is an error, and no item is missing unnoticed.
    pub fn of_listener() -> Arc<Self> {
        Self::new(Lasting::IdleTime)
    }

    fn new(lasting: Lasting) -> Arc<Self> {
        Arc::new(Self { streams: Mutex::default(), lasting })
    }

    /// Opens a stream of `peer`: returns the items that are there at once, and a token for the others if there are more.
    pub fn open(
        self: &Arc<Self>,
        peer: &Peer,
        mut items: Items,
        budget: &Arc<Budget>,
    ) -> Result<(Batch, Option<String>)> {
        let first = items.first_batch(budget);
        if first.is_last() {
            return Ok((first, None));
        }
        let token = self.keep(peer, items, first.len(), budget)?;
        Ok((first, Some(token)))
    }

    /// Keeps `items`, of which `sent` have been sent, until they are pulled, and returns their token.
    pub fn keep(self: &Arc<Self>, peer: &Peer, items: Items, sent: usize, budget: &Arc<Budget>) -> Result<String> {
        let token = Uuid::new_v4().simple().to_string();
        let mut streams = self.streams();
        let (limit, most) = match self.lasting {
            Lasting::Connection => (Limit::WaitingCalls, budget.limits().waiting_calls),
            Lasting::IdleTime => (Limit::CallsInAll, budget.limits().calls_in_all),
        };
        if streams.len() >= most {
            return Err(budget.exceeded(limit, "too many streams are open"));
        }
        let (sender, pulls) = mpsc::channel(1);
        let stream = OpenStream { items, pulls, sent: sent as u64, budget: Arc::clone(budget), lasting: self.lasting };
        let closing = Closing { streams: Arc::downgrade(self), token: token.clone() };
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            stream.run().await;
            drop(closing);
        }));
        streams.insert(token.clone(), Entry { owner: ip(peer), is_pulled: Arc::default(), pulls: sender, _task: task });
        Ok(token)
    }

    /// Waits for the next items of the stream of `peer` with this `token`, at most `most`; none if it has no such stream. If this is
    /// dropped, the stream ends, as it does with an error.
    pub async fn pull(&self, peer: &Peer, token: &str, received: Option<u64>, most: usize) -> Option<Result<Batch>> {
        let (pulls, is_pulled) = {
            let streams = self.streams();
            let entry = streams.get(token).filter(|entry| entry.owner == ip(peer))?;
            (entry.pulls.clone(), Arc::clone(&entry.is_pulled))
        };
        let Some(_pulling) = Pulling::begin(is_pulled) else {
            return Some(Err(RpcError::failed_precondition("another call waits for the items of this stream")));
        };
        let (sender, batch) = oneshot::channel();
        pulls.try_send(Pull { most, received, batch: sender }).ok()?;
        batch.await.ok()
    }

    /// Whether no stream is open.
    pub fn is_empty(&self) -> bool {
        self.streams().is_empty()
    }

    /// Ends the stream of `peer` with this `token`, and returns whether there is one.
    pub fn end(&self, peer: &Peer, token: &str) -> bool {
        let mut streams = self.streams();
        if streams.get(token).is_none_or(|entry| entry.owner != ip(peer)) {
            return false;
        }
        let ended = streams.remove(token);
        // The items of a stream may take a while to drop.
        drop(streams);
        ended.is_some()
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The only pull of a stream, until it ends.
struct Pulling(Arc<AtomicBool>);

impl Pulling {
    /// None if there is another one.
    fn begin(is_pulled: Arc<AtomicBool>) -> Option<Self> {
        (!is_pulled.swap(true, AcqRel)).then_some(Self(is_pulled))
    }
}

impl Drop for Pulling {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

/// The error of a pull for which there is no stream.
pub fn no_stream() -> RpcError {
    RpcError::unavailable(
        "there is no such stream: it has ended, was not pulled for too long, or is of another server or caller",
    )
}

fn ip(peer: &Peer) -> Option<IpAddr> {
    peer.address.map(|address| address.ip().to_canonical())
}

/// Removes a stream that has ended.
struct Closing {
    streams: Weak<OpenStreams>,
    token: String,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(streams) = self.streams.upgrade() {
            let ended = streams.streams().remove(&self.token);
            drop(ended);
        }
    }
}

/// One stream.
struct OpenStream {
    items: Items,
    pulls: mpsc::Receiver<Pull>,
    /// How many items have been sent.
    sent: u64,
    budget: Arc<Budget>,
    lasting: Lasting,
}

impl OpenStream {
    /// Answers pulls until the end of the stream or an error, until a caller leaves that waits for items, or until nobody has pulled for
    /// too long.
    async fn run(mut self) {
        let idle_time = self.budget.limits().stream_idle_time;
        loop {
            let idle = async {
                match self.lasting {
                    Lasting::Connection => pending().await,
                    Lasting::IdleTime => sleep(idle_time).await,
                }
            };
            let pull = tokio::select! {
                pull = self.pulls.recv() => pull,
                error = poll_fn(|cx| self.items.poll_end(cx)) => return self.report(error).await,
                () = idle => return self.budget.record(Limit::StreamIdleTime, "a stream is not pulled"),
            };
            let Some(Pull { most, received, mut batch }) = pull else { return };
            let next = tokio::select! {
                next = self.next(received, most) => next,
                () = batch.closed() => return,
            };
            let goes_on = next.as_ref().is_ok_and(|next| !next.is_last());
            if batch.send(next).is_err() || !goes_on {
                return;
            }
        }
    }

    /// The next items; after a while none, where a pull must not take longer.
    async fn next(&mut self, received: Option<u64>, most: usize) -> Result<Batch> {
        let longest = match (self.lasting, received) {
            (Lasting::Connection, _) => None,
            (Lasting::IdleTime, Some(received)) if received == self.sent => Some(LONGEST_WAIT),
            (Lasting::IdleTime, Some(received)) => {
                let sent = self.sent;
                return Err(RpcError::new(
                    Code::DataLoss,
                    format!("{sent} items were sent, and the caller has received {received}"),
                ));
            }
            (Lasting::IdleTime, None) => {
                return Err(RpcError::invalid_argument(
                    "`received` is missing: how many items have been received so far",
                ));
            }
        };
        let next = poll_fn(|cx| self.items.poll_batch(most, &self.budget, cx));
        let batch = match longest {
            Some(longest) => timeout(longest, next).await.unwrap_or_else(|_| Ok(Batch::default()))?,
            None => next.await?,
        };
        self.sent += batch.len() as u64;
        Ok(batch)
    }

    /// Keeps the error that has ended the stream for the next pull, as long as a connection may be idle.
    async fn report(mut self, error: RpcError) {
        let limits = self.budget.limits();
        let time = match self.lasting {
            Lasting::Connection => limits.idle_time,
            Lasting::IdleTime => limits.stream_idle_time,
        };
        if let Ok(Some(pull)) = timeout(time, self.pulls.recv()).await {
            let _ = pull.batch.send(Err(error));
        }
    }
}
