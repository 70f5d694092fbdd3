//! What a shape consists of.

use std::collections::BTreeMap;

/// The shape of a type, in terms of serde's data model.
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
