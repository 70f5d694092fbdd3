//! What fails while the locks are used: servers and engines are killed and stopped, the network between them is cut and held,
//! and clocks are set.

use std::{io, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::servers::{Server, WIRES};
use everywire_testing::{
    engine::{Engine, Kind},
    proxy::Proxy,
    seeded::Random,
    soon,
};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    ServerDies,
    ServerPauses,
    /// For longer than a lease.
    ServerSleeps,
    EngineDies,
    LeaderDies,
    EnginePauses,
    EngineClockJumps,
    NetworkHolds,
    NetworkCuts,
}

/// Faults, and how often each comes, compared with the others.
type Faults = [(u64, Fault)];

const SERVER: &Faults = &[(3, Fault::ServerDies), (21, Fault::ServerPauses), (5, Fault::ServerSleeps)];
const ENGINE: &Faults =
    &[(1, Fault::EngineDies), (20, Fault::EnginePauses), (20, Fault::NetworkHolds), (30, Fault::NetworkCuts)];
const LEADER: &Faults = &[(5, Fault::LeaderDies)];
const CLOCK: &Faults = &[(10, Fault::EngineClockJumps)];

/// What there is to break.
pub(crate) struct Stage {
    engines: Vec<Engine>,
    proxies: Vec<Proxy>,
    pub(crate) servers: Vec<Server>,
    faults: Vec<(u64, Fault)>,
    _data: Option<TempDir>,
}

impl Stage {
    /// One server, which keeps the locks in memory and their tokens' mark on disk.
    pub(crate) async fn memory() -> Self {
        let data = tempfile::tempdir().unwrap();
        let servers = vec![Server::start(&["--data-dir", data.path().to_str().unwrap()]).await];
        Self { engines: Vec::new(), proxies: Vec::new(), servers, faults: SERVER.into(), _data: Some(data) }
    }

    pub(crate) async fn engine(kind: Kind) -> Self {
        Self::set(vec![Engine::start(kind).await], None, &[]).await
    }

    pub(crate) async fn engine_with_clock(kind: Kind) -> Self {
        Self::set(vec![Engine::start_with_clock(kind).await], None, CLOCK).await
    }

    /// A majority of Redises.
    pub(crate) async fn redlock() -> Self {
        let mut engines = Vec::new();
        for _ in 0..3 {
            engines.push(Engine::start(Kind::Redis).await);
        }
        Self::set(engines, Some("redlock://"), &[]).await
    }

    /// A `ZooKeeper` of three servers, which lose their leader.
    pub(crate) async fn ensemble() -> Self {
        Self::set(Engine::ensemble(3).await, None, LEADER).await
    }

    /// No server: the textbook's lock in a Redis whose clock jumps.
    pub(crate) async fn textbook() -> Self {
        let engines = vec![Engine::start_with_clock(Kind::Redis).await];
        let faults = [(20, Fault::EnginePauses), (10, Fault::EngineClockJumps)].into();
        Self { engines, proxies: Vec::new(), servers: Vec::new(), faults, _data: None }
    }

    /// Where clients find the locks, by server and wire.
    pub(crate) fn urls(&self) -> Vec<[String; WIRES.len()]> {
        if self.servers.is_empty() {
            return vec![WIRES.map(|_| self.engines[0].url())];
        }
        self.servers.iter().map(|server| WIRES.map(|wire| server.url(wire))).collect()
    }

    /// Two servers, each of them behind proxies to the engines.
    async fn set(engines: Vec<Engine>, scheme: Option<&str>, more: &Faults) -> Self {
        let (mut proxies, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let mut hosts = Vec::new();
            for engine in &engines {
                let proxy = Proxy::to(engine.port).await;
                hosts.push(format!("127.0.0.1:{}", proxy.port));
                proxies.push(proxy);
            }
            let hosts = hosts.join(",");
            let url = scheme.map_or_else(|| engines[0].url_at(&hosts), |scheme| format!("{scheme}{hosts}"));
            servers.push(Server::start(&["--lock", &url]).await);
        }
        Self { engines, proxies, servers, faults: [SERVER, ENGINE, more].concat(), _data: None }
    }

    /// The fault that this stage has and others have not, if there is one.
    pub(crate) fn peculiar(&self) -> Fault {
        self.faults.last().expect("a stage has faults").1
    }

    pub(crate) fn any(&self, random: &mut Random) -> Fault {
        let mut place = random.below(self.faults.iter().map(|(often, _)| often).sum());
        for (often, fault) in &self.faults {
            match place.checked_sub(*often) {
                Some(rest) => place = rest,
                None => return *fault,
            }
        }
        unreachable!("the place is below the sum")
    }

    /// Makes a fault, and its end.
    pub(crate) async fn make(&mut self, fault: Fault, random: &mut Random) {
        match fault {
            Fault::ServerDies => {
                let server = random.one_of(&mut self.servers);
                server.kill().await;
                server.restart().await;
            }
            Fault::ServerPauses => pause_server(random.one_of(&mut self.servers), random.ms(5, 100)).await,
            Fault::ServerSleeps => pause_server(random.one_of(&mut self.servers), random.ms(300, 500)).await,
            Fault::EngineDies => {
                let engine = random.one_of(&mut self.engines);
                engine.kill();
                sleep(random.ms(0, 100)).await;
                engine.restart().await;
            }
            Fault::LeaderDies => self.leader_dies().await,
            Fault::EnginePauses => {
                let engine = random.one_of(&mut self.engines);
                engine.signal("STOP");
                sleep(random.ms(5, 100)).await;
                engine.signal("CONT");
            }
            Fault::EngineClockJumps => {
                let offset = format!("{}{}", ["+", "-"][random.index(2)], random.below(300));
                random.one_of(&mut self.engines).set_clock(&offset);
            }
            Fault::NetworkHolds => random.one_of(&mut self.proxies).hold(random.ms(5, 150)).await,
            Fault::NetworkCuts => random.one_of(&mut self.proxies).cut(),
        }
        sleep(random.ms(1, 40)).await;
    }

    async fn leader_dies(&mut self) {
        let leader = self.leader().await;
        self.engines[leader].kill();
        // The others elect another one before it comes back.
        self.leader().await;
        self.engines[leader].restart().await;
    }

    /// Which of an ensemble leads.
    async fn leader(&self) -> usize {
        let leader = async {
            loop {
                for (number, engine) in self.engines.iter().enumerate() {
                    // One that takes the question and does not answer must not keep the others from being asked.
                    if timeout(PROBE_TIME, leads(engine)).await.is_ok_and(|leads| matches!(leads, Ok(true))) {
                        return number;
                    }
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        soon("a leader", leader).await
    }
}

/// The most time for a `ZooKeeper` to say whether it leads.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// What a `ZooKeeper` says of itself.
async fn leads(engine: &Engine) -> io::Result<bool> {
    let (mut stream, mut answer) = (TcpStream::connect(engine.host()).await?, String::new());
    stream.write_all(b"srvr").await?;
    stream.read_to_string(&mut answer).await?;
    Ok(answer.contains("Mode: leader"))
}

async fn pause_server(server: &Server, time: Duration) {
    server.signal("-STOP").await;
    sleep(time).await;
    server.signal("-CONT").await;
}
