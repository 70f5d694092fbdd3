//! How much a value holds, before it is written.

use std::{fmt, mem::needs_drop};

use serde::ser::{self, Serialize, Serializer};

/// Whether `value` holds more than `bytes`, as it is in memory and without its padding. It takes about as long as a walk
/// through so much of it, and nothing at all for a type that owns nothing.
pub(crate) fn is_heavier<T: Serialize>(value: &T, bytes: usize) -> bool {
    needs_drop::<T>() && value.serialize(&mut Scale { left: bytes }).is_err()
}

/// Fails once what it was given holds more than is left.
struct Scale {
    left: usize,
}

/// The value is too heavy, or can't be written at all.
#[derive(Debug)]
struct Heavy;

impl fmt::Display for Heavy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("heavier than the limit")
    }
}

impl std::error::Error for Heavy {}

impl ser::Error for Heavy {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl Scale {
    fn put(&mut self, bytes: usize) -> Result<(), Heavy> {
        self.left = self.left.checked_sub(bytes).ok_or(Heavy)?;
        Ok(())
    }
}

macro_rules! scalars {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<(), Heavy> {
            self.put(size_of::<$type>())
        })*
    };
}

macro_rules! compounds {
    ($($method:ident($($argument:ty),*): $compound:ident),*) => {
        type SerializeSeq = Self;
        type SerializeTuple = Self;
        type SerializeTupleStruct = Self;
        type SerializeTupleVariant = Self;
        type SerializeMap = Self;
        type SerializeStruct = Self;
        type SerializeStructVariant = Self;
        // Each has a length of its own on most wires, so that many empty ones are heavy too.
        $(fn $method(self, $(_: $argument),*) -> Result<Self, Heavy> {
            self.put(1).map(|()| self)
        })*
    };
}

impl Serializer for &mut Scale {
    type Ok = ();
    type Error = Heavy;

    scalars! {
        serialize_bool: bool, serialize_char: char,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64
    }

    compounds! {
        serialize_seq(Option<usize>): SerializeSeq,
        serialize_tuple(usize): SerializeTuple,
        serialize_tuple_struct(&'static str, usize): SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize): SerializeTupleVariant,
        serialize_map(Option<usize>): SerializeMap,
        serialize_struct(&'static str, usize): SerializeStruct,
        serialize_struct_variant(&'static str, u32, &'static str, usize): SerializeStructVariant
    }

    fn serialize_str(self, text: &str) -> Result<(), Heavy> {
        self.put(text.len())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Heavy> {
        self.put(bytes.len())
    }

    fn serialize_none(self) -> Result<(), Heavy> {
        self.put(1)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Heavy> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Heavy> {
        self.put(1)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Heavy> {
        self.put(1)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Heavy> {
        self.put(1)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Heavy> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Heavy> {
        value.serialize(self)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Heavy> {
        fmt::write(&mut Text(self), format_args!("{value}")).map_err(|fmt::Error| Heavy)
    }
}

/// What is written to it is weighed.
struct Text<'a>(&'a mut Scale);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.put(text.len()).map_err(|Heavy| fmt::Error)
    }
}

macro_rules! parts {
    ($($trait:ident: $method:ident($($key:ty)?)),*) => {
        $(impl ser::$trait for &mut Scale {
            type Ok = ();
            type Error = Heavy;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<(), Heavy> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Heavy> {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq: serialize_element(),
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(&'static str),
    SerializeStructVariant: serialize_field(&'static str)
}

impl ser::SerializeMap for &mut Scale {
    type Ok = ();
    type Error = Heavy;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Heavy> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Heavy> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Heavy> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Serialize)]
    enum Part {
        Unit,
        One(String),
        Two(u8, Vec<u8>),
        Named { text: String, map: BTreeMap<String, Option<u64>> },
    }

    #[test]
    fn what_a_value_holds_is_counted() {
        let parts = vec![
            Part::Unit,
            Part::One("four".to_owned()),
            Part::Two(1, vec![2; 3]),
            Part::Named {
                text: "ab".to_owned(),
                map: BTreeMap::from([("key".to_owned(), Some(7)), (String::new(), None)]),
            },
        ];
        // The array; Unit; One; Two with its array; Named with its map.
        let weight = 1 + 1 + 4 + (1 + 1 + 1 + 3) + (1 + 2 + 1 + 3 + 8 + 1);
        assert!(is_heavier(&parts, weight - 1));
        assert!(!is_heavier(&parts, weight));
    }

    #[test]
    fn a_type_that_owns_nothing_is_light() {
        assert!(!is_heavier(&[7_u64; 10], 8));
        assert!(is_heavier(&vec![7_u64; 10], 8));
    }
}
