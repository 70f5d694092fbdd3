//! Items that are sent together.

use everywire_core::wire::Encoded;

/// Some items of a stream, encoded.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Encoded,
    /// Where each ends in `bytes`.
    ends: Vec<usize>,
    is_last: bool,
}

impl Batch {
    pub(super) fn new(bytes: Encoded, ends: Vec<usize>, is_last: bool) -> Self {
        Self { bytes, ends, is_last }
    }

    /// The items.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether no more follow.
    pub fn is_last(&self) -> bool {
        self.is_last
    }
}
