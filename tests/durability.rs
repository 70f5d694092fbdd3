//! kill -9 at any moment, again and again: with `--data-dir` no id and no fencing token comes twice.
//!
//! Each life has an epoch of the ids that is a little later or earlier than the last one's, which is to its ids what a
//! clock set back or forth is. On a clock that only goes forth nothing would have to be remembered.
//!
//! `EVERYWIRE_KILLS` sets the number of kills, `EVERYWIRE_SEED` their moments.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use everywire::{Caller, Result, grpc, jsonrpc, xmlrpc, zerorpc};
use everywire_id::DEFAULT_EPOCH_MS;
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::time::sleep;

use crate::{
    harness::soon,
    program::{Serving, run, spawn},
};
use everywire_testing::seeded::{Random, from_env, seed};

/// The locks that the clients contend for.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// A life ends within this time of its listing, or of its start.
const LIFE_MS: u64 = 600;
const START_MS: u64 = 40;
/// How far the clock of the ids is set back at most.
const SET_BACK_MS: u64 = 200;

/// What all clients of all lives were given.
#[derive(Default)]
struct History {
    ids: HashSet<u64>,
    /// The last token by the lock's name.
    tokens: HashMap<&'static str, u64>,
    grants: usize,
}

impl History {
    fn ids(&mut self, ids: &[u64]) {
        assert!(ids.is_sorted_by(|one, next| one < next), "the ids of one call grow: {ids:?}");
        for &id in ids {
            assert!(self.ids.insert(id), "the id {id} came twice");
        }
    }

    /// Only the holder writes, so the order is that of the grants.
    fn token(&mut self, name: &'static str, token: u64) {
        let last = self.tokens.insert(name, token).unwrap_or(0);
        assert!(token > last, "lock {name}: token {token} after {last}");
        self.grants += 1;
    }
}

/// One life of the server as its clients know it.
struct Life<'a> {
    history: &'a Mutex<History>,
    killed: AtomicBool,
}

impl Life<'_> {
    /// Draws ids and tokens over one wire until the server is killed.
    async fn work(&self, number: usize, caller: Result<impl Caller>) {
        let work = async {
            let client = ToolkitClient::new(caller?);
            tokio::try_join!(self.draw_ids(&client), self.draw_tokens(&client, number)).map(|_| ())
        };
        let error = work.await.expect_err("the work ends with the server");
        assert!(self.killed.load(Ordering::SeqCst), "client {number} failed before the kill: {error}");
    }

    async fn draw_ids(&self, client: &impl Toolkit) -> Result<()> {
        loop {
            let ids = client.next_ids(7).await?;
            self.history.lock().unwrap().ids(&ids);
            let id = client.next_id().await?;
            self.history.lock().unwrap().ids(&[id]);
        }
    }

    async fn draw_tokens(&self, client: &impl Toolkit, number: usize) -> Result<()> {
        for name in NAMES.iter().cycle().skip(number) {
            let grant = client.lock((*name).to_owned(), 60_000, Some(20_000), None).await?;
            assert!(grant.granted, "nobody keeps a lock: {grant:?}");
            self.history.lock().unwrap().token(name, grant.token);
            assert!(client.unlock((*name).to_owned(), grant.owner).await?, "lock {name}: the holder unlocks");
        }
        Ok(())
    }
}

/// Serves, lets a client of each wire work, and kills the server after `time`.
async fn live(flags: &[&str], time: Duration, history: &Mutex<History>) {
    let mut serving = Serving::start(flags).await;
    let [xml, json, proto] = ["XML-RPC", "JSON-RPC", "gRPC"].map(|wire| format!("http://{}", serving.address(wire)));
    let zero = format!("tcp://{}", serving.address("zerorpc"));
    let life = Life { history, killed: AtomicBool::new(false) };
    let kill = async {
        sleep(time).await;
        life.killed.store(true, Ordering::SeqCst);
        serving.child.kill().await.unwrap();
    };
    let work = async {
        tokio::join!(
            kill,
            async { life.work(0, xmlrpc::Client::connect(&xml).await).await },
            async { life.work(1, jsonrpc::Client::connect(&json).await).await },
            async { life.work(2, grpc::Client::connect(&proto).await).await },
            async { life.work(3, zerorpc::Client::connect(&zero).await).await },
        )
    };
    soon("a life", Box::pin(work)).await;
}

/// Kills the server while it starts.
async fn die_young(flags: &[&str], time: Duration) {
    let mut child = spawn(flags);
    sleep(time).await;
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_repeats_an_id_or_a_token() {
    let kills = from_env("EVERYWIRE_KILLS").unwrap_or(20);
    let seed = seed();
    println!("EVERYWIRE_KILLS={kills} EVERYWIRE_SEED={seed}");
    let home = tempfile::tempdir().unwrap();
    let (dir, history) = (home.path().to_str().unwrap(), Mutex::new(History::default()));
    let mut random = Random(seed);
    for kill in 0..kills {
        let epoch = (DEFAULT_EPOCH_MS + random.below(SET_BACK_MS)).to_string();
        let flags = ["--data-dir", dir, "--id-epoch", &epoch];
        match kill % 8 {
            7 => die_young(&flags, Duration::from_millis(random.below(START_MS))).await,
            _ => live(&flags, Duration::from_millis(random.below(LIFE_MS)), &history).await,
        }
    }
    let history = history.into_inner().unwrap();
    println!("{kills} kills: {} ids and {} tokens, none twice", history.ids.len(), history.grants);
    let enough = usize::try_from(kills).unwrap();
    assert!(history.ids.len() > 10 * enough && history.grants > enough, "too little was drawn to prove anything");
}

#[test]
#[should_panic(expected = "the id 7 came twice")]
fn the_history_finds_a_repeated_id() {
    let mut history = History::default();
    history.ids(&[6, 7]);
    history.ids(&[7]);
}

#[test]
#[should_panic(expected = "lock a: token 1 after 3")]
fn the_history_finds_a_lower_token() {
    let mut history = History::default();
    for (name, token) in [("a", 3), ("b", 1), ("a", 1)] {
        history.token(name, token);
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("file"), "").unwrap();
    std::fs::create_dir(at("garbage")).unwrap();
    std::fs::write(at("garbage/everywire.redb"), "garbage ".repeat(10_000)).unwrap();
    let _holder = Serving::start(&["--data-dir", &at("taken")]).await;
    #[rustfmt::skip]
    let cases = [
        ("file", format!("error: FAILED_PRECONDITION: --data-dir {}: File exists", at("file"))),
        ("garbage", format!("error: DATA_LOSS: --data-dir {}: damaged, or no file of everywire: ", at("garbage/everywire.redb"))),
        ("taken", format!("error: UNAVAILABLE: --data-dir {}: another process uses it; each server", at("taken/everywire.redb"))),
    ];
    for (name, expected) in cases {
        let (success, out, err) = run(&["--data-dir", &at(name)]).await;
        assert!(!success && out.is_empty() && err.starts_with(&expected), "{name}: {out}{err}");
    }
}
