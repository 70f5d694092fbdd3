//! MessagePack: values through rmp-serde, and the few tokens of an envelope read by hand.

use everywire_core::wire::MessageBuffer;
use rmp_serde::{
    Deserializer, Serializer,
    config::{DefaultConfig, HumanReadableConfig, StructMapConfig},
    decode::{self, ReadRefReader},
    encode,
};
use serde::{Deserialize, Serialize};

/// How values are written: structs as maps with their fields' names, as Python and Node read them.
pub(crate) type ValueSerializer<'a, 'b> =
    Serializer<&'a mut MessageBuffer<'b>, HumanReadableConfig<StructMapConfig<DefaultConfig>>>;

/// Appends `value`.
pub(crate) fn put_value<T: Serialize + ?Sized>(output: &mut MessageBuffer<'_>, value: &T) -> Result<(), encode::Error> {
    value.serialize(&mut serializer(output))
}

/// Writes values to `output`.
pub(crate) fn serializer<'a, 'b>(output: &'a mut MessageBuffer<'b>) -> ValueSerializer<'a, 'b> {
    Serializer::new(output).with_struct_map().with_human_readable()
}

/// Reads the value at the start of `bytes`, with at most `depth` levels of arrays and maps.
pub(crate) fn get_value<'a, T: Deserialize<'a>>(bytes: &'a [u8], depth: usize) -> Result<T, decode::Error> {
    T::deserialize(&mut deserializer(bytes, depth)).map_err(shortened)
}

/// The longest message of an error, in bytes: what a peer sent doesn't come back in full.
const MESSAGE_BYTES: usize = 512;

fn shortened(error: decode::Error) -> decode::Error {
    let decode::Error::Syntax(mut message) = error else { return error };
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    decode::Error::Syntax(message)
}

/// Reads values from `bytes`, with at most `depth` levels of arrays and maps.
pub(crate) fn deserializer(
    bytes: &[u8],
    depth: usize,
) -> Deserializer<ReadRefReader<'_, [u8]>, HumanReadableConfig<DefaultConfig>> {
    let mut deserializer = Deserializer::from_read_ref(bytes).with_human_readable();
    // The library rejects the level at which its counter reaches zero.
    deserializer.set_max_depth(depth + 1);
    deserializer
}

/// Appends a string of fewer than 2^16 bytes.
pub(crate) fn put_text(output: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length @ ..=31) => output.push(0xA0 | length),
        Ok(length) => output.extend_from_slice(&[0xD9, length]),
        Err(_) => {
            let length = u16::try_from(text.len()).expect("names of events and methods are short");
            output.push(0xDA);
            output.extend_from_slice(&length.to_be_bytes());
        }
    }
    output.extend_from_slice(text.as_bytes());
}

/// Appends the head of an array of fewer than 2^16 elements.
pub(crate) fn put_array(output: &mut Vec<u8>, elements: usize) {
    let elements = u16::try_from(elements).expect("methods have few arguments");
    let [high, low] = elements.to_be_bytes();
    if elements <= 15 {
        output.push(0x90 | low);
    } else {
        output.extend_from_slice(&[0xDC, high, low]);
    }
}

/// Reads token by token. `None` means that the bytes are not what was asked for; nothing of the reader is usable then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The unread part.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The head of an array: the number of its elements.
    pub(crate) fn array(&mut self) -> Option<u64> {
        match self.byte()? {
            marker @ 0x90..=0x9F => Some(u64::from(marker & 0x0F)),
            0xDC => self.number(2),
            0xDD => self.number(4),
            _ => None,
        }
    }

    /// The head of a map: the number of its pairs.
    pub(crate) fn map(&mut self) -> Option<u64> {
        match self.byte()? {
            marker @ 0x80..=0x8F => Some(u64::from(marker & 0x0F)),
            0xDE => self.number(2),
            0xDF => self.number(4),
            _ => None,
        }
    }

    /// A string, or bytes: Python 2 sends the one for the other.
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            marker @ 0xA0..=0xBF => u64::from(marker & 0x1F),
            0xC4 | 0xD9 => self.number(1)?,
            0xC5 | 0xDA => self.number(2)?,
            0xC6 | 0xDB => self.number(4)?,
            _ => return None,
        };
        self.bytes(length)
    }

    /// A string or bytes. Another value is skipped and reads as empty.
    pub(crate) fn text_or_empty(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        match ahead.text() {
            Some(text) => {
                *self = ahead;
                Some(text)
            }
            None => self.value().map(|_| &[][..]),
        }
    }

    /// The bytes of one whole value of any type.
    pub(crate) fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.rest;
        // A count instead of recursion: nesting costs nothing here, and every step takes at least one byte.
        let mut values: u64 = 1;
        while values > 0 {
            values = values - 1 + self.skip_head()?;
        }
        Some(&start[..start.len() - self.rest.len()])
    }

    /// Skips one value up to its elements; the number of elements that follow.
    fn skip_head(&mut self) -> Option<u64> {
        let marker = self.byte()?;
        let data = match marker {
            0x80..=0x8F => return Some(2 * u64::from(marker & 0x0F)),
            0x90..=0x9F => return Some(u64::from(marker & 0x0F)),
            0xDC => return self.number(2),
            0xDD => return self.number(4),
            0xDE => return Some(2 * self.number(2)?),
            0xDF => return Some(2 * self.number(4)?),
            0x00..=0x7F | 0xE0..=0xFF | 0xC0 | 0xC2 | 0xC3 => 0,
            0xA0..=0xBF => u64::from(marker & 0x1F),
            0xC4 | 0xD9 => self.number(1)?,
            0xC5 | 0xDA => self.number(2)?,
            0xC6 | 0xDB => self.number(4)?,
            0xC7 => self.number(1)? + 1,
            0xC8 => self.number(2)? + 1,
            0xC9 => self.number(4)? + 1,
            0xCC | 0xD0 => 1,
            0xCD | 0xD1 => 2,
            0xCA | 0xCE | 0xD2 => 4,
            0xCB | 0xCF | 0xD3 => 8,
            0xD4..=0xD8 => 1 + (1 << (marker - 0xD4)),
            0xC1 => return None,
        };
        self.bytes(data).map(|_| 0)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn number(&mut self, bytes: u64) -> Option<u64> {
        Some(self.bytes(bytes)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_kind_of_value_is_skipped_whole() {
        let mut samples: Vec<Vec<u8>> = Vec::new();
        let mut sample = |value: &dyn erased::Put| samples.push(value.put());
        sample(&());
        sample(&true);
        for integer in [0, -1, 127, -32, -33, 128, -129, 1 << 15, -(1 << 15) - 1, 1 << 31, i64::MIN, i64::MAX] {
            sample(&integer);
        }
        sample(&u64::MAX);
        sample(&1.5_f32);
        sample(&1.5_f64);
        for length in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            sample(&"x".repeat(length));
            sample(&vec![1_u8; length]);
            sample(&(0..length).map(|key| (key.to_string(), 0)).collect::<BTreeMap<_, _>>());
        }
        samples.push(vec![0xC4, 2, 1, 2]);
        samples.push([&[0xC5, 1, 0][..], &[0; 256]].concat());
        samples.push([&[0xC6, 0, 0, 1, 0][..], &[0; 256]].concat());
        samples.extend([vec![0xC7, 0, 9], vec![0xC8, 0, 1, 9, 1], vec![0xC9, 0, 0, 0, 1, 9, 1]]);
        samples.extend((0..5).map(|power| [&[0xD4 + power][..], &vec![0; 1 + (1 << power)]].concat()));
        for bytes in samples {
            let followed = [&bytes[..], b"rest"].concat();
            let mut reader = Reader::new(&followed);
            assert_eq!(reader.value(), Some(&bytes[..]), "{:?}", &bytes[..bytes.len().min(8)]);
            assert_eq!(reader.rest(), b"rest");
            assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).value(), None, "cut: {:?}", &bytes[..bytes.len().min(8)]);
        }
        assert_eq!(Reader::new(&[0xC1]).value(), None, "the one byte that is never used");
    }

    /// Lets values of different types stand in one list.
    mod erased {
        pub(super) trait Put {
            fn put(&self) -> Vec<u8>;
        }

        impl<T: serde::Serialize> Put for T {
            fn put(&self) -> Vec<u8> {
                let mut bytes = super::MessageBuffer::unbounded(Vec::new());
                super::put_value(&mut bytes, self).unwrap();
                bytes.into_vec()
            }
        }
    }

    #[test]
    fn nesting_is_skipped_without_recursion_and_read_up_to_the_depth() {
        let nested = [vec![0x91; 1_000_000], vec![0xC0]].concat();
        assert_eq!(Reader::new(&nested).value().map(<[u8]>::len), Some(nested.len()));

        let two: Result<Vec<Vec<u8>>, _> = get_value(&[0x91, 0x91, 1], 2);
        assert_eq!(two.unwrap(), [[1]]);
        let three: Result<Vec<Vec<u8>>, _> = get_value(&[0x91, 0x91, 1], 1);
        assert!(matches!(three, Err(decode::Error::DepthLimitExceeded)));
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let bomb = [0xDD, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(Reader::new(&bomb).value(), None);
        assert!(get_value::<Vec<u64>>(&bomb, 8).is_err());
    }

    #[test]
    fn an_error_repeats_little_of_a_long_value() {
        let mut bytes = MessageBuffer::unbounded(Vec::new());
        put_value(&mut bytes, &"ü".repeat(10_000)).unwrap();
        let error = get_value::<Vec<u64>>(&bytes, 8).unwrap_err().to_string();
        assert!(error.starts_with("invalid type: string \"üü") && error.len() <= MESSAGE_BYTES, "{error}");
    }

    #[test]
    fn text_of_every_length() {
        for length in [0, 31, 32, 255, 256, 65_535] {
            let text = "n".repeat(length);
            let mut bytes = Vec::new();
            put_text(&mut bytes, &text);
            assert_eq!(Reader::new(&bytes).text(), Some(text.as_bytes()), "{length} bytes");
        }
    }
}
