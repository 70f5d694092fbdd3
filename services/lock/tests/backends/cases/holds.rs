//! A lock that is held as long as a stream.

use std::time::Instant;

use everywire_core::Code;

use crate::bench::{LONG, answer, cases, ms_since, pause, soon};

/// A lease that several renewals keep alive.
const TTL: u64 = 2_000;

cases! {
    Held a_hold_ends_with_its_stream(bench) {
        let (hold, grant) = bench.first().hold("a", LONG).await;
        let state = bench.second().state().await;
        assert_eq!(state.owner.as_deref(), Some("a"));
        assert!(!grant.fenced || state.token == grant.token);
        drop(hold);
        bench.second().until("a free lock, long before its lease ends", |state| !state.held).await;
        bench.second().take("b", LONG).await;
    }

    Held a_hold_outlives_its_ttl(bench) {
        let start = Instant::now();
        let (mut hold, first) = bench.first().hold("a", TTL).await;
        while ms_since(start) < 3 * TTL {
            let renewed = hold.next().await.unwrap().unwrap();
            assert!(renewed.granted && (!first.fenced || renewed.token == first.token), "{renewed:?}");
            assert!(!bench.second().try_lock("b", LONG).await.granted, "after {} ms", ms_since(start));
        }
    }

    Held a_hold_needs_no_reader(bench) {
        let (mut hold, first) = bench.first().hold("a", TTL).await;
        pause(TTL * 2 + TTL / 6).await;
        let late = hold.next().await.unwrap().unwrap();
        assert!(late.granted && (!first.fenced || late.token == first.token));
        let start = Instant::now();
        hold.next().await.unwrap().unwrap();
        assert!(ms_since(start) > TTL / 20, "the renewals before are no longer items");
    }

    Held a_hold_of_a_held_lock_is_denied(bench) {
        bench.first().take("a", LONG).await;
        let mut hold = bench.second().try_hold("b", LONG, 0).await.unwrap();
        let denied = hold.next().await.unwrap().unwrap();
        assert!(!denied.granted && denied.owner == "b" && denied.ttl_ms > LONG / 2, "{denied:?}");
        assert_eq!(hold.next().await, None);
    }

    Held a_hold_waits_for_its_turn(bench) {
        bench.first().take("a", LONG).await;
        let at = bench.second();
        let wait = tokio::spawn(async move { at.try_hold("b", TTL, LONG).await.unwrap() });
        pause(TTL).await;
        assert!(bench.first().unlock("a").await);
        let mut hold = soon("a turn", wait).await.unwrap();
        let grant = hold.next().await.unwrap().unwrap();
        assert!(grant.granted && grant.owner == "b" && grant.ttl_ms > TTL / 2, "{grant:?}");
        hold.next().await.unwrap().unwrap();
    }

    Held a_hold_that_nobody_waits_for_takes_nothing(bench) {
        bench.first().take("a", LONG).await;
        let at = bench.second();
        let wait = tokio::spawn(async move { at.try_hold("b", LONG, LONG).await.map(drop) });
        pause(500).await;
        wait.abort();
        let next = bench.first().wait("c", LONG, LONG);
        pause(200).await;
        assert!(bench.first().unlock("a").await);
        assert!(answer(next).await.granted);
    }

    Held a_lock_that_is_taken_away_ends_its_hold(bench) {
        let (mut hold, _) = bench.first().hold("a", TTL).await;
        assert!(bench.second().unlock("a").await);
        bench.second().take("b", LONG).await;
        let error = hold.end().await;
        assert_eq!(error.code(), Code::Aborted, "{error}");
        drop(hold);
        pause(100).await;
        assert_eq!(bench.first().state().await.owner.as_deref(), Some("b"), "nobody releases another's lock");
    }

    Held a_hold_is_its_owners_only_one(bench) {
        bench.first().take("a", LONG).await;
        let error = bench.second().try_hold("a", TTL, 0).await.map(drop).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
        bench.first().until("one hold", |state| state.held).await;
        pause(300).await;
        assert!(bench.first().unlock("a").await && !bench.second().state().await.held);
    }

    Held holds_are_exclusive(bench) {
        let mut last = 0;
        for number in 0..6 {
            let (hold, grant) = bench.at(number).hold(&number.to_string(), LONG).await;
            assert!(!grant.fenced || grant.token > last, "{grant:?}");
            last = grant.token;
            assert!(!bench.at(number + 1).try_hold("x", LONG, 0).await.unwrap().next().await.unwrap().unwrap().granted);
            drop(hold);
            bench.at(number).until("a free lock", |state| !state.held).await;
        }
    }
}
