//! A map of bounded size whose entries expire, and are removed when the map needs room.

use std::{collections::HashMap, ops::Sub, time::Duration};

use everywire_core::{Result, RpcError};
use tokio::time::Instant;

/// The size in bytes at which a map is full, until one of its entries expires.
const MAX_BYTES: usize = 64 << 20;
/// The map is swept each time its size has doubled, but not below this number of entries. So the amortized cost of an insertion
/// is constant.
pub const MIN_ENTRIES: usize = 1_024;
/// The least time between two sweeps of a full map: while nothing in it has expired, each sweep is wasted work.
const PAUSE: Duration = Duration::from_secs(1);

/// A value of a map, with the instants of one clock.
pub trait Entry<T = Instant> {
    /// Whether the entry has expired and may be removed.
    fn has_ended(&self, now: T) -> bool;

    /// The size of its heap data in bytes. It must not change while the entry is in the map.
    fn more_bytes(&self) -> usize {
        0
    }
}

/// A map from names to entries that expire.
#[derive(Debug)]
pub struct Expiring<V, T = Instant> {
    entries: HashMap<Box<str>, V>,
    bytes: usize,
    max_bytes: usize,
    /// The number of entries at which it is swept.
    sweep_at: usize,
    last_sweep: Option<T>,
}

impl<V, T> Default for Expiring<V, T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), bytes: 0, max_bytes: MAX_BYTES, sweep_at: MIN_ENTRIES, last_sweep: None }
    }
}

impl<V: Entry<T>, T: Copy + Sub<Output = Duration>> Expiring<V, T> {
    /// A map that is full at `max_bytes`.
    pub fn small(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }

    /// The entry with this name, even if it has expired.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.entries.get(name)
    }

    /// Like [`get`](Self::get), to change the entry. Its size must not change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.entries.get_mut(name)
    }

    /// Makes room for one more entry: removes the expired ones if a sweep is due. A full map is `RESOURCE_EXHAUSTED`; `what`
    /// names the entries in the error.
    pub fn make_room(&mut self, now: T, what: &str) -> Result<()> {
        let paused = self.last_sweep.is_some_and(|last| now - last < PAUSE);
        if self.entries.len() >= self.sweep_at || (self.bytes >= self.max_bytes && !paused) {
            self.sweep(now);
        }
        if self.bytes < self.max_bytes {
            return Ok(());
        }
        Err(RpcError::resource_exhausted(format!("{what} fill {} bytes already", self.max_bytes)))
    }

    /// Inserts an entry. The name must not be in the map.
    pub fn insert(&mut self, name: impl Into<Box<str>>, entry: V) {
        let name = name.into();
        self.bytes += bytes(&name, &entry);
        self.entries.insert(name, entry);
    }

    /// Removes an entry.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        let entry = self.entries.remove(name)?;
        self.bytes -= bytes(name, &entry);
        Some(entry)
    }

    fn sweep(&mut self, now: T) {
        self.bytes = 0;
        self.entries.retain(|name, entry| {
            let lives = !entry.has_ended(now);
            if lives {
                self.bytes += bytes(name, entry);
            }
            lives
        });
        self.sweep_at = (2 * self.entries.len()).max(MIN_ENTRIES);
        self.entries.shrink_to(self.sweep_at);
        self.last_sweep = Some(now);
    }
}

/// The size of an entry in the map, whose table has up to twice as many slots as entries.
fn bytes<V: Entry<T>, T>(name: &str, entry: &V) -> usize {
    2 * size_of::<(Box<str>, V)>() + name.len() + entry.more_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends at an instant, and takes so many bytes.
    struct Until(Instant, usize);

    impl Entry for Until {
        fn has_ended(&self, now: Instant) -> bool {
            self.0 <= now
        }

        fn more_bytes(&self) -> usize {
            self.1
        }
    }

    /// Inserts `key`, which lives for `seconds`, if there is room.
    fn insert(map: &mut Expiring<Until>, now: Instant, key: usize, seconds: u64) -> bool {
        let room = map.make_room(now, "entries").is_ok();
        if room {
            map.insert(key.to_string(), Until(now + Duration::from_secs(seconds), 1_000));
        }
        room
    }

    fn counted(map: &Expiring<Until>) -> usize {
        map.entries.iter().map(|(name, entry)| bytes(name, entry)).sum()
    }

    #[test]
    fn a_map_does_not_keep_what_has_ended() {
        let (mut map, mut now) = (Expiring::default(), Instant::now());
        for key in 0..10 * MIN_ENTRIES {
            assert!(insert(&mut map, now, key, 1));
            now += Duration::from_millis(10);
        }
        assert!(map.entries.len() <= MIN_ENTRIES && map.entries.capacity() <= 4 * MIN_ENTRIES);
        assert_eq!(map.bytes, counted(&map));
    }

    #[test]
    fn a_full_map_has_room_again_once_something_has_ended() {
        let (mut map, start) = (Expiring::small(100_000), Instant::now());
        let keys = (0..MIN_ENTRIES).take_while(|key| insert(&mut map, start, *key, 60)).count();
        assert!((90..100).contains(&keys), "{keys} entries of 1,000 bytes and more");
        assert_eq!(map.bytes, counted(&map));
        let late = start + Duration::from_secs(59);
        assert!(!insert(&mut map, late, keys, 60), "nothing has ended");
        assert!(map.remove("0").is_some() && insert(&mut map, late, keys, 60), "the place of another");
        let end = start + Duration::from_mins(1);
        assert!(insert(&mut map, end, keys + 1, 60), "all but one have ended");
        assert_eq!((map.entries.len(), map.bytes), (2, counted(&map)));
    }
}
