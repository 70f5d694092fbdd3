//! The exhibits of docs/museum.md: locks that break, and ours in the same scene.
//!
//! `TextbookLock` is the lock that many a page on Redis shows, as it is written there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use everywire::services::lock::{Backend, Locks, Request};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::sleep,
};

use crate::{
    engine::{Engine, Kind},
    soon::soon,
    store::Store,
};

/// A plain connection to Redis.
struct Connection(BufReader<TcpStream>);

/// What Redis answers: nothing is nil.
#[derive(Debug, Clone, PartialEq)]
enum Reply {
    Nil,
    Text(String),
    Number(i64),
    List(Vec<Self>),
}

impl Connection {
    async fn to(engine: &Engine) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", engine.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    async fn ask(&mut self, words: &[&str]) -> Reply {
        let words: Vec<_> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        self.0.write_all(format!("*{}\r\n{}", words.len(), words.concat()).as_bytes()).await.unwrap();
        soon("an answer of Redis", Box::pin(self.reply())).await
    }

    async fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().unwrap();
        match (kind, rest) {
            ("$" | "*", "-1") => Reply::Nil,
            (":", _) => Reply::Number(number()),
            ("$", _) => {
                let mut text = vec![0; usize::try_from(number()).unwrap() + 2];
                self.0.read_exact(&mut text).await.unwrap();
                Reply::Text(String::from_utf8(text).unwrap().trim_end().to_owned())
            }
            ("*", _) => {
                let mut list = Vec::new();
                for _ in 0..number() {
                    list.push(Box::pin(self.reply()).await);
                }
                Reply::List(list)
            }
            _ => Reply::Text(rest.to_owned()),
        }
    }
}

/// The textbook's lock, on a connection of its owner.
struct TextbookLock {
    redis: Connection,
    owner: &'static str,
}

impl TextbookLock {
    async fn of(engine: &Engine, owner: &'static str) -> Self {
        Self { redis: Connection::to(engine).await, owner }
    }

    /// `SETNX` and then `EXPIRE`; a waiter that sees a TTL of 0 sets it again, and asks again after a millisecond.
    async fn acquire(&mut self, seconds: u64, wait: Duration) -> bool {
        let (end, seconds) = (Instant::now() + wait, seconds.to_string());
        while Instant::now() < end {
            if self.redis.ask(&["SETNX", "lock", self.owner]).await == Reply::Number(1) {
                self.redis.ask(&["EXPIRE", "lock", &seconds]).await;
                return true;
            }
            if self.redis.ask(&["TTL", "lock"]).await == Reply::Number(0) {
                self.redis.ask(&["EXPIRE", "lock", &seconds]).await;
            }
            sleep(Duration::from_millis(1)).await;
        }
        false
    }

    /// Deletes the lock if it is still the owner's, by `WATCH`; without `UNWATCH` if it isn't.
    async fn release(&mut self) -> bool {
        self.redis.ask(&["WATCH", "lock"]).await;
        if self.redis.ask(&["GET", "lock"]).await != Reply::Text(self.owner.to_owned()) {
            return false;
        }
        self.redis.ask(&["MULTI"]).await;
        self.redis.ask(&["DEL", "lock"]).await;
        self.redis.ask(&["EXEC"]).await != Reply::Nil
    }
}

fn request(owner: &str, ttl: Duration) -> Request {
    let ttl_ms = ttl.as_millis().try_into().unwrap();
    Request::new("lock".into(), ttl_ms, Some(owner.into())).unwrap()
}

async fn ours(engine: &Engine) -> Backend {
    Backend::connect(&engine.url()).await.unwrap()
}

async fn commands(engine: &Engine) -> u64 {
    let Reply::Text(stats) = Connection::to(engine).await.ask(&["INFO", "stats"]).await else {
        panic!("no statistics")
    };
    let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
    line.trim().parse().unwrap()
}

const LEASE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn exhibit_1_a_crash_between_setnx_and_expire_locks_for_ever() {
    let engine = Engine::start(Kind::Redis).await;
    let mut crashed = Connection::to(&engine).await;
    assert_eq!(crashed.ask(&["SETNX", "lock", "crashed"]).await, Reply::Number(1));
    drop(crashed);
    let mut next = TextbookLock::of(&engine, "next").await;
    assert!(!next.acquire(1, 4 * LEASE).await, "it never ends");
    assert_eq!(next.redis.ask(&["TTL", "lock"]).await, Reply::Number(-1));

    let (dead, alive) = (ours(&engine).await, ours(&engine).await);
    assert!(dead.lock(request("dead", LEASE), Duration::ZERO).await.unwrap().granted);
    drop(dead);
    let start = Instant::now();
    assert!(alive.lock(request("next", LEASE), 4 * LEASE).await.unwrap().granted);
    assert!(start.elapsed() < 2 * LEASE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn exhibit_2_waiters_renew_the_lease_of_the_dead() {
    let engine = Engine::start(Kind::Redis).await;
    let mut dead = TextbookLock::of(&engine, "dead").await;
    assert!(dead.acquire(1, LEASE).await);
    let mut next = TextbookLock::of(&engine, "next").await;
    assert!(
        !next.acquire(1, 4 * LEASE).await,
        "in its last half second a TTL is 0, and the waiter itself sets it again"
    );

    let locks = ours(&engine).await;
    assert!(locks.lock(request("dead", LEASE), Duration::ZERO).await.unwrap().granted);
    assert!(locks.lock(request("next", LEASE), 4 * LEASE).await.unwrap().granted);
}

#[tokio::test]
async fn exhibit_3_a_watch_left_behind_aborts_what_comes_next() {
    let engine = Engine::start(Kind::Redis).await;
    let mut late = TextbookLock::of(&engine, "late").await;
    assert!(!late.release().await, "its lock has ended");
    let mut other = TextbookLock::of(&engine, "other").await;
    assert!(other.acquire(1, LEASE).await);
    late.redis.ask(&["MULTI"]).await;
    late.redis.ask(&["INCR", "something else"]).await;
    assert_eq!(late.redis.ask(&["EXEC"]).await, Reply::Nil, "the next transaction has nothing to do with the lock");

    let locks = ours(&engine).await;
    assert!(!locks.unlock("lock", "late").await.unwrap());
    assert!(locks.lock(request("other", LEASE), Duration::ZERO).await.unwrap().granted);
    assert!(locks.unlock("lock", "other").await.unwrap());
}

#[tokio::test]
async fn exhibit_4_a_waiter_that_polls_is_a_load() {
    let engine = Engine::start(Kind::Redis).await;
    let mut holder = TextbookLock::of(&engine, "holder").await;
    assert!(holder.acquire(60, LEASE).await);
    let before = commands(&engine).await;
    TextbookLock::of(&engine, "next").await.acquire(60, 2 * LEASE).await;
    let theirs = commands(&engine).await - before;

    let locks = ours(&engine).await;
    assert!(locks.lock(request("holder", 60 * LEASE), Duration::ZERO).await.unwrap().granted);
    let before = commands(&engine).await;
    assert!(!locks.lock(request("next", LEASE), 2 * LEASE).await.unwrap().granted);
    let ours = commands(&engine).await - before;
    println!("one waiter for 2 s: {theirs} commands of the textbook's lock, {ours} of ours");
    assert!(theirs > 2 * ours && ours < 60, "{theirs} {ours}");
}

/// Both owners are sure that they have it, and the first one writes last.
#[tokio::test]
async fn exhibit_5_a_clock_that_jumps_gives_redlock_to_two() {
    let mut engines = Vec::new();
    for _ in 0..3 {
        engines.push(Engine::start_with_clock(Kind::Redis).await);
    }
    let hosts: Vec<_> = engines.iter().map(Engine::host).collect();
    let redlock = Backend::connect(&format!("redlock://{}", hosts.join(","))).await.unwrap();
    let jump = || engines[..2].iter().for_each(|engine| engine.set_clock("+3600"));
    let tokens = scene(&redlock, jump, false).await;
    assert_eq!(tokens.stale + tokens.refused, 0, "a grant of Redlock has no token to look at");
    assert!(tokens.lost() > 0, "an update is lost");

    let engine = Engine::start_with_clock(Kind::Redis).await;
    let tokens = scene(&ours(&engine).await, || engine.set_clock("+3600"), true).await;
    assert_eq!((tokens.refused, tokens.stale, tokens.lost()), (1, 0, 0));
}

/// Two owners by a clock that jumps: both read, the second writes, the first writes.
async fn scene(locks: &Backend, jump: impl Fn(), fenced: bool) -> crate::store::State {
    let store = Store::new(fenced);
    let first = locks.lock(request("first", 60 * LEASE), Duration::ZERO).await.unwrap();
    assert!(first.granted && first.fenced == fenced, "{first:?}");
    jump();
    let second = locks.lock(request("second", 60 * LEASE), 20 * LEASE).await.unwrap();
    assert!(second.granted, "the clock ended the lease of the first, who had it for a minute: {second:?}");
    let token = |token| if fenced { token } else { 1 };
    let values = [first.token, second.token].map(|of| store.read(token(of)));
    store.write(token(second.token), values[1].unwrap() + 1);
    store.write(token(first.token), values[0].unwrap() + 1);
    store.state()
}

#[tokio::test]
async fn exhibit_6_a_holder_that_sleeps_undoes_an_update_that_no_token_protects() {
    let engine = Engine::start(Kind::Redis).await;
    let store = Store::new(false);
    let mut sleeper = TextbookLock::of(&engine, "sleeper").await;
    assert!(sleeper.acquire(1, LEASE).await);
    let value = store.read(0).unwrap();
    sleep(LEASE + LEASE / 10).await;
    let mut next = TextbookLock::of(&engine, "next").await;
    assert!(next.acquire(1, LEASE).await);
    store.write(0, store.read(0).unwrap() + 1);
    store.write(0, value + 1);
    assert_eq!(store.state().lost(), 1);

    let (locks, store) = (Arc::new(ours(&engine).await), Store::new(true));
    let sleeper = locks.lock(request("sleeper", LEASE), Duration::ZERO).await.unwrap();
    let value = store.read(sleeper.token).unwrap();
    let next = locks.lock(request("next", LEASE), 2 * LEASE).await.unwrap();
    store.write(next.token, store.read(next.token).unwrap() + 1);
    store.write(sleeper.token, value + 1);
    assert_eq!((store.state().refused, store.state().lost()), (1, 0));
}
