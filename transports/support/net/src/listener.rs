//! A TCP port and the connections on it.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use everywire_core::{
    Budget, Limit, Result, RpcError,
    wire::{CancellationToken, Waiting},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{Address, Socket, reachable};

/// A bound TCP port of one wire.
#[derive(Debug)]
pub struct Listener {
    wire: &'static str,
    inner: TcpListener,
    address: SocketAddr,
}

/// How long a connection may be silent before TCP asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// The pause after a failed accept: long enough not to spin while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The pause between two lines of the log about it.
const LOG_PAUSE: Duration = Duration::from_secs(1);

impl Listener {
    /// Binds `address`, such as `127.0.0.1:4242`; port 0 takes a free one. [`Address`] says how it may be written. The error
    /// names the wire and the address.
    pub async fn bind(wire: &'static str, address: &str) -> Result<Self> {
        let named = |error: RpcError| RpcError::new(error.code(), format!("{wire}: {}", error.message()));
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                RpcError::already_exists(format!("{wire}: {address} is taken by another program"))
            }
            _ => RpcError::unavailable(format!("{wire}: can't listen on {address}: {error}")),
        };
        let wanted = address.parse::<Address>().map_err(named)?;
        let inner = TcpListener::bind(wanted.host_and_port()).await.map_err(failed)?;
        let address = inner.local_addr().map_err(failed)?;
        Ok(Self { wire, inner, address })
    }

    /// The bound address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL at which clients on this machine can connect, with this `scheme`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", reachable(self.address))
    }

    /// Accepts until `shutdown` and runs `connection` on each socket, as many as `budget` allows at the same time; then
    /// waits for those that are open. A connection beyond a limit is closed at once.
    ///
    /// `connection` is told of the stop by its own token and should end once its calls are answered. Dropping this
    /// future ends all connections.
    pub async fn serve<F>(
        self,
        budget: &Arc<Budget>,
        shutdown: CancellationToken,
        connection: impl Fn(Socket, SocketAddr, CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let open = Arc::new(Open::default());
        let mut tasks = JoinSet::new();
        let mut logged: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = self.inner.accept() => accepted,
                Some(ended) = tasks.join_next() => {
                    report(self.wire, ended);
                    continue;
                }
            };
            match accepted {
                Ok((stream, peer)) => {
                    let waiting = Waiting::new(budget);
                    let Some(permit) = open.enter(self.wire, peer, &waiting, budget) else { continue };
                    prepare(&stream);
                    let socket = Socket::new(stream, Arc::clone(budget), waiting);
                    // Every step of a connection asks its token, under the token's lock: one each keeps them out of each other's way.
                    let running = connection(socket, peer, shutdown.child_token());
                    tasks.spawn(async move {
                        running.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    if logged.is_none_or(|logged| logged.elapsed() >= LOG_PAUSE) {
                        tracing::warn!(wire = self.wire, %error, "accept failed: new connections wait until it works");
                        logged = Some(Instant::now());
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let wire = self.wire;
        // From here on, clients that connect are refused and don't wait in vain.
        drop(self.inner);
        while let Some(ended) = tasks.join_next().await {
            report(wire, ended);
        }
    }
}

fn report(wire: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(wire, %error, "a connection's task failed");
    }
}

/// Sends small messages at once, and finds dead peers. A socket that refuses works all the same.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
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
    /// Whether at least `limit` connections are open, not counting those with a waiting call. Below the limit none is looked
    /// at.
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
        peer: SocketAddr,
        waiting: &Waiting,
        budget: &Budget,
    ) -> Option<ConnectionPermit> {
        let limits = budget.limits();
        let address = holder(peer.ip());
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

/// The address that a peer's connections are counted under: its IPv4 address, or its /64 network of IPv6.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        loopback if loopback.is_loopback() => loopback,
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use everywire_core::Limits;

    use super::*;

    #[test]
    fn one_address_can_not_take_every_place() {
        let budget = Budget::new(Limits { connections: 3, connections_per_address: 2, ..Limits::default() });
        let open = Arc::new(Open::default());
        let waiting = Waiting::new(&budget);
        let enter = |ip: &str| open.enter("test", SocketAddr::new(ip.parse().unwrap(), 1), &waiting, &budget);
        let first = enter("10.0.0.1");
        let second = enter("::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some());
        assert!(enter("10.0.0.1").is_none(), "also as IPv6");
        let other = enter("fd00::1");
        assert!(other.is_some());
        assert!(enter("fd00::2").is_none(), "all places are taken");
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
        let enter = |ip: &str| open.enter("test", SocketAddr::new(ip.parse().unwrap(), 1), &waiting, &budget);
        let permits: Vec<_> = ["127.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1"].map(enter).into();
        assert_eq!(permits.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!((budget.met(Limit::Connections), budget.met(Limit::ConnectionsPerAddress)), (1, 0));
    }
}
