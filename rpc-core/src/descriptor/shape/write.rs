//! The writing half of the trace: a type must write itself as it reads itself.

use serde::Serialize;
use serde_reflection::{ContainerFormat, Format, FormatHolder, Named, Samples, Tracer, TracerConfig, VariantFormat};

use super::types::{Container, Field, Shape, Types, Variant};

/// Checks that `value` writes itself in `shape`.
pub(super) fn check<T: Serialize>(value: &T, shape: &Shape, types: &Types) -> Result<(), String> {
    let mut tracer = Tracer::new(TracerConfig::default().is_human_readable(true));
    let (format, _) = tracer
        .trace_value(&mut Samples::new(), value)
        .map_err(|error| format!("it can't write a value that it has read: {error}"))?;
    same_shape(format, shape).then_some(()).ok_or_else(|| differs("it", "its value"))?;
    for (name, mut container) in tracer.registry_unchecked() {
        container.reduce();
        let read = types.get(&name).ok_or_else(|| differs(&name, "its name"))?;
        same_container(&name, container, read)?;
    }
    Ok(())
}

fn differs(name: &str, what: &str) -> String {
    format!(
        "{name} writes {what} differently from how it reads it (skip_serializing, skipped variants, hand-written serde)"
    )
}

fn same_container(name: &str, written: ContainerFormat, read: &Container) -> Result<(), String> {
    let same = match (written, read) {
        (ContainerFormat::UnitStruct, Container::Unit) => true,
        (ContainerFormat::NewTypeStruct(written), Container::Newtype(read)) => same_shape(*written, read),
        (ContainerFormat::TupleStruct(written), Container::Tuple(read)) => same_shapes(written, read),
        (ContainerFormat::Struct(written), Container::Struct(read)) => return same_fields(name, written, read),
        (ContainerFormat::Enum(written), Container::Enum(read)) => {
            return written.into_iter().try_for_each(|(index, variant)| same_variant(name, variant, read.get(&index)));
        }
        _ => false,
    };
    same.then_some(()).ok_or_else(|| differs(name, "its content"))
}

fn same_fields(name: &str, written: Vec<Named<Format>>, read: &[Field]) -> Result<(), String> {
    if written.len() != read.len() {
        return Err(differs(name, "the number of its fields"));
    }
    for (written, read) in written.into_iter().zip(read) {
        if written.name != read.name || !same_shape(written.value, &read.shape) {
            return Err(differs(name, &format!("field `{}`", read.name)));
        }
    }
    Ok(())
}

fn same_variant(name: &str, written: Named<VariantFormat>, read: Option<&Variant>) -> Result<(), String> {
    let wrong = differs(name, &format!("variant `{}`", written.name));
    let Some(read) = read.filter(|read| read.name == written.name) else { return Err(wrong) };
    let same = match (written.value, &read.content) {
        (VariantFormat::Variable(_), _) | (VariantFormat::Unit, Container::Unit) => true,
        (VariantFormat::NewType(written), Container::Newtype(read)) => same_shape(*written, read),
        (VariantFormat::Tuple(written), Container::Tuple(read)) => same_shapes(written, read),
        (VariantFormat::Struct(written), Container::Struct(read)) => return same_fields(name, written, read),
        _ => false,
    };
    same.then_some(()).ok_or(wrong)
}

fn same_shapes(written: Vec<Format>, read: &[Shape]) -> bool {
    written.len() == read.len() && written.into_iter().zip(read).all(|(written, read)| same_shape(written, read))
}

fn same_shape(mut written: Format, read: &Shape) -> bool {
    written.reduce();
    match (written, read) {
        // Nothing was written here: an absent option, an empty sequence.
        (Format::Variable(_), _) => true,
        (Format::TypeName(written), Shape::Named(read)) => written == *read,
        (Format::Option(written), Shape::Option(read)) | (Format::Seq(written), Shape::Seq(read)) => {
            same_shape(*written, read)
        }
        (Format::Map { key, value }, Shape::Map(read_key, read_value)) => {
            same_shape(*key, read_key) && same_shape(*value, read_value)
        }
        (Format::Tuple(written), Shape::Tuple(read)) => same_shapes(written, read),
        (Format::TupleArray { content, size }, Shape::Tuple(read)) => same_shapes(vec![*content; size], read),
        (written, read) => scalar(&written).as_ref() == Some(read),
    }
}

fn scalar(format: &Format) -> Option<Shape> {
    Some(match format {
        Format::Unit => Shape::Unit,
        Format::Bool => Shape::Bool,
        Format::I8 => Shape::I8,
        Format::I16 => Shape::I16,
        Format::I32 => Shape::I32,
        Format::I64 => Shape::I64,
        Format::I128 => Shape::I128,
        Format::U8 => Shape::U8,
        Format::U16 => Shape::U16,
        Format::U32 => Shape::U32,
        Format::U64 => Shape::U64,
        Format::U128 => Shape::U128,
        Format::F32 => Shape::F32,
        Format::F64 => Shape::F64,
        Format::Char => Shape::Char,
        Format::Str => Shape::String,
        Format::Bytes => Shape::Bytes,
        _ => return None,
    })
}
