//! Values that JSON has no word for.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

/// Checks that every float in `value` is a number and finite. JSON has no word for the others, and `serde_json` writes `null`, which
/// is read as nothing or not at all. For authors of wires.
pub fn check_finite<T: Serialize + ?Sized>(value: &T) -> Result<(), NotFinite> {
    match value.serialize(Floats) {
        // What else can't be written is for the format to say.
        Ok(()) | Err(Stop::Other) => Ok(()),
        Err(Stop::NotFinite(found)) => Err(found),
    }
}

/// A float that is infinite or no number.
#[derive(Debug, Clone, PartialEq)]
pub struct NotFinite {
    value: f64,
    /// The innermost field that it is in.
    field: Option<&'static str>,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.field.map_or(Ok(()), |field| write!(f, "`{field}`: "))?;
        write!(f, "JSON has no NaN and no infinity, and a value is {}", self.value)
    }
}

impl std::error::Error for NotFinite {}

/// Why a look at a value ended early.
#[derive(Debug)]
enum Stop {
    NotFinite(NotFinite),
    Other,
}

impl Stop {
    /// The same, in this field.
    fn within(self, field: &'static str) -> Self {
        match self {
            Self::NotFinite(NotFinite { value, field: None }) => {
                Self::NotFinite(NotFinite { value, field: Some(field) })
            }
            other => other,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not looked at to its end")
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
}

/// Looks at floats and writes nothing.
#[derive(Clone, Copy)]
struct Floats;

macro_rules! ignored {
    ($($method:ident($($argument:ty),*)),* $(,)?) => {
        $(fn $method(self, $(_: $argument),*) -> Result<(), Stop> {
            Ok(())
        })*
    };
}

macro_rules! compounds {
    ($($method:ident($($argument:ty),*): $compound:ident),* $(,)?) => {
        $(type $compound = Self;

        fn $method(self, $(_: $argument),*) -> Result<Self, Stop> {
            Ok(self)
        })*
    };
}

impl Serializer for Floats {
    type Ok = ();
    type Error = Stop;

    ignored! {
        serialize_bool(bool), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_i128(i128),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_u128(u128),
        serialize_none(), serialize_unit(), serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    }

    compounds! {
        serialize_seq(Option<usize>): SerializeSeq,
        serialize_tuple(usize): SerializeTuple,
        serialize_tuple_struct(&'static str, usize): SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize): SerializeTupleVariant,
        serialize_map(Option<usize>): SerializeMap,
        serialize_struct(&'static str, usize): SerializeStruct,
        serialize_struct_variant(&'static str, u32, &'static str, usize): SerializeStructVariant,
    }

    fn serialize_f32(self, value: f32) -> Result<(), Stop> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Stop> {
        if value.is_finite() { Ok(()) } else { Err(Stop::NotFinite(NotFinite { value, field: None })) }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), Stop> {
        Ok(())
    }
}

macro_rules! parts {
    ($($trait:ident: $($method:ident($($key:ident)?)),*;)*) => {
        $(impl ser::$trait for Floats {
            type Ok = ();
            type Error = Stop;

            $(fn $method<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), Stop> {
                value.serialize(*self)$(.map_err(|stop| stop.within($key)))?
            })*

            fn end(self) -> Result<(), Stop> {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeMap: serialize_key(), serialize_value();
    SerializeStruct: serialize_field(field);
    SerializeStructVariant: serialize_field(field);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Serialize)]
    enum Shape {
        Circle { radius: f64 },
        Square(Option<f32>),
        Path(Vec<(f64, f64)>),
        Named(BTreeMap<String, f64>),
        Nothing,
    }

    #[derive(serde::Serialize)]
    struct Drawing {
        name: &'static str,
        shapes: Vec<Shape>,
    }

    #[test]
    fn every_float_is_looked_at() {
        let check = |shape| check_finite(&Drawing { name: "x", shapes: vec![Shape::Nothing, shape] });
        for shape in [
            Shape::Circle { radius: f64::MAX },
            Shape::Square(None),
            Shape::Square(Some(0.0)),
            Shape::Path(vec![(0.0, -0.0)]),
            Shape::Named([("a".to_owned(), f64::MIN_POSITIVE)].into()),
        ] {
            assert_eq!(check(shape), Ok(()));
        }
        for (shape, expected) in [
            (Shape::Circle { radius: f64::NAN }, "`radius`: JSON has no NaN and no infinity, and a value is NaN"),
            (Shape::Square(Some(f32::INFINITY)), "`shapes`: JSON has no NaN and no infinity, and a value is inf"),
            (
                Shape::Path(vec![(0.0, f64::NEG_INFINITY)]),
                "`shapes`: JSON has no NaN and no infinity, and a value is -inf",
            ),
            (
                Shape::Named([("a".to_owned(), f64::NAN)].into()),
                "`shapes`: JSON has no NaN and no infinity, and a value is NaN",
            ),
        ] {
            assert_eq!(check(shape).unwrap_err().to_string(), expected);
        }
    }
}
