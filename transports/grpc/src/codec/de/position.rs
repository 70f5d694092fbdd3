//! The positions that a value can have in a message, and how it is read from each.

use std::{borrow::Cow, marker::PhantomData};

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor, value::SeqDeserializer};

use super::super::{
    error::{Error, Result, TOO_DEEP},
    wire::{Records, Wire, is_ordered, ordered, take_number},
};

const NO_PROGRESS: Error = Error::new("the elements of a list read nothing");
/// Internal: `Elements` turns it into the end of its list.
const LIST_ENDED: Error = Error::new("the list has ended");

/// The deserializer of a whole message. A value that is not a message is in its field 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) depth: usize,
}

impl<'a> Message<'a> {
    /// The bytes in the order of their fields, with groups of at most `depth` levels.
    fn in_order(self, depth: usize) -> Result<Cow<'a, [u8]>> {
        let bytes = self.bytes;
        Ok(if is_ordered(bytes, depth)? { Cow::Borrowed(bytes) } else { Cow::Owned(ordered(bytes, depth)?) })
    }

    pub(super) fn fields<'de, V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value> {
        let depth = self.depth.checked_sub(1).ok_or(TOO_DEEP)?;
        let bytes = self.in_order(depth)?;
        visitor.visit_seq(Fields { records: Records::new(&bytes, depth)?, number: 0, count, depth })
    }

    /// Hands field `number` to `read`.
    pub(super) fn field<T>(
        self,
        number: u32,
        read: impl for<'r, 'm> FnOnce(At<'m, Field<'r, 'm>>) -> Result<T>,
    ) -> Result<T> {
        let bytes = self.in_order(self.depth)?;
        let mut records = Records::new(&bytes, self.depth)?;
        read(At::new(Field { records: &mut records, number, depth: self.depth }))
    }
}

/// The deserializer of a value at one position in a message.
pub(super) struct At<'a, P>(pub(super) P, PhantomData<&'a ()>);

impl<'a, P: Position<'a>> At<'a, P> {
    pub(super) fn new(position: P) -> Self {
        Self(position, PhantomData)
    }

    pub(super) fn fields<'de, V: Visitor<'de>>(mut self, count: usize, visitor: V) -> Result<V::Value> {
        let depth = self.0.depth();
        let bytes = self.0.message()?;
        Message { bytes: &bytes, depth }.fields(count, visitor)
    }
}

/// What depends on the position: a field, which may be absent or occur several times, or an element of a list.
pub(super) trait Position<'a>: Sized {
    /// A number as its bits.
    fn number(&mut self, wire: Wire) -> Result<u64>;
    /// A `u8` alone is a uint32; in a list it is one of its bytes.
    fn byte(&mut self) -> Result<u64>;
    /// A string or bytes. Calls `read` for each occurrence.
    fn payload<T: Default>(&mut self, read: fn(&'a [u8]) -> Result<T>) -> Result<T>;
    fn message(&mut self) -> Result<Cow<'a, [u8]>>;
    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value>;
    /// The field that a map or the content of an `Option` is in.
    fn field(&mut self, otherwise: Error) -> Result<Field<'_, 'a>>;
    fn depth(&self) -> usize;
}

/// All occurrences of one field, which may be none.
pub(super) struct Field<'r, 'a> {
    pub(super) records: &'r mut Records<'a>,
    pub(super) number: u32,
    pub(super) depth: usize,
}

impl Field<'_, '_> {
    pub(super) fn find(&mut self) -> Result<Option<Wire>> {
        self.records.find(self.number)
    }
}

impl<'a> Position<'a> for Field<'_, 'a> {
    fn number(&mut self, wire: Wire) -> Result<u64> {
        let mut last = 0;
        while self.find()?.is_some() {
            last = self.records.number(wire)?;
        }
        Ok(last)
    }

    fn byte(&mut self) -> Result<u64> {
        self.number(Wire::Varint)
    }

    fn payload<T: Default>(&mut self, read: fn(&'a [u8]) -> Result<T>) -> Result<T> {
        let mut last = T::default();
        while self.find()?.is_some() {
            last = read(self.records.payload()?)?;
        }
        Ok(last)
    }

    fn message(&mut self) -> Result<Cow<'a, [u8]>> {
        let mut merged = Cow::Borrowed(&[][..]);
        while self.find()?.is_some() {
            let next = self.records.payload()?;
            if merged.is_empty() {
                merged = Cow::Borrowed(next);
                continue;
            }
            // Each occurrence must be a message by itself.
            if let Cow::Borrowed(first) = merged {
                is_ordered(first, self.depth)?;
            }
            is_ordered(next, self.depth)?;
            merged.to_mut().extend_from_slice(next);
        }
        Ok(merged)
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Elements { field: self, packed: &[], ended: false })
    }

    fn field(&mut self, _otherwise: Error) -> Result<Field<'_, 'a>> {
        Ok(Field { records: self.records, number: self.number, depth: self.depth })
    }

    fn depth(&self) -> usize {
        self.depth
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    str::from_utf8(bytes).map_err(Error::custom)
}

/// The elements of a list: one in each record, or many packed into one.
pub(super) struct Elements<'r, 'a> {
    pub(super) field: Field<'r, 'a>,
    pub(super) packed: &'a [u8],
    pub(super) ended: bool,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.packed.is_empty() && self.field.find()?.is_none() {
            return Ok(None);
        }
        let before = self.left();
        match seed.deserialize(At::new(Element(self))) {
            Err(_) if self.ended => Ok(None),
            Ok(_) if self.left() == before => Err(NO_PROGRESS),
            element => element.map(Some),
        }
    }
}

impl Elements<'_, '_> {
    fn left(&self) -> (usize, usize) {
        (self.field.records.left(), self.packed.len())
    }

    /// The next record. The list has ended if there is none, which shows this late after an empty packed record.
    fn record(&mut self) -> Result<Wire> {
        let found = self.field.find()?;
        self.ended = found.is_none();
        found.ok_or(LIST_ENDED)
    }
}

pub(super) struct Element<'e, 'r, 'a>(&'e mut Elements<'r, 'a>);

impl<'a> Position<'a> for Element<'_, '_, 'a> {
    fn number(&mut self, wire: Wire) -> Result<u64> {
        while self.0.packed.is_empty() {
            if self.0.record()? != Wire::Len {
                return self.0.field.records.number(wire);
            }
            self.0.packed = self.0.field.records.payload()?;
        }
        take_number(&mut self.0.packed, wire)
    }

    fn byte(&mut self) -> Result<u64> {
        if self.0.packed.is_empty() {
            self.0.packed = self.0.field.payload(Ok)?;
        }
        let Some((byte, rest)) = self.0.packed.split_first() else {
            self.0.ended = true;
            return Err(LIST_ENDED);
        };
        self.0.packed = rest;
        Ok((*byte).into())
    }

    fn payload<T: Default>(&mut self, read: fn(&'a [u8]) -> Result<T>) -> Result<T> {
        self.0.record()?;
        read(self.0.field.records.payload()?)
    }

    fn message(&mut self) -> Result<Cow<'a, [u8]>> {
        self.payload(Ok).map(Cow::Borrowed)
    }

    /// The only list that proto3 allows inside a list is bytes.
    fn list<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let bytes: &[u8] = self.payload(Ok)?;
        visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()))
    }

    fn field(&mut self, otherwise: Error) -> Result<Field<'_, 'a>> {
        Err(otherwise)
    }

    fn depth(&self) -> usize {
        self.0.field.depth
    }
}

/// The entries of a map: each is a message of key and value.
pub(super) struct Entries<'r, 'a> {
    pub(super) field: Field<'r, 'a>,
    pub(super) entry: &'a [u8],
}

impl Entries<'_, '_> {
    fn part<'de, T: DeserializeSeed<'de>>(&self, number: u32, seed: T) -> Result<T::Value> {
        let entry = Message { bytes: self.entry, depth: self.field.depth };
        entry.field(number, |field| seed.deserialize(field))
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.field.find()?.is_none() {
            return Ok(None);
        }
        self.entry = self.field.records.payload()?;
        self.part(1, seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.part(2, seed)
    }
}

/// The fields of a message, in order. An absent one reads as its zero value.
pub(super) struct Fields<'a> {
    pub(super) records: Records<'a>,
    pub(super) number: u32,
    pub(super) count: usize,
    pub(super) depth: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.count == 0 {
            return Ok(None);
        }
        self.count -= 1;
        self.number += 1;
        let field = Field { records: &mut self.records, number: self.number, depth: self.depth };
        seed.deserialize(At::new(field)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count)
    }
}
