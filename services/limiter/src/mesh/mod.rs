//! Limiters that inform each other of their grants, over ZeroMQ PUB and SUB.
//!
//! Each limiter grants by its own slots, in which it also counts the grants of its peers. A message has two frames:
//!
//! ```text
//! "locker"           the resource
//! "go 2 799000"      2 permits were granted; the slot has 799,000 microseconds left
//!
//! ""  "alive"        once a second
//! ```
//!
//! # Guarantees
//! With K limiters of N permits, a slot has at most N permits, plus those that the limiter which grants last has not heard of by
//! then. These are
//!
//! - the permits that the others granted within d before, if messages take d, which is below a quarter of a slot;
//! - those that they granted in the slot and whose messages were lost: in a partition, all of them;
//! - those that they granted in the slot before that limiter started or, after a silence, heard them again.
//!
//! There are never more than K N.
//!
//! The limiters agree on slots without a common clock: slots that end less than half a slot apart are one. A message contains the
//! rest of the sender's slot. A limiter that has none open joins that slot. If the sender is already in the next slot, its permit
//! counts in the receiver's slot and in the next one, which the receiver then joins. So the slots of limiters that were apart
//! converge, and the receiver's next slot is shorter by less than a half. A late message about a slot that has ended counts in the
//! open slot, if there is one. As with a single limiter, two slots can meet within the length of one.
//!
//! # Limits
//! Messages wait in bounded queues that drop the excess: 1,024 messages here, and 100,000 for each subscriber in the `zeromq`
//! crate. A limiter reconnects to a peer that is silent for three seconds. Connections to the bound address are not limited, and
//! peers are trusted, so the mesh needs a network of its own.

mod message;
#[cfg(test)]
mod simulated;
mod sockets;

use std::{
    convert::Infallible,
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use everywire_core::{Result, RpcError};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use zeromq::{Endpoint, PubSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use self::sockets::Sockets;
use crate::{Permit, SlotLimiter};

/// The most messages that wait to be published.
const MAX_QUEUED: usize = 1_024;
/// The time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After this time without a message, a limiter reconnects to the peer.
const SILENCE: Duration = Duration::from_secs(3);
/// The pause after a failed connection.
const RETRY: Duration = Duration::from_millis(200);

/// Slots that include the permits of other limiters.
#[derive(Debug)]
pub struct MeshLimiter {
    slots: Arc<SlotLimiter>,
    address: String,
    messages: mpsc::Sender<ZmqMessage>,
    /// Grants whose messages were dropped since the last one was published.
    dropped: Arc<AtomicU64>,
    sockets: Sockets,
}

impl MeshLimiter {
    /// Binds `address`, such as `tcp://127.0.0.1:7778`, where the grants of `slots` are published. Port 0 selects a free one.
    pub async fn bind(slots: SlotLimiter, address: &str) -> Result<Self> {
        check_address(address)?;
        let failed = |error: &dyn Display| RpcError::unavailable(format!("can't bind {address}: {error}"));
        let mut sockets = Sockets::start().map_err(|error| failed(&error))?;
        let wanted = address.to_owned();
        let binding = async move {
            let mut socket = PubSocket::new();
            socket.bind(&wanted).await.map(|bound| (socket, bound))
        };
        let bound = sockets.runtime.spawn(binding).await.map_err(|error| failed(&error))?;
        let (socket, bound) = bound.map_err(|error| failed(&error))?;
        let (messages, published) = mpsc::channel(MAX_QUEUED);
        let dropped = Arc::new(AtomicU64::new(0));
        sockets.run(publish(socket, published, Arc::clone(&dropped)));
        Ok(Self { slots: slots.with_peers().into(), address: bound.to_string(), messages, dropped, sockets })
    }

    /// Counts the grants of the peer at `address`, as soon as it can be reached. They count once per call of this method.
    pub fn peer(mut self, address: &str) -> Result<Self> {
        check_address(address)?;
        self.sockets.run(follow(address.to_owned(), Arc::clone(&self.slots)));
        Ok(self)
    }

    /// The bound address, with the actual port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Takes `permits` of `resource`, all or none.
    pub fn acquire(&self, resource: &str, permits: u32) -> Result<Permit> {
        let (permit, rest) = self.slots.take(resource, permits)?;
        if permit.go && self.messages.try_send(message::go(resource, permits, rest)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(permit)
    }
}

fn check_address(address: &str) -> Result<()> {
    if let Ok(Endpoint::Tcp(..)) = address.parse() {
        return Ok(());
    }
    Err(RpcError::invalid_argument(format!("`{address}` is not a valid address; expected tcp://HOST:PORT")))
}

/// Publishes messages, and a heartbeat at each interval.
async fn publish(mut socket: PubSocket, mut messages: mpsc::Receiver<ZmqMessage>, dropped: Arc<AtomicU64>) {
    let mut heartbeats = interval(HEARTBEAT);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            Some(message) = messages.recv() => message,
            _ = heartbeats.tick() => message::alive(),
        };
        let dropped = dropped.swap(0, Relaxed);
        if dropped > 0 {
            tracing::warn!("the limiter's peers do not hear of {dropped} grants: its queue was full");
        }
        if let Err(error) = socket.send(message).await {
            tracing::warn!("the limiter's peers do not hear of a grant: {error}");
        }
    }
}

/// Listens to a peer, and reconnects whenever it is lost.
async fn follow(peer: String, slots: Arc<SlotLimiter>) {
    let mut is_heard = true;
    loop {
        let Err(why) = hear(&peer, &slots, &mut is_heard).await;
        if is_heard {
            tracing::warn!("the limiter does not hear {peer}: {why}. Until it does, grants of this peer do not count");
            is_heard = false;
        }
        sleep(RETRY).await;
    }
}

/// Counts the grants of a peer until it is silent.
async fn hear(peer: &str, slots: &SlotLimiter, is_heard: &mut bool) -> Result<Infallible, String> {
    let mut socket = SubSocket::new();
    let silent = |_| format!("nothing within {SILENCE:?}");
    let failed = |error: zeromq::ZmqError| error.to_string();
    timeout(SILENCE, socket.connect(peer)).await.map_err(silent)?.map_err(failed)?;
    timeout(SILENCE, socket.subscribe("")).await.map_err(silent)?.map_err(failed)?;
    loop {
        let message = timeout(SILENCE, socket.recv()).await.map_err(silent)?.map_err(failed)?;
        if !*is_heard {
            tracing::info!("the limiter hears {peer} again");
            *is_heard = true;
        }
        if let Some((resource, permits, rest)) = message::read(&message)
            && let Err(error) = slots.count(resource, permits, rest)
        {
            tracing::debug!(peer, "a peer's grant does not count: {error}");
        }
    }
}
