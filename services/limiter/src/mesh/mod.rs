//! Limiters that tell each other what they have granted, over ZeroMQ PUB and SUB.
//!
//! Each grants by its own slots, and counts in them what it hears of its peers. A message has two frames:
//!
//! ```text
//! "locker"           the resource
//! "go 2 799000"      2 permits were granted; the slot has 799,000 microseconds left
//!
//! ""  "alive"        once a second
//! ```
//!
//! # What it promises
//! With K limiters of N permits, a slot has at most N permits, and those of which the limiter that grants last has not heard
//! by then. These are
//!
//! - what the others granted within d before, if news takes d, which is below a quarter of a slot;
//! - what they granted in the slot and was lost: in a partition all of it;
//! - what they had granted in the slot before that limiter started or, after a silence, heard them again.
//!
//! It is never more than K N.
//!
//! A slot here is what its limiters agree on without a clock in common: slots that end less than half a slot apart are
//! one. A message says how much of the sender's slot is left. A limiter that has none open joins that one. If the sender has
//! gone on to the next slot already, its permit counts in the receiver's slot and in the next one, which the receiver then
//! joins; so the slots of limiters that were apart meet again, and the receiver's next one is shorter by less than a half.
//! Late news of a slot that has ended counts in no other one, but in the one that is open, if there is one. As in slots of one
//! limiter, two slots can meet within one slot's length.
//!
//! # What is bounded
//! News waits in queues that drop what is too much: 1,024 messages here, and 100,000 for each subscriber in the `zeromq`
//! crate. A peer that is silent for three seconds is connected to again. Nothing limits who connects to the address
//! that is bound, or what is believed of a peer, so both belong in a network of their own.

use std::{
    convert::Infallible,
    fmt::Display,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use everywire_core::{Result, RpcError};
use tokio::{
    runtime::{Builder, Handle},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use zeromq::{Endpoint, PubSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use super::SlotLimiter;
use crate::Permit;

/// News that waits to be published.
const MOST_NEWS: usize = 1_024;
/// From one sign of life to the next.
const BEAT: Duration = Duration::from_secs(1);
/// A peer that says nothing for so long is connected to again.
const SILENCE: Duration = Duration::from_secs(3);
/// From one failed connection to the next.
const RETRY: Duration = Duration::from_millis(200);

/// Slots in which the permits of other limiters count.
#[derive(Debug)]
pub struct MeshLimiter {
    slots: Arc<SlotLimiter>,
    address: String,
    news: mpsc::Sender<ZmqMessage>,
    /// What was granted and not told, since the last sign of life.
    untold: Arc<AtomicU64>,
    sockets: Sockets,
}

impl MeshLimiter {
    /// Binds `address`, such as `tcp://127.0.0.1:7778`, where peers hear what `slots` grants. Port 0 takes a free one.
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
        let (news, published) = mpsc::channel(MOST_NEWS);
        let untold = Arc::new(AtomicU64::new(0));
        sockets.run(publish(socket, published, Arc::clone(&untold)));
        Ok(Self { slots: slots.with_peers().into(), address: bound.to_string(), news, untold, sockets })
    }

    /// Counts what the peer at `address` grants, as soon as it is there and as long as this lives. What a peer grants counts
    /// as often as it is named.
    pub fn peer(mut self, address: &str) -> Result<Self> {
        check_address(address)?;
        self.sockets.run(follow(address.to_owned(), Arc::clone(&self.slots)));
        Ok(self)
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Takes `permits` of `resource`, all or none.
    pub fn acquire(&self, resource: &str, permits: u32) -> Result<Permit> {
        let (permit, rest) = self.slots.take(resource, permits)?;
        if permit.go && self.news.try_send(go(resource, permits, rest)).is_err() {
            self.untold.fetch_add(1, Relaxed);
        }
        Ok(permit)
    }
}

/// The runtime of the sockets, on a thread of its own.
///
/// The `zeromq` crate keeps subscribers in a map whose locks it holds across an await, and also takes them in ways that block
/// the thread. With several threads, peers that leave all at once could so stop every one of them; with one, no lock is held
/// when another task runs.
#[derive(Debug)]
struct Sockets {
    runtime: Handle,
    /// These and the thread end with this.
    tasks: JoinSet<()>,
    _lives: oneshot::Sender<Infallible>,
}

impl Sockets {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (lives, ended)) = (runtime.handle().clone(), oneshot::channel());
        thread::Builder::new().name("mesh".to_owned()).spawn(move || runtime.block_on(ended).err())?;
        Ok(Self { runtime: handle, tasks: JoinSet::new(), _lives: lives })
    }

    fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }
}

fn check_address(address: &str) -> Result<()> {
    if let Ok(Endpoint::Tcp(..)) = address.parse() {
        return Ok(());
    }
    Err(RpcError::invalid_argument(format!("`{address}` is not a valid address; expected tcp://HOST:PORT")))
}

fn go(resource: &str, permits: u32, rest: Duration) -> ZmqMessage {
    message(resource.to_owned(), format!("go {permits} {}", rest.as_micros()))
}

fn message(topic: String, text: String) -> ZmqMessage {
    let mut message = ZmqMessage::from(topic);
    message.push_back(Bytes::from(text));
    message
}

/// What a message says: the resource, the permits, and what is left of the slot. Nothing for a sign of life.
fn read(message: &ZmqMessage) -> Option<(&str, u32, Duration)> {
    let resource = std::str::from_utf8(message.get(0)?).ok()?;
    let (permits, rest) = std::str::from_utf8(message.get(1)?).ok()?.strip_prefix("go ")?.split_once(' ')?;
    Some((resource, permits.parse().ok()?, Duration::from_micros(rest.parse().ok()?)))
}

async fn publish(mut socket: PubSocket, mut news: mpsc::Receiver<ZmqMessage>, untold: Arc<AtomicU64>) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            Some(go) = news.recv() => go,
            _ = beats.tick() => message(String::new(), "alive".to_owned()),
        };
        let untold = untold.swap(0, Relaxed);
        if untold > 0 {
            tracing::warn!("the limiter granted {untold} times more than it could tell its peers");
        }
        if let Err(error) = socket.send(message).await {
            tracing::warn!("the limiter's peers do not hear of a permit: {error}");
        }
    }
}

/// Hears a peer, again and again.
async fn follow(peer: String, slots: Arc<SlotLimiter>) {
    let mut is_heard = true;
    loop {
        let Err(why) = hear(&peer, &slots, &mut is_heard).await;
        if is_heard {
            tracing::warn!(
                "the limiter does not hear {peer}: {why}. Until it does, what is granted there does not count"
            );
            is_heard = false;
        }
        sleep(RETRY).await;
    }
}

/// Counts what a peer grants until it is silent.
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
        if let Some((resource, permits, rest)) = read(&message)
            && let Err(error) = slots.count(resource, permits, rest)
        {
            tracing::debug!(peer, "a peer's permit does not count: {error}");
        }
    }
}

#[cfg(test)]
mod simulated;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let granted = go("a b", 3, Duration::from_micros(1_500));
        assert_eq!(granted.get(1).unwrap(), "go 3 1500");
        assert_eq!(read(&granted), Some(("a b", 3, Duration::from_micros(1_500))));
    }

    #[test]
    fn what_is_no_news_is_passed_over() {
        for text in ["alive", "", "go", "go 1", "go 1 ", "go -1 5", "go 4294967296 5", "go 1 x", "gone 1 5"] {
            assert_eq!(read(&message("a".to_owned(), text.to_owned())), None, "{text}");
        }
        assert_eq!(read(&ZmqMessage::from("a")), None);
    }
}
