//! The shape of a type, traced from its serde implementation.
//!
//! Wires without names on the wire need to know what serde will do with a type before the first call: the order and
//! widths of fields, what is optional, which variants an enum has. [`Shape::of`] finds out by letting the type
//! deserialize itself from nothing and serialize itself again, so that the shape is what serde does, not what a second
//! derive macro believes.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};

mod read;
mod trace;
mod walk;
mod write;

/// The shape of a type, in the words of serde's data model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the scalars are named like the Rust types they stand for")]
pub enum Shape {
    Unit,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    String,
    Bytes,
    /// `Option<T>`.
    Option(Box<Shape>),
    /// A sequence of any length.
    Seq(Box<Shape>),
    /// A map from keys to values.
    Map(Box<Shape>, Box<Shape>),
    /// A tuple, or an array of fixed length.
    Tuple(Vec<Shape>),
    /// A struct or enum, to be found in [`Types`].
    Named(String),
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// `struct Unit;`
    Unit,
    /// `struct Metres(u64);`
    Newtype(Shape),
    /// `struct Pair(u64, u64);`
    Tuple(Vec<Shape>),
    /// A struct with its fields in order.
    Struct(Vec<Field>),
    /// An enum with its variants by index, in order.
    Enum(BTreeMap<u32, Variant>),
}

/// A named field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name as serde has it, after any renaming.
    pub name: String,
    /// The field's type.
    pub shape: Shape,
}

/// A variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The name as serde has it, after any renaming.
    pub name: String,
    /// What it carries; [`Container::Unit`] for a plain variant.
    pub content: Container,
}

/// Named types by their name: what a [`Shape::Named`] stands for.
pub type Types = BTreeMap<String, Container>;

/// What texts and numbers are when a type reads itself from nothing. A type that refuses the first, such as an address or
/// a number other than zero, may take the second.
const SAMPLES: [(&str, u8); 2] = [("", 0), ("127.0.0.1", 1)];

impl Shape {
    /// Traces `T` and the named types inside it, or says where and why that can't be done: `T` decodes only from
    /// self-describing formats (`flatten`, `untagged` and their kind), refuses ordinary values, or writes itself
    /// differently from how it reads itself.
    pub fn of<T: Serialize + DeserializeOwned>() -> Result<(Self, Types), String> {
        let mut traced = SAMPLES.iter().map(|(text, number)| trace::<T>(text, *number));
        let first = traced.next().unwrap_or_else(|| Err("no sample values".to_owned()));
        first.or_else(|reason| traced.find_map(Result::ok).ok_or(reason))
    }
}

fn trace<T: Serialize + DeserializeOwned>(text: &'static str, number: u8) -> Result<(Shape, Types), String> {
    let traced = trace::trace::<T>(text, number)?;
    for value in &traced.values {
        write::check(value, &traced.shape, &traced.types)?;
    }
    Ok((traced.shape, traced.types))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn fields_keep_their_order_and_every_variant_is_seen() {
        #[derive(Serialize, Deserialize)]
        enum Colour {
            Red,
            Green,
            Blue,
        }
        #[derive(Serialize, Deserialize)]
        struct Paint {
            z: u32,
            a: Option<String>,
            colours: Vec<Colour>,
        }
        let (_, types) = Shape::of::<Paint>().unwrap();
        let Container::Struct(fields) = &types["Paint"] else { panic!("{types:?}") };
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["z", "a", "colours"]);
        assert_eq!(fields[1].shape, Shape::Option(Box::new(Shape::String)));
        let Container::Enum(variants) = &types["Colour"] else { panic!("{types:?}") };
        assert_eq!(variants.len(), 3);
    }

    #[test]
    fn a_type_that_reads_and_writes_differently_is_refused() {
        #[derive(Serialize, Deserialize)]
        #[expect(dead_code, reason = "only its shape is looked at")]
        struct Secret {
            name: String,
            #[serde(skip_serializing)]
            password: String,
        }
        let reason = Shape::of::<Secret>().unwrap_err();
        assert!(reason.contains("skip_serializing"), "{reason}");

        #[derive(Serialize, Deserialize)]
        enum Gap {
            A,
            #[serde(skip)]
            #[expect(dead_code, reason = "skipped, that is the point")]
            B,
            C,
        }
        let reason = Shape::of::<Vec<Gap>>().unwrap_err();
        assert!(reason.contains("variant `C`"), "{reason}");
    }

    #[test]
    fn a_type_for_self_describing_formats_only_is_refused() {
        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Text(String),
        }
        let reason = Shape::of::<Either>().unwrap_err();
        assert!(reason.contains("self-describing"), "{reason}");
        assert!(Shape::of::<serde_json::Value>().is_err());

        #[derive(Serialize, Deserialize)]
        struct Letter {
            to: Vec<Option<Either>>,
        }
        let reason = Shape::of::<Letter>().unwrap_err();
        assert!(reason.starts_with("Letter.to[]: "), "{reason}");
    }

    #[test]
    fn types_may_hold_themselves() {
        #[derive(Serialize, Deserialize)]
        enum Expression {
            Negation(Box<Expression>),
            Number(i64),
            Sum { terms: Vec<Expression>, note: Option<Note> },
        }
        #[derive(Serialize, Deserialize)]
        struct Note {
            lines: Vec<String>,
        }
        let (shape, types) = Shape::of::<Expression>().unwrap();
        assert_eq!(shape, Shape::Named("Expression".into()));
        let Container::Enum(variants) = &types["Expression"] else { panic!("{types:?}") };
        assert_eq!(variants[&0].content, Container::Newtype(shape.clone()));
        let Container::Struct(fields) = &variants[&2].content else { panic!("{types:?}") };
        assert_eq!(fields[0].shape, Shape::Seq(Box::new(shape)));
        assert_eq!(
            types["Note"],
            Container::Struct(vec![Field { name: "lines".into(), shape: Shape::Seq(Box::new(Shape::String)) }])
        );
    }

    #[test]
    fn types_that_refuse_empty_values_are_traced_with_others() {
        assert_eq!(Shape::of::<std::net::IpAddr>().unwrap().0, Shape::String);
        assert_eq!(Shape::of::<std::num::NonZeroU32>().unwrap().0, Shape::U32);
    }
}
