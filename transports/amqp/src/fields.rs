//! The fields of frames, in a form that lapin can read.

use std::{borrow::Cow, str};

/// How deep tables and arrays may nest in the headers of a message. lapin's thread has room for four times as many in a
/// build without optimizations.
pub(crate) const DEPTH: usize = 64;

/// The header of a message from which something was removed. Its value is the number of a [`Flaw`].
pub(crate) const UNREADABLE: &str = "everywire-unreadable";

/// A table with this header, but for the number at its end.
const UNREADABLE_TABLE: &[u8] = b"\0\0\0\x17\x14everywire-unreadableB";

/// The class, the weight and the length of the body, which stand before the properties of a content header.
pub(crate) const BEFORE_PROPERTIES: usize = 12;

/// The properties in the order of their flags, from the highest bit on (`basic` in the specification).
const PROPERTIES: [Field; 14] = {
    use Field::{Bytes, Table, Text};
    [Text, Text, Table, Bytes(1), Bytes(1), Text, Text, Text, Text, Bytes(8), Text, Text, Text, Text]
};

/// The place of `headers` among them.
const HEADERS: usize = 2;

/// The places of `correlation_id` and `reply_to`, which a reply needs. They are kept as far as lapin can read them.
const OF_A_REPLY: [usize; 2] = [5, 6];

/// Why lapin can't read a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Its headers nest deeper than [`DEPTH`].
    TooDeep,
    /// Its properties are longer than a frame.
    TooLong,
    /// A text is not UTF-8, or a header has an unknown type.
    Malformed,
}

impl Flaw {
    const ALL: [Self; 3] = [Self::TooDeep, Self::TooLong, Self::Malformed];

    /// The flaw of a message whose header [`UNREADABLE`] has this value. Any publisher may send any.
    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Malformed)
    }
}

/// A field of a method, or a property.
#[derive(Clone, Copy)]
enum Field {
    /// So many bytes, whatever they are.
    Bytes(usize),
    /// A short string: its length in one byte, and UTF-8.
    Text,
    /// A table: its length in four bytes, and its entries.
    Table,
}

impl Field {
    /// Takes a field off the front of `bytes`; `None` if they end before it does.
    fn take<'a>(self, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let length = match self {
            Self::Bytes(count) => count,
            Self::Text => 1 + usize::from(*bytes.first()?),
            Self::Table => 4 + number(bytes.get(..4)?),
        };
        take(bytes, length)
    }

    /// Why lapin can't read `field`, if it can't.
    fn flaw(self, field: &[u8]) -> Option<Flaw> {
        match self {
            Self::Bytes(_) => None,
            Self::Text => str::from_utf8(&field[1..]).is_err().then_some(Flaw::Malformed),
            Self::Table => entries(&field[4..], true, DEPTH).err(),
        }
    }
}

/// The payload of a method in a form that lapin can read: as it is, or with `?` for each byte of a text that is not UTF-8. `None`
/// if there is no such form.
///
/// Only methods with a text from someone else are looked into, and those with tables. RabbitMQ passes on any routing key, and cuts
/// texts that it makes of names without regard to characters.
pub(crate) fn method(payload: &[u8]) -> Option<Cow<'_, [u8]>> {
    use Field::{Bytes, Table, Text};
    let (id, mut rest) = payload.split_first_chunk()?;
    let fields: &[Field] = match id {
        // `connection.start`
        [0, 10, 0, 10] => &[Bytes(2), Table],
        // `connection.close` and `channel.close`
        [0, 10, 0, 50] | [0, 20, 0, 40] => &[Bytes(2), Text],
        // `basic.return`
        [0, 60, 0, 50] => &[Bytes(2), Text, Text, Text],
        // `basic.deliver`
        [0, 60, 0, 60] => &[Text, Bytes(9), Text, Text],
        // Methods with tables that only a client sends.
        [0, 10, 0, 11] | [0, 40, 0, 10 | 30 | 40] | [0, 50, 0, 10 | 20 | 50] | [0, 60, 0, 20] => return None,
        _ => &[],
    };
    let mut readable = Cow::Borrowed(payload);
    for field in fields {
        let start = payload.len() - rest.len();
        let value = field.take(&mut rest)?;
        match (field, field.flaw(value)) {
            (_, None) => {}
            (Text, Some(_)) => {
                let text = &mut readable.to_mut()[start + 1..start + value.len()];
                text.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
            }
            (_, Some(_)) => return None,
        }
    }
    Some(readable)
}

/// The payload of a content header in a form that lapin can read: as it is, or only with what a reply needs and with the header
/// [`UNREADABLE`]. `None` if it ends before its properties begin.
pub(crate) fn content_header(payload: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (before, rest) = payload.split_at_checked(BEFORE_PROPERTIES)?;
    let mut properties = Properties { before, values: [None; PROPERTIES.len()] };
    let is_whole = properties.read(rest).is_some_and(<[u8]>::is_empty);
    Some(match properties.flaw().or((!is_whole).then_some(Flaw::Malformed)) {
        None => Cow::Borrowed(payload),
        Some(flaw) => Cow::Owned(properties.of_a_reply(flaw)),
    })
}

/// The payload of a content header of which only the beginning is there, without properties but with the header [`UNREADABLE`].
pub(crate) fn without_properties(payload: &[u8], flaw: Flaw) -> Vec<u8> {
    Properties { before: &payload[..BEFORE_PROPERTIES], values: [None; PROPERTIES.len()] }.of_a_reply(flaw)
}

/// A content header.
struct Properties<'a> {
    before: &'a [u8],
    values: [Option<&'a [u8]>; PROPERTIES.len()],
}

impl<'a> Properties<'a> {
    /// Reads the properties, and returns what stands behind them; `None` if one ends too soon.
    fn read(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (flags, mut bytes) = bytes.split_first_chunk()?;
        let flags = u16::from_be_bytes(*flags);
        for (index, field) in PROPERTIES.iter().enumerate().filter(|(index, _)| flags & flag(*index) != 0) {
            self.values[index] = Some(field.take(&mut bytes)?);
        }
        Some(bytes)
    }

    fn flaw(&self) -> Option<Flaw> {
        PROPERTIES.iter().zip(self.values).find_map(|(field, value)| field.flaw(value?))
    }

    fn of_a_reply(&self, flaw: Flaw) -> Vec<u8> {
        let is_kept = |index: &usize| self.values[*index].is_some_and(|value| PROPERTIES[*index].flaw(value).is_none());
        let kept = OF_A_REPLY.into_iter().filter(is_kept);
        let flags = kept.clone().fold(flag(HEADERS), |flags, index| flags | flag(index));
        let mut payload = [self.before, &flags.to_be_bytes(), UNREADABLE_TABLE, &[flaw as u8]].concat();
        kept.filter_map(|index| self.values[index]).for_each(|value| payload.extend_from_slice(value));
        payload
    }
}

/// Why lapin can't read the entries of a table, or the values of an array, that may have `depth` levels below it.
fn entries(mut bytes: &[u8], have_names: bool, depth: usize) -> Result<(), Flaw> {
    while !bytes.is_empty() {
        if have_names {
            let name = Field::Text.take(&mut bytes).ok_or(Flaw::Malformed)?;
            Field::Text.flaw(name).map_or(Ok(()), Err)?;
        }
        let value = value(&mut bytes).ok_or(Flaw::Malformed)?;
        if let [kind @ (b'F' | b'A'), _, _, _, _, below @ ..] = value {
            entries(below, *kind == b'F', depth.checked_sub(1).ok_or(Flaw::TooDeep)?)?;
        }
    }
    Ok(())
}

/// Takes a value and its type off the front of `bytes`: `None` if they end before it does, or lapin does not know the type.
fn value<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = match bytes.first()? {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' | b'F' | b'A' => 4 + number(bytes.get(1..5)?),
        _ => return None,
    };
    take(bytes, 1 + length)
}

/// Takes `count` bytes off the front of `bytes`, if there are as many.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The flag of a property.
fn flag(index: usize) -> u16 {
    1 << (15 - index)
}

#[cfg(test)]
mod tests {
    use lapin::{
        BasicProperties,
        protocol::basic::parse_properties,
        types::{AMQPValue, FieldTable},
    };

    use super::*;

    /// The value of a header that nests `levels` deep: a table or an array with one of the same in it, and so on.
    fn nested(kind: u8, levels: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..levels {
            let entry = if kind == b'F' && !bytes.is_empty() { [&[0], &bytes[..]].concat() } else { bytes };
            let length = u32::try_from(entry.len()).unwrap().to_be_bytes();
            bytes = [&[kind], &length[..], &entry].concat();
        }
        bytes
    }

    /// A content header with the header `x` of this value, the correlation id `id` and the `reply_to` `queue`.
    fn header(value: &[u8], id: &[u8]) -> Vec<u8> {
        let length = u32::try_from(2 + value.len()).unwrap().to_be_bytes();
        let id_length = [u8::try_from(id.len()).unwrap()];
        [&[0; 12], &[0x26, 0][..], &length, b"\x01x", value, &id_length, id, b"\x05queue"].concat()
    }

    fn read(payload: &[u8]) -> BasicProperties {
        let (rest, properties) = parse_properties(&payload[BEFORE_PROPERTIES..]).unwrap();
        assert!(rest.is_empty());
        properties
    }

    #[test]
    fn headers_that_nest_too_deep_are_replaced() {
        for kind in [b'F', b'A'] {
            for (levels, is_readable) in [(1, true), (DEPTH, true), (DEPTH + 1, false), (25_000, false)] {
                let payload = header(&nested(kind, levels), b"id");
                let readable = content_header(&payload).unwrap();
                assert_eq!(*readable == payload, is_readable, "{levels}");
                let properties = read(&readable);
                assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), "id");
                assert_eq!(properties.reply_to().as_ref().unwrap().as_str(), "queue");
                let mut flaw = FieldTable::default();
                flaw.insert(UNREADABLE.into(), AMQPValue::ShortShortUInt(Flaw::TooDeep as u8));
                assert_eq!(properties.headers().as_ref() == Some(&flaw), !is_readable, "{levels}");
            }
        }
    }

    #[test]
    fn what_lapin_can_not_read_is_dropped_and_nothing_else() {
        let number = AMQPValue::ShortShortUInt(Flaw::Malformed as u8);
        let cases: [(&[u8], &[u8], bool); 9] = [
            (b"S\0\0\0\x02\xFF\xFE", b"id", true),
            (b"tx", b"id", true),
            (b"D\0\0\0\0\0", b"id", true),
            (b"V", "ï".as_bytes(), true),
            (b"V", b"\xFF", false),
            (b"?", b"id", false),
            (b"S\0\0\0\x02x", b"id", false),
            (b"F\0\0\0\x03\x01\xFFV", b"id", false),
            (b"A\0\0\0\x03lxx", b"id", false),
        ];
        for (value, id, is_readable) in cases {
            let payload = header(value, id);
            let case = payload.escape_ascii();
            assert_eq!(parse_properties(&payload[BEFORE_PROPERTIES..]).is_ok(), is_readable, "{case}");
            let readable = content_header(&payload).unwrap();
            assert_eq!(*readable == payload, is_readable, "{case}");
            let properties = read(&readable);
            assert_eq!(properties.correlation_id().is_some(), str::from_utf8(id).is_ok(), "{case}");
            assert_eq!(properties.reply_to().as_ref().unwrap().as_str(), "queue", "{case}");
            let headers = properties.headers().clone().unwrap();
            assert_eq!(headers.inner().get(UNREADABLE) == Some(&number), !is_readable, "{case}");
        }
        let good = header(b"V", b"id");
        for payload in [&[&good[..], b"x"].concat(), &good[..good.len() - 1], &good[..13], &good[..12]] {
            let readable = content_header(payload).unwrap();
            let headers = read(&readable).headers().clone().unwrap();
            assert_eq!(headers.inner().get(UNREADABLE), Some(&number), "{}", payload.escape_ascii());
        }
        assert_eq!(content_header(&good[..11]), None);
    }

    #[test]
    fn texts_of_methods_are_utf_8() {
        let deliver = |key: &[u8]| [b"\0\x3C\0\x3C\x03tag\0\0\0\0\0\0\0\x01\0\0\x03", key].concat();
        #[rustfmt::skip]
        let cases: [(Vec<u8>, Option<Vec<u8>>); 6] = [
            (deliver(b"key"), Some(deliver(b"key"))),
            (deliver("ké".as_bytes()), Some(deliver("ké".as_bytes()))),
            (deliver(b"k\xFF\xC3"), Some(deliver(b"k??"))),
            (deliver(b"k"), None),
            (b"\0\x14\0\x28\x01\x94\x05no \xC3!\0\0\0\0".into(), Some(b"\0\x14\0\x28\x01\x94\x05no ?!\0\0\0\0".into())),
            (b"\0\x32\0\x0A".into(), None),
        ];
        for (payload, expected) in cases {
            assert_eq!(method(&payload).map(Cow::into_owned), expected, "{}", payload.escape_ascii());
        }
        let start = |value: &[u8]| {
            let length = u32::try_from(2 + value.len()).unwrap().to_be_bytes();
            [b"\0\x0A\0\x0A\0\x09", &length[..], b"\x01x", value].concat()
        };
        assert!(method(&start(b"V")).is_some());
        assert_eq!(method(&start(&nested(b'F', DEPTH + 1))), None);
    }
}
