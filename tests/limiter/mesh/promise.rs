//! The bound itself: the permits beyond the limit are those of which the limiter that grants last has not heard. The network
//! is held by the test, so what is under way is known, however busy the machine is.

use std::time::Duration;

use everywire_limiter::MeshLimiter;

use super::{LIMIT, LIMITERS, Mesh, counted, counts, take, take_all};

/// News that comes at all comes within this, unless the machine stands still so long that peers seem silent.
const ARRIVES: Duration = Duration::from_secs(10);
/// What each limiter but the last grants while news is held.
const UNDER_WAY: u32 = 5;
const EACH_FIRST: u32 = 1;
const ALL_FIRST: u32 = LIMITERS * EACH_FIRST;
const ALL_UNDER_WAY: u32 = (LIMITERS - 1) * UNDER_WAY;

impl Mesh {
    /// Whether all news of a resource arrives.
    async fn all_count(&self, resource: &str, permits: u32) -> bool {
        for limiter in &self.limiters {
            if !counts(limiter, resource, permits, ARRIVES).await {
                return false;
            }
        }
        true
    }

    /// Each takes a permit, and hears of the others' first ones.
    async fn begin(&self, resource: &str) -> bool {
        for limiter in &self.limiters {
            take(limiter, resource, EACH_FIRST);
        }
        self.all_count(resource, ALL_FIRST).await
    }

    /// Whether permits are granted in turns, each after the news of the one before.
    async fn in_turns(&self, resource: &str) -> bool {
        let mut all_arrived = self.begin(resource).await;
        for (limiter, count) in self.limiters.iter().cycle().zip(ALL_FIRST + 1..=LIMIT) {
            if all_arrived {
                take(limiter, resource, 1);
                all_arrived = self.all_count(resource, count).await;
            }
        }
        all_arrived && self.limiters.iter().all(|limiter| take_all(limiter, resource) == 0)
    }

    /// All but the last one take permits of which nobody hears; the last one.
    fn under_way(&self, resource: &str) -> &MeshLimiter {
        self.hold(true);
        let (last, others) = self.limiters.split_last().unwrap();
        for limiter in others {
            take(limiter, resource, UNDER_WAY);
        }
        assert_eq!(counted(last, resource), ALL_FIRST, "{resource}: held news counts");
        last
    }

    async fn late(&self, resource: &str) -> bool {
        let has_begun = self.begin(resource).await;
        if has_begun {
            self.under_way(resource);
        }
        self.hold(false);
        has_begun && self.all_count(resource, ALL_FIRST + ALL_UNDER_WAY).await
    }

    async fn overshoot(&self, resource: &str) -> bool {
        let has_begun = self.begin(resource).await;
        if has_begun {
            let granted = ALL_FIRST + ALL_UNDER_WAY + take_all(self.under_way(resource), resource);
            assert_eq!(granted, LIMIT + ALL_UNDER_WAY, "what is under way is the overshoot");
        }
        self.hold(false);
        has_begun
    }

    async fn lost(&self, resource: &str) -> bool {
        let has_begun = self.begin(resource).await;
        if has_begun {
            let last = self.under_way(resource);
            self.cut();
            self.hold(false);
            self.hears_itself(resource).await;
            let granted = ALL_FIRST + ALL_UNDER_WAY + take_all(last, resource);
            assert!((LIMIT..=LIMIT + ALL_UNDER_WAY).contains(&granted), "{granted}: at most what was lost is too much");
        }
        has_begun
    }

    async fn partitioned(&self, resource: &str) -> bool {
        self.hold(true);
        for limiter in &self.limiters {
            assert_eq!(take_all(limiter, resource), LIMIT, "each is on its own");
        }
        self.hold(false);
        self.hears_itself(resource).await;
        true
    }
}

/// Tries a scene with another resource if news was lost: a machine that stands still for seconds looks like a silent peer.
async fn scene(name: &str, mut play: impl AsyncFnMut(&str) -> bool) {
    for number in 0..3 {
        if play(&format!("{name} {number}")).await {
            return;
        }
    }
    panic!("{name}: news does not arrive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_has_the_limit_and_what_is_unheard() {
    let mesh = Mesh::start().await;
    scene("in turns", async |resource| mesh.in_turns(resource).await).await;
    scene("late", async |resource| mesh.late(resource).await).await;
    scene("under way", async |resource| mesh.overshoot(resource).await).await;
    scene("lost", async |resource| mesh.lost(resource).await).await;
    scene("partitioned", async |resource| mesh.partitioned(resource).await).await;
    scene("healed", async |resource| mesh.in_turns(resource).await).await;
}
