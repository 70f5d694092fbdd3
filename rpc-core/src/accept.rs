//! Accepts connections and runs them within the limits.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    budget::Budget,
    connection::Connection,
    limits::Limit,
    listener::{Io, Listener, Peer},
    waiting::Waiting,
};

/// The pause after a failed accept: long enough not to spin while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The pause between two lines of the log about it.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// Accepts until `shutdown` and runs `serve` on each connection, as many as `budget` allows at the same time; then waits for
/// those that are open. A connection beyond a limit is closed at once.
///
/// Each connection has a token of its own for the shutdown and should end once its calls are answered. Dropping this future
/// ends all connections.
pub(crate) async fn serve_connections<L: Listener, F>(
    wire: &'static str,
    mut listener: L,
    budget: &Arc<Budget>,
    shutdown: &CancellationToken,
    serve: impl Fn(Connection<L::Io>) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut running = Running { wire, open: Arc::default(), tasks: JoinSet::new() };
    let mut failures = Failures { wire, logged: None };
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((io, peer)) => {
                    // Each step of a connection asks its token, under the token's lock. A token each keeps connections from
                    // contending.
                    running.start(Connection::new(io, peer.on(wire), budget, shutdown.child_token()), &serve);
                }
                Err(error) => failures.pause(&error).await,
            },
            Some(ended) = running.tasks.join_next() => report(wire, ended),
        }
    }
    // Clients that connect from here on are rejected at once instead of waiting in vain.
    drop(listener);
    while let Some(ended) = running.tasks.join_next().await {
        report(wire, ended);
    }
}

/// The tasks of the open connections.
struct Running {
    wire: &'static str,
    open: Arc<Open>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Serves the connection in a task of its own, unless a limit is met.
    fn start<IO: Io, F>(&mut self, connection: Connection<IO>, serve: &impl Fn(Connection<IO>) -> F)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (wire, peer) = (self.wire, connection.peer.clone());
        let Some(permit) = self.open.enter(wire, &peer, &connection.waiting, &connection.budget) else { return };
        let serving = serve(connection);
        self.tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(wire, %peer, %error, "a connection ended early");
            }
            drop(permit);
        });
    }
}

fn report(wire: &str, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(wire, %error, "a connection's task failed");
    }
}

/// Failed accepts.
struct Failures {
    wire: &'static str,
    logged: Option<Instant>,
}

impl Failures {
    /// Pauses after `error`, which it logs unless it has just logged another.
    async fn pause(&mut self, error: &io::Error) {
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOG_PAUSE) {
            tracing::warn!(wire = self.wire, %error, "accept failed: new connections wait until it works");
            self.logged = Some(Instant::now());
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// The open connections of one wire.
#[derive(Debug, Default)]
struct Open(Mutex<Connections>);

#[derive(Debug, Default)]
struct Connections {
    by_address: HashMap<IpAddr, HashMap<u64, Waiting>>,
    all: usize,
    /// The number of the next connection.
    next: u64,
}

impl Connections {
    /// Whether at least `limit` connections are open, not counting those with a waiting call. Looks at them only if the total
    /// reaches the limit.
    fn are_full(&self, limit: usize) -> bool {
        self.all >= limit && self.by_address.values().map(busy).sum::<usize>() >= limit
    }

    /// The same for the connections of one address.
    fn are_full_for(&self, address: IpAddr, limit: usize) -> bool {
        let from_there = self.by_address.get(&address);
        from_there.is_some_and(|open| open.len() >= limit && busy(open) >= limit)
    }
}

/// How many of the connections have no call that waits.
fn busy(connections: &HashMap<u64, Waiting>) -> usize {
    connections.values().filter(|waiting| waiting.calls() == 0).count()
}

impl Open {
    /// Counts a connection until its permit is dropped, unless a limit is met. `waiting` counts its waiting calls.
    fn enter(
        self: &Arc<Self>,
        wire: &str,
        peer: &Peer,
        waiting: &Waiting,
        budget: &Budget,
    ) -> Option<ConnectionPermit> {
        let limits = budget.limits();
        let address = holder(peer);
        let mut open = self.connections();
        let met = if open.are_full(limits.connections) {
            Limit::Connections
        } else if !address.is_loopback() && open.are_full_for(address, limits.connections_per_address) {
            Limit::ConnectionsPerAddress
        } else {
            let number = open.next;
            open.next += 1;
            open.all += 1;
            open.by_address.entry(address).or_default().insert(number, waiting.clone());
            return Some(ConnectionPermit { open: Arc::clone(self), address, number });
        };
        drop(open);
        budget.record(met, format_args!("{wire}: a connection from {peer} was closed at once"));
        None
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
struct ConnectionPermit {
    open: Arc<Open>,
    address: IpAddr,
    number: u64,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.open.connections();
        open.all -= 1;
        if let Entry::Occupied(mut from_there) = open.by_address.entry(self.address) {
            from_there.get_mut().remove(&self.number);
            if from_there.get().is_empty() {
                from_there.remove();
            }
        }
    }
}

/// The address that a peer's connections are counted under: its IPv4 address, or its /64 network of IPv6. A peer without an
/// address is on this machine.
fn holder(peer: &Peer) -> IpAddr {
    let Some(address) = peer.address else { return Ipv4Addr::LOCALHOST.into() };
    match address.ip().to_canonical() {
        loopback if loopback.is_loopback() => loopback,
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::limits::Limits;

    #[test]
    fn one_address_can_not_use_every_connection() {
        let budget = Budget::new(Limits { connections: 3, connections_per_address: 2, ..Limits::default() });
        let open = Arc::new(Open::default());
        let waiting = Waiting::new(&budget);
        let enter = |ip: &str| open.enter("test", &SocketAddr::new(ip.parse().unwrap(), 1).into(), &waiting, &budget);
        let first = enter("10.0.0.1");
        let second = enter("::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some());
        assert!(enter("10.0.0.1").is_none(), "also as IPv6");
        let other = enter("fd00::1");
        assert!(other.is_some());
        assert!(enter("fd00::2").is_none(), "all connections are in use");
        drop((first, second));
        let same_network = enter("fd00::2");
        assert!(same_network.is_some());
        assert!(enter("fd00::3").is_none(), "the same /64");
        assert_eq!((budget.met(Limit::Connections), budget.met(Limit::ConnectionsPerAddress)), (1, 2));
        drop((other, same_network));
        assert!(open.connections().all == 0 && open.connections().by_address.is_empty());
    }

    #[test]
    fn loopback_has_all_connections_that_there_are() {
        let budget = Budget::new(Limits { connections: 3, connections_per_address: 1, ..Limits::default() });
        let open = Arc::new(Open::default());
        let waiting = Waiting::new(&budget);
        let enter = |ip: &str| open.enter("test", &SocketAddr::new(ip.parse().unwrap(), 1).into(), &waiting, &budget);
        let permits: Vec<_> = ["127.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1"].map(enter).into();
        assert_eq!(permits.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!((budget.met(Limit::Connections), budget.met(Limit::ConnectionsPerAddress)), (1, 0));
    }
}
