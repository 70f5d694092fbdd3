//! The descriptor as zerorpc shows it, the built-in methods, and what the wire can't carry.
//!
//! | method | reply |
//! |---|---|
//! | `_zerorpc_ping` | `["pong", "Toolkit"]` |
//! | `_zerorpc_name` | `"Toolkit"` |
//! | `_zerorpc_list` | `["add", ..]` |
//! | `_zerorpc_help(method)` | its documentation |
//! | `_zerorpc_args(method)` | `[[names of arguments], nil, nil, [defaults]]`, Python's argument specification |
//! | `_zerorpc_inspect` | `{name, methods: {method: {args: [{name, default?}], doc}}}` |

use std::borrow::Cow;

use everywire_core::{
    Result, RpcError,
    descriptor::{
        Method, ServiceDescriptor, Services,
        shape::{Container, Shape, Types},
    },
    wire::MessageBuffer,
};
use serde::{Serialize, Serializer};

use crate::msgpack::{get_value, put_value};

/// Whether `method` is one of the built-in methods.
pub(crate) fn is_builtin(method: &str) -> bool {
    method.starts_with("_zerorpc_")
}

/// The reply of a built-in method, as MessagePack.
pub(crate) fn reply(services: &Services, method: &str, args: &[u8]) -> Result<Vec<u8>> {
    let about = || about(services, method, args);
    match method {
        "_zerorpc_ping" => value(&("pong", name(services))),
        "_zerorpc_name" => value(&name(services)),
        "_zerorpc_list" => value(&services.methods().map(|(name, _)| name).collect::<Vec<_>>()),
        "_zerorpc_help" => value(&about()?.docs()),
        "_zerorpc_args" => value(&specification(about()?)),
        "_zerorpc_inspect" => value(&Inspect::of(services)),
        _ => Err(RpcError::unimplemented("no such built-in method")),
    }
}

/// Rejects types that MessagePack loses or Python can't read. A type without a shape is accepted: MessagePack describes itself.
pub(crate) fn check(descriptor: &ServiceDescriptor) -> Result<()> {
    descriptor.check_shapes("zerorpc", carries)
}

fn carries(shape: &Shape, types: &Types) -> Result<(), String> {
    match shape {
        Shape::I128 | Shape::U128 => Err("MessagePack has no integers of 128 bits; use a String".to_owned()),
        shape if shape.is_double_option(types) => {
            Err("an absent value and a present nil are the same in MessagePack; use an enum".to_owned())
        }
        // Python's decoder rejects a message with any other key.
        Shape::Map(key, _) if !is_string(key.resolve(types), types) => {
            Err("the key of a map is not a string; use a list of pairs".to_owned())
        }
        _ => Ok(()),
    }
}

fn is_string(shape: &Shape, types: &Types) -> bool {
    match shape {
        Shape::String | Shape::Char => true,
        Shape::Named(name) => types.get(name).is_some_and(Container::is_plain_enum),
        _ => false,
    }
}

fn value(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = MessageBuffer::unbounded(Vec::new());
    put_value(&mut bytes, value).map_err(RpcError::internal)?;
    Ok(bytes.into_vec())
}

/// The method that is the only argument of `_zerorpc_help` and `_zerorpc_args`.
fn about(services: &Services, builtin: &str, args: &[u8]) -> Result<&'static Method> {
    let (name,): (String,) = get_value(args, 1)
        .map_err(|error| RpcError::invalid_argument(format!("{builtin} takes the name of a method: {error}")))?;
    services.find(&name).map_err(|_| RpcError::unimplemented(format!("{builtin}: no such method")))
}

/// The name of the server: that of its first service.
fn name(services: &Services) -> &'static str {
    services.iter().next().map_or("", ServiceDescriptor::name)
}

/// Names, no `*args`, no `**kwargs`, and the defaults of the last arguments.
fn specification(method: &Method) -> (Vec<&str>, (), (), Vec<()>) {
    let names: Vec<_> = method.arguments().iter().map(everywire_core::descriptor::Argument::name).collect();
    let defaults = vec![(); names.len() - method.required_arguments()];
    (names, (), (), defaults)
}

#[derive(Serialize)]
struct Inspect {
    name: &'static str,
    #[serde(serialize_with = "as_map")]
    methods: Vec<(Cow<'static, str>, InspectMethod<'static>)>,
}

#[derive(Serialize)]
struct InspectMethod<'a> {
    args: Vec<InspectArgument<'a>>,
    doc: &'a str,
}

#[derive(Serialize)]
struct InspectArgument<'a> {
    name: &'a str,
    /// Absent, or nil: what an argument is that is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<()>,
}

impl Inspect {
    fn of(services: &Services) -> Self {
        let methods = services.methods().map(|(name, method)| (name, InspectMethod::of(method)));
        Self { name: name(services), methods: methods.collect() }
    }
}

impl<'a> InspectMethod<'a> {
    fn of(method: &'a Method) -> Self {
        let required = method.required_arguments();
        let arguments = method.arguments().iter().enumerate();
        let args = arguments.map(|(index, argument)| InspectArgument {
            name: argument.name(),
            default: (index >= required).then_some(()),
        });
        Self { args: args.collect(), doc: method.docs() }
    }
}

fn as_map<S: Serializer>(methods: &[(Cow<'_, str>, InspectMethod)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(methods.iter().map(|(name, method)| (name, method)))
}
