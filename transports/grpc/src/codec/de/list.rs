//! Lists: the records of a field, numbers packed into one, or bytes.

use std::borrow::Cow;

use serde::{
    Deserializer,
    de::{DeserializeSeed, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{
    super::{
        enums::Scope,
        error::{Error, Result},
        wire::{Records, Wire, take_number},
    },
    position::{At, Field, Position, Role},
};

const NO_PROGRESS: Error = Error::new("the elements of a list read nothing");
/// Internal: `Elements` turns it into the end of its list.
const LIST_ENDED: Error = Error::new("the list has ended");

/// Reads a list in a record of its own, which is `bytes` or a `message`.
pub(super) fn wrapped<'de, V: Visitor<'de>>(
    bytes: &[u8],
    message: &[u8],
    scope: Scope<'_>,
    visitor: V,
) -> Result<V::Value> {
    let mut records = Records::of_one_field(message, scope);
    let field = Field { records: &mut records, number: 1, role: Role::Plain };
    visitor.visit_seq(Elements::undecided(field, bytes))
}

/// The elements of a list: one in each record, or many packed into one.
pub(super) struct Elements<'r, 'a> {
    field: Field<'r, 'a>,
    packed: &'a [u8],
    /// Of a list of bytes, or of one that is undecided.
    bytes: &'a [u8],
    form: Form,
    ended: bool,
}

/// What the elements of a list are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The records of a field, and what is packed in one.
    Records,
    /// A record of the list's own: bytes or a message, which the first element tells.
    Undecided,
    /// Bytes.
    Bytes,
}

impl<'r, 'a> Elements<'r, 'a> {
    /// Those of a list that is `field` itself.
    pub(super) fn of_field(field: Field<'r, 'a>) -> Self {
        Self { field, packed: &[], bytes: &[], form: Form::Records, ended: false }
    }

    /// Those of a list in a record of its own: `bytes`, or the message that has `field`.
    fn undecided(field: Field<'r, 'a>, bytes: &'a [u8]) -> Self {
        Self { bytes, form: Form::Undecided, ..Self::of_field(field) }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*byte)
    }

    /// Whether no record is left. While the list is undecided, only that of an empty record is certain.
    fn is_over(&mut self) -> Result<bool> {
        if self.form == Form::Undecided {
            return Ok(self.field.records.left() == 0);
        }
        Ok(self.field.find()?.is_none())
    }

    fn left(&self) -> (usize, usize) {
        (self.field.records.left(), self.packed.len())
    }

    /// The next record. The list has ended if there is none, which shows this late after an empty packed record.
    fn record(&mut self) -> Result<Wire> {
        if self.form == Form::Undecided {
            self.form = Form::Records;
            self.bytes = &[];
            self.field.records.scope = self.field.records.scope.deeper()?;
        }
        let found = self.field.find()?;
        self.ended = found.is_none();
        found.ok_or(LIST_ENDED)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.packed.is_empty() {
            if self.form == Form::Bytes {
                return self.next_byte().map(|byte| seed.deserialize(Byte(byte))).transpose();
            }
            if self.is_over()? {
                return Ok(None);
            }
        }
        let before = self.left();
        match seed.deserialize(At::new(Element(self))) {
            Err(_) if self.ended => Ok(None),
            Ok(_) if self.left() == before && self.form != Form::Bytes => Err(NO_PROGRESS),
            element => element.map(Some),
        }
    }
}

/// The deserializer of an element of a list of bytes, once the first one has told that they are bytes. serde's own
/// deserializer of a `u8` hands a newtype's visitor the number, which it does not accept.
struct Byte(u8);

impl<'de> Deserializer<'de> for Byte {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u8(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The position of one element.
struct Element<'e, 'r, 'a>(&'e mut Elements<'r, 'a>);

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
        if self.0.form == Form::Records {
            self.0.bytes = match std::mem::take(&mut self.0.packed) {
                [] => self.0.field.payload(Ok)?,
                rest => rest,
            };
        }
        self.0.form = Form::Bytes;
        let byte = self.0.next_byte();
        self.0.ended = byte.is_none();
        byte.map(u64::from).ok_or(LIST_ENDED)
    }

    fn payload<T: Default>(&mut self, read: fn(&'a [u8]) -> Result<T>) -> Result<T> {
        self.0.record()?;
        read(self.0.field.records.payload()?)
    }

    fn message(&mut self) -> Result<Cow<'a, [u8]>> {
        self.payload(Ok).map(Cow::Borrowed)
    }

    fn list<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let bytes: &[u8] = self.payload(Ok)?;
        wrapped(bytes, bytes, self.scope(), visitor)
    }

    fn field(&mut self) -> Option<Field<'_, 'a>> {
        None
    }

    fn scope(&self) -> Scope<'a> {
        self.0.field.records.scope
    }
}
