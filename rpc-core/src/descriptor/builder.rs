//! Collects what `#[service]` says of a trait.

use std::sync::Arc;

use schemars::{SchemaGenerator, generate::SchemaSettings, schema_for};
use serde_json::Map;

use super::{
    method::{Argument, Method, Type},
    service::ServiceDescriptor,
    shape::{Parts, Shape, Types, enums_with_data},
};
use crate::{
    error,
    outcome::{Outcome, Value},
};

impl ServiceDescriptor {
    /// Starts the descriptor of the service `name` in `package`.
    pub fn builder(package: &'static str, name: &'static str, docs: &'static str) -> Builder {
        let settings = SchemaSettings::draft07().with(|settings| settings.definitions_path = DEFINITIONS_PATH.into());
        Builder {
            descriptor: ServiceDescriptor {
                full_name: if package.is_empty() { name.to_owned() } else { format!("{package}.{name}") },
                package,
                name,
                docs,
                version: "",
                methods: Vec::new(),
                types: Types::new(),
                definitions: Map::new(),
            },
            schemas: settings.into_generator(),
        }
    }
}

/// Where [`ServiceDescriptor::definitions`] is to be placed in a document, so that references find it.
const DEFINITIONS_PATH: &str = "/components/schemas";

/// Collects the methods of a [`ServiceDescriptor`].
///
/// ```
/// use everywire_core::descriptor::ServiceDescriptor;
///
/// let mut service = ServiceDescriptor::builder("demo.v1", "Calculator", "Adds.");
/// service
///     .method("add", "Add", "Adds two integers.")
///     .argument::<i64>("a", "i64")
///     .argument::<i64>("b", "i64")
///     .reply::<i64>("i64");
/// let service = service.build();
/// assert_eq!(service.methods()[0].path(), "/demo.v1.Calculator/Add");
/// assert_eq!(service.methods()[0].signature(), "add(a: i64, b: i64) -> i64");
/// ```
#[derive(Debug)]
pub struct Builder {
    descriptor: ServiceDescriptor,
    schemas: SchemaGenerator,
}

/// Collects one method; [`reply`](Self::reply) or [`returns`](Self::returns) ends it.
#[derive(Debug)]
pub struct MethodBuilder<'a> {
    service: &'a mut Builder,
    name: &'static str,
    camel_name: &'static str,
    docs: &'static str,
    idempotent: bool,
    waits: bool,
    arguments: Vec<Argument>,
}

impl Builder {
    /// Sets the version of the service.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.descriptor.version = version;
        self
    }

    /// Starts the next method, whose `name` is `camel_name` in paths: `next_id` and `NextId`.
    pub fn method(&mut self, name: &'static str, camel_name: &'static str, docs: &'static str) -> MethodBuilder<'_> {
        MethodBuilder { service: self, name, camel_name, docs, idempotent: false, waits: false, arguments: Vec::new() }
    }

    /// The descriptor with all methods so far.
    pub fn build(mut self) -> ServiceDescriptor {
        self.descriptor.definitions = self.schemas.take_definitions(true);
        let enums: Arc<[String]> = enums_with_data(&self.descriptor.types).into();
        self.descriptor.methods.iter_mut().for_each(|method| method.enums_with_data = Arc::clone(&enums));
        self.descriptor
    }

    /// Describes `T` and keeps the named types inside it.
    fn describe<T: Value>(&mut self, rust: &'static str) -> Type {
        let shape = Shape::of::<T>().or_else(|_| Shape::with_samples::<T>(schema_for!(T).as_value()));
        let shape = shape.and_then(|(shape, types)| self.keep(types).map(|()| shape));
        let parts = if shape.is_ok() { Parts::default() } else { Parts::of::<T>(schema_for!(T).as_value()) };
        Type { rust, shape, parts, schema: self.schemas.subschema_for::<T>() }
    }

    fn keep(&mut self, types: Types) -> Result<(), String> {
        for (name, container) in types {
            match self.descriptor.types.get(&name) {
                Some(other) if *other != container => {
                    return Err(format!("two different types are called `{name}`; rename one with serde(rename)"));
                }
                _ => self.descriptor.types.insert(name, container),
            };
        }
        Ok(())
    }
}

impl MethodBuilder<'_> {
    /// Says that running a call twice does what running it once does.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Says that a call may wait for other calls.
    #[must_use]
    pub fn waits(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Adds the next argument; `rust` is its type as the source has it.
    #[must_use]
    pub fn argument<T: Value>(mut self, name: &'static str, rust: &'static str) -> Self {
        let r#type = self.service.describe::<T>(rust);
        self.arguments.push(Argument { name, r#type });
        self
    }

    /// Sets the type of the reply and adds the method to the service.
    pub fn reply<T: Value + Send>(self, rust: &'static str) {
        self.returns::<error::Result<T>>(rust);
    }

    /// Sets what the method returns, a reply or many items, and adds it to the service; `rust` is the `T` of its `Result<T>`.
    pub fn returns<O: Outcome>(self, rust: &'static str) {
        let Self { service, name, camel_name, docs, idempotent, waits, arguments } = self;
        let reply = service.describe::<O::Reply>(rust);
        let arguments_text: Vec<_> =
            arguments.iter().map(|argument| format!("{}: {}", argument.name, argument.r#type.rust)).collect();
        let descriptor = &mut service.descriptor;
        descriptor.methods.push(Method {
            index: descriptor.methods.len(),
            name,
            path: format!("/{}/{camel_name}", descriptor.full_name),
            qualified_name: format!("{}.{name}", descriptor.full_name),
            docs,
            idempotent,
            waits: waits || O::STREAMS,
            streams: O::STREAMS,
            signature: format!("{name}({}) -> {}", arguments_text.join(", "), reply.rust),
            arguments,
            reply,
            enums_with_data: Arc::default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn trailing_options_are_not_required() {
        let mut service = ServiceDescriptor::builder("", "Demo", "");
        service
            .method("wait_for", "WaitFor", "")
            .argument::<Option<u8>>("a", "Option<u8>")
            .argument::<u8>("b", "u8")
            .argument::<Option<u8>>("c", "Option<u8>")
            .reply::<()>("()");
        let service = service.build();
        assert_eq!(service.full_name(), "Demo");
        assert_eq!(service.methods()[0].camel_name(), "WaitFor");
        assert_eq!(service.methods()[0].required_arguments(), 2);
    }

    #[test]
    fn the_instances_of_a_generic_type_have_schemas_of_their_own() {
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        struct Page<T> {
            items: Vec<T>,
        }
        let mut service = ServiceDescriptor::builder("", "Demo", "");
        let put = service.method("put", "Put", "").argument::<Page<u8>>("bytes", "Page<u8>");
        put.argument::<Page<String>>("texts", "Page<String>").reply::<()>("()");
        let service = service.build();
        let names: Vec<_> = service.definitions().keys().map(String::as_str).collect();
        assert_eq!(names, ["Page", "Page2"]);
        let names: Vec<_> = service.types().keys().map(String::as_str).collect();
        assert_eq!(names, ["Page<String>", "Page<u8>"]);
    }

    #[test]
    fn a_type_without_a_shape_is_named_with_its_place() {
        let mut service = ServiceDescriptor::builder("demo.v1", "Demo", "");
        service.method("put", "Put", "").argument::<Value>("value", "Value").reply::<()>("()");
        let error = service.build().check_types("gRPC", |r#type, _| r#type.shape().map(|_| ())).unwrap_err();
        assert!(error.message().starts_with("gRPC can't carry demo.v1.Demo.put, value: Value: "), "{error}");
    }
}
