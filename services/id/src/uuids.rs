//! UUIDs (RFC 9562) of versions 1 and 7.

use everywire_core::{Result, RpcError};
use uuid::Uuid;

use super::Guarantees;

/// UUIDs of this process. They are text, because their 128 bits fit no integer type of the wires.
#[derive(Debug)]
pub struct Uuids {
    /// Random, with the bit set that no network card has (RFC 9562, section 6.10): a real address would identify the machine.
    node: [u8; 6],
}

impl Uuids {
    /// Guarantees of version 7 among all servers everywhere, by probability: 74 bits of each are random, or count up from random
    /// ones within a millisecond, and those of one process ascend. UUIDs of version 1 are unique among processes whose 47 random
    /// bits differ, and don't sort.
    pub const GUARANTEES: Guarantees = Guarantees { unique: true, k_sorted: true, monotonic: false };

    /// The next UUID of `version` 1 or 7. Any other version is `INVALID_ARGUMENT`.
    pub fn next(&self, version: u32) -> Result<String> {
        let uuid = match version {
            1 => Uuid::now_v1(&self.node),
            7 => Uuid::now_v7(),
            _ => return Err(RpcError::invalid_argument(format!("`version` is {version}; it may be 1 or 7"))),
        };
        Ok(uuid.to_string())
    }
}

impl Default for Uuids {
    fn default() -> Self {
        let [multicast, rest @ ..] = *Uuid::new_v4().as_bytes();
        Self { node: [multicast | 1, rest[0], rest[1], rest[2], rest[3], rest[4]] }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn they_are_unique_and_of_their_version_and_those_of_version_7_grow() {
        let uuids = Uuids::default();
        for version in [1, 7] {
            let all: Vec<_> = (0..10_000).map(|_| uuids.next(version).unwrap()).collect();
            assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "version {version}");
            assert!(all.iter().all(|uuid| uuid.parse::<Uuid>().unwrap().get_version_num() == version as usize));
            assert!(version == 1 || all.is_sorted());
        }
        assert_eq!(uuids.next(4).unwrap_err().message(), "`version` is 4; it may be 1 or 7");
    }
}
