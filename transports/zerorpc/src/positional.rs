//! Arguments by position: the struct of a call's arguments as an array, whose values are written as everywhere else.
//!
//! rmp-serde writes all structs as arrays or all as maps. A zerorpc server wants the arguments as an array, and the
//! structs inside them as maps.

use everywire_core::wire::MessageBuffer;
use rmp_serde::encode::Error;
use serde::{
    Serialize, Serializer,
    ser::{Impossible, SerializeStruct},
};

use crate::msgpack::{ValueSerializer, put_array, serializer};

/// Appends the fields of `args`, a struct, as an array.
pub(crate) fn put_args<A: Serialize>(output: &mut MessageBuffer<'_>, args: &A) -> Result<(), Error> {
    args.serialize(Positional { output })
}

struct Positional<'a, 'b> {
    output: &'a mut MessageBuffer<'b>,
}

struct Fields<'a, 'b> {
    values: ValueSerializer<'a, 'b>,
}

impl SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _name: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(&mut self.values)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

/// Writes the methods of [`Serializer`] for everything that is not a struct.
macro_rules! reject {
    ($($method:ident($($argument:ty),*) -> $ok:ty;)+) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$ok, Error> {
            Err(not_a_struct())
        })+
    };
}

impl<'a, 'b> Serializer for Positional<'a, 'b> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Fields<'a, 'b>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_struct(self, _name: &'static str, fields: usize) -> Result<Fields<'a, 'b>, Error> {
        put_array(self.output.as_mut_vec(), fields);
        Ok(Fields { values: serializer(self.output) })
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        put_array(self.output.as_mut_vec(), 0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Error> {
        Err(not_a_struct())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<(), Error> {
        Err(not_a_struct())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(not_a_struct())
    }

    reject! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

fn not_a_struct() -> Error {
    Error::Syntax("arguments are the fields of a struct".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Point {
        x: i8,
        y: Option<i8>,
    }

    #[test]
    fn arguments_are_an_array_and_structs_in_them_are_maps() {
        #[derive(Serialize)]
        struct Args {
            a: u8,
            point: Point,
            rest: Option<Vec<Point>>,
        }
        let mut bytes = MessageBuffer::unbounded(Vec::new());
        let rest = Some(vec![Point { x: -1, y: Some(2) }]);
        put_args(&mut bytes, &Args { a: 1, point: Point { x: 3, y: None }, rest }).unwrap();
        assert_eq!(*bytes, *b"\x93\x01\x82\xa1x\x03\xa1y\xc0\x91\x82\xa1x\xff\xa1y\x02");
    }

    #[test]
    fn no_arguments_are_an_empty_array() {
        #[derive(Serialize)]
        struct Nothing {}
        #[derive(Serialize)]
        struct Unit;
        for put in [|bytes: &mut _| put_args(bytes, &Nothing {}), |bytes: &mut _| put_args(bytes, &Unit)] {
            let mut bytes = MessageBuffer::unbounded(Vec::new());
            put(&mut bytes).unwrap();
            assert_eq!(*bytes, *b"\x90");
        }
        assert!(put_args(&mut MessageBuffer::unbounded(Vec::new()), &7).is_err());
    }
}
