//! One quota in Redis: N in every window, over four servers.

use std::time::{Duration, Instant};

use everywire::Code;
use everywire_limiter::{MOST_PERMITS, RedisLimiter};
use tokio::{process::Command, task::JoinSet, time::sleep};

use crate::{
    processes::Process,
    serving::PROGRAM,
    windows::{Granted, most_within},
};
use everywire_testing::{
    engine::{Engine, Kind},
    needs, soon,
};

const SERVERS: usize = 4;
const LIMIT: usize = 20;
const PERIOD: Duration = Duration::from_millis(500);
/// So often each client asks: for more than a dozen periods.
const ASKED: u32 = 1_000;

/// Four servers whose clients ask all the time; the permits they got.
async fn history(flags: &[&str]) -> Vec<Granted> {
    let rate = format!("{LIMIT}/{}ms", PERIOD.as_millis());
    let mut clients = JoinSet::new();
    for number in 0..SERVERS {
        let flags: Vec<_> = ["--locker-rate", &rate].iter().chain(flags).map(|&flag| flag.to_owned()).collect();
        clients.spawn(async move {
            let process = Process::start(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
            let mut granted = Vec::new();
            for step in 1..=ASKED {
                let asked = Instant::now();
                if process.acquire("shared", 1).await.unwrap().go {
                    granted.push(Granted { asked, answered: Instant::now() });
                }
                // Now and then a pause until all permits are back, so that the next ones come at once.
                let pause = if step % 100 == 0 { PERIOD } else { Duration::from_millis(2 + number as u64) };
                sleep(pause).await;
            }
            granted
        });
    }
    clients.join_all().await.concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_has_more_than_the_limit() {
    needs!(Redis);
    let redis = Engine::start(Kind::Redis).await;
    let granted = history(&["--limiter", &redis.url()]).await;
    let most = most_within(PERIOD, &granted);
    println!("strict: {} permits, {most} of {LIMIT} in the fullest window", granted.len());
    assert!(most <= LIMIT, "{most} in one window");
    assert!(granted.len() >= 8 * LIMIT, "only {}", granted.len());
    // The same clients with limiters that do not share see what has to fail.
    for limiter in ["slot", "gcra"] {
        let most = most_within(PERIOD, &history(&["--limiter", limiter]).await);
        println!("{limiter} in each of {SERVERS} servers: {most} in the fullest window");
        assert!(most > LIMIT, "{limiter}: this test can't fail");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_grants_every_permit_and_none_too_many() {
    needs!(Redis);
    const PERIOD: Duration = Duration::from_secs(2);
    let redis = Engine::start(Kind::Redis).await;
    let limiter = RedisLimiter::connect(&redis.url(), 5, PERIOD).await.unwrap();
    let all = limiter.acquire("a", 5).await.unwrap();
    assert_eq!((all.go, all.limit, all.remaining, all.retry_after_ms), (true, 5, 0, 0));
    let refused = limiter.acquire("a", 2).await.unwrap();
    assert!(!refused.go && (1..=2_001).contains(&refused.retry_after_ms), "{refused:?}");
    assert!(limiter.acquire("b", 5).await.unwrap().go, "resources are apart");
    sleep(Duration::from_millis(refused.retry_after_ms)).await;
    let next = limiter.acquire("a", 2).await.unwrap();
    assert_eq!((next.go, next.remaining), (true, 3), "after the time to retry it goes");
    for (permits, resource) in [(0, "a"), (6, "a"), (1, "")] {
        assert_eq!(limiter.acquire(resource, permits).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let too_many = RedisLimiter::connect(&redis.url(), MOST_PERMITS + 1, PERIOD).await.unwrap_err();
    assert_eq!(too_many.message(), "100001 permits; a Redis remembers each, 1 to 100000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_log_is_forgotten_bit_by_bit() {
    needs!(Redis);
    const PERIOD: Duration = Duration::from_secs(4);
    let redis = Engine::start(Kind::Redis).await;
    let limiter = RedisLimiter::connect(&redis.url(), MOST_PERMITS, PERIOD).await.unwrap();
    let start = Instant::now();
    assert!(limiter.acquire("a", MOST_PERMITS - 3).await.unwrap().go);
    sleep(PERIOD / 8).await;
    assert!(limiter.acquire("a", 3).await.unwrap().go);
    assert!(start.elapsed() < PERIOD, "this machine was too slow: {:?}", start.elapsed());
    assert!(!limiter.acquire("a", 1).await.unwrap().go);
    let freed = async {
        while !limiter.acquire("a", MOST_PERMITS - 3).await.unwrap().go {
            sleep(Duration::from_millis(1)).await;
        }
    };
    soon("the first ones are forgotten", freed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_grants_nothing_more() {
    needs!(Redis, FakeTime);
    const PERIOD: Duration = Duration::from_secs(3);
    let redis = Engine::start_with_clock(Kind::Redis).await;
    let limiter = RedisLimiter::connect(&redis.url(), 5, PERIOD).await.unwrap();
    assert!(limiter.acquire("a", 5).await.unwrap().go);
    redis.set_clock("-3600");
    // The engine notices within a second, when what was taken has its whole period before it again.
    let until = Instant::now() + PERIOD * 5 / 6;
    while Instant::now() < until {
        let permit = limiter.acquire("a", 1).await.unwrap();
        assert!(!permit.go, "{permit:?}");
        sleep(Duration::from_millis(10)).await;
    }
    let granted = async {
        while !limiter.acquire("a", 5).await.unwrap().go {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon("permits again, and not in an hour", granted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_there_are_no_permits() {
    needs!(Redis);
    let mut redis = Engine::start(Kind::Redis).await;
    let process = Process::start(&["--limiter", &redis.url()]).await;
    assert!(process.acquire("a", 1).await.unwrap().go);
    redis.signal("STOP");
    let since = Instant::now();
    assert_eq!(process.acquire("a", 1).await.unwrap_err().code(), Code::Unavailable);
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    redis.signal("CONT");
    redis.kill();
    assert_eq!(process.acquire("a", 1).await.unwrap_err().code(), Code::Unavailable);
    redis.restart().await;
    soon("permits again", async { while process.acquire("a", 1).await.is_err() {} }).await;
}

#[tokio::test]
async fn what_is_no_limiter_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (away, peer) = (format!("redis://:secret@{nobody}"), format!("tcp://{nobody}"));
    let somebody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, free) = (format!("tcp://{}", somebody.local_addr().unwrap()), "tcp://127.0.0.1:0");
    #[rustfmt::skip]
    let cases: [(&[&str], String); 10] = [
        (&["--limiter", "leaky"], "error: invalid value 'leaky' for '--limiter <slot|gcra|URL>': expected slot, gcra, or redis://HOST:PORT".into()),
        (&["--limiter", "rediss://:secret@x:6379"], "error: INVALID_ARGUMENT: --limiter: `rediss://`: TLS to Redis is not supported; expected redis://HOST:PORT".into()),
        (&["--limiter", &away], format!("error: UNAVAILABLE: --limiter: redis://{nobody}: ")),
        (&["--limiter", &away, "--locker-rate", "100001/1s"], "error: INVALID_ARGUMENT: --limiter: 100001 permits; ".into()),
        (&["--limiter", "gcra", "--limiter-mesh-bind", "tcp://127.0.0.1:0"], "error: INVALID_ARGUMENT: --limiter-mesh-bind is for --limiter slot only".into()),
        (&["--limiter-peer", "tcp://127.0.0.1:1"], "error: the following required arguments were not provided:\n  --limiter-mesh-bind <ADDR>".into()),
        (&["--limiter-mesh-bind", "nowhere"], "error: INVALID_ARGUMENT: --limiter-mesh-bind: `nowhere` is not a valid address; expected HOST:PORT".into()),
        (&["--limiter-mesh-bind", &taken], format!("error: UNAVAILABLE: --limiter-mesh-bind: can't bind {taken}: ")),
        (&["--limiter-mesh-bind", free, "--limiter-peer", "ipc://a"], "error: INVALID_ARGUMENT: --limiter-peer: `ipc://a` is not a valid address; expected HOST:PORT".into()),
        (&["--limiter-mesh-bind", free, "--limiter-peer", &peer, "--limiter-peer", &peer], format!("error: INVALID_ARGUMENT: --limiter-peer: {peer} is this server itself, or named twice")),
    ];
    for (flags, expected) in cases {
        let run = Command::new(PROGRAM).args(flags).kill_on_drop(true).output();
        let err = String::from_utf8(soon("the program", run).await.unwrap().stderr).unwrap();
        assert!(err.starts_with(&expected) && !err.contains("secret"), "{flags:?}: {err}");
    }
}
