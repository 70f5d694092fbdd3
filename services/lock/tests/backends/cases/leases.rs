//! A lease ends, and not early.

use std::time::Instant;

use crate::bench::{LONG, SHORT, cases, ms_since, pause};

cases! {
    Leased a_lease_ends(bench) {
        bench.first().take("a", SHORT).await;
        pause(SHORT + 20).await;
        bench.second().take("b", LONG).await;
    }

    Leased a_lease_lasts(bench) {
        bench.first().take("a", 5_000).await;
        let start = Instant::now();
        while ms_since(start) < 1_000 {
            assert!(!bench.second().try_lock("b", LONG).await.granted, "after {} ms", ms_since(start));
            pause(50).await;
        }
    }

    Leased an_ended_lease_is_not_unlocked(bench) {
        bench.first().take("a", SHORT).await;
        pause(SHORT + 20).await;
        assert!(!bench.first().unlock("a").await);
    }

    Leased an_ended_lease_is_not_renewed(bench) {
        bench.first().take("a", SHORT).await;
        pause(SHORT + 20).await;
        let denied = bench.first().renew("a", LONG).await;
        assert_eq!((denied.granted, denied.token, denied.ttl_ms), (false, 0, 0));
    }

    Leased a_renewal_prolongs(bench) {
        bench.first().take("a", SHORT).await;
        let renewed = bench.second().renew("a", LONG).await;
        assert!(renewed.granted && renewed.ttl_ms > LONG - 10_000, "{renewed:?}");
        pause(SHORT + 20).await;
        assert!(!bench.first().try_lock("b", LONG).await.granted);
    }

    Leased a_renewal_may_shorten(bench) {
        bench.first().take("a", LONG).await;
        assert!(bench.first().renew("a", SHORT).await.granted);
        pause(SHORT + 20).await;
        bench.second().take("b", LONG).await;
    }

    Leased renewals_add_up_to_no_more_than_the_last(bench) {
        bench.first().take("a", LONG).await;
        for _ in 0..5 {
            assert!(bench.first().renew("a", SHORT).await.granted);
        }
        pause(SHORT + 20).await;
        bench.second().take("b", LONG).await;
    }

    Leased renewals_keep_a_lock_alive(bench) {
        bench.first().take("a", 2_000).await;
        let start = Instant::now();
        while ms_since(start) < 3_000 {
            pause(300).await;
            assert!(bench.first().renew("a", 2_000).await.granted, "after {} ms", ms_since(start));
        }
        assert!(!bench.second().try_lock("b", LONG).await.granted);
    }

    Leased only_the_owner_renews(bench) {
        bench.first().take("a", LONG).await;
        let denied = bench.second().renew("b", LONG).await;
        assert_eq!((denied.granted, denied.owner.as_str(), denied.token, denied.holds), (false, "b", 0, 0));
        assert!(denied.ttl_ms > LONG - 10_000, "the rest of the holder's lease: {denied:?}");
    }

    Leased a_free_lock_is_not_renewed(bench) {
        assert!(!bench.first().renew("a", LONG).await.granted);
        bench.first().take("a", LONG).await;
        bench.first().unlock("a").await;
        assert!(!bench.first().renew("a", LONG).await.granted);
    }

    Leased an_ended_lease_is_no_hold(bench) {
        bench.first().take("a", SHORT).await;
        pause(SHORT + 20).await;
        let anew = bench.first().take("a", LONG).await;
        assert_eq!(anew.holds, 1);
    }

    Leased a_lease_may_last_a_day(bench) {
        let grant = bench.first().take("a", 86_400_000).await;
        assert!(grant.ttl_ms > 86_000_000 * 98 / 100, "{grant:?}");
        assert!(bench.first().renew("a", 86_400_000).await.granted);
    }

    Leased a_lease_ends_for_a_waiter(bench) {
        bench.first().take("dead", 1_000).await;
        let start = Instant::now();
        assert!(bench.second().lock("a", LONG, LONG).await.granted);
        let waited = ms_since(start);
        assert!((900..3_000).contains(&waited), "{waited} ms");
    }

    Leased a_shortened_lease_ends_for_a_waiter(bench) {
        bench.first().take("a", LONG).await;
        let wait = bench.second().queue("b", LONG, LONG).await;
        assert!(bench.first().renew("a", SHORT).await.granted);
        assert!(crate::bench::answer(wait).await.granted);
    }
}
