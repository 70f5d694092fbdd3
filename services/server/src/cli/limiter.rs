//! The limiter as flags.

use std::{net::SocketAddr, str::FromStr};

use clap::Args;
use everywire::{Result, RpcError};
use everywire_limiter::{GcraLimiter, Limiter, MeshLimiter, SlotLimiter};
use everywire_net::{Address, reachable};
use tokio::net::lookup_host;

use super::{of_flag, rate::Rate};

/// What `acquire` and the locker give
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limiter")]
pub(crate) struct LimiterFlags {
    /// Grant N permits per TIME for each resource, over all wires, counted as --limiter says
    #[arg(long, value_name = "N/TIME", default_value = "5/0.8s")]
    locker_rate: Rate,
    /// How permits are counted. slot: TIME starts with a request, and after it all N are available again. gcra: N at once, and
    /// one more every TIME / N. redis://HOST:PORT: never more than N in any TIME, over all servers on that Redis; none while
    /// it is away
    #[arg(long, value_name = "slot|gcra|URL", default_value = "slot")]
    limiter: Kind,
    /// Share slots with other servers: publish what is granted here at this address, HOST:PORT or tcp://HOST:PORT. Any client
    /// that reaches it can listen
    #[arg(long, value_name = "ADDR")]
    limiter_mesh_bind: Option<String>,
    /// Also count what another server of the mesh publishes at this address, HOST:PORT or tcp://HOST:PORT; repeatable
    #[arg(long, value_name = "ADDR", requires = "limiter_mesh_bind")]
    limiter_peer: Vec<String>,
}

#[derive(Debug, Clone)]
enum Kind {
    Slot,
    Gcra,
    Shared(String),
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "slot" => Ok(Self::Slot),
            "gcra" => Ok(Self::Gcra),
            url if url.contains("://") => Ok(Self::Shared(url.to_owned())),
            _ => Err("expected slot, gcra, or redis://HOST:PORT"),
        }
    }
}

impl LimiterFlags {
    /// The limiter, and what the listing says of it.
    pub(crate) async fn limiter(self) -> Result<(Limiter, Option<String>)> {
        let Rate { permits, slot } = self.locker_rate;
        match (self.limiter, self.limiter_mesh_bind) {
            (Kind::Slot, None) => Ok((SlotLimiter::new(permits, slot).into(), None)),
            (Kind::Slot, Some(address)) => mesh(SlotLimiter::new(permits, slot), &address, &self.limiter_peer).await,
            (_, Some(_)) => Err(RpcError::invalid_argument("--limiter-mesh-bind is for --limiter slot only")),
            (Kind::Gcra, None) => Ok((GcraLimiter::new(permits, slot).into(), None)),
            (Kind::Shared(url), None) => shared(&url, self.locker_rate).await,
        }
    }
}

async fn mesh(slots: SlotLimiter, address: &str, peers: &[String]) -> Result<(Limiter, Option<String>)> {
    let wanted = resolved(address).await.map_err(of_flag("--limiter-mesh-bind"))?;
    let bound = MeshLimiter::bind(slots, &format!("tcp://{wanted}")).await;
    let mut mesh = bound.map_err(of_flag("--limiter-mesh-bind"))?;
    let at = mesh.address().trim_start_matches("tcp://").parse().unwrap_or(wanted);
    for peer in peers_of(at, peers).map_err(of_flag("--limiter-peer"))? {
        mesh = mesh.peer(&peer).map_err(of_flag("--limiter-peer"))?;
    }
    if !at.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "the limiter's mesh is at {at}, and there is no authentication: any client that reaches it can listen"
        );
    }
    let others = if peers.len() == 1 { "1 peer".to_owned() } else { format!("{} peers", peers.len()) };
    let all = if at.ip().is_unspecified() { " and every other address of this machine" } else { "" };
    let listed = format!("The limiter tells what it grants at tcp://{}{all}, and hears {others}.", reachable(at));
    Ok((mesh.into(), Some(listed)))
}

/// The first address of the host, which is what the other servers bind as well.
async fn resolved(address: &str) -> Result<SocketAddr> {
    let wanted: Address = address.parse()?;
    let found = lookup_host(wanted.host_and_port()).await;
    let none = |why: String| RpcError::unavailable(format!("can't bind {address}: {why}"));
    found.map_err(|error| none(error.to_string()))?.next().ok_or_else(|| none("the host has no address".to_owned()))
}

/// The URLs of the `peers` of a limiter that is bound to `own`.
fn peers_of(own: SocketAddr, peers: &[String]) -> Result<Vec<String>> {
    let itself = [own, reachable(own)].map(|own| format!("tcp://{own}"));
    let mut urls = Vec::new();
    for peer in peers {
        let address: Address = peer.parse()?;
        let url = format!("tcp://{address}");
        if !address.is_of_one_host() {
            let why = format!("`{peer}` is not the address of one server; expected its HOST:PORT");
            return Err(RpcError::invalid_argument(why));
        }
        if itself.contains(&url) || urls.contains(&url) {
            return Err(RpcError::invalid_argument(format!("{peer} is this server itself, or named twice")));
        }
        urls.push(url);
    }
    Ok(urls)
}

#[cfg(feature = "redis")]
async fn shared(url: &str, Rate { permits, slot }: Rate) -> Result<(Limiter, Option<String>)> {
    use everywire_limiter::RedisLimiter;

    let limiter = RedisLimiter::connect(url, permits, slot).await.map_err(of_flag("--limiter"))?;
    let listed = format!("The limiter counts in {}, for all servers there with this rate.", limiter.engine());
    Ok((limiter.into(), Some(listed)))
}

#[cfg(not(feature = "redis"))]
#[expect(clippy::unused_async, reason = "as with a Redis")]
async fn shared(_url: &str, _rate: Rate) -> Result<(Limiter, Option<String>)> {
    let built = "--limiter: this program was built without redis; `cargo build --features redis` has it";
    Err(RpcError::unimplemented(built))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(own: &str, peers: &[&str]) -> Result<Vec<String>> {
        peers_of(own.parse().unwrap(), &peers.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_peer_is_another_server_at_one_address() {
        let found = peers("0.0.0.0:1", &["tcp://127.0.0.1:2", "localhost:2", "[::1]:2"]).unwrap();
        assert_eq!(found, ["tcp://127.0.0.1:2", "tcp://localhost:2", "tcp://[::1]:2"]);
        for (own, named, expected) in [
            ("127.0.0.1:1", &["127.0.0.1:1"][..], "127.0.0.1:1 is this server itself, or named twice"),
            ("0.0.0.0:1", &["tcp://127.0.0.1:1"], "tcp://127.0.0.1:1 is this server itself, or named twice"),
            ("[::]:1", &["[::1]:1"], "[::1]:1 is this server itself, or named twice"),
            ("127.0.0.1:1", &["a:2", "tcp://a:2/"], "tcp://a:2/ is this server itself, or named twice"),
            ("127.0.0.1:1", &["*:2"], "`*:2` is not the address of one server; expected its HOST:PORT"),
            ("127.0.0.1:1", &["[::]:2"], "`[::]:2` is not the address of one server; expected its HOST:PORT"),
            ("127.0.0.1:1", &["a:0"], "`a:0` is not the address of one server; expected its HOST:PORT"),
            ("127.0.0.1:1", &["ipc://a"], "`ipc://a` is not a valid address; expected HOST:PORT"),
        ] {
            assert_eq!(peers(own, named).unwrap_err().message(), expected, "{named:?}");
        }
    }
}
