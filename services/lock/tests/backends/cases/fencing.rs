//! Tokens grow.

use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::bench::{LONG, SHORT, answer, cases, pause, soon};

cases! {
    Fenced a_grant_says_that_it_is_fenced(bench) {
        assert!(bench.first().take("a", LONG).await.fenced);
        assert!(bench.first().renew("a", LONG).await.fenced);
    }

    Fenced tokens_grow_from_grant_to_grant(bench) {
        let mut last = 0;
        for number in 0..20 {
            let (at, owner) = (bench.at(number), (number % 3).to_string());
            let grant = at.take(&owner, LONG).await;
            assert!(grant.token > last, "{grant:?} after {last}");
            last = grant.token;
            assert!(at.unlock(&owner).await);
        }
    }

    Fenced tokens_grow_over_the_end_of_a_lease(bench) {
        let first = bench.first().take("a", SHORT).await.token;
        pause(SHORT + 20).await;
        let second = bench.second().take("a", SHORT).await.token;
        pause(SHORT + 20).await;
        let third = bench.first().take("b", LONG).await.token;
        assert!(first < second && second < third, "{first} {second} {third}");
    }

    Fenced a_token_stays_as_long_as_the_lock_is_held(bench) {
        let token = bench.first().take("a", LONG).await.token;
        assert_eq!(bench.second().renew("a", LONG).await.token, token);
        assert_eq!(bench.second().take("a", LONG).await.token, token);
        assert!(bench.first().unlock("a").await);
        assert_eq!(bench.second().renew("a", LONG).await.token, token);
    }

    Fenced the_state_shows_the_token(bench) {
        let token = bench.first().take("a", LONG).await.token;
        assert_eq!(bench.second().state().await.token, token);
    }

    Fenced a_waiter_gets_a_greater_token(bench) {
        let first = bench.first().take("a", LONG).await.token;
        let wait = bench.second().queue("b", LONG, LONG).await;
        assert!(bench.first().unlock("a").await);
        let second = answer(wait).await.token;
        assert!(second > first, "{second} after {first}");
    }

    Fenced tokens_grow_under_contention(bench) {
        let last = Arc::new(Mutex::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..6 {
            let (at, owner, last) = (bench.at(number), number.to_string(), Arc::clone(&last));
            tasks.spawn(async move {
                for _ in 0..5 {
                    let grant = at.lock(&owner, LONG, LONG).await;
                    let before = std::mem::replace(&mut *last.lock().unwrap(), grant.token);
                    assert!(grant.granted && grant.token > before, "{grant:?} after {before}");
                    assert!(at.unlock(&owner).await);
                }
            });
        }
        soon("all grants", tasks.join_all()).await;
    }
}
