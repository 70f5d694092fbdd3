//! Writing values.

use std::{fmt, io::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use everywire_core::wire::MessageBuffer;
use serde::{Serialize, Serializer, ser::Error as _};

use super::{
    compound::Compound,
    error::Error,
    nil::NIL,
    text::escape,
    writer::{Form, Writer},
};

impl<'a, 'b> Writer<'a, 'b> {
    /// Writes what `write` appends as a value of the type `tag`.
    fn scalar(
        mut self,
        tag: &str,
        write: impl FnOnce(&mut MessageBuffer<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.form {
            Form::Name => return write(self.out),
            Form::Params => return Err(Error::custom("arguments are a struct, a tuple or a sequence")),
            Form::Value => {}
        }
        for part in ["<value><", tag, ">"] {
            self.push(part);
        }
        write(self.out)?;
        for part in ["</", tag, "></value>"] {
            self.push(part);
        }
        Ok(())
    }

    fn integer<T: itoa::Integer>(self, tag: &str, number: T) -> Result<(), Error> {
        self.scalar(tag, |out| {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            Ok(())
        })
    }

    fn nil(mut self) -> Result<(), Error> {
        if self.form == Form::Name {
            return Err(bad_key());
        }
        self.push(if self.form == Form::Value { NIL } else { "" });
        Ok(())
    }

    fn list(mut self) -> Result<Compound<'a, 'b>, Error> {
        match self.form {
            Form::Name => Err(bad_key()),
            Form::Params => Ok(Compound::params(self.out)),
            Form::Value => {
                self.push("<value><array><data>");
                Ok(Compound::new(self.out, self.nil, "</data></array></value>"))
            }
        }
    }

    fn members(mut self) -> Result<Compound<'a, 'b>, Error> {
        match self.form {
            Form::Name => Err(bad_key()),
            Form::Params => Ok(Compound::params(self.out)),
            Form::Value => {
                self.push("<value><struct>");
                Ok(Compound::new(self.out, self.nil, "</struct></value>"))
            }
        }
    }

    /// Starts the struct whose one member is named like the variant.
    fn variant(mut self, variant: &str, start: &str, end: &'static str) -> Result<Compound<'a, 'b>, Error> {
        if self.form != Form::Value {
            return Err(bad_key());
        }
        self.push("<value><struct><member><name>");
        escape(variant, self.out)?;
        self.push("</name>");
        self.push(start);
        Ok(Compound::new(self.out, self.nil, end))
    }
}

/// How many bytes become base64 at a time: a multiple of three, so that only the last ones are padded.
const BASE64_CHUNK: usize = 768;

fn bad_key() -> Error {
    Error::custom("the key of a map is a string, a number or a boolean")
}

/// XML-RPC's type for an integer of this value.
fn integer_tag(number: i128) -> &'static str {
    if i32::try_from(number).is_ok() {
        "int"
    } else if i64::try_from(number).is_ok() {
        "i8"
    } else {
        "biginteger"
    }
}

impl<'a, 'b> Serializer for Writer<'a, 'b> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'a, 'b>;
    type SerializeTuple = Compound<'a, 'b>;
    type SerializeTupleStruct = Compound<'a, 'b>;
    type SerializeTupleVariant = Compound<'a, 'b>;
    type SerializeMap = Compound<'a, 'b>;
    type SerializeStruct = Compound<'a, 'b>;
    type SerializeStructVariant = Compound<'a, 'b>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.scalar("boolean", |out| {
            out.push(if value { b'1' } else { b'0' });
            Ok(())
        })
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.integer("int", value)
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.integer("int", value)
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.integer("int", value)
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.integer(integer_tag(value.into()), value)
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.integer(integer_tag(value), value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.integer("int", value)
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.integer("int", value)
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.integer(integer_tag(value.into()), value)
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.integer(integer_tag(value.into()), value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.integer(integer_tag(i128::try_from(value).unwrap_or(i128::MAX)), value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.scalar("double", |out| {
            // `Debug` is the shortest text that reads back the same, with an exponent where that is shorter.
            if value.is_nan() { out.write_all(b"nan") } else { write!(out, "{value:?}") }.map_err(Error::custom)
        })
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.scalar("string", |out| escape(value, out))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        if self.form == Form::Name {
            return Err(bad_key());
        }
        self.scalar("base64", |out| {
            for chunk in value.chunks(BASE64_CHUNK) {
                let mut text = [0; BASE64_CHUNK / 3 * 4];
                let length = STANDARD.encode_slice(chunk, &mut text).map_err(Error::custom)?;
                out.extend_from_slice(&text[..length]);
            }
            Ok(())
        })
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.nil()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.nil()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.nil()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut compound = self.variant(variant, "", "</struct></value>")?;
        compound.member(value)?;
        compound.finish();
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Compound<'a, 'b>, Error> {
        self.list()
    }

    fn serialize_tuple(self, _len: usize) -> Result<Compound<'a, 'b>, Error> {
        self.list()
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Compound<'a, 'b>, Error> {
        self.list()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Compound<'a, 'b>, Error> {
        self.variant(variant, "<value><array><data>", "</data></array></value></member></struct></value>")
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Compound<'a, 'b>, Error> {
        self.members()
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Compound<'a, 'b>, Error> {
        self.members()
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Compound<'a, 'b>, Error> {
        self.variant(variant, "<value><struct>", "</struct></value></member></struct></value>")
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.serialize_str(&value.to_string())
    }
}
