//! Clients that take locks over mixed wires, and change what they protect.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use everywire::Result;
use tokio::time::{sleep, timeout};

use crate::{
    history::{Call, History, What, nanos},
    servers::{AnyClient, WIRES},
    store::Store,
};
use everywire_testing::seeded::Random;

pub(crate) const LOCKS: usize = 2;
const TTL_MS: u64 = 300;
const WAIT_MS: u64 = 200;
/// No answer within it is no answer.
const CALL_TIME: Duration = Duration::from_secs(4);

/// What all clients share.
pub(crate) struct Scene {
    pub(crate) history: History,
    pub(crate) stores: [Store; LOCKS],
    /// By server and wire.
    pub(crate) urls: Vec<[String; WIRES.len()]>,
    pub(crate) ended: AtomicBool,
}

impl Scene {
    /// Takes locks until the end, over one wire after another.
    pub(crate) async fn play(&self, number: u64, mut random: Random) {
        let (mut turn, mut owner) = (usize::try_from(number).unwrap(), number << 32);
        while !self.ended.load(SeqCst) {
            let (server, wire) = (turn % self.urls.len(), turn / 2 % WIRES.len());
            turn += 1;
            let connecting = timeout(CALL_TIME, AnyClient::connect(&self.urls[server][wire], WIRES[wire]));
            let Ok(Ok(client)) = connecting.await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            while !self.ended.load(SeqCst) {
                owner += 1;
                if self.one(&client, owner, &mut random).await.is_none() {
                    sleep(Duration::from_millis(10)).await;
                    break;
                }
            }
        }
    }

    /// Takes a lock, reads, waits, writes and unlocks. Nothing if a call had no good answer.
    async fn one(&self, client: &AnyClient, owner: u64, random: &mut Random) -> Option<()> {
        let (lock, asked) = (random.index(LOCKS), self.history.now());
        let (name, as_owner) = (format!("lock {lock}"), owner.to_string());
        let grant = answered(client.lock(&name, TTL_MS, WAIT_MS, &as_owner)).await?;
        if !grant.granted {
            return Some(());
        }
        let what = What::Granted { ttl: nanos(Duration::from_millis(TTL_MS)), token: grant.token };
        self.history.add(Call { lock, owner, what, asked, told: self.history.now() });
        let value = self.stores[lock].read(grant.token);
        // One in twenty sleeps through the end of its lease.
        let pause = if random.below(20) == 0 { TTL_MS + 100 } else { random.below(15) };
        sleep(Duration::from_millis(pause)).await;
        if let Some(value) = value {
            self.stores[lock].write(grant.token, value + 1);
        }
        let asked = self.history.now();
        let unlocked = answered(client.unlock(&name, &as_owner)).await;
        let what = unlocked.map_or(What::Unknown, What::Unlocked);
        self.history.add(Call { lock, owner, what, asked, told: self.history.now() });
        unlocked.map(|_| ())
    }
}

async fn answered<T>(call: impl Future<Output = Result<T>>) -> Option<T> {
    timeout(CALL_TIME, call).await.ok()?.ok()
}
