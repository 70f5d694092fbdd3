//! Room in a map whose entries end with time and stay until somebody looks.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// The map is swept whenever it has doubled, but not below this: so each insertion pays for a constant share.
pub(crate) const LEAST: usize = 1_024;
/// A full map is swept no more often: while nothing in it has ended, each sweep goes through all of it in vain.
const PAUSE: Duration = Duration::from_secs(1);

/// When a map was swept, and when it will be.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    at: usize,
    last: Option<Instant>,
}

impl Sweep {
    /// Whether `map` has room for one more entry of at most `most`, after a sweep of those that have ended, if it is time.
    pub(crate) fn has_room<K: Eq + Hash, V>(
        &mut self,
        map: &mut HashMap<K, V>,
        most: usize,
        now: Instant,
        lives: impl Fn(&V) -> bool,
    ) -> bool {
        let paused = self.last.is_some_and(|last| now - last < PAUSE);
        if map.len() >= self.at || (map.len() >= most && !paused) {
            map.retain(|_, entry| lives(entry));
            self.at = (2 * map.len()).max(LEAST);
            self.last = Some(now);
        }
        map.len() < most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = LEAST + 1;

    /// Inserts `key`, which lives for `seconds`, if there is room.
    fn insert(map: &mut HashMap<usize, Instant>, sweep: &mut Sweep, now: Instant, key: usize, seconds: u64) -> bool {
        let room = sweep.has_room(map, MOST, now, |until| *until > now);
        if room {
            map.insert(key, now + Duration::from_secs(seconds));
        }
        room
    }

    #[test]
    fn a_map_does_not_keep_what_has_ended() {
        let (mut map, mut sweep, mut now) = (HashMap::new(), Sweep::default(), Instant::now());
        for key in 0..10 * LEAST {
            assert!(insert(&mut map, &mut sweep, now, key, 1));
            now += Duration::from_millis(10);
        }
        assert!(map.len() <= LEAST, "{}", map.len());
    }

    #[test]
    fn a_full_map_has_room_again_once_something_has_ended() {
        let (mut map, mut sweep, start) = (HashMap::new(), Sweep::default(), Instant::now());
        for key in 0..MOST {
            assert!(insert(&mut map, &mut sweep, start, key, 60), "{key}");
        }
        assert!(!insert(&mut map, &mut sweep, start, MOST, 60), "it is full");
        assert!(!insert(&mut map, &mut sweep, start + Duration::from_secs(59), MOST, 60), "nothing has ended");
        assert!(insert(&mut map, &mut sweep, start + Duration::from_mins(1), MOST, 60), "all has ended");
        assert_eq!(map.len(), 1);
    }
}
