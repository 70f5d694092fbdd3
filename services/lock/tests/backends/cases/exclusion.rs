//! One owner at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use everywire_lock::{Backend, Locks, Request};
use tokio::task::JoinSet;

use crate::bench::{LONG, cases, ms_since, pause, soon};

cases! {
    Exclusive a_free_lock_is_granted(bench) {
        let grant = bench.first().take("a", LONG).await;
        assert_eq!(grant.holds, 1);
        assert!(grant.token > 0 && grant.ttl_ms <= LONG && grant.ttl_ms > LONG - 10_000, "{grant:?}");
    }

    Exclusive a_held_lock_is_not_granted(bench) {
        bench.first().take("a", LONG).await;
        let denied = bench.first().try_lock("b", LONG).await;
        assert_eq!((denied.granted, denied.owner.as_str(), denied.token, denied.holds), (false, "b", 0, 0));
        assert!(denied.ttl_ms <= LONG && denied.ttl_ms > LONG - 10_000, "the rest of the holder's lease: {denied:?}");
    }

    Exclusive a_lock_is_held_at_every_server(bench) {
        bench.first().take("a", LONG).await;
        assert!(!bench.second().try_lock("b", LONG).await.granted);
    }

    Exclusive an_unlocked_lock_is_free(bench) {
        bench.first().take("a", LONG).await;
        assert!(bench.first().unlock("a").await);
        bench.first().take("b", LONG).await;
    }

    Exclusive any_server_unlocks(bench) {
        bench.first().take("a", LONG).await;
        assert!(bench.second().unlock("a").await);
        bench.first().take("b", LONG).await;
    }

    Exclusive only_the_owner_unlocks(bench) {
        bench.first().take("a", LONG).await;
        assert!(!bench.first().unlock("b").await);
        assert!(!bench.second().unlock("b").await);
        assert!(!bench.first().try_lock("b", LONG).await.granted);
    }

    Exclusive an_unknown_lock_is_not_unlocked(bench) {
        assert!(!bench.first().unlock("a").await);
    }

    Exclusive a_lock_is_unlocked_once(bench) {
        bench.first().take("a", LONG).await;
        assert!(bench.first().unlock("a").await);
        assert!(!bench.first().unlock("a").await);
    }

    Exclusive an_unlock_of_the_last_owner_takes_nothing_from_the_next(bench) {
        bench.first().take("a", LONG).await;
        bench.first().unlock("a").await;
        bench.first().take("b", LONG).await;
        assert!(!bench.second().unlock("a").await);
        assert!(!bench.first().try_lock("c", LONG).await.granted);
    }

    Exclusive locks_are_independent(bench) {
        bench.first().take("a", LONG).await;
        bench.named(&format!("{} too", bench.name)).take("b", LONG).await;
    }

    Exclusive an_absent_owner_is_made_up(bench) {
        let locks = bench.first().locks;
        let request = || Request::new(bench.name.clone(), LONG, None).unwrap();
        let grant = locks.lock(request(), Duration::ZERO).await.unwrap();
        assert!(grant.granted && grant.owner.len() == 32, "{grant:?}");
        let denied = locks.lock(request(), Duration::ZERO).await.unwrap();
        assert!(!denied.granted && denied.owner != grant.owner, "{denied:?}");
    }

    Exclusive a_try_answers_at_once(bench) {
        bench.first().take("a", LONG).await;
        let start = Instant::now();
        bench.second().try_lock("b", LONG).await;
        assert!(ms_since(start) < 5_000);
    }

    Exclusive one_of_many_tries_wins(bench) {
        let mut tries = JoinSet::new();
        for number in 0..24 {
            let at = bench.at(number);
            tries.spawn(async move { at.try_lock(&number.to_string(), LONG).await.granted });
        }
        let won = soon("all tries", tries.join_all()).await.into_iter().filter(|granted| *granted).count();
        // Servers that vote may split their votes.
        let least = usize::from(!matches!(*bench.servers[0], Backend::Redlock(_)));
        assert!((least..=1).contains(&won), "{won} have it");
    }

    Exclusive nobody_counts_at_the_same_time(bench) {
        let inside = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..6 {
            let (at, owner, inside) = (bench.at(number), number.to_string(), Arc::clone(&inside));
            tasks.spawn(async move {
                for _ in 0..5 {
                    assert!(at.lock(&owner, LONG, LONG).await.granted, "{owner}");
                    assert_eq!(inside.fetch_add(1, SeqCst), 0, "two are inside");
                    pause(1).await;
                    inside.fetch_sub(1, SeqCst);
                    assert!(at.unlock(&owner).await);
                }
            });
        }
        soon("all counts", tasks.join_all()).await;
    }
}
