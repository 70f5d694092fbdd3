//! The owner can take its lock again.

use crate::bench::{LONG, SHORT, answer, cases, pause};

cases! {
    ReEntrant each_grant_adds_a_hold(bench) {
        let first = bench.first().take("a", LONG).await;
        let second = bench.first().take("a", LONG).await;
        let third = bench.second().take("a", LONG).await;
        assert_eq!([first.holds, second.holds, third.holds], [1, 2, 3]);
        assert_eq!([second.token, third.token], [first.token; 2], "the token stays");
    }

    ReEntrant each_unlock_takes_a_hold(bench) {
        for _ in 0..3 {
            bench.first().take("a", LONG).await;
        }
        for server in 0..2 {
            assert!(bench.at(server).unlock("a").await);
            assert!(!bench.first().try_lock("b", LONG).await.granted);
        }
        assert!(bench.first().unlock("a").await);
        bench.first().take("b", LONG).await;
    }

    ReEntrant many_holds_are_counted(bench) {
        for expected in 1..=40 {
            assert_eq!(bench.first().take("a", LONG).await.holds, expected);
        }
        for _ in 0..40 {
            assert!(bench.first().unlock("a").await);
        }
        assert!(!bench.first().unlock("a").await);
    }

    ReEntrant re_entry_never_shortens_the_lease(bench) {
        bench.first().take("a", LONG).await;
        let again = bench.first().take("a", SHORT).await;
        assert!(again.ttl_ms <= LONG, "{again:?}");
        pause(SHORT + 20).await;
        assert!(!bench.first().try_lock("b", LONG).await.granted);
    }

    ReEntrant re_entry_may_prolong_the_lease(bench) {
        bench.first().take("a", SHORT).await;
        let again = bench.first().take("a", LONG).await;
        assert!(again.ttl_ms > LONG - 10_000, "{again:?}");
        pause(SHORT + 20).await;
        assert!(!bench.first().try_lock("b", LONG).await.granted);
    }

    ReEntrant the_end_of_the_lease_clears_the_count(bench) {
        for _ in 0..3 {
            bench.first().take("a", SHORT).await;
        }
        pause(SHORT + 20).await;
        assert_eq!(bench.first().take("a", LONG).await.holds, 1);
        assert!(bench.first().unlock("a").await);
        bench.first().take("b", LONG).await;
    }

    ReEntrant a_renewal_adds_no_hold(bench) {
        bench.first().take("a", LONG).await;
        assert_eq!(bench.first().renew("a", LONG).await.holds, 1);
        assert!(bench.first().unlock("a").await);
        assert!(!bench.first().unlock("a").await);
    }

    ReEntrant a_wait_of_the_owner_is_granted_at_once(bench) {
        bench.first().take("a", LONG).await;
        let again = bench.second().lock("a", LONG, LONG).await;
        assert_eq!((again.granted, again.holds), (true, 2));
    }

    ReEntrant the_owner_passes_those_who_wait(bench) {
        bench.first().take("a", LONG).await;
        let wait = bench.first().queue("b", LONG, LONG).await;
        assert_eq!(bench.second().take("a", LONG).await.holds, 2);
        assert!(bench.first().unlock("a").await && bench.first().unlock("a").await);
        assert!(answer(wait).await.granted);
    }

    ReEntrantWaits waits_of_one_owner_are_granted_together(bench) {
        bench.first().take("holder", LONG).await;
        let first = bench.first().queue("a", LONG, LONG).await;
        let other = bench.first().queue("b", LONG, LONG).await;
        let second = bench.second().queue("a", LONG, LONG).await;
        assert!(bench.first().unlock("holder").await);
        let (first, second) = (answer(first).await, answer(second).await);
        assert!(first.granted && second.granted && first.token == second.token, "{first:?} {second:?}");
        assert_eq!(first.holds + second.holds, 3);
        assert!(bench.first().unlock("a").await && bench.second().unlock("a").await);
        assert!(answer(other).await.granted);
    }
}
