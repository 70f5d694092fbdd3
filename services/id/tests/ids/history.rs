//! All ids that were ever given out.

use std::collections::HashMap;

/// Ids with the same digits above these are a page: a bit each.
const PAGE_BITS: u32 = 12;
const WORDS: usize = 1 << PAGE_BITS >> 6;

/// Ids as a set of bits. Those of one worker and millisecond are close to each other, so a thousand million take 125 MB.
#[derive(Default)]
pub(crate) struct History {
    pages: HashMap<u64, Box<[u64; WORDS]>>,
    pub(crate) count: u64,
    /// How many came again, and one of them.
    pub(crate) twice: u64,
    pub(crate) example: Option<u64>,
}

impl History {
    /// Adds `count` ids that follow on each other.
    pub(crate) fn add(&mut self, first: u64, count: u64) {
        self.count += count;
        let (mut next, end) = (first, first + count);
        while next < end {
            let (page, at) = (next >> PAGE_BITS, next & ((1 << PAGE_BITS) - 1));
            let in_word = (64 - at % 64).min(end - next);
            let mask = (u64::MAX >> (64 - in_word)) << (at % 64);
            let word =
                &mut self.pages.entry(page).or_insert_with(|| Box::new([0; WORDS]))[usize::try_from(at / 64).unwrap()];
            let again = *word & mask;
            if again != 0 {
                self.twice += u64::from(again.count_ones());
                self.example.get_or_insert((page << PAGE_BITS) + (at - at % 64) + u64::from(again.trailing_zeros()));
            }
            *word |= mask;
            next += in_word;
        }
    }
}

#[test]
fn what_comes_twice_is_found() {
    let mut history = History::default();
    for (first, count) in [(5, 1), (4_000, 200), (6, 3_994), (4_200, 1), (0, 5)] {
        history.add(first, count);
        assert_eq!(history.twice, 0, "{first} and {count}");
    }
    assert_eq!(history.count, 4_201);
    history.add(4_095, 2);
    assert_eq!((history.twice, history.example), (2, Some(4_095)));
    history.add(10_000, 70);
    history.add(10_069, 5);
    assert_eq!((history.twice, history.example), (3, Some(4_095)));
}
