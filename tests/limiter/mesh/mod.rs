//! Limiters that tell each other, over real connections. `services/limiter/src/mesh/simulated.rs` has every order in which
//! news can arrive; here is what the network does to it.

use std::{sync::Arc, time::Duration};

use everywire_limiter::{MeshLimiter, SlotLimiter};
use tokio::time::{Instant, sleep};

use everywire_testing::{engine::free_port, proxy::Proxy, soon};

mod measured;
mod promise;
mod servers;

const LIMITERS: u32 = 4;
const LIMIT: u32 = 40;
/// No test is so slow that a slot ends in it.
const SLOT: Duration = Duration::from_hours(1);
/// Between looks at what should happen soon.
const GLANCE: Duration = Duration::from_millis(1);

fn at(port: u16) -> String {
    format!("tcp://127.0.0.1:{port}")
}

/// Limiters of which each hears each other one through a proxy of its own.
struct Mesh {
    limiters: Vec<Arc<MeshLimiter>>,
    proxies: Vec<Proxy>,
}

impl Mesh {
    async fn start() -> Self {
        let (mut limiters, mut proxies) = (Vec::new(), Vec::new());
        let ports: Vec<u16> = (0..LIMITERS).map(|_| free_port()).collect();
        for (own, &port) in ports.iter().enumerate() {
            let mut limiter = MeshLimiter::bind(SlotLimiter::new(LIMIT, SLOT), &at(port)).await.unwrap();
            for (_, &peer) in ports.iter().enumerate().filter(|(other, _)| *other != own) {
                let proxy = Proxy::to(peer).await;
                limiter = limiter.peer(&at(proxy.port)).unwrap();
                proxies.push(proxy);
            }
            limiters.push(Arc::new(limiter));
        }
        let mesh = Self { limiters, proxies };
        mesh.hears_itself("at first").await;
        mesh
    }

    /// Waits until each limiter hears each other one.
    async fn hears_itself(&self, when: &str) {
        for (own, teller) in self.limiters.iter().enumerate() {
            for (other, listener) in self.limiters.iter().enumerate().filter(|(other, _)| *other != own) {
                let heard = async {
                    for number in 0.. {
                        let resource = format!("{when}: {own} to {other}, {number}");
                        take(listener, &resource, 1);
                        take(teller, &resource, 1);
                        if counts(listener, &resource, 2, Duration::from_millis(100)).await {
                            return;
                        }
                    }
                };
                soon("a peer is heard", heard).await;
            }
        }
    }

    /// Cuts all connections.
    fn cut(&self) {
        self.proxies.iter().for_each(Proxy::cut);
    }

    /// Lets no news pass, or all again.
    fn hold(&self, held: bool) {
        self.proxies.iter().for_each(|proxy| proxy.set_held(held));
    }
}

fn take(limiter: &MeshLimiter, resource: &str, permits: u32) {
    let permit = limiter.acquire(resource, permits).unwrap();
    assert!(permit.go, "{resource}: {permit:?}");
}

/// Takes permits one by one until there are no more.
fn take_all(limiter: &MeshLimiter, resource: &str) -> u32 {
    let mut count = 0;
    while limiter.acquire(resource, 1).unwrap().go {
        count += 1;
    }
    count
}

/// The permits that a limiter counts, which has granted some itself: to ask for all of them takes nothing then.
fn counted(limiter: &MeshLimiter, resource: &str) -> u32 {
    let permit = limiter.acquire(resource, LIMIT).unwrap();
    assert!(!permit.go, "{resource}: {permit:?}");
    LIMIT - permit.remaining
}

/// Whether a limiter counts so many permits within a time.
async fn counts(limiter: &MeshLimiter, resource: &str, permits: u32, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        let counted = counted(limiter, resource);
        assert!(counted <= permits, "{resource}: {counted} count, but there are {permits}");
        if counted == permits {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        sleep(GLANCE).await;
    }
}
