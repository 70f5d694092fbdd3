//! The layout of the bits of an id.

use std::{fmt, str::FromStr};

use everywire_core::{Result, RpcError};

/// The widths of an id's fields, from the highest bit down. The remaining bits of 64, at least the sign, are 0.
///
/// The default is Twitter's 41/10/12; [`JAVASCRIPT`](Self::JAVASCRIPT) has 53 bits. Its text form is
/// `41/10/12`, or `js`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    // In bits.
    time: u32,
    worker: u32,
    sequence: u32,
}

impl Layout {
    /// 41/5/7, 53 bits: JavaScript's numbers lose digits beyond that.
    pub const JAVASCRIPT: Self = Self { time: 41, worker: 5, sequence: 7 };

    /// A layout with these widths in bits: milliseconds since the epoch (at least 1), worker id, and sequence within a millisecond.
    /// More than 63 bits together are `INVALID_ARGUMENT`.
    pub fn new(time: u32, worker: u32, sequence: u32) -> Result<Self> {
        let layout = Self { time, worker, sequence };
        let sum = [time, worker, sequence].into_iter().fold(0, u32::saturating_add);
        if time == 0 || sum > 63 {
            return Err(RpcError::invalid_argument(format!(
                "the layout {layout} has {sum} bits, {time} of time; at most 63 together and at least 1 of time"
            )));
        }
        Ok(layout)
    }

    /// The highest worker id.
    pub fn max_worker(self) -> u64 {
        (1 << self.worker) - 1
    }

    /// The number of ids of one worker per millisecond.
    pub fn ids_per_ms(self) -> u64 {
        1 << self.sequence
    }

    /// The number of bits of an id.
    pub fn bits(self) -> u32 {
        self.time + self.worker + self.sequence
    }

    /// The layout without a worker id, whose bits extend the sequence.
    #[cfg(feature = "redis")]
    pub(super) fn without_worker(self) -> Self {
        Self { worker: 0, sequence: self.worker + self.sequence, ..self }
    }

    /// The first millisecond since the epoch that does not fit in an id.
    pub(super) fn end_ms(self) -> u64 {
        1 << self.time
    }

    /// The number of ids, of all workers, per millisecond.
    pub(super) fn ids_of_all_per_ms(self) -> u64 {
        1 << (self.worker + self.sequence)
    }

    /// The first position of a millisecond. A position is time and sequence as one number, by which a worker counts its ids.
    pub(super) fn position(self, ms: u64) -> u64 {
        ms << self.sequence
    }

    /// The millisecond of a position.
    pub(super) fn ms(self, position: u64) -> u64 {
        position >> self.sequence
    }

    /// The id of a worker at a position.
    pub(super) fn id(self, worker: u64, position: u64) -> u64 {
        let sequence = position & (self.ids_per_ms() - 1);
        self.ms(position) << (self.worker + self.sequence) | worker << self.sequence | sequence
    }

    /// The millisecond of an id.
    pub(super) fn ms_of_id(self, id: u64) -> u64 {
        id >> (self.worker + self.sequence)
    }

    /// The worker of an id.
    pub(super) fn worker_of_id(self, id: u64) -> u64 {
        id >> self.sequence & self.max_worker()
    }

    /// The sequence of an id.
    pub(super) fn sequence_of_id(self, id: u64) -> u64 {
        id & (self.ids_per_ms() - 1)
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self { time: 41, worker: 10, sequence: 12 }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.time, self.worker, self.sequence)
    }
}

impl FromStr for Layout {
    type Err = RpcError;

    fn from_str(text: &str) -> Result<Self> {
        if text == "js" {
            return Ok(Self::JAVASCRIPT);
        }
        let bits: Option<Vec<u32>> = text.split('/').map(|bits| bits.parse().ok()).collect();
        match bits.as_deref() {
            Some(&[time, worker, sequence]) => Self::new(time, worker, sequence),
            _ => Err(RpcError::invalid_argument(format!(
                "`{text}` is not a valid layout; expected bits such as 41/10/12, or js"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_validated_and_set_the_widths() {
        #[rustfmt::skip]
        let cases = [
            ("41/10/12", Ok((1_023, 4_096, 5 << 22 | 3 << 12 | 7))),
            ("41/5/7", Ok((31, 128, 5 << 12 | 3 << 7 | 7))),
            ("60/2/0", Ok((3, 1, (5 << 12 | 7) << 2 | 3))),
            ("41/10/13", Err("the layout 41/10/13 has 64 bits, 41 of time; at most 63 together and at least 1 of time")),
            ("0/10/12", Err("the layout 0/10/12 has 22 bits, 0 of time; at most 63 together and at least 1 of time")),
            ("4294967295/1/1", Err("the layout 4294967295/1/1 has 4294967295 bits, 4294967295 of time; at most 63 together and at least 1 of time")),
            ("41/10", Err("`41/10` is not a valid layout; expected bits such as 41/10/12, or js")),
            ("41/10/-1", Err("`41/10/-1` is not a valid layout; expected bits such as 41/10/12, or js")),
        ];
        for (text, expected) in cases {
            let layout: Result<Layout> = text.parse();
            // The eighth id of the sixth millisecond; without a sequence, of a later one.
            let seen = layout.as_ref().map(|layout| {
                let position = if layout.sequence == 0 { 5 << 12 | 7 } else { layout.position(5) + 7 };
                let id = layout.id(3, position);
                let parts = (layout.ms_of_id(id), layout.worker_of_id(id), layout.sequence_of_id(id));
                assert_eq!(parts, (layout.ms(position), 3, position - layout.position(layout.ms(position))), "{text}");
                (layout.max_worker(), layout.ids_per_ms(), id)
            });
            assert_eq!(seen.map_err(RpcError::message), expected, "{text}");
            if let Ok(layout) = layout {
                assert_eq!(layout.to_string(), text);
            }
        }
    }

    #[test]
    fn the_layout_for_javascript_has_53_bits() {
        let layout: Layout = "js".parse().unwrap();
        assert_eq!((layout, layout.to_string().as_str(), layout.bits()), (Layout::JAVASCRIPT, "41/5/7", 53));
    }
}
