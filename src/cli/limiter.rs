//! The limiter as flags.

use std::{net::SocketAddr, str::FromStr};

use clap::Args;
use everywire::services::limiter::{GcraLimiter, Limiter, MeshLimiter, SlotLimiter};
use rpc_core::{Result, RpcError};

use super::{of_flag, rate::Rate};

/// What `acquire` and the locker give
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limiter")]
pub(crate) struct LimiterFlags {
    /// What the limiter gives, over every wire and for each resource: N permits in TIME, counted as --limiter says
    #[arg(long, value_name = "N/TIME", default_value = "5/0.8s")]
    locker_rate: Rate,
    /// How it counts. slot: TIME begins with a request, and all N are back after it. gcra: N at once, and one is back each
    /// TIME / N. redis://HOST:PORT: never more than N in any TIME, over all servers with that Redis; without it, none
    #[arg(long, value_name = "slot|gcra|URL", default_value = "slot")]
    limiter: Kind,
    /// Share slots with other servers: tell them at this address, tcp://HOST:PORT, what is granted here. Whoever reaches it
    /// may listen
    #[arg(long, value_name = "ADDR")]
    limiter_mesh_bind: Option<String>,
    /// Count what another server of the mesh grants, which tells it at this address, tcp://HOST:PORT; once for each
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
    let mut mesh = MeshLimiter::bind(slots, address).await.map_err(of_flag("--limiter-mesh-bind"))?;
    for (place, peer) in peers.iter().enumerate() {
        if peer == address || peers[..place].contains(peer) {
            let why = format!("--limiter-peer: {peer} is this server itself, or named twice");
            return Err(RpcError::invalid_argument(why));
        }
        mesh = mesh.peer(peer).map_err(of_flag("--limiter-peer"))?;
    }
    let at = mesh.address().trim_start_matches("tcp://");
    if !at.parse().is_ok_and(|at: SocketAddr| at.ip().to_canonical().is_loopback()) {
        tracing::warn!("the limiter's mesh is at {at}, and there is no authentication: whoever reaches it may listen");
    }
    let others = if peers.len() == 1 { "1 peer".to_owned() } else { format!("{} peers", peers.len()) };
    let listed = format!("The limiter tells what it grants at {}, and hears {others}.", mesh.address());
    Ok((mesh.into(), Some(listed)))
}

#[cfg(feature = "redis")]
async fn shared(url: &str, Rate { permits, slot }: Rate) -> Result<(Limiter, Option<String>)> {
    use everywire::services::limiter::RedisLimiter;

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
