//! A whole service.

use serde_json::{Map, Value};

use super::{
    method::{Method, Type},
    shape::{Shape, Types},
};
use crate::error::{Result, RpcError};

/// A service: its names, methods, types and documentation. Made once per trait, by the code that `#[service]` writes.
#[derive(Debug)]
pub struct ServiceDescriptor {
    pub(super) full_name: String,
    pub(super) package: &'static str,
    pub(super) name: &'static str,
    pub(super) docs: &'static str,
    pub(super) version: &'static str,
    pub(super) methods: Vec<Method>,
    pub(super) types: Types,
    pub(super) definitions: Map<String, Value>,
}

impl ServiceDescriptor {
    /// Package and name, such as `everywire.v1.Toolkit`.
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    /// The package, such as `everywire.v1`; it may be empty.
    pub fn package(&self) -> &'static str {
        self.package
    }

    /// The name of the trait.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The trait's documentation.
    pub fn docs(&self) -> &'static str {
        self.docs
    }

    /// The version of the service, such as `1.2.0`; it may be empty.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// The methods in the order of their declaration.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The method with this name.
    pub fn method(&self, name: &str) -> Option<&Method> {
        self.methods.iter().find(|method| method.name == name)
    }

    /// The shapes of all named types.
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// JSON Schemas (draft 7) of all named types. [`Type::schema`] refers to them as `#/components/schemas/NAME`.
    pub fn definitions(&self) -> &Map<String, Value> {
        &self.definitions
    }

    /// Checks every shape inside every argument and reply with `carries`, which looks at one level; of a type without a shape
    /// those that [can be seen](super::shape::Parts). For wires that describe themselves: their [`check`](crate::Transport::check) is this.
    pub fn check_shapes(&self, wire: &str, carries: impl Fn(&Shape, &Types) -> Result<(), String>) -> Result<()> {
        self.check_types(wire, |r#type, types| {
            r#type.shape().map_or_else(
                |_| r#type.parts().check_each(&carries),
                |shape| shape.check_each(types, |shape| carries(shape, types)),
            )
        })
    }

    /// Checks every argument's and reply's type with `carries`. The error has every problem, with the wire, the method, the
    /// place and the reason.
    ///
    /// For wires that know types before calls: their [`check`](crate::Transport::check) is this.
    pub fn check_types(&self, wire: &str, carries: impl Fn(&Type, &Types) -> Result<(), String>) -> Result<()> {
        let mut problems = Vec::new();
        for method in &self.methods {
            let arguments = method.arguments.iter().map(|argument| (argument.name, &argument.r#type));
            for (place, r#type) in arguments.chain([("reply", &method.reply)]) {
                if let Err(reason) = carries(r#type, &self.types) {
                    let (service, method, r#type) = (&self.full_name, method.name, r#type.rust);
                    problems.push(format!("{wire} can't carry {service}.{method}, {place}: {type}: {reason}"));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(RpcError::failed_precondition(problems.join("; "))) }
    }
}
