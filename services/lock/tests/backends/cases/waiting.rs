//! Waits end with a grant, in the order of arrival, or at their deadline.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::task::JoinSet;

use crate::bench::{LONG, SHORT, answer, cases, ms_since, soon};

cases! {
    Waits a_wait_for_a_free_lock_is_granted(bench) {
        assert!(bench.first().lock("a", LONG, LONG).await.granted);
    }

    Waits a_wait_is_granted_when_the_lock_is_free(bench) {
        bench.first().take("a", LONG).await;
        let wait = bench.first().queue("b", LONG, LONG).await;
        assert!(bench.first().unlock("a").await);
        assert!(answer(wait).await.granted);
    }

    Waits a_wait_at_another_server_is_granted(bench) {
        bench.first().take("a", LONG).await;
        let wait = bench.second().queue("b", LONG, LONG).await;
        assert!(bench.first().unlock("a").await);
        assert!(answer(wait).await.granted);
    }

    Waits a_lease_that_runs_out_is_passed_on_as_often_as_somebody_waits(bench) {
        bench.first().take("a", LONG).await;
        let mut waits = Vec::new();
        for owner in ["b", "c", "d"] {
            waits.push(bench.first().queue(owner, SHORT, LONG).await);
        }
        waits.push(bench.second().queue("e", SHORT, LONG).await);
        assert!(bench.first().unlock("a").await);
        // No call releases it.
        for wait in waits {
            assert!(answer(wait).await.granted);
        }
    }

    Waits a_wait_ends_at_its_deadline(bench) {
        bench.first().take("a", LONG).await;
        let start = Instant::now();
        let denied = bench.first().lock("b", LONG, 300).await;
        let waited = ms_since(start);
        assert!(!denied.granted && denied.ttl_ms > LONG - 20_000, "{denied:?}");
        assert!((300..10_000).contains(&waited), "{waited} ms");
    }

    Waits a_wait_that_ended_takes_nothing(bench) {
        bench.first().take("a", LONG).await;
        assert!(!bench.first().lock("late", LONG, 100).await.granted);
        assert!(bench.first().unlock("a").await);
        bench.second().take("b", LONG).await;
    }

    Waits a_wait_that_is_dropped_takes_nothing(bench) {
        bench.first().take("a", LONG).await;
        let gone = bench.first().queue("gone", LONG, LONG).await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert!(bench.first().unlock("a").await);
        assert!(bench.second().lock("b", LONG, LONG).await.granted);
    }

    Waits the_next_has_its_turn_when_the_first_is_dropped(bench) {
        bench.first().take("a", LONG).await;
        let gone = bench.first().queue("gone", LONG, LONG).await;
        let next = bench.second().queue("next", LONG, LONG).await;
        gone.abort();
        assert!(bench.first().unlock("a").await);
        assert!(answer(next).await.granted);
    }

    Waits the_next_has_its_turn_when_the_first_is_late(bench) {
        bench.first().take("a", LONG).await;
        let late = bench.first().queue("late", LONG, 3_000).await;
        let next = bench.second().queue("next", LONG, LONG).await;
        assert!(!answer(late).await.granted);
        assert!(bench.first().unlock("a").await);
        assert!(answer(next).await.granted);
    }

    Waits a_grant_that_nobody_picks_up_is_given_back(bench) {
        for _ in 0..10 {
            assert!(bench.first().lock("a", LONG, LONG).await.granted);
            let gone = bench.second().queue("gone", LONG, LONG).await;
            assert!(bench.first().unlock("a").await);
            gone.abort();
            if gone.await.is_ok() {
                assert!(bench.first().unlock("gone").await);
            }
        }
    }

    Waits everybody_has_a_turn(bench) {
        let mut tasks = JoinSet::new();
        for number in 0..30 {
            let (at, owner) = (bench.at(number), number.to_string());
            tasks.spawn(async move { at.lock(&owner, LONG, LONG).await.granted && at.unlock(&owner).await });
        }
        assert!(soon("all turns", tasks.join_all()).await.into_iter().all(|had| had));
    }

    Waits a_dead_holder_and_a_dead_waiter_end_with_their_leases(bench) {
        bench.first().take("dead", SHORT).await;
        let dead = bench.first().queue("dead too", SHORT, LONG).await;
        let wait = bench.second().queue("a", SHORT, LONG).await;
        assert!(answer(dead).await.granted);
        assert!(answer(wait).await.granted);
    }

    Fifo waits_are_granted_in_the_order_of_arrival(bench) {
        bench.first().take("holder", LONG).await;
        let mut waits = Vec::new();
        for owner in ["a", "b", "c", "d", "e"] {
            waits.push((owner, bench.first().queue(owner, LONG, LONG).await));
        }
        assert!(bench.first().unlock("holder").await);
        for (owner, wait) in waits {
            assert!(answer(wait).await.granted);
            assert_eq!(bench.first().state().await.owner.as_deref(), Some(owner));
            assert!(bench.first().unlock(owner).await);
        }
    }

    Fifo the_order_of_arrival_is_that_of_all_servers(bench) {
        let order = Arc::new(Mutex::new(Vec::new()));
        bench.first().take("holder", LONG).await;
        let mut waits = JoinSet::new();
        for number in 0..100_usize {
            let (at, owner, order) = (bench.at(number), format!("{number:03}"), Arc::clone(&order));
            let before = at.state().await.waiting;
            waits.spawn(async move {
                let grant = at.lock(&owner, LONG, LONG).await;
                order.lock().unwrap().push(number);
                assert!(grant.granted && at.unlock(&owner).await, "{grant:?}");
            });
            bench.at(number).until("a waiter in the queue", |state| state.waiting != before).await;
        }
        assert!(bench.first().unlock("holder").await);
        soon("all turns", waits.join_all()).await;
        let order = order.lock().unwrap();
        assert!(order.iter().copied().eq(0..100), "{order:?}");
    }

    Fifo a_try_passes_nobody_who_waits(bench) {
        bench.first().take("a", LONG).await;
        let wait = bench.first().queue("b", LONG, LONG).await;
        assert!(bench.first().unlock("a").await);
        let tried = bench.second().try_lock("c", LONG).await;
        assert!(answer(wait).await.granted && !tried.granted, "{tried:?}");
    }

    Fifo a_waiter_that_leaves_moves_the_others_up(bench) {
        bench.first().take("holder", LONG).await;
        let a = bench.first().queue("a", LONG, LONG).await;
        let gone = bench.second().queue("gone", LONG, LONG).await;
        let b = bench.first().queue("b", LONG, LONG).await;
        gone.abort();
        bench.first().until("two waiters", |state| state.waiting == 2).await;
        assert!(bench.first().unlock("holder").await);
        assert!(answer(a).await.granted && !bench.first().try_lock("b", LONG).await.granted);
        assert!(bench.second().unlock("a").await);
        assert!(answer(b).await.granted);
    }

    QueueView the_state_counts_those_who_wait(bench) {
        bench.first().take("a", LONG).await;
        let mut waits = Vec::new();
        for number in 0..4_u32 {
            assert_eq!(bench.second().state().await.waiting, number);
            waits.push(bench.at(number as usize).queue(&number.to_string(), LONG, LONG).await);
        }
        for wait in waits {
            wait.abort();
        }
        bench.first().until("an empty queue", |state| state.waiting == 0).await;
    }
}
