//! Slots in simulated time, and slots with peers.

use proptest::{collection::vec, prelude::*};
use tokio::time::advance;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_slot_gives_n_permits_and_the_next_slot_again() {
    let limiter = SlotLimiter::new(2, Duration::from_millis(800));
    let acquire = |resource: &str| limiter.acquire(resource, 1).unwrap();
    assert_eq!(acquire("a"), Permit { go: true, limit: 2, remaining: 1, retry_after_ms: 0 });
    advance(Duration::from_millis(500)).await;
    assert_eq!(acquire("a"), Permit { go: true, limit: 2, remaining: 0, retry_after_ms: 0 });
    assert_eq!(acquire("a"), Permit { go: false, limit: 2, remaining: 0, retry_after_ms: 301 });
    assert!(acquire("b").go, "resources are independent");
    advance(Duration::from_millis(300)).await;
    assert_eq!(acquire("a"), Permit { go: false, limit: 2, remaining: 0, retry_after_ms: 1 }, "its last instant");
    advance(Duration::from_millis(1)).await;
    assert!(acquire("a").go);
}

/// The limiter that this one equals; `now` is its only clock.
struct Reference {
    max_requests: u32,
    in_time: Duration,
    requests: u32,
    next_slot: Instant,
}

impl Reference {
    fn next(&mut self, now: Instant) -> bool {
        if now > self.next_slot {
            self.requests = 0;
            self.next_slot = now + self.in_time;
        }
        let go = self.requests < self.max_requests;
        self.requests += u32::from(go);
        go
    }
}

proptest! {
    /// Pauses of whole tenths of a slot meet every boundary exactly, those of a nanosecond more pass it.
    #[test]
    fn go_and_sorry_are_those_of_the_reference(
        limit in 1_u32..6,
        pauses in vec((0_u32..14, 0_u64..2), 1..80),
    ) {
        let tenth = Duration::from_millis(80);
        block_on_paused(async {
            let limiter = SlotLimiter::new(limit, 10 * tenth);
            let in_time = 10 * tenth;
            let mut reference =
                Reference { max_requests: limit, in_time, requests: 0, next_slot: Instant::now() + in_time };
            for (step, (tenths, nanos)) in pauses.into_iter().enumerate() {
                advance(tenths * tenth + Duration::from_nanos(nanos)).await;
                let permit = limiter.acquire("locker", 1).unwrap();
                prop_assert_eq!(permit.go, reference.next(Instant::now()), "step {}", step);
            }
            Ok(())
        })?;
    }
}

fn block_on_paused<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test)
}

#[tokio::test(start_paused = true)]
async fn after_the_time_to_retry_it_goes() {
    let limiter = SlotLimiter::new(1, Duration::from_micros(1_500));
    assert!(limiter.acquire("a", 1).unwrap().go);
    for nanos in [0, 500_000, 999_999, 1, 0] {
        advance(Duration::from_nanos(nanos)).await;
        let rejected = limiter.acquire("a", 1).unwrap();
        assert!(!rejected.go && rejected.retry_after_ms > 0, "{rejected:?}");
    }
    let rejected = limiter.acquire("a", 1).unwrap();
    advance(Duration::from_millis(rejected.retry_after_ms)).await;
    assert!(limiter.acquire("a", 1).unwrap().go);
}

#[tokio::test(start_paused = true)]
async fn ended_slots_are_swept_and_open_ones_stay() {
    let limiter = SlotLimiter::new(1, Duration::from_secs(1));
    let sweep = |crowd: &str| {
        for number in 0..2 * everywire_engines::expiring::MIN_ENTRIES {
            assert!(limiter.acquire(&format!("{crowd} {number}"), 1).unwrap().go, "{crowd} {number}");
        }
    };
    assert!(limiter.acquire("a", 1).unwrap().go);
    advance(Duration::from_secs(1)).await;
    sweep("at its last instant");
    assert!(!limiter.acquire("a", 1).unwrap().go);
    advance(Duration::from_nanos(1)).await;
    sweep("after it");
    assert!(limiter.slots.lock().unwrap().get("a").is_none());
}

#[tokio::test(start_paused = true)]
async fn resources_have_a_bounded_memory() {
    let slots = Expiring::small(1 << 20).into();
    let limiter = SlotLimiter { slots, ..SlotLimiter::new(1, Duration::from_secs(1)) };
    let acquire = |number: usize| limiter.acquire(&format!("{number:0512}"), 1);
    let number = (0..2_048).find(|number| acquire(*number).is_err()).expect("names alone would fill it");
    assert!(number > 1_024, "{number}");
    assert_eq!(acquire(number).unwrap_err().message(), "the resources in use fill 1048576 bytes already");
    assert!(!acquire(0).unwrap().go, "known resources are served");
    advance(Duration::from_millis(1_001)).await;
    assert!(acquire(number).unwrap().go, "their slots have ended");
}

#[cfg(feature = "mesh")]
#[tokio::test(start_paused = true)]
async fn what_a_peer_grants_counts_in_its_slot() {
    let [second, tenth] = [1_000, 100].map(Duration::from_millis);
    let limiter = SlotLimiter::new(5, second);
    advance(2 * second).await;
    limiter.count("a", 2, 9 * tenth).unwrap();
    assert_eq!(limiter.acquire("a", 1).unwrap().remaining, 2, "in the peer's slot");
    advance(8 * tenth).await;
    limiter.count("a", 1, second).unwrap();
    limiter.count("a", 4, second).unwrap();
    let rejected = limiter.acquire("a", 1).unwrap();
    assert_eq!(
        (rejected.go, rejected.retry_after_ms),
        (false, 101),
        "the peer is in the next slot, and counts in both"
    );
    advance(2 * tenth).await;
    assert_eq!(limiter.acquire("a", 1).unwrap().retry_after_ms, 801, "the slot that the peer is in");
    advance(9 * tenth).await;
    limiter.count("a", 5, 2 * tenth).unwrap();
    assert_eq!(
        limiter.acquire("a", 1).unwrap().remaining,
        4,
        "no peer is in the slot after that, and the message was late"
    );
    limiter.count("a", u32::MAX, Duration::MAX).unwrap();
    assert_eq!(limiter.acquire("a", 1).unwrap().retry_after_ms, 1_001, "no rest is longer than a slot");
}

#[tokio::test(start_paused = true)]
async fn permits_are_taken_all_or_none() {
    let limiter = SlotLimiter::new(5, Duration::from_secs(1));
    assert_eq!(limiter.acquire("a", 4).unwrap().remaining, 1);
    let rejected = limiter.acquire("a", 2).unwrap();
    assert_eq!((rejected.go, rejected.remaining), (false, 1));
    assert!(limiter.acquire("a", 1).unwrap().go);
    for permits in [0, 6] {
        let error = limiter.acquire("a", permits).unwrap_err();
        assert_eq!(error.message(), format!("`permits` is {permits}; it may be 1 to 5"));
    }
}
