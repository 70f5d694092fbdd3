//! The shape of a type, traced from its serde implementation.
//!
//! Wires without names on the wire need to know what serde will do with a type before the first call: the order and
//! widths of fields, what is optional, which variants an enum has. [`Shape::of`] finds out by letting the type
//! deserialize itself from nothing and serialize itself again, so that the shape is what serde does, not what a second
//! derive macro believes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_reflection::{
    ContainerFormat, Error, Format, FormatHolder, Named, Samples, Tracer, TracerConfig, VariantFormat,
};

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

/// More rounds than any enum has variants; a type that needs more is refused.
const MAX_ROUNDS: usize = 1 << 10;

impl Shape {
    /// Traces `T` and the named types inside it, or says why that can't be done: `T` decodes only from self-describing
    /// formats (`flatten`, `untagged` and their kind), rejects ordinary values of its fields, or writes itself
    /// differently from how it reads itself.
    pub fn of<T: Serialize + DeserializeOwned>() -> Result<(Self, Types), String> {
        let mut enums = BTreeSet::new();
        let mut rounds = 1;
        loop {
            match trace::<T>(rounds, &enums) {
                Ok(traced) => return Ok(traced),
                Err(Error::MissingVariants(names)) if rounds < MAX_ROUNDS => {
                    enums.extend(names);
                    rounds *= 2;
                }
                Err(error) => return Err(explain(&error)),
            }
        }
    }
}

/// Lets `T` read itself from nothing `rounds` times, where each round sees one more variant of each of `enums`, and write
/// itself as often.
fn trace<T: Serialize + DeserializeOwned>(rounds: usize, enums: &BTreeSet<String>) -> Result<(Shape, Types), Error> {
    let nothing = Samples::new();
    let mut tracer = Tracer::new(TracerConfig::default().is_human_readable(true));
    let mut format = Format::unknown();
    let mut values = Vec::new();
    for _ in 0..rounds {
        for name in enums {
            tracer.check_incomplete_enum(name);
        }
        let (read, value) = tracer.trace_type_once::<T>(&nothing)?;
        format.unify(read)?;
        values.push(value);
    }
    for value in &values {
        let (written, _) = tracer.trace_value(&mut Samples::new(), value)?;
        format.unify(written)?;
    }
    format.normalize()?;
    let mut types = Types::new();
    for (name, container) in tracer.registry()? {
        distinct_variants(&name, &container)?;
        types.insert(name, container.into());
    }
    Ok((format.into(), types))
}

/// A skipped variant makes serde count differently when it reads and when it writes; the enum then shows a variant twice.
fn distinct_variants(name: &str, container: &ContainerFormat) -> Result<(), Error> {
    let ContainerFormat::Enum(variants) = container else { return Ok(()) };
    let mut seen = BTreeSet::new();
    match variants.values().find(|variant| !seen.insert(&variant.name)) {
        Some(twice) => Err(Error::Incompatible(
            format!("variant `{}` of {name} is written under another number than it is read;", twice.name),
            "does the enum skip a variant?".to_owned(),
        )),
        None => Ok(()),
    }
}

impl From<Format> for Shape {
    fn from(format: Format) -> Self {
        match format {
            // A variable that tracing resolved was replaced by `normalize`; what is left holds nothing.
            Format::Variable(_) | Format::Unit => Self::Unit,
            Format::TypeName(name) => Self::Named(name),
            Format::Bool => Self::Bool,
            Format::I8 => Self::I8,
            Format::I16 => Self::I16,
            Format::I32 => Self::I32,
            Format::I64 => Self::I64,
            Format::I128 => Self::I128,
            Format::U8 => Self::U8,
            Format::U16 => Self::U16,
            Format::U32 => Self::U32,
            Format::U64 => Self::U64,
            Format::U128 => Self::U128,
            Format::F32 => Self::F32,
            Format::F64 => Self::F64,
            Format::Char => Self::Char,
            Format::Str => Self::String,
            Format::Bytes => Self::Bytes,
            Format::Option(inner) => Self::Option(Box::new((*inner).into())),
            Format::Seq(element) => Self::Seq(Box::new((*element).into())),
            Format::Map { key, value } => Self::Map(Box::new((*key).into()), Box::new((*value).into())),
            Format::Tuple(elements) => Self::Tuple(elements.into_iter().map(Into::into).collect()),
            Format::TupleArray { content, size } => Self::Tuple(vec![(*content).into(); size]),
        }
    }
}

impl From<ContainerFormat> for Container {
    fn from(format: ContainerFormat) -> Self {
        match format {
            ContainerFormat::UnitStruct => Self::Unit,
            ContainerFormat::NewTypeStruct(inner) => Self::Newtype((*inner).into()),
            ContainerFormat::TupleStruct(elements) => Self::Tuple(elements.into_iter().map(Into::into).collect()),
            ContainerFormat::Struct(fields) => Self::Struct(fields.into_iter().map(Into::into).collect()),
            ContainerFormat::Enum(variants) => {
                Self::Enum(variants.into_iter().map(|(index, variant)| (index, variant.into())).collect())
            }
        }
    }
}

impl From<Named<Format>> for Field {
    fn from(field: Named<Format>) -> Self {
        Self { name: field.name, shape: field.value.into() }
    }
}

impl From<Named<VariantFormat>> for Variant {
    fn from(variant: Named<VariantFormat>) -> Self {
        let content = match variant.value {
            VariantFormat::Variable(_) | VariantFormat::Unit => Container::Unit,
            VariantFormat::NewType(inner) => Container::Newtype((*inner).into()),
            VariantFormat::Tuple(elements) => Container::Tuple(elements.into_iter().map(Into::into).collect()),
            VariantFormat::Struct(fields) => Container::Struct(fields.into_iter().map(Into::into).collect()),
        };
        Self { name: variant.name, content }
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::NotSupported(_) => {
            format!("{error}: it decodes from self-describing formats only (flatten, untagged, tag, any value)")
        }
        Error::Incompatible(..) => {
            format!(
                "{error}: it writes itself differently from how it reads itself (skip_serializing, skipped variants)"
            )
        }
        _ => error.to_string(),
    }
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
        let reason = Shape::of::<Gap>().unwrap_err();
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
    }
}
