//! From a value to protocol buffers, in one pass.
//!
//! A length stands before its content and is known after it: one byte is kept free, and where the length needs more, the
//! content moves. Most messages are shorter than 128 bytes.

use serde::ser::{self, Impossible, Serialize};

use super::{
    ENUM_WITH_DATA, Error, NESTED, OPTIONAL_ELEMENT, Result, UNIT,
    wire::{Wire, put_tag, put_varint},
};

/// Room for most messages, so that they need one allocation.
const FIRST_ROOM: usize = 128;

/// Writes `value` as a message.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(FIRST_ROOM);
    encode(value, &mut out)?;
    Ok(out)
}

/// Writes `value` as a message at the end of `out`.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    value.serialize(At { out, place: Message })
}

/// A serializer for one place in a message.
struct At<'a, P> {
    out: &'a mut Vec<u8>,
    place: P,
}

/// What differs between places: a whole message, a field of one, an element of a list.
trait Place: Sized {
    /// Writes a number by `put`; `zero` tells whether it may be left out.
    fn number(self, out: &mut Vec<u8>, wire: Wire, zero: bool, put: impl FnOnce(&mut Vec<u8>)) -> Result<()>;
    fn bytes(self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<()>;
    /// Begins a message; the whole message needs no beginning.
    fn message(self, out: &mut Vec<u8>) -> Result<Option<Open>>;
    fn unit(self) -> Result<()>;
    /// Where a list goes to, and whether it may be one of bytes only.
    fn list(self) -> Result<(u32, bool)>;
    /// The field that a map or the content of an `Option` goes to.
    fn field(self, otherwise: Error) -> Result<Field>;

    /// A `u8` alone is a uint32; in a list it is one of its bytes.
    fn byte(self, out: &mut Vec<u8>, byte: u8) -> Result<()> {
        self.number(out, Wire::Varint, byte == 0, |out| put_varint(out, byte.into()))
    }
}

/// A whole message. What is no message itself becomes field 1 of one.
struct Message;

const FIRST: Field = Field { number: 1, explicit: false };

impl Place for Message {
    fn number(self, out: &mut Vec<u8>, wire: Wire, zero: bool, put: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        FIRST.number(out, wire, zero, put)
    }

    fn bytes(self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
        FIRST.bytes(out, bytes)
    }

    fn message(self, _out: &mut Vec<u8>) -> Result<Option<Open>> {
        Ok(None)
    }

    fn unit(self) -> Result<()> {
        Ok(())
    }

    fn list(self) -> Result<(u32, bool)> {
        FIRST.list()
    }

    fn field(self, _otherwise: Error) -> Result<Field> {
        Ok(FIRST)
    }
}

/// A field; with explicit presence, its zero value is written too.
struct Field {
    number: u32,
    explicit: bool,
}

impl Place for Field {
    fn number(self, out: &mut Vec<u8>, wire: Wire, zero: bool, put: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        if self.explicit || !zero {
            put_tag(out, self.number, wire);
            put(out);
        }
        Ok(())
    }

    fn bytes(self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
        if self.explicit || !bytes.is_empty() {
            put_bytes(out, self.number, bytes);
        }
        Ok(())
    }

    fn message(self, out: &mut Vec<u8>) -> Result<Option<Open>> {
        Ok(Some(Open::new(out, self.number, self.explicit)))
    }

    fn unit(self) -> Result<()> {
        Err(UNIT)
    }

    fn list(self) -> Result<(u32, bool)> {
        Ok((self.number, self.explicit))
    }

    fn field(self, _otherwise: Error) -> Result<Field> {
        Ok(self)
    }
}

impl Field {
    /// Refuses what can't stand inside an `Option`.
    fn implicit(self) -> Result<Self> {
        if self.explicit { Err(NESTED) } else { Ok(self) }
    }
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, Wire::Len);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A record whose content is being written and whose length is not known yet.
struct Open {
    start: usize,
    content: usize,
    /// Whether the record stays if its content is empty.
    explicit: bool,
}

impl Open {
    fn new(out: &mut Vec<u8>, number: u32, explicit: bool) -> Self {
        let start = out.len();
        put_tag(out, number, Wire::Len);
        out.push(0);
        Self { start, content: out.len(), explicit }
    }

    fn close(self, out: &mut Vec<u8>) {
        let length = out.len() - self.content;
        match u8::try_from(length) {
            Ok(0) if !self.explicit => out.truncate(self.start),
            Ok(short @ ..0x80) => out[self.content - 1] = short,
            _ => self.close_long(out, length),
        }
    }

    fn close_long(self, out: &mut Vec<u8>, length: usize) {
        let mut prefix = Vec::with_capacity(10);
        put_varint(&mut prefix, length as u64);
        out.splice(self.content - 1..self.content, prefix);
    }
}

/// The fields of a message, in order.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    number: u32,
    open: Option<Open>,
}

impl<'a> Fields<'a> {
    fn begin(out: &'a mut Vec<u8>, place: impl Place) -> Result<Self> {
        let open = place.message(out)?;
        Ok(Self { out, number: 0, open })
    }

    fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.number += 1;
        value.serialize(At { out: self.out, place: Field { number: self.number, explicit: false } })
    }

    fn close(self) {
        if let Some(open) = self.open {
            open.close(self.out);
        }
    }
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _name: &'static str, value: &T) -> Result<()> {
        self.put(value)
    }

    fn skip_field(&mut self, _name: &'static str) -> Result<()> {
        self.number += 1;
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.put(value)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.put(value)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

/// The elements of a list. Numbers share one record, anything else has a record each.
struct Elements<'a> {
    out: &'a mut Vec<u8>,
    number: u32,
    shared: Option<Open>,
    /// Set inside a list or an `Option`, where proto3 has bytes and no other list.
    only_bytes: bool,
}

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let place = Element { number: self.number, shared: &mut self.shared, only_bytes: self.only_bytes };
        value.serialize(At { out: self.out, place })
    }

    fn end(self) -> Result<()> {
        if let Some(open) = self.shared {
            open.close(self.out);
        }
        Ok(())
    }
}

struct Element<'a> {
    number: u32,
    shared: &'a mut Option<Open>,
    only_bytes: bool,
}

impl Element<'_> {
    fn share(self, out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
        self.shared.get_or_insert_with(|| Open::new(out, self.number, true));
        put(out);
    }

    fn any(&self) -> Result<()> {
        if self.only_bytes { Err(NESTED) } else { Ok(()) }
    }
}

impl Place for Element<'_> {
    fn number(self, out: &mut Vec<u8>, _wire: Wire, _zero: bool, put: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.any()?;
        self.share(out, put);
        Ok(())
    }

    fn bytes(self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
        self.any()?;
        put_bytes(out, self.number, bytes);
        Ok(())
    }

    fn message(self, out: &mut Vec<u8>) -> Result<Option<Open>> {
        self.any()?;
        Ok(Some(Open::new(out, self.number, true)))
    }

    fn unit(self) -> Result<()> {
        Err(UNIT)
    }

    fn list(self) -> Result<(u32, bool)> {
        self.any()?;
        Ok((self.number, true))
    }

    fn field(self, otherwise: Error) -> Result<Field> {
        Err(otherwise)
    }

    fn byte(self, out: &mut Vec<u8>, byte: u8) -> Result<()> {
        self.share(out, |out| out.push(byte));
        Ok(())
    }
}

/// The entries of a map: each is a message of key and value.
struct Entries<'a> {
    out: &'a mut Vec<u8>,
    number: u32,
    entry: Option<Open>,
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.entry = Some(Open::new(self.out, self.number, true));
        key.serialize(At { out: self.out, place: FIRST })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(At { out: self.out, place: Field { number: 2, explicit: false } })?;
        if let Some(entry) = self.entry.take() {
            entry.close(self.out);
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

macro_rules! varints {
    ($($method:ident($type:ty) as $signed:ty;)+) => {$(
        fn $method(self, value: $type) -> Result<()> {
            self.place.number(self.out, Wire::Varint, value == 0, |out| put_varint(out, <$signed>::from(value) as u64))
        }
    )+};
}

#[expect(clippy::cast_sign_loss, reason = "a negative number is written as the 64 bits of its two's complement")]
impl<'a, P: Place> ser::Serializer for At<'a, P> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Fields<'a>;
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
        self.place.byte(self.out, value)
    }

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.place.number(self.out, Wire::Varint, !value, |out| out.push(value.into()))
    }

    // -0.0 is not the zero value.
    fn serialize_f32(self, value: f32) -> Result<()> {
        self.place.number(self.out, Wire::Fixed32, value.to_bits() == 0, |out| out.extend(value.to_le_bytes()))
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        self.place.number(self.out, Wire::Fixed64, value.to_bits() == 0, |out| out.extend(value.to_le_bytes()))
    }

    fn serialize_char(self, _value: char) -> Result<()> {
        Err(Error::new("proto3 has no characters; a string helps"))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        self.place.bytes(self.out, value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.place.bytes(self.out, value)
    }

    fn serialize_none(self) -> Result<()> {
        self.place.field(OPTIONAL_ELEMENT)?.implicit().map(|_absent| ())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let field = self.place.field(OPTIONAL_ELEMENT)?.implicit()?;
        value.serialize(At { out: self.out, place: Field { explicit: true, ..field } })
    }

    fn serialize_unit(self) -> Result<()> {
        self.place.unit()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.place.unit()
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

    fn serialize_seq(self, _length: Option<usize>) -> Result<Elements<'a>> {
        let (number, only_bytes) = self.place.list()?;
        let shared = only_bytes.then(|| Open::new(self.out, number, true));
        Ok(Elements { out: self.out, number, shared, only_bytes })
    }

    fn serialize_tuple(self, _length: usize) -> Result<Fields<'a>> {
        Fields::begin(self.out, self.place)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Fields<'a>> {
        Fields::begin(self.out, self.place)
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

    fn serialize_map(self, _length: Option<usize>) -> Result<Entries<'a>> {
        let Field { number, .. } = self.place.field(NESTED)?.implicit()?;
        Ok(Entries { out: self.out, number, entry: None })
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Fields<'a>> {
        Fields::begin(self.out, self.place)
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
