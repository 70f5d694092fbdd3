//! From protocol buffers to a value.
//!
//! serde wants the fields of a struct in order, and that is how encoders write them, so a message is read field by field
//! without a table of what it holds. A message in another order is sorted first. Several occurrences of a
//! message merge by joining their bytes, which is what merging means.

mod list;
mod position;
mod variant;

use std::{num::ParseIntError, str::FromStr};

use serde::{
    Deserializer,
    de::{DeserializeOwned, Error as _, IntoDeserializer, Visitor},
};

pub(crate) use self::position::Message;
use self::position::{At, Entries, Field, Position, Role, text};
use super::{
    enums::{Enums, Scope},
    error::{Error, Result},
    wire::Wire,
};

const NOT_SELF_DESCRIBING: Error =
    Error::new("protocol buffers are not self-describing; expected a type that asks for its own");

/// The most levels of messages where nobody says otherwise.
pub(super) const DEPTH: usize = 64;

/// Reads a message of at most 64 levels. An enum is a number if its variant is plain; with data in other variants it needs a
/// [`Codec`](crate::Codec).
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    read(Message::new(bytes, Scope { depth: DEPTH, enums: Enums::default() }))
}

/// Reads a value from `message`.
pub(crate) fn read<T: DeserializeOwned>(message: Message<'_>) -> Result<T> {
    T::deserialize(message)
}

/// Reads an `Option` from its field.
fn option<'de, V: Visitor<'de>>(mut field: Field<'_, '_>, visitor: V) -> Result<V::Value> {
    if field.find()?.is_none() {
        return visitor.visit_none();
    }
    field.role = Role::Single;
    visitor.visit_some(At::new(field))
}

macro_rules! in_field_1 {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.field(1, Role::Plain, |field| At::new(field).$method(visitor))
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
        if self.scope.enums.have_data(name) {
            return self.variant(variants.len(), visitor);
        }
        self.field(1, Role::Plain, |field| At::new(field).deserialize_enum(name, variants, visitor))
    }

    in_field_1! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_i128 deserialize_u128 deserialize_option deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }
}

/// A number in decimal digits; no text is zero.
fn parsed<T: FromStr<Err = ParseIntError> + Default>(text: &str) -> Result<T> {
    if text.is_empty() { Ok(T::default()) } else { text.parse().map_err(Error::custom) }
}

/// The low 32 bits of a varint's 64, which is how every protocol buffers library reads narrower numbers.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
fn low_32(bits: u64) -> u32 {
    bits as u32
}

macro_rules! integers {
    ($($method:ident, $visit:ident($position:ident, $bits:ident) = $number:expr;)+) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
            let $position = &mut self.0;
            let $bits = $position.number(Wire::Varint)?;
            visitor.$visit($number)
        }
    )+};
}

impl<'a, 'de, P: Position<'a>> Deserializer<'de> for At<'a, P> {
    type Error = Error;

    // serde's visitors check the range of numbers narrower than 32 bits.
    integers! {
        deserialize_bool, visit_bool(position, bits) = bits != 0;
        deserialize_i8, visit_i32(position, bits) = low_32(bits).cast_signed();
        deserialize_i16, visit_i32(position, bits) = low_32(bits).cast_signed();
        deserialize_i32, visit_i32(position, bits) = low_32(bits).cast_signed();
        deserialize_i64, visit_i64(position, bits) = bits.cast_signed();
        deserialize_u16, visit_u32(position, bits) = low_32(bits);
        deserialize_u32, visit_u32(position, bits) = low_32(bits);
        deserialize_u64, visit_u64(position, bits) = bits;
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

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.slot(|field| option(field, visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.0.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.slot(|field| visitor.visit_map(Entries { field, entry: &[] }))
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let scope = self.0.scope();
        if scope.enums.have_data(name) {
            return Message::new(&self.0.message()?, scope).variant(variants.len(), visitor);
        }
        let index = low_32(self.0.number(Wire::Varint)?);
        visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(index))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.empty()?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
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

    fn deserialize_i128<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_i128(parsed(self.0.payload(text)?)?)
    }

    fn deserialize_u128<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        visitor.visit_u128(parsed(self.0.payload(text)?)?)
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        match self.0.payload(text)? {
            "" => visitor.visit_char('\0'),
            character => visitor.visit_str(character),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(NOT_SELF_DESCRIBING)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(NOT_SELF_DESCRIBING)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}
