//! One method of a service, and its types.

use std::sync::Arc;

use schemars::Schema;

use super::shape::{Parts, Shape};

/// One method of a service.
#[derive(Debug)]
pub struct Method {
    pub(super) index: usize,
    pub(super) name: &'static str,
    pub(super) path: String,
    pub(super) qualified_name: String,
    pub(super) docs: &'static str,
    pub(super) idempotent: bool,
    pub(super) waits: bool,
    pub(super) streams: bool,
    pub(super) arguments: Vec<Argument>,
    pub(super) reply: Type,
    pub(super) signature: String,
    pub(super) enums_with_data: Arc<[String]>,
}

/// One argument of a method.
#[derive(Debug)]
pub struct Argument {
    pub(super) name: &'static str,
    pub(super) r#type: Type,
}

/// The type of an argument or of a reply.
#[derive(Debug)]
pub struct Type {
    pub(super) rust: &'static str,
    pub(super) shape: Result<Shape, String>,
    pub(super) parts: Parts,
    pub(super) schema: Schema,
}

impl Method {
    /// The position among the service's methods.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The name as the trait has it, such as `next_id`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The fully qualified method path, such as `/everywire.v1.Toolkit/NextId`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name behind that of the service, such as `everywire.v1.Toolkit.next_id`.
    pub fn qualified_name(&self) -> &str {
        &self.qualified_name
    }

    /// The last part of [`path`](Self::path): the name in camel case.
    pub fn camel_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(self.name)
    }

    /// The method's documentation.
    pub fn docs(&self) -> &'static str {
        self.docs
    }

    /// Whether running a call twice does what running it once does. `#[idempotent]` says so in the trait.
    pub fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether a call may wait for other calls, as one that takes a lock waits for the one that releases it. `#[waits]`
    /// says so in the trait; such calls are counted as [`waiting_calls`](crate::Limits::waiting_calls). One that
    /// [streams](Self::streams) always does.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Whether the reply has many items, each of the type [`reply`](Self::reply): the trait has `Result<Streaming<T>>`.
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// The arguments in order.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    /// The type of the reply, or of each of its items.
    pub fn reply(&self) -> &Type {
        &self.reply
    }

    /// How many arguments a call must have: those before the trailing optional ones.
    pub fn required_arguments(&self) -> usize {
        self.arguments.iter().rposition(|argument| !argument.is_optional()).map_or(0, |last| last + 1)
    }

    /// The names, as serde announces them, of the service's enums of which a variant carries something. A format that writes
    /// these unlike enums of plain variants needs to know them, since serde shows it only the variant that it writes.
    // Not a slice: a reference to an `Arc` has one word in place of two, and a format copies it for each message that it reads.
    pub fn enums_with_data(&self) -> &Arc<[String]> {
        &self.enums_with_data
    }

    /// The method in one line, such as `add(a: i64, b: i64) -> i64`.
    pub fn signature(&self) -> &str {
        &self.signature
    }
}

impl Argument {
    /// The argument's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The argument's type.
    pub fn r#type(&self) -> &Type {
        &self.r#type
    }

    /// Whether the type is an `Option`. Trailing optional arguments may be left out of a call.
    pub fn is_optional(&self) -> bool {
        matches!(self.r#type.shape, Ok(Shape::Option(_)))
    }
}

impl Type {
    /// The type as the trait writes it, such as `Option<u64>`.
    pub fn rust(&self) -> &'static str {
        self.rust
    }

    /// The shape, or the reason why the type has none and only self-describing wires carry it.
    pub fn shape(&self) -> Result<&Shape, String> {
        self.shape.as_ref().map_err(Clone::clone)
    }

    /// What is known of the insides of a type without a shape; nothing of one that has a shape.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The JSON Schema (draft 7).
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}
