//! The shape of a type, traced from its serde implementation.
//!
//! Wires that send no field names need to know what serde will do with a type before the first call: the order and
//! widths of fields, what is optional, which variants an enum has. [`Shape::of`] finds out by letting the type
//! deserialize itself from nothing and serialize itself again, so that the shape is what serde does, not the output of a
//! second derive macro.

mod access;
mod read;
mod samples;
mod survey;
mod trace;
mod tracer;
mod types;
mod walk;
mod write;

pub use survey::Parts;
pub use types::{Container, Field, Shape, Types, Variant, plain_name};
pub use walk::enums_with_data;
