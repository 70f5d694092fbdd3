//! From a value to protocol buffers, in one pass.
//!
//! A length is written before its content and known only after it. One byte is reserved for it, and the content moves if the
//! length needs more. Most messages are shorter than 128 bytes.

mod compound;
mod position;
mod variant;

use everywire_core::wire::MessageBuffer;
use serde::ser::{self, Serialize};

use self::{
    compound::{Elements, Entries, Fields},
    position::{At, Field, Message, Position},
    variant::Variant,
};
use super::{
    enums::{Enums, Output},
    error::{Error, Result},
    wire::{Wire, put_varint},
};

/// Enough for most messages, so that they need one allocation.
const INITIAL_CAPACITY: usize = 128;

/// Writes `value` as a message. An enum is a number if its variant is plain; with data in other variants it needs a
/// [`Codec`](crate::Codec).
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    to_vec_with(value, Enums::default())
}

pub(super) fn to_vec_with<T: Serialize + ?Sized>(value: &T, enums: Enums<'_>) -> Result<Vec<u8>> {
    let mut out = Output::new(MessageBuffer::unbounded(Vec::with_capacity(INITIAL_CAPACITY)), enums);
    encode(value, &mut out)?;
    Ok(out.buffer.into_vec())
}

/// Writes `value` as a message at the end of `out`.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Output<'_>) -> Result<()> {
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
    type SerializeTupleVariant = Variant<'a, 'b>;
    type SerializeMap = Entries<'a, 'b>;
    type SerializeStruct = Fields<'a, 'b>;
    type SerializeStructVariant = Variant<'a, 'b>;

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

    // Their zero values are left out, as those of other numbers are, though not every text of them is empty.
    fn serialize_i128(self, value: i128) -> Result<()> {
        self.position.text(self.out, itoa::Buffer::new().format(value), value == 0)
    }

    fn serialize_u128(self, value: u128) -> Result<()> {
        self.position.text(self.out, itoa::Buffer::new().format(value), value == 0)
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.position.text(self.out, value.encode_utf8(&mut [0; 4]), value == '\0')
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.position.bytes(self.out, value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.position.bytes(self.out, value)
    }

    fn serialize_none(self) -> Result<()> {
        if let (number, true) = self.position.slot() {
            variant::put_empty(self.out, number);
        }
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let (number, wrapper) = self.position.open_slot(self.out);
        value.serialize(At { out: self.out, position: Field { number, explicit: true, single: true } })?;
        if let Some(open) = wrapper {
            open.close(self.out);
        }
        Ok(())
    }

    fn serialize_unit(self) -> Result<()> {
        variant::put_unit_message(self.out, self.position)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, _variant: &'static str) -> Result<()> {
        if self.out.enums.have_data(name) {
            return variant::put_unit(self.out, self.position, index);
        }
        self.serialize_u32(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<()> {
        variant::put_newtype(self.out, self.position, index, value)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Elements<'a, 'b>> {
        Ok(Elements::begin(self.out, self.position))
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
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Variant<'a, 'b>> {
        Variant::begin(self.out, self.position, index)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Entries<'a, 'b>> {
        Ok(Entries::begin(self.out, self.position))
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Fields<'a, 'b>> {
        Fields::begin(self.out, self.position)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Variant<'a, 'b>> {
        Variant::begin(self.out, self.position, index)
    }
}
