//! What a service looks like from outside: the source of every schema and of introspection.

pub mod shape;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use self::shape::{Shape, Types};
use crate::{Result, RpcError};

/// A service: its names, methods, types and documentation. Made once per trait, by the code that `#[service]` writes.
#[derive(Debug)]
pub struct ServiceDescriptor {
    full_name: String,
    package: &'static str,
    name: &'static str,
    docs: &'static str,
    version: &'static str,
    methods: Vec<Method>,
    types: Types,
    definitions: Map<String, Value>,
}

/// One method of a service.
#[derive(Debug)]
pub struct Method {
    index: usize,
    name: &'static str,
    path: String,
    docs: &'static str,
    idempotent: bool,
    waits: bool,
    arguments: Vec<Argument>,
    reply: Type,
    signature: String,
}

/// One argument of a method.
#[derive(Debug)]
pub struct Argument {
    name: &'static str,
    r#type: Type,
}

/// The type of an argument or of a reply.
#[derive(Debug)]
pub struct Type {
    rust: &'static str,
    shape: Result<Shape, String>,
    schema: Schema,
}

impl ServiceDescriptor {
    /// Starts the descriptor of the service `name` in `package`.
    pub fn builder(package: &'static str, name: &'static str, docs: &'static str) -> Builder {
        let settings = SchemaSettings::draft07().with(|settings| settings.definitions_path = DEFINITIONS_PATH.into());
        Builder {
            descriptor: Self {
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

    /// The method with this name. There being none is `UNIMPLEMENTED`, with the names of those that there are.
    pub fn find(&self, name: &str) -> Result<&Method> {
        self.method(name).ok_or_else(|| self.unknown(name))
    }

    /// The error for a call of a method that the service doesn't have.
    pub fn unknown(&self, name: &str) -> RpcError {
        let known: Vec<_> = self.methods.iter().map(Method::name).collect();
        let name = name[..name.floor_char_boundary(NAME_BYTES)].escape_debug();
        RpcError::unimplemented(format!("no method `{name}` in {}; it has {}", self.full_name, known.join(", ")))
    }

    /// The shapes of all named types.
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// JSON Schemas (draft 7) of all named types. [`Type::schema`] refers to them as `#/components/schemas/NAME`.
    pub fn definitions(&self) -> &Map<String, Value> {
        &self.definitions
    }

    /// Checks every shape inside every argument and reply with `carries`, which looks at one level; a type without a shape
    /// is fine. For wires that describe themselves: their [`check`](crate::Transport::check) is this.
    pub fn check_shapes(&self, wire: &str, carries: impl Fn(&Shape, &Types) -> Result<(), String>) -> Result<()> {
        self.check_types(wire, |r#type, types| {
            r#type.shape().map_or(Ok(()), |shape| shape.check_each(types, |shape| carries(shape, types)))
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

/// What is repeated of an unknown method's name, in bytes.
const NAME_BYTES: usize = 64;

/// Where [`ServiceDescriptor::definitions`] is to be placed in a document, so that references find it.
const DEFINITIONS_PATH: &str = "/components/schemas";

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
    /// says so in the trait; such calls are counted as [`waiting_calls`](crate::Limits::waiting_calls).
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// The arguments in order.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    /// The type of the reply.
    pub fn reply(&self) -> &Type {
        &self.reply
    }

    /// How many arguments a call must have: those before the trailing optional ones.
    pub fn required_arguments(&self) -> usize {
        self.arguments.iter().rposition(|argument| !argument.is_optional()).map_or(0, |last| last + 1)
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

    /// The JSON Schema (draft 7).
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// Collects the methods of a [`ServiceDescriptor`].
///
/// ```
/// use everywire_core::descriptor::ServiceDescriptor;
///
/// let mut service = ServiceDescriptor::builder("demo.v1", "Calculator", "Adds.");
/// service.method("add", "Adds two integers.").argument::<i64>("a", "i64").argument::<i64>("b", "i64").reply::<i64>("i64");
/// let service = service.build();
/// assert_eq!(service.methods()[0].path(), "/demo.v1.Calculator/Add");
/// assert_eq!(service.methods()[0].signature(), "add(a: i64, b: i64) -> i64");
/// ```
#[derive(Debug)]
pub struct Builder {
    descriptor: ServiceDescriptor,
    schemas: SchemaGenerator,
}

/// Collects one method; [`reply`](Self::reply) ends it.
#[derive(Debug)]
pub struct MethodBuilder<'a> {
    service: &'a mut Builder,
    name: &'static str,
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

    /// Starts the next method.
    pub fn method(&mut self, name: &'static str, docs: &'static str) -> MethodBuilder<'_> {
        MethodBuilder { service: self, name, docs, idempotent: false, waits: false, arguments: Vec::new() }
    }

    /// The descriptor with all methods so far.
    pub fn build(mut self) -> ServiceDescriptor {
        self.descriptor.definitions = self.schemas.take_definitions(true);
        self.descriptor
    }

    /// Describes `T` and keeps the named types inside it.
    fn describe<T: Serialize + DeserializeOwned + JsonSchema>(&mut self, rust: &'static str) -> Type {
        let shape = Shape::of::<T>().and_then(|(shape, types)| self.keep(types).map(|()| shape));
        Type { rust, shape, schema: self.schemas.subschema_for::<T>() }
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
    pub fn argument<T: Serialize + DeserializeOwned + JsonSchema>(
        mut self,
        name: &'static str,
        rust: &'static str,
    ) -> Self {
        let r#type = self.service.describe::<T>(rust);
        self.arguments.push(Argument { name, r#type });
        self
    }

    /// Sets the reply and adds the method to the service.
    pub fn reply<T: Serialize + DeserializeOwned + JsonSchema>(self, rust: &'static str) {
        let Self { service, name, docs, idempotent, waits, arguments } = self;
        let reply = service.describe::<T>(rust);
        let arguments_text: Vec<_> =
            arguments.iter().map(|argument| format!("{}: {}", argument.name, argument.r#type.rust)).collect();
        let descriptor = &mut service.descriptor;
        descriptor.methods.push(Method {
            index: descriptor.methods.len(),
            name,
            path: format!("/{}/{}", descriptor.full_name, camel_case(name)),
            docs,
            idempotent,
            waits,
            signature: format!("{name}({}) -> {}", arguments_text.join(", "), reply.rust),
            arguments,
            reply,
        });
    }
}

/// `next_id` as `NextId`.
fn camel_case(name: &str) -> String {
    let words = name.split('_').filter(|word| !word.is_empty());
    words
        .map(|word| {
            let mut characters = word.chars();
            characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect::<String>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_options_are_not_required() {
        let mut service = ServiceDescriptor::builder("", "Demo", "");
        service
            .method("wait_for", "")
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
    fn a_name_need_not_be_ascii() {
        let mut service = ServiceDescriptor::builder("demo.v1", "Demo", "");
        service.method("größe_ändern", "").reply::<()>("()");
        assert_eq!(service.build().methods()[0].path(), "/demo.v1.Demo/GrößeÄndern");
    }

    #[test]
    fn a_type_without_a_shape_is_named_with_its_place() {
        let mut service = ServiceDescriptor::builder("demo.v1", "Demo", "");
        service.method("put", "").argument::<Value>("value", "Value").reply::<()>("()");
        let error = service.build().check_types("gRPC", |r#type, _| r#type.shape().map(|_| ())).unwrap_err();
        assert!(error.message().starts_with("gRPC can't carry demo.v1.Demo.put, value: Value: "), "{error}");
    }
}
