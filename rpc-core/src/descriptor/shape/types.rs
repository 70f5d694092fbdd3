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
    /// A struct or enum, to be found in [`Types`]. That of a generic type has its parameters in the name: `Page<Item>`.
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

/// The name that serde announces for a named type, which is the same for every instance of a generic one: `Page` of
/// `Page<Item>`.
#[must_use]
pub fn plain_name(name: &str) -> &str {
    name.split('<').next().unwrap_or(name)
}

/// The name of `T`, which serde announces as `name`.
pub(super) fn full_name<T: ?Sized>(name: &str) -> String {
    let r#type = std::any::type_name::<T>();
    // serde reads some types, such as ranges, as a tuple first.
    let parameters = match (r#type.strip_prefix('('), r#type.split_once('<')) {
        (Some(tuple), _) => tuple.strip_suffix(')').unwrap_or(tuple),
        (None, Some((_, parameters))) => parameters.strip_suffix('>').unwrap_or(parameters),
        (None, None) => return name.to_owned(),
    };
    if parameters.is_empty() { name.to_owned() } else { format!("{name}<{}>", without_modules(parameters)) }
}

/// `alloc::vec::Vec<demo::Item>` as `Vec<Item>`.
fn without_modules(name: &str) -> String {
    let mut short = String::new();
    let mut path = 0;
    for character in name.chars() {
        short.push(character);
        if short.ends_with("::") {
            short.truncate(path);
        } else if !character.is_alphanumeric() && character != '_' && character != ':' {
            path = short.len();
        }
    }
    short
}
