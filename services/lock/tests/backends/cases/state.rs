//! The state of a lock.

use crate::bench::{LONG, SHORT, cases, pause};
use everywire_lock::LockState;

const FREE: LockState = LockState { held: false, owner: None, token: 0, held_ms: 0, ttl_ms: 0, waiting: 0 };

cases! {
    Visible a_free_lock_is_seen(bench) {
        assert_eq!(bench.first().state().await, FREE);
    }

    Visible a_held_lock_is_seen(bench) {
        bench.first().take("a", LONG).await;
        let state = bench.second().state().await;
        assert_eq!((state.held, state.owner.as_deref(), state.waiting), (true, Some("a"), 0));
        assert!(state.held_ms < 10_000 && state.ttl_ms <= LONG && state.ttl_ms > LONG - 10_000, "{state:?}");
    }

    Visible an_unlocked_lock_is_seen(bench) {
        bench.first().take("a", LONG).await;
        bench.first().unlock("a").await;
        assert_eq!(bench.second().state().await, FREE);
    }

    Visible the_end_of_a_lease_is_seen(bench) {
        bench.first().take("a", SHORT).await;
        pause(SHORT + 20).await;
        assert_eq!(bench.second().state().await, FREE);
    }

    Visible a_renewal_is_seen(bench) {
        bench.first().take("a", SHORT).await;
        bench.first().renew("a", LONG).await;
        assert!(bench.second().state().await.ttl_ms > LONG - 10_000);
    }

    Visible the_time_since_the_grant_is_seen(bench) {
        bench.first().take("a", LONG).await;
        pause(300).await;
        bench.first().take("a", LONG).await;
        bench.first().renew("a", LONG).await;
        let held = bench.second().state().await.held_ms;
        assert!((280..10_000).contains(&held), "neither re-entry nor renewal begins it again: {held} ms");
    }

    Visible looking_changes_nothing(bench) {
        bench.first().take("a", SHORT).await;
        pause(SHORT / 2).await;
        for _ in 0..5 {
            bench.first().state().await;
        }
        pause(SHORT / 2 + 20).await;
        assert_eq!(bench.first().state().await, FREE);
    }
}
