//! The network between the servers and an engine.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// A proxy, which ends when it is dropped.
pub struct Proxy {
    pub port: u16,
    network: watch::Sender<Network>,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Network {
    /// The port that new connections lead to.
    target: u16,
    /// Connections of an earlier number are cut.
    cuts: u64,
    /// Nothing passes, and no connection is closed.
    held: bool,
    /// How long each piece is delayed; what arrives in the meantime waits behind it.
    delay: Duration,
}

impl Proxy {
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, network) =
            (listener.local_addr().unwrap().port(), watch::Sender::new(Network { target, ..Network::default() }));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, network.clone()));
        Self { port, network, _accepting: accepting }
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.network.send_modify(|network| network.cuts += 1);
    }

    /// Lets nothing pass for a while.
    pub async fn hold(&self, time: Duration) {
        self.set_held(true);
        sleep(time).await;
        self.set_held(false);
    }

    /// Lets nothing pass, or all again.
    pub fn set_held(&self, held: bool) {
        self.network.send_modify(|network| network.held = held);
    }

    /// Leads new connections to another port; existing ones stay.
    pub fn lead_to(&self, target: u16) {
        self.network.send_modify(|network| network.target = target);
    }

    /// Delays everything that passes, by at most twice `delay`.
    pub fn delay(&self, delay: Duration) {
        self.network.send_modify(|network| network.delay = delay);
    }
}

async fn accept(listener: TcpListener, network: watch::Sender<Network>) {
    let mut pumps = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let target = network.borrow().target;
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        pumps.spawn(pump(from_client, to_server, network.subscribe()));
        pumps.spawn(pump(from_server, to_client, network.subscribe()));
        while pumps.try_join_next().is_some() {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let since = network.borrow().cuts;
    let mut cut = network.clone();
    let passing = async {
        let mut buffer = [0; 4_096];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let delay = network.borrow().delay;
            if !delay.is_zero() {
                sleep(delay).await;
            }
            if network.wait_for(|network| !network.held).await.is_err()
                || to.write_all(&buffer[..length]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = passing => {}
        _ = cut.wait_for(|network| network.cuts != since) => {}
    }
}
