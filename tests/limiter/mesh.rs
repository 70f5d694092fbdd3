//! What the mesh grants beyond its limit: with a network in order, with a slow one, and with none.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use everywire::services::limiter::{MeshLimiter, SlotLimiter};
use tokio::{task::JoinSet, time::sleep};

use crate::{processes::Process, proxy::Proxy, soon::soon};

const LIMITERS: usize = 4;
const LIMIT: u32 = 40;
const SLOT: Duration = Duration::from_millis(600);
/// What a slot has if nobody hears of anybody.
const ALL: usize = LIMITERS * LIMIT as usize;
/// How often each limiter is asked: all together take the limit in a sixth of a slot.
const PACE: Duration = Duration::from_millis(10);
/// So often each is asked in a slot, which is three quarters of the slot.
const ASKED: u32 = 45;
const ROUNDS: usize = 12;

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

/// One permit: which limiter granted it, between what and what.
#[derive(Debug)]
struct Go {
    by: usize,
    asked: Instant,
    answered: Instant,
}

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
        // The first slot of every resource began with its limiter.
        sleep(SLOT).await;
        mesh.hears_itself("at first").await;
        mesh
    }

    /// Each limiter with each other one: who tells, and who listens.
    fn pairs(&self) -> impl Iterator<Item = [Arc<MeshLimiter>; 2]> {
        let of = |own: usize| Arc::clone(&self.limiters[own]);
        let pairs = (0..LIMITERS).flat_map(|own| (0..LIMITERS).map(move |other| (own, other)));
        pairs.filter(|(own, other)| own != other).map(move |(own, other)| [of(own), of(other)])
    }

    /// Waits until each limiter hears each other one.
    async fn hears_itself(&self, when: &str) {
        for (pair, [teller, listener]) in self.pairs().enumerate() {
            let heard = async {
                for number in 0.. {
                    let (resource, until) = (format!("{when}: {pair}, {number}"), Instant::now() + SLOT / 4);
                    probe(&teller, &listener, &resource, until).await;
                    if Instant::now() < until {
                        return;
                    }
                }
            };
            soon("a peer is heard", heard).await;
        }
    }

    async fn cut_each(&self, pause: Duration) {
        loop {
            self.proxies.iter().for_each(Proxy::cut);
            sleep(pause).await;
        }
    }

    /// What one slot grants while all limiters are asked, and how long news takes meanwhile. Nothing if this machine was so
    /// busy that the slot ended first.
    async fn slot(&self, resource: &str, is_heard: bool) -> Option<Slot> {
        let (mut asking, mut probing) = (JoinSet::new(), JoinSet::new());
        let start = Instant::now() + PACE;
        let end = start + SLOT * 3 / 4;
        for (own, limiter) in self.limiters.iter().enumerate() {
            let (limiter, resource) = (Arc::clone(limiter), resource.to_owned());
            asking.spawn(async move {
                let mut granted = Vec::new();
                // They take turns within a pace.
                let first = start + PACE * u32::try_from(own).unwrap() / u32::try_from(LIMITERS).unwrap();
                for step in 0..ASKED {
                    sleep((first + step * PACE).saturating_duration_since(Instant::now())).await;
                    let asked = Instant::now();
                    if limiter.acquire(&resource, 1).unwrap().go {
                        granted.push(Go { by: own, asked, answered: Instant::now() });
                    }
                }
                granted
            });
        }
        for step in (0..ASKED).take_while(|_| is_heard) {
            sleep((start + step * PACE).saturating_duration_since(Instant::now())).await;
            for (pair, [teller, listener]) in self.pairs().enumerate() {
                let resource = format!("{resource}: {pair}, {step}");
                probing.spawn(async move {
                    let told = Instant::now();
                    probe(&teller, &listener, &resource, end).await;
                    (pair, told, Instant::now())
                });
            }
        }
        let granted = asking.join_all().await.into_iter().flatten().collect();
        let was_in_time = start.elapsed() < SLOT;
        let mut probes = probing.join_all().await;
        probes.sort_unstable();
        // News comes in order, so it arrives no later than the next probe of its pair.
        let delays = probes.windows(2).filter(|two| two[0].0 == two[1].0).map(|two| two[1].2 - two[0].1);
        let delay = delays.max().unwrap_or_default();
        was_in_time.then_some(Slot { granted, delay })
    }

    /// The overshoot of some slots, each checked against its bound: with news, or without.
    async fn overshoots(&self, name: &str, is_heard: bool) -> Vec<usize> {
        let mut overshoots = Vec::new();
        let (mut bounds, mut delays) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let Some(slot) = self.slot(&format!("{name} {round}"), is_heard).await else { continue };
            let (count, most) = (slot.granted.len(), if is_heard { slot.bound() } else { ALL });
            assert!(count <= most, "{name}: {count} in a slot, but at most {most}: {slot:?}");
            overshoots.push(count.saturating_sub(LIMIT as usize));
            bounds.push(most - LIMIT as usize);
            delays.push(usize::try_from(slot.delay.as_millis()).unwrap());
        }
        assert!(!overshoots.is_empty(), "{name}: this machine was too busy in all rounds");
        println!("{name}: {} of {}; news took {} ms", spread(&overshoots), spread(&bounds), spread(&delays));
        overshoots
    }
}

/// The least, the most, and the mean.
fn spread(figures: &[usize]) -> String {
    let (least, most) = (figures.iter().min().unwrap(), figures.iter().max().unwrap());
    format!("{least} to {most} (mean {})", figures.iter().sum::<usize>() / figures.len())
}

/// Waits until `listener` counts what `teller` grants; no longer than `end`.
async fn probe(teller: &MeshLimiter, listener: &MeshLimiter, resource: &str, end: Instant) {
    assert!(listener.acquire(resource, 1).unwrap().go);
    assert!(teller.acquire(resource, 7).unwrap().go);
    // All at once is never granted any more, so to ask for it takes nothing.
    while Instant::now() < end && listener.acquire(resource, LIMIT).unwrap().remaining > LIMIT - 8 {
        sleep(Duration::from_millis(3)).await;
    }
}

/// What one slot granted, and how long news took meanwhile.
#[derive(Debug)]
struct Slot {
    granted: Vec<Go>,
    delay: Duration,
}

impl Slot {
    /// The promise: the limit, and what the others granted within the delay before the last permit, or before each that may
    /// have been the last.
    fn bound(&self) -> usize {
        let last_asked = self.granted.iter().map(|go| go.asked).max().unwrap();
        let may_be_last = self.granted.iter().filter(|go| go.answered >= last_asked);
        let unheard = |last: &Go| {
            let others = self.granted.iter().filter(|go| go.by != last.by);
            others.filter(|go| go.answered + self.delay >= last.asked).count()
        };
        LIMIT as usize + may_be_last.map(unheard).max().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mesh_keeps_its_bound() {
    println!(
        "{LIMITERS} limiters, {LIMIT} permits in {SLOT:?}, {ROUNDS} slots: permits beyond the limit, of the bound"
    );
    let mesh = Mesh::start().await;
    mesh.overshoots("in order", true).await;

    let delay = Duration::from_millis(30);
    mesh.proxies.iter().for_each(|proxy| proxy.delay(delay));
    // What comes while something else is being held waits for that too.
    let slow = mesh.overshoots("30 to 60 ms late", true).await;
    assert!(slow.iter().any(|&overshoot| overshoot > 0), "the delay makes no difference, so this test can't fail");
    mesh.proxies.iter().for_each(|proxy| proxy.delay(Duration::ZERO));

    tokio::select! {
        _ = mesh.overshoots("all connections cut each 100 ms", false) => {}
        () = mesh.cut_each(Duration::from_millis(100)) => {}
    }

    mesh.proxies.iter().for_each(|proxy| proxy.set_held(true));
    let apart = mesh.overshoots("partitioned", false).await;
    assert!(apart.iter().all(|&overshoot| overshoot == ALL - LIMIT as usize), "each is on its own");
    mesh.proxies.iter().for_each(|proxy| proxy.set_held(false));

    mesh.hears_itself("after the partition").await;
    mesh.overshoots("healed", true).await;
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
