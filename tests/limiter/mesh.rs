//! What the mesh grants beyond its limit: with a network in order, with a slow one, and with none.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use everywire::services::limiter::{MeshLimiter, SlotLimiter};
use tokio::{task::JoinSet, time::sleep};

use crate::{processes::Process, proxy::Proxy, soon::soon};

const LIMITERS: usize = 4;
const LIMIT: u32 = 40;
const SLOT: Duration = Duration::from_millis(600);
/// How often each limiter is asked: all together take the limit in a sixth of a slot.
const PACE: Duration = Duration::from_millis(10);
const ROUNDS: usize = 12;
/// A round doesn't count if a task was later than this, because the machine was busy with something else.
const MOST_LATE: Duration = Duration::from_millis(50);

/// A free port. Somebody else may take it first, but hardly within this test.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(port: u16) -> String {
    format!("tcp://127.0.0.1:{port}")
}

/// Limiters of which each hears each other one through a proxy of its own.
struct Mesh {
    limiters: Vec<Arc<MeshLimiter>>,
    proxies: Vec<Proxy>,
}

/// One permit: when, and which limiter granted it.
type Go = (Instant, usize);

impl Mesh {
    async fn start() -> Self {
        let (mut limiters, mut proxies) = (Vec::new(), Vec::new());
        let ports: Vec<u16> = (0..LIMITERS).map(|_| free_port()).collect();
        for (own, &port) in ports.iter().enumerate() {
            let mut limiter = MeshLimiter::bind(SlotLimiter::new(LIMIT, SLOT), &at(port)).await.unwrap();
            for (_, &peer) in ports.iter().enumerate().filter(|(other, _)| *other != own) {
                let proxy = Proxy::to(peer).await;
                limiter = limiter.peer(&at(proxy.port));
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
        for (own, limiter) in self.limiters.iter().enumerate() {
            let others = self.limiters.iter().enumerate().filter(|(other, _)| *other != own);
            for (other, listener) in others {
                let heard = async {
                    for number in 0.. {
                        let resource = format!("{when}: {own} to {other}, {number}");
                        assert!(limiter.acquire(&resource, 7).unwrap().go);
                        sleep(2 * PACE).await;
                        // All at once is refused once anything counts, and so takes nothing.
                        if listener.acquire(&resource, LIMIT).unwrap().remaining == LIMIT - 7 {
                            return;
                        }
                    }
                };
                soon("a peer is heard", heard).await;
            }
        }
    }

    async fn cut_each(&self, pause: Duration) {
        loop {
            self.proxies.iter().for_each(Proxy::cut);
            sleep(pause).await;
        }
    }

    /// What one slot grants while all limiters are asked; nothing if this machine was too busy to tell.
    async fn slot(&self, resource: &str) -> Option<Slot> {
        let (mut asking, late) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        let start = Instant::now() + PACE;
        for (own, limiter) in self.limiters.iter().enumerate() {
            let (limiter, late, resource) = (Arc::clone(limiter), Arc::clone(&late), resource.to_owned());
            asking.spawn(async move {
                let mut granted = Vec::new();
                // They take turns within a pace.
                let first = start + PACE * u32::try_from(own).unwrap() / u32::try_from(LIMITERS).unwrap();
                for step in 0..u32::try_from((SLOT * 3 / 4).as_millis() / PACE.as_millis()).unwrap() {
                    let due = first + step * PACE;
                    sleep(due.saturating_duration_since(Instant::now())).await;
                    let now = Instant::now();
                    late.fetch_max((now - due).as_micros().try_into().unwrap(), Relaxed);
                    if limiter.acquire(&resource, 1).unwrap().go {
                        granted.push((now, own));
                    }
                }
                granted
            });
        }
        let mut granted = asking.join_all().await.concat();
        granted.sort_unstable();
        let late = Duration::from_micros(late.load(Relaxed));
        (late < MOST_LATE).then_some(Slot { granted, late })
    }

    /// The overshoot of some slots, each checked against `bound`.
    async fn overshoots(&self, name: &str, bound: impl Fn(&Slot) -> usize) -> Vec<usize> {
        let (mut overshoots, mut bounds) = (Vec::new(), Vec::new());
        for round in 0..8 * ROUNDS {
            let Some(slot) = self.slot(&format!("{name} {round}")).await else { continue };
            let (count, most) = (slot.granted.len(), bound(&slot));
            assert!(count <= most, "{name}: {count} in a slot, but at most {most}: {slot:?}");
            overshoots.push(count.saturating_sub(LIMIT as usize));
            bounds.push(most - LIMIT as usize);
            if overshoots.len() == ROUNDS {
                break;
            }
        }
        assert!(!overshoots.is_empty(), "{name}: this machine was too busy");
        let mean = |figures: &[usize]| figures.iter().sum::<usize>() / figures.len();
        println!(
            "{name}: overshoot {} to {}, mean {}, of {} slots; the bound was {} on the average",
            overshoots.iter().min().unwrap(),
            overshoots.iter().max().unwrap(),
            mean(&overshoots),
            overshoots.len(),
            mean(&bounds),
        );
        overshoots
    }
}

/// What one slot granted, and how late the latest task was.
#[derive(Debug)]
struct Slot {
    granted: Vec<Go>,
    late: Duration,
}

impl Slot {
    /// The promise: the limit, and what the others granted before the last permit while it took news to arrive. That goes
    /// through six tasks, each of which may be late, and `delay` in the network.
    fn bound(&self, delay: Duration) -> usize {
        let &(last, by) = self.granted.last().unwrap();
        let delay = delay + 6 * self.late + Duration::from_millis(5);
        let unheard = self.granted.iter().filter(|(at, other)| *other != by && last - *at <= delay).count();
        LIMIT as usize + unheard
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mesh_keeps_its_bound() {
    println!("{LIMITERS} limiters, {LIMIT} permits in {SLOT:?}");
    let mesh = Mesh::start().await;
    mesh.overshoots("in order", |slot| slot.bound(Duration::ZERO)).await;

    let delay = Duration::from_millis(30);
    mesh.proxies.iter().for_each(|proxy| proxy.delay(delay));
    // What comes while something else is being held waits for that too.
    let slow = mesh.overshoots("30 to 60 ms late", |slot| slot.bound(2 * delay)).await;
    assert!(slow.iter().any(|&overshoot| overshoot > 0), "the delay makes no difference, so this test can't fail");
    mesh.proxies.iter().for_each(|proxy| proxy.delay(Duration::ZERO));

    let all = LIMITERS * LIMIT as usize;
    tokio::select! {
        _ = mesh.overshoots("all connections cut each 100 ms", |_| all) => {}
        () = mesh.cut_each(Duration::from_millis(100)) => {}
    }

    mesh.proxies.iter().for_each(|proxy| proxy.set_held(true));
    let apart = mesh.overshoots("partitioned", |_| all).await;
    assert!(apart.iter().all(|&overshoot| overshoot == all - LIMIT as usize), "each is on its own");
    mesh.proxies.iter().for_each(|proxy| proxy.set_held(false));

    mesh.hears_itself("after the partition").await;
    mesh.overshoots("healed", |slot| slot.bound(Duration::ZERO)).await;
}

/// Without a pause, over many slots: each server goes on when the others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_stay_together() {
    const SLOTS: u32 = 12;
    let mesh = Mesh::start().await;
    let (start, mut asking) = (Instant::now(), JoinSet::new());
    for (own, limiter) in mesh.limiters.iter().enumerate() {
        let limiter = Arc::clone(limiter);
        asking.spawn(async move {
            let mut granted = Vec::new();
            while start.elapsed() < SLOTS * SLOT {
                if limiter.acquire("all the time", 1).unwrap().go {
                    granted.push((Instant::now(), own));
                }
                sleep(PACE + Duration::from_millis(own as u64)).await;
            }
            granted
        });
    }
    let granted = asking.join_all().await.concat();
    // Slots begin no sooner than the one before has ended, and each has the limit and what is unheard: a tenth is ample.
    let most = (SLOTS as usize + 1) * LIMIT as usize * 11 / 10;
    println!("without a pause: {} permits in {SLOTS} slots of {LIMIT}", granted.len());
    assert!(granted.len() <= most, "{} in {SLOTS} slots", granted.len());
    assert!(granted.len() >= (SLOTS as usize - 3) * LIMIT as usize, "only {}", granted.len());
}

/// Waits until `listener` has counted what is granted by `teller`.
async fn heard(teller: &Process, listener: &Process, when: &str) {
    let heard = async {
        for number in 0.. {
            let resource = format!("{when} {number}");
            assert!(teller.acquire(&resource, 3).await.unwrap().go);
            sleep(2 * PACE).await;
            if listener.acquire(&resource, 10).await.unwrap().remaining == 7 {
                return;
            }
        }
    };
    soon("a server is heard", heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_a_slot_and_find_each_other_again() {
    let ports = [free_port(), free_port(), free_port()].map(at);
    let start = async |own: usize| {
        let mut flags = vec!["--locker-rate", "10/1h", "--limiter-mesh-bind", &ports[own]];
        for peer in ports.iter().filter(|peer| **peer != ports[own]) {
            flags.extend(["--limiter-peer", peer]);
        }
        Process::start(&flags).await
    };
    let mut servers = [start(0).await, start(1).await, start(2).await];
    let pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
    for (teller, listener) in pairs {
        heard(&servers[teller], &servers[listener], &format!("{teller} to {listener}")).await;
    }
    // Each takes its share as soon as it has heard of the others'.
    for (server, share) in servers.iter().zip([3, 5, 2]) {
        assert!(server.acquire("shared", share).await.unwrap().go);
        sleep(Duration::from_millis(200)).await;
    }
    for server in &servers {
        let refused = server.acquire("shared", 1).await.unwrap();
        assert_eq!((refused.go, refused.remaining), (false, 0));
    }
    servers[1].serving.child.kill().await.unwrap();
    assert!(servers[0].acquire("alone", 10).await.unwrap().go, "a peer that is gone holds up nobody");
    servers[1] = start(1).await;
    for (teller, listener) in pairs {
        heard(&servers[teller], &servers[listener], &format!("again {teller} to {listener}")).await;
    }
}
