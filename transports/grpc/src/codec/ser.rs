//! From a value to protocol buffers, in one pass.
//!
//! A length is written before its content and known only after it. One byte is reserved for it, and the content moves if the
//! length needs more. Most messages are shorter than 128 bytes.

mod compound;
mod position;

use everywire_core::wire::MessageBuffer;
use serde::ser::{self, Impossible, Serialize};

use self::{
    compound::{Elements, Entries, Fields},
    position::{At, Field, Message, Open, Position},
};
use super::{
    error::{ENUM_WITH_DATA, Error, NESTED, OPTIONAL_ELEMENT, Result},
    wire::{Wire, put_varint},
};

/// Enough for most messages, so that they need one allocation.
const INITIAL_CAPACITY: usize = 128;

/// Writes `value` as a message.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut out = MessageBuffer::unbounded(Vec::with_capacity(INITIAL_CAPACITY));
    encode(value, &mut out)?;
    Ok(out.into_vec())
}

/// Writes `value` as a message at the end of `out`.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut MessageBuffer<'_>) -> Result<()> {
    value.serialize(At { out, position: Message })
}

macro_rules! varints {
    ($($method:ident($type:ty) as $signed:ty;)+) => {$(
        fn $method(self, value: $type) -> Result<()> {
            self.position.number(self.out, Wire::Varint, value == 0, |out| put_varint(out, <$signed>::from(value) as u64))
        }
    )+};
}

#[expect(clippy::cast_sign_loss, reason = "a negative number is written as the 64 bits of its two's complement")]
impl<'a, 'b, P: Position> ser::Serializer for At<'a, 'b, P> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'a, 'b>;
    type SerializeTuple = Fields<'a, 'b>;
    type SerializeTupleStruct = Fields<'a, 'b>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Entries<'a, 'b>;
    type SerializeStruct = Fields<'a, 'b>;
    type SerializeStructVariant = Impossible<(), Error>;

    varints! {
        serialize_i8(i8) as i64;
        serialize_i16(i16) as i64;
        serialize_i32(i32) as i64;
        serialize_i64(i64) as i64;
        serialize_u16(u16) as u64;
        serialize_u32(u32) as u64;
        serialize_u64(u64) as u64;
    }

    fn serialize_u8(self, value: u8) -> Result<()> {
        self.position.byte(self.out, value)
    }

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.position.number(self.out, Wire::Varint, !value, |out| out.push(value.into()))
    }

    // -0.0 is not the zero value.
    fn serialize_f32(self, value: f32) -> Result<()> {
        self.position
            .number(self.out, Wire::Fixed32, value.to_bits() == 0, |out| out.extend_from_slice(&value.to_le_bytes()))
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        self.position
            .number(self.out, Wire::Fixed64, value.to_bits() == 0, |out| out.extend_from_slice(&value.to_le_bytes()))
    }

    fn serialize_char(self, _value: char) -> Result<()> {
        Err(Error::new("proto3 has no characters; use a String"))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.position.bytes(self.out, value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.position.bytes(self.out, value)
    }

    fn serialize_none(self) -> Result<()> {
        self.position.field(OPTIONAL_ELEMENT)?.implicit().map(|_absent| ())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let field = self.position.field(OPTIONAL_ELEMENT)?.implicit()?;
        value.serialize(At { out: self.out, position: Field { explicit: true, ..field } })
    }

    fn serialize_unit(self) -> Result<()> {
        self.position.unit()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.position.unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, index: u32, _variant: &'static str) -> Result<()> {
        self.serialize_u32(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<()> {
        Err(ENUM_WITH_DATA)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Elements<'a, 'b>> {
        let (number, only_bytes) = self.position.list()?;
        let packed = only_bytes.then(|| Open::new(self.out, number));
        Ok(Elements { out: self.out, number, packed, only_bytes })
    }

    fn serialize_tuple(self, _length: usize) -> Result<Fields<'a, 'b>> {
        Fields::begin(self.out, self.position)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Fields<'a, 'b>> {
        Fields::begin(self.out, self.position)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        Err(ENUM_WITH_DATA)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Entries<'a, 'b>> {
        let Field { number, .. } = self.position.field(NESTED)?.implicit()?;
        Ok(Entries { out: self.out, number, entry: None })
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Fields<'a, 'b>> {
        Fields::begin(self.out, self.position)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStructVariant> {
        Err(ENUM_WITH_DATA)
    }
}
