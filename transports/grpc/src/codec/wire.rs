//! The wire of protocol buffers: varints, tags, records.

use everywire_core::wire::MessageBuffer;

use super::{
    enums::Scope,
    error::{Error, Result, TOO_DEEP},
};

/// How the value of a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Len = 2,
    /// Fields between two tags, from proto2. Groups are only skipped.
    Group = 3,
    Fixed32 = 5,
    /// Not on the wire: of the place before the first record, where no tag has been read yet.
    Start = 8,
}

/// The wire type of the tag that ends a group.
const GROUP_END: u32 = 4;

const TRUNCATED: Error = Error::new("the message ends inside a field");
const BAD_VARINT: Error = Error::new("a varint of more than 64 bits");
const BAD_TAG: Error = Error::new("a field number beyond the valid range");
const BAD_WIRE: Error = Error::new("an unknown wire type");
const BAD_GROUP: Error = Error::new("the end of a group that is not the last one opened");

/// The bytes of the longest varint.
const LONGEST: usize = 10;

#[inline]
pub(super) fn put_varint(out: &mut MessageBuffer<'_>, mut value: u64) {
    let Some(bytes) = out.with_room(LONGEST) else { return };
    while value >= 0x80 {
        bytes.push(low_seven(value) | 0x80);
        value >>= 7;
    }
    bytes.push(low_seven(value));
}

fn low_seven(value: u64) -> u8 {
    (value & 0x7f) as u8
}

pub(super) fn put_tag(out: &mut MessageBuffer<'_>, number: u32, wire: Wire) {
    put_varint(out, u64::from(number) << 3 | wire as u64);
}

pub(super) fn take_varint(rest: &mut &[u8]) -> Result<u64> {
    match *rest {
        [byte @ 0..0x80, after @ ..] => {
            *rest = after;
            Ok(u64::from(*byte))
        }
        _ => take_long_varint(rest),
    }
}

fn take_long_varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for (index, &byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            // The tenth byte holds the last bit of 64.
            if index == 9 && byte > 1 {
                break;
            }
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    Err(if rest.len() < 10 { TRUNCATED } else { BAD_VARINT })
}

pub(super) fn take_payload<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = usize::try_from(take_varint(rest)?).map_err(|_| TRUNCATED)?;
    let (payload, after) = rest.split_at_checked(length).ok_or(TRUNCATED)?;
    *rest = after;
    Ok(payload)
}

/// Reads a number of the given form as its bits.
pub(super) fn take_number(rest: &mut &[u8], wire: Wire) -> Result<u64> {
    match wire {
        Wire::Varint => take_varint(rest),
        Wire::Fixed64 => take_array(rest).map(u64::from_le_bytes),
        Wire::Fixed32 => take_array(rest).map(|bytes| u64::from(u32::from_le_bytes(bytes))),
        Wire::Len | Wire::Group | Wire::Start => Err(BAD_WIRE),
    }
}

/// Reads a tag: the number of a field, and the bits of its wire type.
fn take_tag(rest: &mut &[u8]) -> Result<(u32, u32)> {
    let tag = u32::try_from(take_varint(rest)?).map_err(|_| BAD_TAG)?;
    if tag >> 3 == 0 { Err(BAD_TAG) } else { Ok((tag >> 3, tag & 7)) }
}

fn wire(bits: u32) -> Result<Wire> {
    Ok(match bits {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Len,
        3 => Wire::Group,
        5 => Wire::Fixed32,
        GROUP_END => return Err(BAD_GROUP),
        _ => return Err(BAD_WIRE),
    })
}

/// Skips the value of field `number`. Groups in it nest at most `depth` levels.
fn skip_value(rest: &mut &[u8], number: u32, wire: Wire, depth: usize) -> Result<()> {
    match wire {
        Wire::Len => take_payload(rest).map(|_| ()),
        Wire::Group => skip_group(rest, number, depth.checked_sub(1).ok_or(TOO_DEEP)?),
        Wire::Start => Ok(()),
        wire => take_number(rest, wire).map(|_| ()),
    }
}

/// Skips the rest of the group `number`, including the tag that ends it.
fn skip_group(rest: &mut &[u8], number: u32, depth: usize) -> Result<()> {
    loop {
        if rest.is_empty() {
            return Err(TRUNCATED);
        }
        match take_tag(rest)? {
            (inner, GROUP_END) => return if inner == number { Ok(()) } else { Err(BAD_GROUP) },
            (inner, bits) => skip_value(rest, inner, wire(bits)?, depth)?,
        }
    }
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (array, after) = rest.split_first_chunk().ok_or(TRUNCATED)?;
    *rest = after;
    Ok(*array)
}

/// A message as a run of records, with the tag of the first one read.
#[derive(Debug)]
pub(super) struct Records<'a> {
    /// From the tag of the current record.
    whole: &'a [u8],
    /// From the value of the current record.
    rest: &'a [u8],
    number: u32,
    wire: Wire,
    /// Groups nest at most as deep as messages may.
    pub(super) scope: Scope<'a>,
    /// Whether one field is read from records in any order, and not each field from records in order.
    any_order: bool,
}

/// The number after the last record. Numbers of fields have 29 bits.
const END: u32 = u32::MAX;

impl<'a> Records<'a> {
    /// The records of `message`.
    pub(super) fn new(message: &'a [u8], scope: Scope<'a>) -> Result<Self> {
        let mut records = Self::of_one_field(message, scope);
        records.any_order = false;
        records.advance()?;
        Ok(records)
    }

    /// The records of `message`, of which one field is read, so that they may come in any order. Reads nothing yet.
    pub(super) fn of_one_field(message: &'a [u8], scope: Scope<'a>) -> Self {
        Self { whole: message, rest: message, number: 0, wire: Wire::Start, scope, any_order: true }
    }

    /// The wire type of the current record, if it belongs to the field `number`; records of lower numbers are skipped.
    #[inline]
    pub(super) fn find(&mut self, number: u32) -> Result<Option<Wire>> {
        if self.number == number {
            return Ok(Some(self.wire));
        }
        if self.number > number && !self.any_order {
            return Ok(None);
        }
        self.seek(number)
    }

    fn seek(&mut self, number: u32) -> Result<Option<Wire>> {
        while self.number != number {
            if self.number > number && (!self.any_order || self.number == END) {
                return Ok(None);
            }
            self.skip()?;
        }
        Ok(Some(self.wire))
    }

    /// Reads the value of the current record as a number of the given form.
    pub(super) fn number(&mut self, wire: Wire) -> Result<u64> {
        if self.wire != wire {
            return Err(self.mismatch(wire));
        }
        let value = take_number(&mut self.rest, wire)?;
        self.advance()?;
        Ok(value)
    }

    /// Reads the value of the current record as bytes.
    pub(super) fn payload(&mut self) -> Result<&'a [u8]> {
        if self.wire != Wire::Len {
            return Err(self.mismatch(Wire::Len));
        }
        let payload = take_payload(&mut self.rest)?;
        self.advance()?;
        Ok(payload)
    }

    /// How many bytes are left; less after each record that was read.
    pub(super) fn left(&self) -> usize {
        self.whole.len()
    }

    fn skip(&mut self) -> Result<()> {
        skip_value(&mut self.rest, self.number, self.wire, self.scope.depth)?;
        self.advance()
    }

    fn advance(&mut self) -> Result<()> {
        self.whole = self.rest;
        if self.rest.is_empty() {
            self.number = END;
            return Ok(());
        }
        let (number, bits) = take_tag(&mut self.rest)?;
        self.number = number;
        self.wire = wire(bits)?;
        Ok(())
    }

    fn mismatch(&self, expected: Wire) -> Error {
        serde::de::Error::custom(format_args!(
            "field {}: wire type {:?} where {expected:?} was expected",
            self.number, self.wire
        ))
    }
}

/// Whether the records of `message` come in the order of their numbers, as every known encoder writes them.
/// It reads every record, so a message that it accepts is whole.
pub(super) fn is_ordered(message: &[u8], scope: Scope<'_>) -> Result<bool> {
    let mut records = Records::new(message, scope)?;
    let mut ordered = true;
    while records.number != END {
        let before = records.number;
        records.skip()?;
        ordered &= before <= records.number;
    }
    Ok(ordered)
}

/// The member of a `oneof` that `message` sets, and the records from the first that counts: the last member wins, and a
/// message that occurs several times in a row merges. `members` is the highest number of a member.
pub(super) fn last_member<'a>(message: &'a [u8], members: u32, scope: Scope<'a>) -> Result<Option<(u32, &'a [u8])>> {
    let mut records = Records::new(message, scope)?;
    let mut last: Option<(u32, &[u8])> = None;
    while records.number != END {
        if records.number <= members && last.is_none_or(|(number, _)| number != records.number) {
            last = Some((records.number, records.whole));
        }
        records.skip()?;
    }
    Ok(last)
}

/// The records of `message` in the order of their numbers; those of one number stay as they were.
pub(super) fn ordered(message: &[u8], scope: Scope<'_>) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    let mut records = Records::new(message, scope)?;
    while records.number != END {
        let (number, whole) = (records.number, records.whole);
        records.skip()?;
        found.push((number, &whole[..whole.len() - records.whole.len()]));
    }
    found.sort_by_key(|&(number, _)| number);
    Ok(found.into_iter().flat_map(|(_, record)| record).copied().collect())
}
