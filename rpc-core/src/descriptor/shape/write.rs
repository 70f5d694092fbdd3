//! The writing half of the trace: a type must write itself as it reads itself.

use std::fmt;

use serde::ser::{self, Serialize};

use super::types::{Container, Field, Shape, Types, plain_name};

/// Checks that `value` writes itself in `shape`.
pub(super) fn check<T: Serialize>(value: &T, shape: &Shape, types: &Types) -> Result<(), String> {
    let written = value.serialize(Expected { shape, types });
    written.map_err(|Unwritable(reason)| reason)
}

/// Why a value is not written as it is read.
#[derive(Debug)]
struct Unwritable(String);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(format!("it can't write a value that it has read: {message}"))
    }
}

fn differs(name: &str, what: &str) -> Unwritable {
    Unwritable(format!(
        "{name} writes {what} differently from how it reads it (skip_serializing, skipped variants, hand-written serde)"
    ))
}

type Result<T = (), E = Unwritable> = std::result::Result<T, E>;

/// A serializer that writes nothing and compares a value with the shape that it must have.
#[derive(Clone, Copy)]
struct Expected<'a> {
    shape: &'a Shape,
    types: &'a Types,
}

impl<'a> Expected<'a> {
    fn is(self, written: &Shape) -> Result {
        if self.shape == written { Ok(()) } else { Err(differs("it", "its value")) }
    }

    /// What the named type `name` is when it is read.
    fn container(self, name: &str) -> Result<&'a Container> {
        let found = match self.shape {
            Shape::Named(read) if plain_name(read) == name => self.types.get(read),
            _ => None,
        };
        found.ok_or_else(|| differs(name, "its name"))
    }

    /// What the variant of the enum `name` carries when it is read.
    fn variant(self, name: &str, index: u32, variant: &'static str) -> Result<&'a Container> {
        let Container::Enum(variants) = self.container(name)? else { return Err(differs(name, "its content")) };
        let read = variants.get(&index).filter(|read| read.name == variant);
        read.map(|read| &read.content).ok_or_else(|| differs(name, &format!("variant `{variant}`")))
    }

    fn elements(self, name: &'static str, shapes: Option<&'a [Shape]>, length: usize) -> Result<Elements<'a>> {
        let shapes = shapes.filter(|shapes| shapes.len() == length).ok_or_else(|| differs(name, "its content"))?;
        Ok(Elements { types: self.types, shapes: shapes.iter() })
    }

    fn fields(self, name: &'static str, fields: Option<&'a [Field]>) -> Result<Fields<'a>> {
        let fields = fields.ok_or_else(|| differs(name, "its content"))?;
        Ok(Fields { name, types: self.types, rest: fields.iter() })
    }

    fn inside<T: Serialize + ?Sized>(self, shape: Option<&'a Shape>, name: &str, value: &T) -> Result {
        let shape = shape.ok_or_else(|| differs(name, "its content"))?;
        value.serialize(Self { shape, ..self })
    }
}

fn newtype(container: &Container) -> Option<&Shape> {
    if let Container::Newtype(inner) = container { Some(inner) } else { None }
}

fn tuple(container: &Container) -> Option<&[Shape]> {
    if let Container::Tuple(elements) = container { Some(elements) } else { None }
}

fn record(container: &Container) -> Option<&[Field]> {
    if let Container::Struct(fields) = container { Some(fields) } else { None }
}

fn unit(container: &Container, name: &str) -> Result {
    if *container == Container::Unit { Ok(()) } else { Err(differs(name, "its content")) }
}

macro_rules! scalars {
    ($($serialize:ident($type:ty) $shape:ident;)+) => {
        $(fn $serialize(self, _value: $type) -> Result {
            self.is(&Shape::$shape)
        })+
    };
}

impl<'a> ser::Serializer for Expected<'a> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Entries<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    scalars! {
        serialize_bool(bool) Bool;
        serialize_i8(i8) I8;
        serialize_i16(i16) I16;
        serialize_i32(i32) I32;
        serialize_i64(i64) I64;
        serialize_i128(i128) I128;
        serialize_u8(u8) U8;
        serialize_u16(u16) U16;
        serialize_u32(u32) U32;
        serialize_u64(u64) U64;
        serialize_u128(u128) U128;
        serialize_f32(f32) F32;
        serialize_f64(f64) F64;
        serialize_char(char) Char;
        serialize_str(&str) String;
        serialize_bytes(&[u8]) Bytes;
    }

    fn serialize_none(self) -> Result {
        if matches!(self.shape, Shape::Option(_)) { Ok(()) } else { Err(differs("it", "its value")) }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        let inner = if let Shape::Option(inner) = self.shape { Some(&**inner) } else { None };
        self.inside(inner, "it", value)
    }

    fn serialize_unit(self) -> Result {
        self.is(&Shape::Unit)
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result {
        unit(self.container(name)?, name)
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result {
        unit(self.variant(name, index, variant)?, name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result {
        self.inside(newtype(self.container(name)?), name, value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        self.inside(newtype(self.variant(name, index, variant)?), name, value)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Entries<'a>> {
        let Shape::Seq(element) = self.shape else { return Err(differs("it", "its value")) };
        Ok(Entries { types: self.types, key: element, value: element })
    }

    fn serialize_tuple(self, length: usize) -> Result<Elements<'a>> {
        let shapes = if let Shape::Tuple(shapes) = self.shape { Some(&shapes[..]) } else { None };
        self.elements("it", shapes, length)
    }

    fn serialize_tuple_struct(self, name: &'static str, length: usize) -> Result<Elements<'a>> {
        self.elements(name, tuple(self.container(name)?), length)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Elements<'a>> {
        self.elements(name, tuple(self.variant(name, index, variant)?), length)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Entries<'a>> {
        let Shape::Map(key, value) = self.shape else { return Err(differs("it", "its value")) };
        Ok(Entries { types: self.types, key, value })
    }

    fn serialize_struct(self, name: &'static str, _length: usize) -> Result<Fields<'a>> {
        self.fields(name, record(self.container(name)?))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>> {
        self.fields(name, record(self.variant(name, index, variant)?))
    }
}

/// The elements of a sequence, or the entries of a map.
struct Entries<'a> {
    types: &'a Types,
    key: &'a Shape,
    value: &'a Shape,
}

impl ser::SerializeSeq for Entries<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        value.serialize(Expected { shape: self.value, types: self.types })
    }

    fn end(self) -> Result {
        Ok(())
    }
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        key.serialize(Expected { shape: self.key, types: self.types })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        value.serialize(Expected { shape: self.value, types: self.types })
    }

    fn end(self) -> Result {
        Ok(())
    }
}

/// The elements of a tuple, whose number was checked.
struct Elements<'a> {
    types: &'a Types,
    shapes: std::slice::Iter<'a, Shape>,
}

impl Elements<'_> {
    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        let shape = self.shapes.next().ok_or_else(|| differs("it", "the number of its elements"))?;
        value.serialize(Expected { shape, types: self.types })
    }
}

macro_rules! elements {
    ($($trait:ident::$serialize:ident;)+) => {
        $(impl ser::$trait for Elements<'_> {
            type Ok = ();
            type Error = Unwritable;

            fn $serialize<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
                self.next(value)
            }

            fn end(self) -> Result {
                Ok(())
            }
        })+
    };
}

elements! {
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

/// The fields of a struct or of a variant, in order.
struct Fields<'a> {
    name: &'static str,
    types: &'a Types,
    rest: std::slice::Iter<'a, Field>,
}

impl<'a> Fields<'a> {
    fn next(&mut self, written: &str) -> Result<Expected<'a>> {
        let field = self.rest.next().ok_or_else(|| differs(self.name, "the number of its fields"))?;
        if field.name != written {
            return Err(differs(self.name, &format!("field `{}`", field.name)));
        }
        Ok(Expected { shape: &field.shape, types: self.types })
    }

    fn finish(mut self) -> Result {
        match self.rest.next() {
            Some(field) => Err(differs(self.name, &format!("field `{}`", field.name))),
            None => Ok(()),
        }
    }
}

macro_rules! fields {
    ($($trait:ident)+) => {
        $(impl ser::$trait for Fields<'_> {
            type Ok = ();
            type Error = Unwritable;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
                value.serialize(self.next(name)?)
            }

            fn skip_field(&mut self, name: &'static str) -> Result {
                self.next(name).map(|_skipped| ())
            }

            fn end(self) -> Result {
                self.finish()
            }
        })+
    };
}

fields! { SerializeStruct SerializeStructVariant }
