//! From protocol buffers to a value.
//!
//! serde wants the fields of a struct in order, and that is how encoders write them: a message is read field by field as
//! it lies, without a table of what it holds. A message in another order is put in order first. Several occurrences of a
//! message merge by joining their bytes, which is what merging means.

use std::{borrow::Cow, marker::PhantomData};

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::SeqDeserializer,
    },
};

use super::{
    Error, NESTED, OPTIONAL_ELEMENT, Result, UNIT,
    wire::{Records, Wire, is_ordered, ordered, take_number},
};

const TOO_DEEP: Error = Error::new("messages nest too deep");
const NO_PROGRESS: Error = Error::new("the elements of a list read nothing");
const NOT_SELF_DESCRIBING: Error = Error::new("protocol buffers don't tell types; the type must ask for one");
/// Never seen outside: the list that ends there turns it into its end.
const LIST_ENDED: Error = Error::new("the list has ended");

/// Reads a message of at most 64 levels.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    from_slice_within(bytes, 64)
}

/// Reads a message of at most `depth` levels.
pub(crate) fn from_slice_within<T: DeserializeOwned>(bytes: &[u8], depth: usize) -> Result<T> {
    T::deserialize(Message { bytes, depth })
}

/// The deserializer of a whole message. What is no message itself is in its field 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) depth: usize,
}

impl<'a> Message<'a> {
    fn in_order(self) -> Result<Cow<'a, [u8]>> {
        Ok(if is_ordered(self.bytes)? { Cow::Borrowed(self.bytes) } else { Cow::Owned(ordered(self.bytes)?) })
    }

    fn fields<'de, V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value> {
        let depth = self.depth.checked_sub(1).ok_or(TOO_DEEP)?;
        let bytes = self.in_order()?;
        visitor.visit_seq(Fields { records: Records::new(&bytes)?, number: 0, count, depth })
    }

    /// Hands field `number` to `read`.
    fn field<T>(self, number: u32, read: impl for<'r, 'm> FnOnce(At<'m, Field<'r, 'm>>) -> Result<T>) -> Result<T> {
        let bytes = self.in_order()?;
        let mut records = Records::new(&bytes)?;
        read(At::new(Field { records: &mut records, number, depth: self.depth }))
    }
}

macro_rules! in_field_1 {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.field(1, |field| field.$method(visitor))
        }
    )+};
}

impl<'de> Deserializer<'de> for Message<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.fields(fields.len(), visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.fields(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.fields(length, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.field(1, |field| field.deserialize_enum(name, variants, visitor))
    }

    in_field_1! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }
}

/// The fields of a message, in order; one that is absent is there as its zero value.
struct Fields<'a> {
    records: Records<'a>,
    number: u32,
    count: usize,
    depth: usize,
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

/// A deserializer for one place in a message.
struct At<'a, P>(P, PhantomData<&'a ()>);

impl<'a, P: Place<'a>> At<'a, P> {
    fn new(place: P) -> Self {
        Self(place, PhantomData)
    }

    fn fields<'de, V: Visitor<'de>>(mut self, count: usize, visitor: V) -> Result<V::Value> {
        let depth = self.0.depth();
        let bytes = self.0.message()?;
        Message { bytes: &bytes, depth }.fields(count, visitor)
    }
}

/// What differs between places: a field, which may be absent or come several times, and an element of a list.
trait Place<'a>: Sized {
    /// A number as its bits.
    fn number(&mut self, wire: Wire) -> Result<u64>;
    /// A `u8` alone is a uint32; in a list it is one of its bytes.
    fn byte(&mut self) -> Result<u64>;
    /// A string or bytes, by `read`, which sees each occurrence.
    fn payload<T: Default>(&mut self, read: fn(&'a [u8]) -> Result<T>) -> Result<T>;
    fn message(&mut self) -> Result<Cow<'a, [u8]>>;
    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value>;
    /// The field that a map or the content of an `Option` is in.
    fn field(&mut self, otherwise: Error) -> Result<Field<'_, 'a>>;
    fn depth(&self) -> usize;
}

/// All occurrences of one field, which may be none.
struct Field<'r, 'a> {
    records: &'r mut Records<'a>,
    number: u32,
    depth: usize,
}

impl Field<'_, '_> {
    fn find(&mut self) -> Result<Option<Wire>> {
        self.records.find(self.number)
    }
}

impl<'a> Place<'a> for Field<'_, 'a> {
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
                is_ordered(first)?;
            }
            is_ordered(next)?;
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

fn text(bytes: &[u8]) -> Result<&str> {
    str::from_utf8(bytes).map_err(Error::custom)
}

/// The elements of a list: one each record, or many packed into one.
struct Elements<'r, 'a> {
    field: Field<'r, 'a>,
    packed: &'a [u8],
    ended: bool,
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

    /// The next record. An empty packed one has no element, which shows only now: then the list has ended.
    fn record(&mut self) -> Result<Wire> {
        let found = self.field.find()?;
        self.ended = found.is_none();
        found.ok_or(LIST_ENDED)
    }
}

struct Element<'e, 'r, 'a>(&'e mut Elements<'r, 'a>);

impl<'a> Place<'a> for Element<'_, '_, 'a> {
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

    /// The one list that may stand inside a list is bytes.
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
struct Entries<'r, 'a> {
    field: Field<'r, 'a>,
    entry: &'a [u8],
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

/// Numbers of 32 bits are cut from the 64 of a varint, as every protocol buffers library does.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
fn low_32(bits: u64) -> u32 {
    bits as u32
}

macro_rules! integers {
    ($($method:ident, $visit:ident($place:ident, $bits:ident) = $number:expr;)+) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
            let $place = &mut self.0;
            let $bits = $place.number(Wire::Varint)?;
            visitor.$visit($number)
        }
    )+};
}

impl<'a, 'de, P: Place<'a>> Deserializer<'de> for At<'a, P> {
    type Error = Error;

    // serde's visitors check the range of what is narrower than 32 bits.
    integers! {
        deserialize_bool, visit_bool(place, bits) = bits != 0;
        deserialize_i8, visit_i32(place, bits) = low_32(bits).cast_signed();
        deserialize_i16, visit_i32(place, bits) = low_32(bits).cast_signed();
        deserialize_i32, visit_i32(place, bits) = low_32(bits).cast_signed();
        deserialize_i64, visit_i64(place, bits) = bits.cast_signed();
        deserialize_u16, visit_u32(place, bits) = low_32(bits);
        deserialize_u32, visit_u32(place, bits) = low_32(bits);
        deserialize_u64, visit_u64(place, bits) = bits;
    }

    fn deserialize_u8<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_u32(low_32(self.0.byte()?))
    }

    fn deserialize_f32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_f32(f32::from_bits(low_32(self.0.number(Wire::Fixed32)?)))
    }

    fn deserialize_f64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_f64(f64::from_bits(self.0.number(Wire::Fixed64)?))
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.0.payload(text)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_bytes(self.0.payload(Ok)?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let mut field = self.0.field(OPTIONAL_ELEMENT)?;
        if field.find()?.is_some() { visitor.visit_some(At::new(field)) } else { visitor.visit_none() }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.0.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_map(Entries { field: self.0.field(NESTED)?, entry: &[] })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.fields(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let index = low_32(self.0.number(Wire::Varint)?);
        visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(index))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(UNIT)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, _visitor: V) -> Result<V::Value> {
        Err(UNIT)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.fields(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.fields(length, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(NOT_SELF_DESCRIBING)
    }

    fn deserialize_char<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(NOT_SELF_DESCRIBING)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(NOT_SELF_DESCRIBING)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}
