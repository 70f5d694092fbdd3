//! Changes of a lock reach those who watch it.

use std::time::Instant;

use everywire_lock::LockEvent::{Expired, Found, Released, Taken};

use crate::bench::{LONG, SHORT, answer, cases, ms_since, pause};

/// A server looks at a watched lock this often even if nothing is reported.
const LOOK_AGAIN: u64 = 5_000;

cases! {
    Watched a_watch_begins_with_the_state(bench) {
        bench.first().watch().await.sees(Found, None).await;
        let grant = bench.first().take("a", LONG).await;
        for server in 0..2 {
            let found = bench.at(server).watch().await.sees(Found, Some("a")).await;
            assert!(!grant.fenced || found.token == grant.token, "{found:?} after {grant:?}");
        }
        bench.first().unlock("a").await;
        let found = bench.second().watch().await.sees(Found, None).await;
        assert_eq!(found.token, 0);
    }

    Watched each_change_at_another_server_is_seen(bench) {
        let start = Instant::now();
        let mut watch = bench.first().watch().await;
        watch.sees(Found, None).await;
        for owner in ["a", "b", "c"] {
            let grant = bench.second().take(owner, LONG).await;
            let taken = watch.sees(Taken, Some(owner)).await;
            bench.second().unlock(owner).await;
            let released = watch.sees(Released, Some(owner)).await;
            let expected = if grant.fenced { grant.token } else { 0 };
            assert_eq!((taken.token, released.token), (expected, expected));
        }
        assert!(ms_since(start) < LOOK_AGAIN, "{} ms: they are reported, not found by chance", ms_since(start));
    }

    Watched all_who_watch_see_a_change(bench) {
        let mut watches = Vec::new();
        for number in 0..20 {
            watches.push(bench.at(number).watch().await);
        }
        for watch in &mut watches {
            watch.sees(Found, None).await;
        }
        bench.first().take("a", LONG).await;
        for watch in &mut watches {
            watch.sees(Taken, Some("a")).await;
        }
        watches.truncate(10);
        bench.second().unlock("a").await;
        for watch in &mut watches {
            watch.sees(Released, Some("a")).await;
        }
    }

    Watched the_end_of_a_lease_is_a_change(bench) {
        let mut watch = bench.first().watch().await;
        watch.sees(Found, None).await;
        bench.second().take("a", SHORT).await;
        watch.sees(Taken, Some("a")).await;
        watch.sees(Expired, Some("a")).await;
        bench.first().take("b", SHORT).await;
        watch.sees(Taken, Some("b")).await;
        watch.sees(Expired, Some("b")).await;
    }

    Watched a_shortened_lease_ends_at_once(bench) {
        let mut watch = bench.first().watch().await;
        watch.sees(Found, None).await;
        bench.second().take("a", LONG).await;
        watch.sees(Taken, Some("a")).await;
        let start = Instant::now();
        assert!(bench.second().renew("a", SHORT).await.granted);
        watch.sees(Expired, Some("a")).await;
        assert!(ms_since(start) < LOOK_AGAIN, "{} ms", ms_since(start));
    }

    Watched renewals_and_further_holds_are_no_changes(bench) {
        let mut watch = bench.first().watch().await;
        watch.sees(Found, None).await;
        bench.second().take("a", SHORT * 2).await;
        watch.sees(Taken, Some("a")).await;
        assert_eq!(bench.second().take("a", LONG).await.holds, 2);
        assert!(bench.second().renew("a", LONG).await.granted);
        pause(SHORT * 2 + 100).await;
        assert!(bench.second().unlock("a").await && bench.second().unlock("a").await);
        watch.sees(Released, Some("a")).await;
    }

    Watched a_lock_is_passed_on(bench) {
        bench.first().take("a", LONG).await;
        let mut watch = bench.first().watch().await;
        watch.sees(Found, Some("a")).await;
        let wait = bench.second().queue("b", LONG, LONG).await;
        assert!(bench.second().unlock("a").await);
        let grant = answer(wait).await;
        // It may have been seen free in between.
        let mut change = watch.next().await.unwrap();
        if change.event == Released {
            change = watch.next().await.unwrap();
        }
        assert_eq!((change.event, change.owner.as_deref()), (Taken, Some("b")));
        assert!(!grant.fenced || change.token == grant.token);
    }

    Watched a_slow_watcher_gets_the_latest(bench) {
        let mut watch = bench.first().watch().await;
        for number in 0..20 {
            let owner = number.to_string();
            bench.second().take(&owner, LONG).await;
            assert!(bench.second().unlock(&owner).await);
        }
        bench.second().take("last", LONG).await;
        watch.sees(Found, None).await;
        let mut seen = 1;
        while watch.next().await.unwrap().owner.as_deref() != Some("last") {
            seen += 1;
        }
        assert!(seen <= 41, "{seen} changes");
    }
}
