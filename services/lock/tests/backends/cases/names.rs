//! Each valid name is a separate lock, and each valid owner a separate owner.

use std::time::Duration;

use everywire_core::Code;
use everywire_lock::{Locks, Request};

use crate::bench::{Bench, LONG, cases};

/// Takes locks with these names, each for another owner.
async fn differ(bench: &Bench, names: &[&str]) {
    for (number, end) in names.iter().enumerate() {
        bench.named(&format!("{}{end}", bench.name)).take(&number.to_string(), LONG).await;
    }
}

/// Takes and releases a lock with this name and owner.
async fn works(bench: &Bench, name: &str, owner: &str) {
    let at = bench.named(name);
    at.take(owner, LONG).await;
    assert_eq!(at.state().await.owner.as_deref(), Some(owner));
    assert!(!at.try_lock("another", LONG).await.granted);
    assert!(at.renew(owner, LONG).await.granted);
    assert!(at.unlock(owner).await);
    assert!(!at.state().await.held);
}

cases! {
    Names case_makes_a_difference(bench) { differ(bench, &["a", "A"]).await; }
    Names accents_make_a_difference(bench) { differ(bench, &["e", "é", "e\u{301}"]).await; }
    Names spaces_at_the_end_make_a_difference(bench) { differ(bench, &["", " ", "  ", "\0", "\t"]).await; }
    Names a_name_within_a_name_is_another(bench) { differ(bench, &["x", "xx", "x:y", "x/y", "x/", "x,"]).await; }
    Names wildcards_are_letters(bench) { differ(bench, &["%", "_", "*", "?", "[a]", "a"]).await; }
    Names owners_that_differ_little_are_different(bench) {
        bench.first().take("a", LONG).await;
        for owner in ["A", "a ", "a\0", "á", " a", "a:1:a"] {
            assert!(!bench.first().try_lock(owner, LONG).await.granted, "{owner:?}");
            assert!(!bench.first().unlock(owner).await, "{owner:?}");
        }
    }
    Names any_text_is_a_name(bench) {
        for text in ["'; DROP TABLE x; --", "\"", "\\", "\r\n", "\0", "{}", "${x}", "../..", "🔒", "-", "0", "1 2 3 4"] {
            works(bench, &format!("{text}{}", bench.name), "a").await;
        }
    }
    Names any_text_is_an_owner(bench) {
        for text in ["'", "\"", "\\", "\r\n", "\0", "%s", ":1:", "🔒", "-", "0", " ", "1 2 3 4 5"] {
            works(bench, &bench.name, text).await;
        }
    }
    Names the_longest_name_works(bench) {
        let name: String = format!("{}{}", bench.name, "é".repeat(256)).chars().rev().collect();
        let name = &name[name.len() - name.len().min(512)..];
        assert_eq!(name.len(), 512);
        works(bench, name, &"o".repeat(512)).await;
    }
    Names the_longest_names_differ_at_their_end(bench) {
        let long = format!("{:x<511}", bench.name);
        bench.named(&format!("{long}1")).take("a", LONG).await;
        bench.named(&format!("{long}2")).take("b", LONG).await;
    }
    Names an_invalid_name_is_rejected(bench) {
        let locks = bench.first().locks;
        let long = "n".repeat(513);
        for name in ["", &long] {
            assert_eq!(locks.unlock(name, "a").await.unwrap_err().code(), Code::InvalidArgument);
            assert_eq!(locks.unlock("name", name).await.unwrap_err().code(), Code::InvalidArgument);
            assert_eq!(locks.state(name).await.unwrap_err().code(), Code::InvalidArgument);
        }
    }
    Names a_wait_of_more_than_an_hour_is_rejected(bench) {
        let request = Request::new(bench.name.clone(), LONG, None).unwrap();
        let error = bench.first().locks.lock(request, Duration::from_millis(3_600_001)).await.unwrap_err();
        assert_eq!(error.message(), "`wait_ms` is 3600001; it may be 0 to 3600000");
    }
}
